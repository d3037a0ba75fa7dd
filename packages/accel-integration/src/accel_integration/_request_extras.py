"""What is added to the requests of an integration: headers, and who asks."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from accel_integration._api import ApiHTTP, ApiURL
from accel_integration._masking import is_secret_name

__all__ = ["Auth", "Headers", "RequestExtras"]

Headers: TypeAlias = Mapping[str, str] | Callable[[Any], Mapping[str, str]]
Auth: TypeAlias = tuple[str, str] | Callable[[Any], object]


class RequestExtras:
    """Headers and authentication, declared once for many requests."""

    def __init__(self, headers: tuple[Headers, ...], auth: Auth | None) -> None:
        for part in headers:
            if not callable(part) and not isinstance(part, Mapping):
                msg = (
                    f'"headers" must be a mapping or a function: {type(part).__name__}'
                )
                raise TypeError(msg)
        is_pair = isinstance(auth, tuple) and len(auth) == 2  # noqa: PLR2004 - a pair
        if auth is not None and not is_pair and not callable(auth):
            msg = (
                f'"auth" must be (user, password) or a function that signs a request, '
                f"not a {type(auth).__name__}: give an `httpx.Auth` to a client of your "
                "own, and pass that as `client=`."
            )
            raise TypeError(msg)
        self.headers = headers
        self.auth = auth

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # All of it may be secret.

    def changed(self, headers: Headers | None, auth: Auth | None) -> "RequestExtras":
        """Return these with other *headers* on top, and another *auth* if given."""
        if headers is None and auth is None:
            return self
        more = () if headers is None else (headers,)
        return RequestExtras((*self.headers, *more), auth or self.auth)

    def for_call(self, api: ApiHTTP) -> Callable[[Any], None] | None:
        """Return what prepares the requests of one call, or None without any extras."""
        if self.auth is None and not any(self.headers):
            return None

        def prepare(request: Any) -> None:
            wanted: dict[str, str] = {}
            for part in self.headers:
                wanted.update(part(api.credentials) if callable(part) else part)
            if leads_to(api.url, request.url):
                self._add(request, wanted)
                return
            # A redirection may lead anywhere, and takes the headers along.
            for name, value in wanted.items():
                if request.headers.get(name) == value:
                    del request.headers[name]

        return prepare

    @property
    def secrets(self) -> list[str]:
        """What of it must not show, as far as it is known before a call."""
        fixed = [part for part in self.headers if not callable(part)]
        found = [v for part in fixed for k, v in part.items() if is_secret_name(k)]
        return [*found, self.auth[1]] if isinstance(self.auth, tuple) else found

    def _add(self, request: Any, wanted: Mapping[str, str]) -> None:
        for name, value in wanted.items():
            present = request.headers.get(name)
            # What every client says of itself was not meant by anybody.
            if present is None or present == "*/*" or present.startswith("python-"):
                request.headers[name] = value
        if isinstance(self.auth, tuple):
            pair = ":".join(self.auth).encode()
            text = f"Basic {base64.b64encode(pair).decode('ascii')}"
            request.headers.setdefault("authorization", text)
        elif self.auth is not None:
            self.auth(request)


def leads_to(home: ApiURL, url: Any) -> bool:
    """Tell whether *url*, of whatever class the client has, is at the host of *home*."""
    origin = ApiURL.parse(str(url)).origin
    if home.origin.isascii():
        return origin == home.origin
    # Only the client knows how it writes a host with other letters, such as "bücher".
    return origin == ApiURL.parse(str(type(url)(home.geturl()))).origin
