"""Errors as problem details (RFC 9457).

Every error response of a service has one shape, `application/problem+json`: the
members of the RFC, and beside them the members that clients of fastapi-accelerator
know. What could carry a secret (the query, the traceback) is shown in debug mode only.
"""

import json
import logging
import math
import re
import traceback
import uuid
from collections.abc import Mapping
from datetime import UTC
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from accel_db import as_unavailable
from accel_pattern._exceptions import HTTPException500
from accel_pattern._timezone import get_datetime_now

logger = logging.getLogger("accel_pattern.errors")

# A path comes decoded: with these, a client could forge lines of the log, or steer the
# terminal that shows it.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# What a client sends may be nothing that JSON can say, and comes back in debug mode.
_SAYABLE = {
    bytes: lambda value: value.decode(errors="backslashreplace"),
    float: lambda value: value if math.isfinite(value) else str(value),
}


class ProblemResponse(JSONResponse):
    """A response that describes an error."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """Write *content*; half of a surrogate pair is no UTF-8, but escaped it is JSON."""
        try:
            return super().render(content)
        except UnicodeEncodeError:
            return json.dumps(content).encode()


def problem(
    request: Request,
    status: int,
    detail: Any,
    headers: Mapping[str, str] | None = None,
    *,
    exc: BaseException | None = None,
) -> Response:
    """Describe an error as a response, and log it with its `error_id`.

    Args:
        request: The request that failed.
        status: The HTTP status.
        detail: What went wrong, for the client to read; anything that JSON can say.
        headers: Headers of the response.
        exc: The exception; its traceback is shown in debug mode.
    """
    # 204 and 304 end with their headers (RFC 9110, sections 15.3.5 and 15.4.5).
    if not is_body_allowed_for_status_code(status):
        return Response(status_code=status, headers=headers)
    error_id = str(uuid.uuid4())
    content = {
        # The status says it all (RFC 9457, section 4.2.1).
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{error_id}",
        "context": describe(request, status),
        "error_id": error_id,
        "datetime": get_datetime_now(_timezone(request.app)).isoformat(),
        "http_method": request.method,
        "request_path": _path(request),
    }
    if request.app.debug:
        content |= _debug_members(request, exc)
    level = (
        logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    )
    line = f"{describe(request, status)} {_cause(exc)}".rstrip()
    logger.log(level, "%s [error_id=%s]", line, error_id)
    content = jsonable_encoder(content, custom_encoder=_SAYABLE)
    return ProblemResponse(content, status, headers)


def describe(request: Request, status: int, seconds: float | None = None) -> str:
    """Write *request* and its answer as one line of a log."""
    host, port = request.client or ("-", 0)
    # Not `request.url`: it raises where the query is no UTF-8.
    query = request.scope["query_string"].decode("latin-1")
    target = _path(request)
    if query and request.app.debug:
        target += f"?{_printable(query)}"
    target = target.replace('"', "%22")
    took = "" if seconds is None else f" - [{seconds * 1000:.2f} ms]"
    return f'{host}:{port} - "{request.method} {target}" - {status}{took}'


def _path(request: Request) -> str:
    path: str = request.scope["path"]
    return _printable(path.replace("?", "%3F"))


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: quote(found[0], errors="surrogatepass"), text)


def _cause(exc: BaseException | None) -> str:
    """Return what the log says of *exc*, in one line: nothing of what was sent."""
    if exc is None or isinstance(exc, HTTPException | RequestValidationError):
        return ""
    return _printable(f"{type(exc).__name__}: {exc}".splitlines()[0])


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _timezone(app: FastAPI) -> Any:
    return getattr(app.state, "TIMEZONE", UTC)


def _debug_members(request: Request, exc: BaseException | None) -> dict[str, Any]:
    lines = traceback.format_exception(exc) if exc else ["NoneType: None\n"]
    return {
        "host": request.headers.get("host", "unknown"),
        "query_params": dict(request.query_params),
        "user-agent": request.headers.get("user-agent", "unknown"),
        "traceback": "".join(lines),
    }


async def on_http_exception(request: Request, exc: Exception) -> Response:
    """Answer an `HTTPException`."""
    assert isinstance(exc, HTTPException)  # noqa: S101 - registered for nothing else
    return problem(request, exc.status_code, exc.detail, exc.headers, exc=exc)


async def on_invalid_request(request: Request, exc: Exception) -> Response:
    """Answer a request that does not match its declaration.

    What the client sent is repeated in debug mode only: it may be a password.
    """
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - registered for nothing else
    # `ctx` may hold the exception of a validator, whose text often has the value.
    hidden = set() if request.app.debug else {"input", "ctx", "url"}
    detail = [
        {key: value for key, value in error.items() if key not in hidden}
        for error in exc.errors()
    ]
    return problem(request, 422, detail, exc=exc)


async def on_known_error(request: Request, exc: Exception) -> Response:
    """Answer an error that carries `http_status` and `retry_after`."""
    status: int = getattr(exc, "http_status", 500)
    # What broke inside is nothing that a client should read.
    shown = status < HTTPStatus.INTERNAL_SERVER_ERROR or request.app.debug
    after: float | None = getattr(exc, "retry_after", None)
    headers = dict(getattr(exc, "headers", None) or {})
    if after is not None:
        headers["Retry-After"] = str(max(0, math.ceil(after)))
    detail = str(exc) if shown else _title(status)
    return problem(request, status, detail, headers, exc=exc)


async def on_raw_database_error(request: Request, exc: Exception) -> Response:
    """Answer what a session raised by itself, if the database is away or busy.

    Anything else is a mistake in the code, and stays one.
    """
    if (known := as_unavailable(exc)) is None:
        raise exc
    return await on_known_error(request, known)


def on_crash(request: Request, exc: Exception) -> Response:
    """Answer an exception that nobody expected.

    The server closes the connection of HTTP/1 after a crash: the client must know, or
    its next request on it fails, too.
    """
    is_http1 = request.scope.get("http_version", "1.1").startswith("1")
    headers = {"Connection": "close"} if is_http1 else None
    return problem(request, 500, HTTPException500.detail, headers, exc=exc)
