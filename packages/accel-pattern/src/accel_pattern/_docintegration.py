"""The page that describes the integrations, open or behind a dependency."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import Depends, FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from accel_integration import EndpointsDeclaration, docintegration

PATH = "/docintegration"
_Page = Callable[[Scope, Receive, Send], Awaitable[None]]


def mount_docintegration(
    app: FastAPI,
    integrations: Sequence[EndpointsDeclaration],
    guard: Callable[..., Any] | None = None,
) -> None:
    """Describe *integrations* at `/docintegration`, for whom *guard* lets pass."""
    page = docintegration(integrations)

    async def show() -> Response:
        return _Shown(page)

    # Routes rather than a mount: a mount takes no dependency, and knows no page without
    # a slash at its end.
    for path in (PATH, f"{PATH}/{{path:path}}"):
        app.add_api_route(
            path,
            show,
            methods=["GET", "HEAD"],
            dependencies=[Depends(guard)] if guard is not None else [],
            include_in_schema=False,
        )


class _Shown(Response):
    """A response that an application of its own sends."""

    def __init__(self, page: _Page) -> None:
        super().__init__()
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the page answer, which finds its parts below its own path."""
        root = scope.get("root_path", "") + PATH
        await self._page({**scope, "root_path": root}, receive, send)
