"""What an endpoint gets: where to send its request, and with what."""

import re
from collections.abc import Callable
from enum import Enum, StrEnum
from functools import cached_property
from typing import Any, Self
from urllib.parse import ParseResult, quote, urlparse

from accel_integration._errors import RequestError
from accel_integration._masking import Credentials, mask_path, mask_url, secrets_in

__all__ = [
    "PLACEHOLDER",
    "USUAL_PORTS",
    "ApiHTTP",
    "ApiURL",
    "HTTPMethod",
    "check_path",
    "fill_path",
    "join_url",
]

ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
PLACEHOLDER = re.compile(r"\{(\w+)\}")
USUAL_PORTS = {"http": 80, "https": 443}


class HTTPMethod(StrEnum):
    """The methods of HTTP."""

    get = "GET"
    post = "POST"
    put = "PUT"
    patch = "PATCH"
    delete = "DELETE"
    head = "HEAD"
    options = "OPTIONS"


class ApiURL(ParseResult):
    """A parsed URL that is its own text, but shows no password."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return *text* as a URL."""
        return cls(*urlparse(text))

    # Declarations keep the URLs of their endpoints, whose text is asked for each time.
    @cached_property
    def _text(self) -> str:
        return super().geturl()

    @cached_property
    def origin(self) -> str:
        """The scheme, host and port, without a user or password.

        As clients write it: in small letters, without the port that goes without saying.
        """
        host = self.netloc.rpartition("@")[2].lower()
        host = host.removesuffix(f":{USUAL_PORTS.get(self.scheme)}")
        return f"{self.scheme}://{host}" if host else ""

    def geturl(self) -> str:
        """Return the URL as one text."""
        return self._text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<ApiURL {mask_url(self.geturl())}>"


class ApiHTTP:
    """What an endpoint needs for its request.

    Attributes:
        credentials: What the declaration was given.
        url: Where to send the request, base URL and path together.
        version: The version of the endpoint.
        httpmethod: The method in capitals, such as "POST".
    """

    def __init__(
        self,
        credentials: Any,
        url: str | ParseResult,
        version: str = "",
        httpmethod: str = "",
        client: Any = None,
    ) -> None:
        plain = type(credentials) is dict
        self.credentials: Any = Credentials(credentials) if plain else credentials
        if not isinstance(url, ApiURL):
            url = ApiURL.parse(url if isinstance(url, str) else url.geturl())
        self.url = url
        self.version = version
        self.httpmethod = str(httpmethod)
        self._get_client: Callable[[], Any] = lambda: client

    @property
    def client(self) -> Any:
        """The HTTP client, such as an `httpx.AsyncClient`; it is pooled, not ours."""
        return self._get_client()

    @property
    def origin(self) -> str:
        """The scheme, host and port of the URL."""
        return self.url.origin

    def __repr__(self) -> str:
        url = mask_url(self.url.geturl(), secrets_in(self.credentials))
        shown = (type(self).__name__, self.httpmethod, url)
        return f"<{' '.join(filter(None, shown))}>"


def join_url(base_url: str, path: str) -> str:
    """Put *path* behind *base_url*, with one slash in between."""
    if not path:
        return base_url
    base, question, query = base_url.partition("?")
    if question:
        path += ("&" if "?" in path else "?") + query
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def check_path(path: str, owner: str) -> None:
    """Refuse what would be sent as it is written, and was meant otherwise.

    Raises:
        ValueError: *path* is a URL, or has more in braces than a name.
    """
    why = None
    if ABSOLUTE.match(path):
        why = "is a URL. Give its beginning to the declaration, as `base_url`."
    elif set("{}") & set(PLACEHOLDER.sub("", path)):
        why = (
            "has more in braces than the name of an argument. Write `{name}`, which is "
            "one segment, or put several behind `api.url` yourself."
        )
    if why:
        shown = mask_url(path) if ABSOLUTE.match(path) else mask_path(path)
        msg = f"Cannot declare {owner!r} as an endpoint: its path {shown!r} {why}"
        raise ValueError(msg)


def fill_path(path: str, arguments: dict[str, Any], endpoint: str) -> str:
    """Replace `{name}` in *path* by the argument of that name, quoted as one segment.

    Raises:
        RequestError: An argument would lead to another path, or is no text.
    """
    # In a query, all of this is harmless.
    in_path = PLACEHOLDER.findall(path.partition("?")[0])
    texts = {}
    for name in PLACEHOLDER.findall(path):
        value = arguments[name]
        text = str(value.value if isinstance(value, Enum) else value)
        if name in in_path and (value is None or text in {"", ".", ".."}):
            shown = value if value is None else text
            reason = f"it must not be {shown!r}, since it is part of a path"
            raise RequestError(endpoint, name, [reason])
        try:
            texts[name] = quote(text, safe="")
        except UnicodeEncodeError as exc:
            raise RequestError(endpoint, name, [exc.reason]) from None
    return PLACEHOLDER.sub(lambda m: texts[m[1]], path)
