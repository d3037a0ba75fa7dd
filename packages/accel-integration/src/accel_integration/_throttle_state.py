"""One throttle: when the next call may be made."""

import asyncio
import threading
import time

from accel_integration._context import Clock, Scope, time_left
from accel_integration._errors import ThrottlingError
from accel_integration._events import CallRejected, Hub

__all__ = ["ThrottleState"]


class ThrottleState:
    """The theoretical arrival time of the next call in one place."""

    __slots__ = (
        "_hub",
        "_lock",
        "_scope",
        "clock",
        "interval",
        "max_wait",
        "tat",
        "tolerance",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - one caller, which has them all
        self,
        rate: float,
        burst: int,
        max_wait: float,
        clock: Clock,
        scope: Scope,
        hub: Hub,
    ) -> None:
        self.clock = clock
        self.interval = 1 / rate
        # A little more than burst - 1 intervals, against rounding.
        self.tolerance = (burst - 1 + 1e-3) * self.interval
        self.max_wait = max_wait
        self.tat = float("-inf")
        self._scope = scope
        self._hub = hub
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._scope}>"

    def reserve(self) -> tuple[float, float]:
        """Reserve the next turn; return the wait for it and the mark it left."""
        with self._lock:
            now = self.clock()
            # Woven functions take free turns without the lock, so that nothing may be
            # called between the read and the write.
            tat = self.tat
            wait = tat - now - self.tolerance
            if wait <= self.max_wait:
                self.tat = mark = (tat if tat > now else now) + self.interval  # noqa: FURB136 - max() is a call
                return max(0.0, wait), mark
        # Outside of the lock, since a listener may make calls of its own.
        raise self.refusal(wait)

    def give_back(self, mark: float) -> None:
        """Give a turn back, unless another has been reserved after it."""
        with self._lock:
            if self.tat == mark:
                self.tat = mark - self.interval

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
        wait, mark = self.reserve()
        left = time_left()
        # Nobody could interrupt the wait, and the call would come too late.
        if left is not None and wait > left:
            self.give_back(mark)
            raise self.refusal(wait)
        try:
            if wait:
                getattr(self.clock, "sleep_sync", time.sleep)(wait)
        except BaseException:  # A signal, such as one that ends the job of a worker.
            self.give_back(mark)
            raise

    def refusal(self, wait: float, *, store_is_down: bool = False) -> ThrottlingError:
        """Tell the listeners, and return what to raise."""
        self._hub.tell(CallRejected, self._scope, reason="throttled")
        rate = 1 / self.interval
        return ThrottlingError(
            str(self._scope), rate, wait, store_is_down=store_is_down
        )
