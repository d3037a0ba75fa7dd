"""Documentation pages that load nothing from elsewhere.

FastAPI's own pages fetch Swagger UI and ReDoc from a content delivery network. The
package `fastapi-offline` carries those files; only its files are used here.
"""

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

ASSETS = "/static-docs"

# ReDoc would fetch its maker's logo, and Swagger UI a badge of a validator.
OWN_IMAGES = {"Content-Security-Policy": "img-src 'self' data:"}

Page = Callable[[Request], Awaitable[Response]]


def serve_docs_offline(app: FastAPI) -> None:
    """Replace the documentation pages of *app* by pages that need no network.

    A page that was switched off (`docs_url=None`) stays off.
    """
    if not app.openapi_url or not (app.docs_url or app.redoc_url):
        return
    app.mount(ASSETS, StaticFiles(directory=_assets()), name="static-docs")
    if app.docs_url:
        _replace(app, app.docs_url, _swagger(app))
    if app.redoc_url:
        _replace(app, app.redoc_url, _redoc(app))


def _assets() -> Path:
    spec = find_spec("fastapi_offline")
    assert spec is not None  # noqa: S101 - a declared dependency
    assert spec.origin is not None  # noqa: S101 - a regular package
    return Path(spec.origin).parent / "static"


def _replace(app: FastAPI, path: str, page: Page) -> None:
    # FastAPI has added its page already, and the first route that matches answers.
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", None) != path
    ]
    app.add_route(path, page, include_in_schema=False)


def _swagger(app: FastAPI) -> Page:
    async def swagger_ui_html(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        redirect = app.swagger_ui_oauth2_redirect_url
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title} - Swagger UI",
            oauth2_redirect_url=f"{root}{redirect}" if redirect else None,
            init_oauth=app.swagger_ui_init_oauth,
            swagger_ui_parameters=app.swagger_ui_parameters,
            swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
        )
        page.headers.update(OWN_IMAGES)
        return page

    return swagger_ui_html


def _redoc(app: FastAPI) -> Page:
    async def redoc_html(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        page = get_redoc_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title} - ReDoc",
            redoc_js_url=f"{root}{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{ASSETS}/favicon.png",
            with_google_fonts=False,
        )
        page.headers.update(OWN_IMAGES)
        return page

    return redoc_html
