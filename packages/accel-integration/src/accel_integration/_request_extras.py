"""What is added to the requests of an integration: headers, and who asks."""

import base64
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from accel_integration._api import ApiHTTP, ApiURL
from accel_integration._masking import is_secret_name
from accel_integration._parameters import synchronous
from accel_integration._strategy import is_async

__all__ = ["Auth", "Headers", "RequestExtras"]

Headers: TypeAlias = Mapping[str, str] | Callable[[Any], Mapping[str, str]]
Auth: TypeAlias = tuple[str, str] | Callable[..., object]


class RequestExtras:
    """Headers and authentication, declared once for many requests."""

    def __init__(self, headers: tuple[Headers, ...], auth: Auth | None) -> None:
        for part in headers:
            check_headers(part)
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
        self.is_async = callable(auth) and is_async(auth)
        if callable(auth):
            self._sign = with_credentials(auth)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # All of it may be secret.

    def changed(self, headers: Headers | None, auth: Auth | None) -> "RequestExtras":
        """Return these with other *headers* on top, and another *auth* if given."""
        if headers is None and auth is None:
            return self
        more = () if headers is None else (headers,)
        return RequestExtras((*self.headers, *more), auth or self.auth)

    def for_call(self, api: ApiHTTP, *, awaits: bool = True) -> "Preparation | None":
        """Return what prepares the requests of one call, or None without any extras."""
        if self.auth is None and not any(self.headers):
            return None
        return Preparation(self, api, awaits=awaits)

    def wanted(self, credentials: Any) -> dict[str, str]:
        """Return the headers for a call with these *credentials*."""
        found: dict[str, str] = {}
        for part in self.headers:
            found.update(part(credentials) if callable(part) else part)
        return found

    def sign(self, request: Any, credentials: Any) -> Any:
        """Let *request* say who asks; return what must be awaited for that, or None."""
        if isinstance(self.auth, tuple):
            pair = ":".join(self.auth).encode()
            text = f"Basic {base64.b64encode(pair).decode('ascii')}"
            request.headers.setdefault("authorization", text)
            return None
        if self.auth is None:
            return None
        answer = self._sign(request, credentials)
        return answer if inspect.isawaitable(answer) else None

    @property
    def secrets(self) -> list[str]:
        """What of it must not show, as far as it is known before a call."""
        fixed = [part for part in self.headers if not callable(part)]
        found = [v for part in fixed for k, v in part.items() if is_secret_name(k)]
        return [*found, self.auth[1]] if isinstance(self.auth, tuple) else found


class Preparation:
    """What one call adds to its requests, and takes back from those that lead away."""

    __slots__ = ("_added", "_api", "_awaits", "_extras")

    def __init__(self, extras: RequestExtras, api: ApiHTTP, *, awaits: bool) -> None:
        self._extras = extras
        self._api = api
        self._awaits = awaits
        # All headers of all attempts: a function may make others for each request.
        self._added: set[tuple[str, str]] = set()

    def __call__(self, request: Any) -> Coroutine[Any, Any, None] | None:
        """Prepare *request*; return what must be awaited for that, or None.

        Raises:
            TypeError: The request of a sync endpoint has an async signature.
        """
        if self._extras.is_async and not self._awaits:
            msg = "A sync endpoint cannot await its `auth=`: give it a sync function."
            raise TypeError(msg)
        wanted = self._extras.wanted(self._api.credentials)
        before = dict(request.headers)
        if not leads_to(self._api.url, request.url):
            # A redirection may lead anywhere, and takes the headers along.
            for name, value in (*wanted.items(), *self._added):
                if request.headers.get(name) == value:
                    del request.headers[name]
            return None
        for name, value in wanted.items():
            present = request.headers.get(name)
            # What every client says of itself was not meant by anybody.
            if present is None or present == "*/*" or present.startswith("python-"):
                request.headers[name] = value
        pending = self._extras.sign(request, self._api.credentials)
        if pending is not None:
            return self._when_signed(pending, request, before)
        self._note(request, before)
        return None

    async def _when_signed(
        self, pending: Any, request: Any, before: dict[str, str]
    ) -> None:
        await pending
        self._note(request, before)

    def _note(self, request: Any, before: dict[str, str]) -> None:
        for name, value in request.headers.items():
            if before.get(name) != value:
                self._added.add((name, value))


def check_headers(headers: object) -> None:
    """Refuse *headers* that no request could have, without showing a value of them."""
    synchronous("headers", headers)
    if callable(headers):
        return
    if not isinstance(headers, Mapping):
        msg = f'"headers" must be a mapping or a function: {type(headers).__name__}'
        raise TypeError(msg)
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            msg = f'"headers" must be texts, which {name!r} is not: write str(...)'
            raise TypeError(msg)


def with_credentials(sign: Callable[..., object]) -> Callable[[Any, Any], object]:
    """Return *sign* as a function of a request and the credentials."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(sign).parameters.values()
    if len([p for p in parameters if p.kind in kinds]) > 1:
        return sign
    return lambda request, _: sign(request)


def leads_to(home: ApiURL, url: Any) -> bool:
    """Tell whether *url*, of whatever class the client has, is at the host of *home*."""
    origin = ApiURL.parse(str(url)).origin
    if home.origin.isascii():
        return origin == home.origin
    # Only the client knows how it writes a host with other letters, such as "bücher".
    return origin == ApiURL.parse(str(type(url)(home.geturl()))).origin
