"""The panel under the roof of a FastAPI app."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, cast

from flask import Flask

from accel_admin._database import DatabaseManager
from accel_admin._errors import MissingExtra
from accel_admin._panel import Panel
from accel_admin._pattern import admin_pattern

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]
_App = Callable[[Any, Any, Any], Awaitable[None]]

_SHORT = {"/login", "/logout"}


def mount_admin(  # noqa: PLR0913, PLR0917  # the seed's call, and options of their own
    app: Any,
    SECRET_KEY: str,  # noqa: N803  # the names of the seed
    ADMIN_PASSWORD: str,  # noqa: N803
    ADMIN_USERNAME: str,  # noqa: N803
    models: Sequence[type[Any]],
    database_manager: DatabaseManager,
    *,
    path: str = "/admin",
    **options: Any,
) -> Panel:
    """Serve the panel from a FastAPI or Starlette app, at *path*.

    The panel runs in threads of its own, so that it never blocks the event loop. What
    the app does behind a proxy holds for the panel, too: it follows `root_path`.
    `/login` and `/logout` lead to the panel unless the app has routes for them.

    Args:
        app: gets the pages below *path*.
        SECRET_KEY: as for `admin_pattern`.
        ADMIN_PASSWORD: as for `admin_pattern`; it comes before the name.
        ADMIN_USERNAME: as for `admin_pattern`.
        models: what to show.
        database_manager: a manager of accel-db.
        path: where the panel is.
        **options: those of `admin_pattern`; *debug* is by default as the app says.

    Raises:
        MissingExtra: a2wsgi is not installed.
        WeakSecretKey: *SECRET_KEY* is too short.
        WeakPassword: a password is too short, or the first that everybody tries.
        UnknownRole: an account has a role that is not declared.
    """
    if options.get("debug") is None:
        options["debug"] = bool(getattr(app, "debug", False))
    flask = Flask("accel_admin")
    panel = admin_pattern(
        flask,
        SECRET_KEY,
        ADMIN_PASSWORD,
        ADMIN_USERNAME,
        models,
        database_manager,
        path=path,
        **options,
    )
    app.router.routes.append(_route(_asgi(flask), panel))
    return panel


def _asgi(flask: Flask) -> _App:
    try:
        from a2wsgi import WSGIMiddleware
    except ImportError as exc:
        raise MissingExtra("`mount_admin`", "asgi") from exc
    wsgi = WSGIMiddleware(cast("Any", flask.wsgi_app))

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        root = scope.get("root_path", "")
        inner: Any = {
            **scope,
            "path": root + _below_root(scope),
            "headers": _one_cookie(scope["headers"]),
        }
        await wsgi(inner, receive, send)

    return serve


def _below_root(scope: _Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    # Servers differ: some put the root in front of the path, and some do not.
    return path[len(root) :] if f"{path}/".startswith(f"{root}/") else path


def _one_cookie(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    # HTTP/2 may split the header, and only semicolons put it together again.
    cookies = [value for name, value in headers if name == b"cookie"]
    others = [(name, value) for name, value in headers if name != b"cookie"]
    return [*others, (b"cookie", b"; ".join(cookies))] if cookies else others


def _route(serve: _App, admin: Panel) -> Any:
    from starlette.routing import BaseRoute, Match, NoMatchFound

    class AdminRoute(BaseRoute):
        """Hands the panel its requests, with their paths as they came."""

        # What lists the routes of an application looks for them.
        path = admin.url
        name = "panel"
        # What checks an application asks it where its sessions live.
        panel = admin

        def matches(self, scope: _Scope) -> tuple[Match, _Scope]:
            if scope["type"] != "http" or not self._is_ours(scope):
                return Match.NONE, {}
            return Match.FULL, {"endpoint": serve}

        def _is_ours(self, scope: _Scope) -> bool:
            path = _below_root(scope)
            if f"{path}/".startswith(f"{admin.url}/"):
                return True
            return path in _SHORT and not self._is_taken(scope)

        def _is_taken(self, scope: _Scope) -> bool:
            # A route that is added later counts, too.
            return any(
                route.matches(scope)[0] is not Match.NONE
                for route in scope["app"].router.routes
                if not isinstance(route, AdminRoute)
            )

        def url_path_for(self, name: str, /, **path_params: Any) -> Any:
            raise NoMatchFound(name, path_params)

        async def handle(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
            await serve(scope, receive, send)

    return AdminRoute()
