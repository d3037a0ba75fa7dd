"""What endpoints have been through since the process started."""

import logging
import math
import time
from collections import deque
from typing import Any

from accel_integration._context import CALLER, Exchange, Request
from accel_integration._errors import (
    BulkheadFullError,
    CircuitBreakerError,
    ThrottlingError,
)

__all__ = ["EndpointStats"]

REMEMBERED = 500
# Routes are few; what is not one of them must not fill the memory.
MOST_CALLERS = 50

logger = logging.getLogger("accel_integration")


class EndpointStats:
    """Counts of one endpoint of one declaration, and its last durations."""

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.retries = 0
        self.throttled = 0
        self.refused = 0
        self.timeouts = 0
        self.fallbacks = 0
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        self.last_status: int | None = None
        self.last_request: Request | None = None
        # For which routes it was called, and how often.
        self.used_by: dict[str, int] = {}
        # (duration in seconds, whether it failed)
        self._recent: deque[tuple[float, bool]] = deque(maxlen=REMEMBERED)

    def record(
        self, duration: float, exchange: Exchange, error: BaseException | None
    ) -> None:
        """Count one call."""
        self.calls += 1
        self.retries += exchange.attempts - 1
        self.fallbacks += exchange.fallbacks
        if exchange.status is not None:
            self.last_status = exchange.status
        self.last_request = exchange.request or self.last_request
        self._recent.append((duration, error is not None))
        self._note_caller()
        if error is None:
            return
        self.errors += 1
        self.throttled += isinstance(error, ThrottlingError)
        self.refused += isinstance(error, CircuitBreakerError | BulkheadFullError)
        self.timeouts += isinstance(error, TimeoutError)
        self.last_error = type(error).__name__
        self.last_error_at = time.time()

    def _note_caller(self) -> None:
        if (caller := CALLER.get()) is None:
            return
        try:
            name = caller()
        except Exception:
            # The request was made, and whoever made it needs its answer.
            logger.exception("A function given to `called_by` failed.")
            return
        if name is None:
            return
        if name in self.used_by or len(self.used_by) < MOST_CALLERS:
            self.used_by[name] = self.used_by.get(name, 0) + 1

    @property
    def error_share(self) -> float:
        """The share of the last calls that failed."""
        recent = list(self._recent)
        failed = sum(is_error for _, is_error in recent)
        return failed / len(recent) if recent else 0.0

    def percentile(self, share: float) -> float | None:
        """Return the duration that *share* of the last calls stayed within."""
        durations = sorted(duration for duration, _ in list(self._recent))
        if not durations:
            return None
        return durations[max(0, math.ceil(share * len(durations)) - 1)]

    def as_dict(self) -> dict[str, Any]:
        """Return everything, durations in seconds."""
        return {
            "calls": self.calls,
            "errors": self.errors,
            "error_share": round(self.error_share, 4),
            "retries": self.retries,
            "throttled": self.throttled,
            "refused": self.refused,
            "timeouts": self.timeouts,
            "fallbacks": self.fallbacks,
            "p50": self.percentile(0.50),
            "p95": self.percentile(0.95),
            "p99": self.percentile(0.99),
            "last_status": self.last_status,
            "last_error": self.last_error,
            "last_error_at": self.last_error_at,
            "used_by": dict(sorted(self.used_by.items())),
        }
