"""What a call came to: statuses, and what an upstream asks for."""

import time
from collections.abc import Collection
from email.utils import parsedate_to_datetime
from typing import Any

from accel_integration._context import EXCHANGE, Exchange
from accel_integration._errors import REJECTIONS, is_programming_error

__all__ = [
    "is_about_us",
    "note_status",
    "parse_retry_after",
    "retry_after_of",
    "status_of_error",
    "status_of_result",
    "statuses_of",
]

STATUSES = range(100, 600)
SUCCESSES = range(200, 300)
# No date that HTTP allows is longer.
LONGEST_DATE = 64


def statuses_of(statuses: Collection[int]) -> frozenset[int]:
    """Return *statuses* as a set, after a look at them."""
    if isinstance(statuses, str | bytes | int) or not isinstance(statuses, Collection):
        msg = f'"statuses" must be a collection, such as {{502, 503}}: {statuses!r}'
        raise TypeError(msg)
    if strange := [status for status in statuses if status not in STATUSES]:
        msg = f'"statuses" must be HTTP statuses from 100 to 599: {strange!r}'
        raise ValueError(msg)
    return frozenset(statuses)


def note_status() -> None:
    """See to it that the status of a response is noted, outside of endpoints too."""
    if (exchange := EXCHANGE.get()) is None:
        EXCHANGE.set(Exchange())
    else:
        exchange.forget_response()


def is_about_us(exc: BaseException) -> bool:
    """Tell whether *exc* says nothing about the other side.

    It is a mistake of ours, a call that was refused, or a group of nothing else.
    """
    if isinstance(exc, BaseExceptionGroup):
        return all(map(is_about_us, exc.exceptions))
    return isinstance(exc, REJECTIONS) or is_programming_error(exc)


def status_of_error(exc: BaseException) -> int | None:
    """Return the status that *exc* is about, such as an HTTPStatusError's.

    An answer of success that nobody can read is about something else.
    """
    response = getattr(exc, "response", None)
    status = getattr(response, "status_code", getattr(exc, "status", None))
    return status if isinstance(status, int) and status not in SUCCESSES else None


def status_of_result(result: object) -> int | None:
    """Return the status of *result*, or else of the last response of this call."""
    status = getattr(result, "status_code", None)
    if isinstance(status, int):
        return status
    exchange = EXCHANGE.get()
    return None if exchange is None else exchange.status


def retry_after_of(outcome: object, *, is_noted: bool) -> float | None:
    """Return for how many seconds the upstream asked to be left alone, if it did.

    An *outcome* that tells nothing of it is about the last response, if that *is_noted*.
    """
    told = getattr(outcome, "retry_after", None)
    if isinstance(told, int | float):
        return float(told)
    response = getattr(outcome, "response", outcome)
    headers: Any = getattr(response, "headers", None)
    if hasattr(headers, "get"):
        return parse_retry_after(headers.get("retry-after"))
    exchange = EXCHANGE.get() if is_noted else None
    return None if exchange is None else parse_retry_after(exchange.retry_after)


def parse_retry_after(value: object, now: float | None = None) -> float | None:
    """Return the seconds a `Retry-After` header asks for: a number or a date.

    The header comes from outside: what is neither is ignored (RFC 9110, 10.2.3).
    """
    if not isinstance(value, str) or len(value) > LONGEST_DATE:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))
