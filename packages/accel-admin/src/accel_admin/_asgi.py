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

    `/login` and `/logout` lead to the panel, too, unless the app has its own.
    """
    options.setdefault("debug", bool(getattr(app, "debug", False)))
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
    app.router.routes.append(_route(flask, path))
    return panel


def _route(flask: Flask, path: str) -> Any:
    try:
        from a2wsgi import WSGIMiddleware
    except ImportError as exc:
        raise MissingExtra("`mount_admin`", "asgi") from exc
    from starlette._utils import get_route_path
    from starlette.routing import BaseRoute, Match, NoMatchFound

    wsgi = WSGIMiddleware(cast("Any", flask.wsgi_app))

    class AdminRoute(BaseRoute):
        """Hands the panel its requests, with their paths as they came."""

        def matches(self, scope: _Scope) -> tuple[Match, _Scope]:
            if scope["type"] != "http":
                return Match.NONE, {}
            route_path = get_route_path(scope)
            if f"{route_path}/".startswith(f"{path}/"):
                return Match.FULL, {"endpoint": wsgi}
            if route_path in {"/login", "/logout"} and not self._is_taken(scope):
                return Match.FULL, {"endpoint": wsgi}
            return Match.NONE, {}

        def _is_taken(self, scope: _Scope) -> bool:
            routes = scope["app"].router.routes
            return any(
                route.matches(scope)[0] is not Match.NONE
                for route in routes
                if not isinstance(route, AdminRoute)
            )

        def url_path_for(self, name: str, /, **path_params: Any) -> Any:
            raise NoMatchFound(name, path_params)

        async def handle(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
            root = scope.get("root_path", "")
            inner: Any = {**scope, "path": root + get_route_path(scope)}
            await wsgi(inner, receive, send)

    return AdminRoute()
