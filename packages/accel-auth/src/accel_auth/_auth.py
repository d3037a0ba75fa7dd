"""Authentication in the seed's form: a class with two hooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from fastapi import FastAPI

from accel_auth._app import AppAuth
from accel_auth._dependency import JwtAuth
from accel_auth._hooks import class_or_instance_method
from accel_auth._openapi import describe_scheme
from accel_auth._routes import issuer_router
from accel_auth._settings import AuthOptions


class BaseAuthJWT:
    """Issues and checks JSON Web Tokens for an app.

    Subclass it, write `check_auth(username, password) -> bool`, and mount the class, or
    an instance with options. `add_jwt_body(username) -> dict` adds claims; its `scope`
    lists what the user may do. Hooks may be written with or without `self` or `cls`,
    sync (they run off the event loop) or async. Options may also be class attributes.

    Args:
        keys: Secrets or `Key`s; the first signs. By default `app.state.SECRET_KEY`.
        issuer: The `iss` that tokens carry and must carry.
        audience: The `aud` that tokens carry; one of them must match.
        required: More claims that an access token must have.
        leeway: Tolerance for clocks that differ, in seconds; 0 by default. An `iat` may
            be 10 s more ahead, for workers whose clocks are not quite equal.
        access_ttl: Life of an access token; 30 minutes by default.
        refresh_ttl: Life of a refresh token that is not used; 14 days by default.
        session_ttl: Life of a login, however often it is refreshed; 30 days by default.
        refresh_grace: Time within which a used refresh token gives the same successor
            again, 10 s at most: for tabs that refresh at once, and lost responses.
        scopes: Scopes with their descriptions, for the documentation of the API.
        store: Sessions and revoked tokens; in memory by default, `RedisStore` shares.
        throttle: Slows down guessing; None turns it off.
        cookies: A `CookieTransport` keeps tokens out of reach of scripts.
        introspection_clients: Names and secrets of services that may introspect; a
            secret has 16 bytes at least.
        clock: Where the time comes from, as seconds since 1970.
    """

    check_auth: Any

    def __init__(self, **options: Unpack[AuthOptions]) -> None:
        if unknown := options.keys() - AuthOptions.__annotations__.keys():
            raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
        vars(self).update(options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    if TYPE_CHECKING:
        # Hooks come in many shapes; no one signature describes them.
        add_jwt_body: Any
    else:

        def add_jwt_body(username: str) -> None:  # noqa: N805 -- the seed's form
            """Add nothing; override it to add claims."""

    @cached_property
    def jwt_auth(self) -> JwtAuth:
        """Return the dependency that accepts this instance's tokens alone.

        Where one app has several: `Depends(auth.jwt_auth)`.
        """
        return JwtAuth(owner=self)

    @class_or_instance_method
    def mount_auth(target: Any, app: FastAPI, prefix: str = "") -> AppAuth:  # noqa: N805 -- a class or an instance
        """Add `/token` and its kin to *app*, below *prefix*.

        It may come before `app.state.SECRET_KEY` is set: the secret is checked when the
        app starts, and when it is first used. A route of the app's own always wins.
        The first authentication of an app is the one that `jwt_auth` asks.

        Raises:
            ValueError: if the app has an authentication below *prefix* already.
        """
        auth = AppAuth(target, app, prefix)
        # By identity: `AppAuth` keeps its target alive, so no other gets the same id.
        mounts: dict[int, AppAuth] = getattr(app.state, "auth_jwt_mounts", {})
        if prefix in {mounted.prefix for mounted in mounts.values()}:
            # The routes of the earlier one would answer, and nobody could log in here.
            where = prefix or "/"
            raise ValueError(
                f"{where!r} has an authentication: choose another `prefix`"
            )
        app.state.auth_jwt_mounts = {**mounts, id(target): auth}
        if getattr(app.state, "auth_jwt", None) is None:
            app.state.auth_jwt = auth
            describe_scheme(app, f"{prefix}/token", auth.settings.scopes)
        app.include_router(issuer_router(auth))
        _check_at_startup(app, auth)
        return auth


def _check_at_startup(app: FastAPI, auth: AppAuth) -> None:
    start = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(started: Any) -> AsyncIterator[Any]:
        # After the app's own start, which may be what sets the secret.
        async with start(started) as state:
            auth.check()
            yield state

    app.router.lifespan_context = lifespan
