"""One call that composes a service."""

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from accel_db import MainDatabaseManager, raw_errors
from accel_integration import EndpointsDeclaration
from accel_pattern._composition import compose, known_errors
from accel_pattern._docintegration import mount_docintegration
from accel_pattern._docs import serve_docs_offline
from accel_pattern._health import Probe, health_router
from accel_pattern._layer import ServiceLayer
from accel_pattern._problems import (
    on_http_exception,
    on_invalid_request,
    on_known_error,
    on_raw_database_error,
)
from accel_pattern._version import read_version

# What an application has that set no handler of its own.
_DEFAULT_HANDLERS = (
    None,
    http_exception_handler,
    request_validation_exception_handler,
)
# What a browser's script may read of a response from another origin.
EXPOSED_HEADERS = (
    *("Age", "Cache-Status", "ETag", "Link", "Location", "RateLimit"),
    *("RateLimit-Policy", "Retry-After", "X-Cache", "X-Process-Time", "X-Request-ID"),
)


def base_pattern(  # noqa: PLR0913, PLR0917 - the seed's signature
    app: FastAPI,
    routers: Sequence[APIRouter] = (),
    timezone: tzinfo | None = None,
    cache_status: bool | None = None,
    debug: bool | None = None,
    base_dir: Path | str | None = None,
    database_manager: MainDatabaseManager | None = None,
    secret_key: str | None = None,
    origins: str | Sequence[str] | None = None,
    useintegration: Sequence[EndpointsDeclaration] | None = None,
    *,
    caches: Sequence[Any] = (),
    version: str | None = None,
    probes: Mapping[str, Probe] | None = None,
    docintegration: bool | Callable[..., Any] = True,
) -> FastAPI:
    """Give *app* what a service needs, and return it.

    Args:
        app: The application; everything else is optional.
        routers: Routers to include, with their view sets (`router.views`), whose tags
            are described in the OpenAPI document.
        timezone: Becomes `app.state.TIMEZONE`.
        cache_status: Becomes `app.state.CACHE_STATUS`: `False` bypasses every cache.
        debug: Becomes `app.debug`. Errors then show the query and the traceback.
        base_dir: Where `version.toml` lies, if there is one.
        database_manager: Becomes `app.state.DATABASE_MANAGER`, is asked by `/readyz`,
            and is opened and closed with the application.
        secret_key: Becomes `app.state.SECRET_KEY`.
        origins: Origins, or the one origin, that may call the service from a browser, with credentials.
            `None` or `["*"]` lets any origin call, without credentials; an empty
            list lets none.
        useintegration: Integrations to open, close, and describe at `/docintegration`.
        caches: Caches, or Redis clients of `cache_redis`: what *database_manager*
            commits invalidates their tags, and they are closed with the application.
            Those of view sets are found.
        version: The version; wins over `version.toml` and over the application's own.
        probes: More checks for `/readyz`, by name. A probe fails by raising, by
            answering `False`, or by taking longer than two seconds.
        docintegration: Whether there is a page `/docintegration`, or the dependency
            that decides who may see it, such as `jwt_auth`: it tells which systems you
            use, and how they do.

    Raises:
        InvalidVersionError: `version.toml` exists and says no version.
    """
    _set_state(app, timezone, cache_status, database_manager, secret_key)
    if debug is not None:
        app.debug = debug
    written = read_version(Path(base_dir)) if base_dir is not None else None
    app.version = version or written or app.version
    # What is added last is outermost: CORS marks the answer to a crash, too.
    app.add_middleware(ServiceLayer)
    _allow_origins(app, origins)
    _answer_errors(app)
    _include(app, routers)
    checks = dict(probes or {})
    if database_manager is not None:
        # First in the answer; a probe of that name replaces ours.
        checks = {"database": database_manager.aping, **checks}
    app.include_router(health_router(app, checks))
    serve_docs_offline(app)
    if useintegration and docintegration:
        guard = None if docintegration is True else docintegration
        mount_docintegration(app, useintegration, guard)
    found = [c for v in _views(routers) if (c := getattr(v, "cache_class", None))]
    compose(app, database_manager, useintegration or (), [*caches, *found])
    return app


def _set_state(
    app: FastAPI,
    timezone: tzinfo | None,
    cache_status: bool | None,
    database_manager: MainDatabaseManager | None,
    secret_key: str | None,
) -> None:
    settings = {
        "TIMEZONE": timezone,
        "CACHE_STATUS": cache_status,
        "DATABASE_MANAGER": database_manager,
        "SECRET_KEY": secret_key,
    }
    # What is left out stays as the application has set it.
    for name, value in settings.items():
        if value is not None:
            setattr(app.state, name, value)


def _allow_origins(app: FastAPI, origins: str | Sequence[str] | None) -> None:
    if isinstance(origins, str):
        # As a sequence of letters it would name nobody, or with a `*` everybody.
        origins = [origins] if origins else []
    if origins is not None and not origins:
        return
    anyone = origins is None or "*" in origins
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"] if anyone else list(origins or ()),
        # Credentials for any origin would hand each user's session to every page.
        allow_credentials=not anyone,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=EXPOSED_HEADERS,
    )


def _answer_errors(app: FastAPI) -> None:
    # Starlette's class, for its router raises 404 and 405; FastAPI's is one of it.
    ours: dict[type[Exception], Any] = {
        HTTPException: on_http_exception,
        RequestValidationError: on_invalid_request,
        **dict.fromkeys(known_errors(), on_known_error),
        **dict.fromkeys(raw_errors(), on_raw_database_error),
    }
    for error, handler in ours.items():
        # What the application has set itself stays.
        if app.exception_handlers.get(error) in _DEFAULT_HANDLERS:
            app.add_exception_handler(error, handler)


def _include(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    tags = app.openapi_tags = list(app.openapi_tags or ())
    for router in routers:
        app.include_router(router)
    tags += [view.openapi_tag for view in _views(routers)]
    tags.append({"name": "common", "description": "Endpoints that every service has"})


def _views(routers: Sequence[APIRouter]) -> list[Any]:
    return [view for router in routers for view in getattr(router, "views", ())]
