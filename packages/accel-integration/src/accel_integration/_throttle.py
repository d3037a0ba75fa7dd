"""Throttles: no more than so many calls per second."""

import asyncio
import threading
import time
from typing import NoReturn

from accel_integration._context import Clock, Scope, Seconds, seconds_of
from accel_integration._errors import ThrottlingError
from accel_integration._events import CallRejected, Hub
from accel_integration._strategy import StatefulStrategy, Strategy
from accel_integration._weaver import Body, Weaver

__all__ = ["ThrottleState", "Throttling"]


class Throttling(StatefulStrategy["ThrottleState"]):
    """Allow *calls_per_second* on average, and *burst* of them at once.

    This is the generic cell rate algorithm (ITU-T I.371): one number per (endpoint,
    origin) says when the calls so far would be over if they had come evenly spaced.

    Args:
        calls_per_second: The rate; 0.5 is one call in two seconds.
        burst: How many calls may come together; by default as many as in a second.
        max_wait: How long a call may wait for its turn before it is refused.

    Raises:
        ThrottlingError: The call would come too early; `retry_after` says by how much.
    """

    limits = True

    def __init__(
        self,
        calls_per_second: float = 1_000,
        *,
        burst: int | None = None,
        max_wait: Seconds = 0,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock)
        if not calls_per_second > 0:
            msg = f'"calls_per_second" must be > 0: {calls_per_second!r}'
            raise ValueError(msg)
        if burst is not None and burst < 1:
            msg = f'"burst" must be >= 1: {burst!r}'
            raise ValueError(msg)
        self.calls_per_second = calls_per_second
        self.burst = max(1, int(calls_per_second)) if burst is None else burst
        self.max_wait = seconds_of(max_wait)

    def describe(self) -> str:
        text = f"allows {self.calls_per_second:g} calls per second"
        if self.burst != self.calls_per_second:
            text += f" and {self.burst} at once"
        return text + (f", waiting up to {self.max_wait:g} s" if self.max_wait else "")

    def new_state(self, scope: Scope, hub: Hub) -> "ThrottleState":
        return ThrottleState(self, scope, hub)

    def doubts(self, inner: Strategy) -> str | None:
        if inner.repeats:
            return (
                f"the Throttling is outside of the {type(inner).__name__}, whose "
                "further attempts escape the limit. Put the Throttling inside of it."
            )
        return None

    def weave(self, weaver: Weaver, body: Body) -> None:
        throttle = self.bind(weaver, "throttle")
        now, tat = weaver.local("now"), weaver.local("tat")
        if not weaver.is_async:
            weaver.line(f"{throttle}.acquire_sync()")
            body()
            return
        # No call between the read and the write, so that threads cannot mix here.
        weaver.line(f"{now} = {throttle}.clock()")
        weaver.line(f"{tat} = {throttle}.tat")
        with weaver.block(f"if {tat} - {now} > {throttle}.tolerance:"):
            weaver.line(f"await {throttle}.acquire()")
        with weaver.block("else:"):
            weaver.line(
                f"{throttle}.tat = ({tat} if {tat} > {now} else {now})"
                f" + {throttle}.interval"
            )
        body()


class ThrottleState:
    """The theoretical arrival time of the next call in one place."""

    __slots__ = (
        "_hub",
        "_lock",
        "_policy",
        "_scope",
        "clock",
        "interval",
        "tat",
        "tolerance",
    )

    def __init__(self, policy: Throttling, scope: Scope, hub: Hub) -> None:
        self.clock = policy.clock
        self.interval = 1 / policy.calls_per_second
        # A little more than burst - 1 intervals, against rounding.
        self.tolerance = (policy.burst - 1 + 1e-3) * self.interval
        self.tat = float("-inf")
        self._policy = policy
        self._scope = scope
        self._hub = hub
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._scope}>"

    def reserve(self) -> tuple[float, float]:
        """Reserve the next turn; return the wait for it and the mark it left."""
        with self._lock:
            now = self.clock()
            wait = self.tat - now - self.tolerance
            if wait > self._policy.max_wait:
                self._reject(wait)
            self.tat = max(self.tat, now) + self.interval
            return max(0.0, wait), self.tat

    def give_back(self, mark: float) -> None:
        """Give a turn back, unless another has been reserved after it."""
        with self._lock:
            if self.tat == mark:
                self.tat -= self.interval

    async def acquire(self) -> None:
        """Wait for the next turn, or refuse the call."""
        wait, mark = self.reserve()
        try:
            if wait:
                await getattr(self.clock, "sleep", asyncio.sleep)(wait)
        except BaseException:
            self.give_back(mark)
            raise

    def acquire_sync(self) -> None:
        """Wait for the next turn in a thread, or refuse the call."""
        wait, _ = self.reserve()
        if wait:
            getattr(self.clock, "sleep_sync", time.sleep)(wait)

    def _reject(self, wait: float) -> NoReturn:
        scope = self._scope
        self._hub.tell(CallRejected, scope, reason="throttled")
        raise ThrottlingError(str(scope), self._policy.calls_per_second, wait)
