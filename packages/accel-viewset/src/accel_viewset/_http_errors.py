"""Errors, as the application's own handlers format them."""

import math
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException as StarletteHTTPException

from accel_db import ConstraintViolation, InvalidPayload

_CLIENT_ERRORS = range(400, 500)
_UNPROCESSABLE = 422


def as_http(request: Request, exc: Exception) -> Exception | None:
    """Return the HTTP error that *exc* means, or None to leave it as it is.

    Every package of the family gives its errors a plain `http_status` and
    `retry_after`. An application that registered a handler for the error knows better.
    """
    if isinstance(exc, RequestValidationError):
        return _sendable(exc)
    if isinstance(exc, StarletteHTTPException) or _has_handler(request, exc):
        return None
    if isinstance(exc, IntegrityError):
        return HTTPException(409, "The row collides with one that exists already.")
    if isinstance(exc, UnicodeEncodeError):
        # JSON can write half a character, which no database stores.
        return _unprocessable("The text is no valid Unicode.")
    status = getattr(exc, "http_status", None)
    return _from_status(exc, status) if isinstance(status, int) else None


def _from_status(exc: Exception, status: int) -> Exception | None:
    if status == _UNPROCESSABLE:
        return _invalid(exc)
    if status not in _CLIENT_ERRORS and _retry_after(exc) is None:
        # A mistake of the service: its text is for the log, not for a client.
        return None
    return HTTPException(status, str(exc), _headers(exc))


def _has_handler(request: Request, exc: Exception) -> bool:
    handlers = getattr(request.app, "exception_handlers", {})
    # A handler of `Exception` is for what nobody knows, and would make this a 500.
    own = (cls for cls in type(exc).__mro__ if cls is not Exception)
    return any(cls in handlers for cls in own)


def _headers(exc: Exception) -> dict[str, str]:
    headers: Mapping[str, str] = getattr(exc, "headers", None) or {}
    seconds = _retry_after(exc)
    wait = {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}
    return {**headers, **wait}


def _retry_after(exc: Exception) -> float | None:
    found = getattr(exc, "retry_after", None)
    return found if isinstance(found, (int, float)) else None


def _invalid(exc: Exception) -> RequestValidationError:
    """Return a 422 of the shape that FastAPI documents for every endpoint."""
    place: tuple[str, ...] = ()
    if isinstance(exc, InvalidPayload):
        place = tuple(exc.path.split(".")[1:]) or (exc.path,)
    elif isinstance(exc, ConstraintViolation):
        place = exc.columns
    return _unprocessable(str(exc), *place)


def _unprocessable(message: str, *place: str) -> RequestValidationError:
    error = {"type": "invalid", "loc": ("body", *place), "msg": message}
    return RequestValidationError([error])


def _sendable(exc: RequestValidationError) -> RequestValidationError | None:
    """Return *exc* with values that JSON can carry, or None if it is fine.

    JSON parsers accept NaN and halves of surrogate pairs, which no response may
    contain: repeating them to the client would fail.
    """
    errors = [dict(error) for error in exc.errors()]
    cleaned = _clean(errors)
    # NaN differs from itself, so that equality finds it, too.
    return None if cleaned == errors else RequestValidationError(cleaned)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_clean(part) for part in value]
    if isinstance(value, tuple):
        return tuple(_clean(part) for part in value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
