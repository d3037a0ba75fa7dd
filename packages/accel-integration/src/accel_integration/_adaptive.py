"""Adaptive limits: as many calls at once as the other side stands."""

import math
import threading
import time

from accel_integration._bulkhead import doubt_holding
from accel_integration._context import Clock, Scope
from accel_integration._errors import BulkheadFullError
from accel_integration._events import CallRejected, Hub
from accel_integration._outcome import is_about_us
from accel_integration._parameters import at_least
from accel_integration._strategy import StatefulStrategy, Strategy
from accel_integration._weaver import Body, Weaver

__all__ = ["AdaptiveLimit", "AdaptiveState"]

# How much longer than usual a call may take before the limit shrinks.
TOLERANCE = 1.5
# How far one call moves the limit towards what it suggests.
SMOOTHING = 0.2
# How many calls the usual duration is an average of.
MEMORY = 100
# What a failed call leaves of the limit.
BACKOFF = 0.9
LEAST_GRADIENT = 0.5


class AdaptiveLimit(StatefulStrategy["AdaptiveState"]):
    """Find out how many calls at once the other side stands, and allow no more.

    While calls take as long as usual, the limit grows; when they take longer, or fail,
    it shrinks. This is the gradient algorithm of Netflix's "concurrency-limits", which
    owes to TCP Vegas: waiting in a queue shows in the duration before anything fails.

    Args:
        initial: The limit to begin with.
        minimum: The limit never goes below.
        maximum: The limit never goes above.

    Raises:
        BulkheadFullError: As many calls as the limit allows are under way.
    """

    def __init__(
        self,
        initial: int = 20,
        *,
        minimum: int = 1,
        maximum: int = 200,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock)
        at_least(1, "initial", initial)
        at_least(1, "maximum", maximum)
        at_least(1, "minimum", minimum)
        if not 1 <= minimum <= initial <= maximum:
            msg = (
                '"minimum", "initial" and "maximum" must be >= 1 and in this order: '
                f"{minimum!r}, {initial!r}, {maximum!r}"
            )
            raise ValueError(msg)
        self.initial = initial
        self.minimum = minimum
        self.maximum = maximum

    def describe(self) -> str:
        return (
            f"allows {self.minimum} to {self.maximum} calls at once, as latency tells"
        )

    def new_state(self, scope: Scope, hub: Hub) -> "AdaptiveState":
        return AdaptiveState(self, scope, hub)

    def doubts(self, inner: Strategy) -> str | None:
        return doubt_holding(self, inner)

    def weave(self, weaver: Weaver, body: Body) -> None:
        limit, start = self.bind(weaver, "limit"), weaver.local("start")
        weaver.line(f"{start} = {limit}.enter()")
        with weaver.block("try:"):
            body()
        with weaver.block("except Exception as exc:"):
            weaver.line(f"{limit}.failed(exc)")
            weaver.line("raise")
        with weaver.block("except BaseException:"):
            weaver.line(f"{limit}.leave()")
            weaver.line("raise")
        weaver.line(f"{limit}.succeeded({start})")


class AdaptiveState:
    """The limit in one place, and what it was learnt from."""

    def __init__(self, policy: AdaptiveLimit, scope: Scope, hub: Hub) -> None:
        self.limit = float(policy.initial)
        self.active = 0
        self._usual = 0.0
        self._policy = policy
        self._scope = scope
        self._hub = hub
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        now = f"{self.active}/{int(self.limit)}"
        return f"<{type(self).__name__} of {self._scope}: {now}>"

    def enter(self) -> float:
        """Take a place, and return the time."""
        with self._lock:
            if self.active < int(self.limit):
                self.active += 1
                return self._policy.clock()
        scope = self._scope
        self._hub.tell(CallRejected, scope, reason="full")
        raise BulkheadFullError(str(scope), int(self.limit), None)

    def leave(self) -> None:
        """Leave a place without having learnt anything."""
        with self._lock:
            self.active -= 1

    def failed(self, exc: Exception) -> None:
        """Leave a place, and shrink the limit if the other side failed."""
        with self._lock:
            self.active -= 1
            if not is_about_us(exc):
                self._set(self.limit * BACKOFF)

    def succeeded(self, start: float) -> None:
        """Leave a place, and move the limit as the duration suggests."""
        with self._lock:
            duration = max(self._policy.clock() - start, 1e-9)
            # The call itself still counts, as it did while it was under way.
            was_busy = self.active * 2 >= self.limit
            self.active -= 1
            self._usual += (duration - self._usual) / (MEMORY if self._usual else 1)
            if not was_busy:  # Without load, a limit cannot be seen.
                return
            gradient = min(1.0, TOLERANCE * self._usual / duration)
            gradient = max(LEAST_GRADIENT, gradient)
            # The root is how many calls may queue on the other side: it lets the limit
            # grow while nothing slows down.
            wanted = self.limit * gradient + math.sqrt(self.limit)
            self._set(self.limit + (wanted - self.limit) * SMOOTHING)

    def _set(self, limit: float) -> None:
        policy = self._policy
        self.limit = min(float(policy.maximum), max(float(policy.minimum), limit))
