"""Real tokens for tests."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar, cast

from fastapi import FastAPI

from accel_auth._app import AppAuth
from accel_auth._errors import NotMountedError

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["auth_headers", "auth_token", "client_auth_jwt"]


def auth_token(app: FastAPI, username: str = "test", **claims: Any) -> str:
    """Return an access token of *app* for *username*, as a login would.

    The app's own `add_jwt_body` runs, and its own key signs; no password is asked.
    *claims* come last, and may break any rule: `exp=0` makes an expired token.
    """
    auth = getattr(app.state, "auth_jwt", None)
    if not isinstance(auth, AppAuth):
        raise NotMountedError(app.title)
    body = _run(auth.add_jwt_body(username))
    return auth.sign({**auth.access_claims(username, body), **claims})


def auth_headers(app: FastAPI, username: str = "test", **claims: Any) -> dict[str, str]:
    """Return the header that authenticates a request to *app* as *username*.

    `client.get("/me", headers=auth_headers(app, "anna", scope="users:read"))`
    """
    return {"Authorization": f"Bearer {auth_token(app, username, **claims)}"}


def client_auth_jwt(
    username: str | None = None, *, app: FastAPI | None = None, **claims: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Authenticate the test client of a test, which takes it as `client`.

    Without a name, a method takes it from `self.TEST_USER["username"]`. The app is the
    one that the client talks to. Afterwards the client is as it was.
    """

    def decorate(test: Callable[P, R]) -> Callable[P, R]:
        def log_in(*args: P.args, **kwargs: P.kwargs) -> _LoggedIn:
            if (client := cast("Any", kwargs.get("client"))) is None:
                name = getattr(test, "__name__", "the test")
                raise TypeError(f"`{name}` must take the fixture `client`.")
            name = username or _test_user(args)
            headers = auth_headers(app or client.app, name, **claims)
            return _LoggedIn(client, headers["Authorization"])

        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def awaits(*args: P.args, **kwargs: P.kwargs) -> Any:
                with log_in(*args, **kwargs):
                    return await test(*args, **kwargs)

            return awaits  # type: ignore[return-value]

        @functools.wraps(test)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with log_in(*args, **kwargs):
                return test(*args, **kwargs)

        return wrapper

    return decorate


class _LoggedIn:
    """A client that carries a token for as long as the block runs."""

    def __init__(self, client: Any, value: str) -> None:
        self._headers = client.headers
        self._value = value
        self._before: str | None = None

    def __enter__(self) -> None:
        self._before = self._headers.get("authorization")
        self._headers["authorization"] = self._value

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            self._headers.pop("authorization", None)
        else:
            self._headers["authorization"] = self._before


def _test_user(args: tuple[Any, ...]) -> str:
    user = getattr(args[0], "TEST_USER", {}) if args else {}
    name: str = user.get("username", "test")
    return name


def _run(work: Coroutine[Any, Any, R]) -> R:
    """Finish *work* from a test that is sync, or whose loop is busy running it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
