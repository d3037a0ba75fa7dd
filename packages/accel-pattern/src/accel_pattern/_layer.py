"""The one ASGI layer around a service.

It names each request, measures it, tells `TIMEZONE()` and its kin which application
is being served, and turns a crash into a problem document inside of CORS, so that a
browser may read it. Pure ASGI: a `BaseHTTPMiddleware` would double a request's cost.
"""

import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accel_integration import called_by
from accel_pattern._problems import describe, on_crash
from accel_pattern._state import current_app

logger = logging.getLogger("accel_pattern.requests")

request_id: ContextVar[str] = ContextVar("accel_request_id", default="-")
"""The id of the request being served, or `-`: `request_id.get()`."""

# What a client calls its request goes into logs and headers: no spaces, no control
# characters, nothing long.
_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestIdFilter(logging.Filter):
    """Give each log record the id of the request being served, as `request_id`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id; keep the record."""
        record.request_id = request_id.get()
        return True


class ServiceLayer:
    """Name, measure and guard each request of *app*."""

    def __init__(
        self, app: ASGIApp, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        name = _name(scope)
        # One that is mounted in this application sets itself, in a layer of its own.
        app_token = current_app.set(scope["app"])
        id_token = request_id.set(name)
        try:
            if scope["type"] == "http":
                await self._serve(scope, receive, send, name)
            else:
                await self._app(scope, receive, send)
        finally:
            request_id.reset(id_token)
            current_app.reset(app_token)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, name: str
    ) -> None:
        clock = self._clock
        started = clock()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Process-Time"] = f"{(clock() - started) * 1000:.2f} ms"
                headers["X-Request-ID"] = name
            await send(message)

        try:
            # Asked when an integration is called: by then the route is known.
            with called_by(lambda: _route(scope)):
                await self._app(scope, receive, answer)
        except Exception as exc:
            # What has begun can not be answered anew; the server will cut it off.
            if not status:
                response = on_crash(Request(scope), exc)
                await response(scope, receive, answer)
            raise
        finally:
            if scope["app"].debug:
                line = describe(
                    Request(scope),
                    status or HTTPStatus.INTERNAL_SERVER_ERROR,
                    clock() - started,
                )
                logger.info(line)


def _route(scope: Scope) -> str | None:
    """Return the route that answers, once it is known, as `GET /api/v1/file/{uid}`."""
    # A route of an included router knows its path without prefixes. FastAPI keeps the
    # whole one under a private key; without the key, the part has to do.
    known = scope.get("fastapi", {}).get("effective_route_context")
    path = getattr(known or scope.get("route"), "path", None)
    return None if path is None else f"{scope['method']} {path}"


def _name(scope: Scope) -> str:
    for key, value in scope["headers"]:
        if key == b"x-request-id" and _ACCEPTABLE.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex
