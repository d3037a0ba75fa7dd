"""Bulkheads: no more than so many calls at once."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from accel_integration._context import Scope, Seconds, time_left
from accel_integration._errors import BulkheadFullError
from accel_integration._events import CallRejected, Hub
from accel_integration._parameters import at_least, not_negative
from accel_integration._strategy import StatefulStrategy, Strategy
from accel_integration._weaver import Body, Weaver

__all__ = ["Bulkhead", "BulkheadState", "doubt_holding"]


class Bulkhead(StatefulStrategy["BulkheadState"]):
    """Allow *max_concurrent* calls to be under way at the same time.

    Args:
        max_concurrent: How many.
        max_wait: How long a call may wait for a place before it is refused.
        max_waiting: How many calls may wait, any number by default.

    Raises:
        BulkheadFullError: There is no place.
    """

    def __init__(
        self,
        max_concurrent: int = 10,
        *,
        max_wait: Seconds = 0,
        max_waiting: int | None = None,
    ) -> None:
        super().__init__()
        if max_waiting is not None:
            at_least(0, "max_waiting", max_waiting)
        self.max_concurrent = at_least(1, "max_concurrent", max_concurrent)
        self.max_wait = not_negative("max_wait", max_wait)
        self.max_waiting = max_waiting

    def describe(self) -> str:
        text = f"allows {self.max_concurrent} calls at once"
        return text + (f", waiting up to {self.max_wait:g} s" if self.max_wait else "")

    def new_state(self, scope: Scope, hub: Hub) -> "BulkheadState":
        return BulkheadState(self, scope, hub)

    def doubts(self, inner: Strategy) -> str | None:
        return doubt_holding(self, inner)

    def weave(self, weaver: Weaver, body: Body) -> None:
        bulkhead = self.bind(weaver, "bulkhead")
        if weaver.is_async:
            # No call in between, so that threads cannot mix here.
            free = f"{bulkhead}.active < {bulkhead}.limit and not {bulkhead}.waiting"
            with weaver.block(f"if {free}:"):
                weaver.line(f"{bulkhead}.active += 1")
            with weaver.block("else:"):
                weaver.line(f"await {bulkhead}.enter()")
        else:
            weaver.line(f"{bulkhead}.enter_sync()")
        weaver.began = None
        with weaver.block("try:"):
            body()
        with weaver.block("finally:"):
            weaver.line(f"{bulkhead}.leave()")


class Waiter:
    """Somebody who waits for a place, and how to wake them."""

    __slots__ = ("has_place", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.has_place = False


class BulkheadState:
    """The places in one bulkhead. A place that is left goes to who waits longest."""

    def __init__(self, policy: Bulkhead, scope: Scope, hub: Hub) -> None:
        self.active = 0
        self.limit = policy.max_concurrent
        self.waiting: deque[Waiter] = deque()
        self._policy = policy
        self._scope = scope
        self._hub = hub
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._scope}: {self.active}/{self.limit}>"

    async def enter(self) -> None:
        """Take a place, wait for one, or refuse the call."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        waiter = self._take_or_queue(lambda: loop.call_soon_threadsafe(event.set))
        if waiter is None:
            return
        with self._cared_for(waiter):
            try:
                async with asyncio.timeout(self._policy.max_wait):
                    await event.wait()
            except TimeoutError:
                # A place may have been handed over between the timer and this line.
                self._give_up(waiter)

    def enter_sync(self) -> None:
        """Take a place, wait for one in a thread, or refuse the call."""
        event = threading.Event()
        waiter = self._take_or_queue(event.set)
        left = time_left()
        longest = (
            self._policy.max_wait if left is None else min(self._policy.max_wait, left)
        )
        if waiter is None:
            return
        with self._cared_for(waiter):
            if not event.wait(longest):
                self._give_up(waiter)

    def leave(self) -> None:
        """Leave a place, to whoever waits longest or to nobody."""
        while (waiter := self._hand_over()) is not None:
            # Outside of the lock, since it runs code of the event loop.
            try:
                waiter.wake()
            except RuntimeError:
                # Its loop was closed while it waited: the next one shall have the place.
                waiter.has_place = False
            else:
                return

    def _hand_over(self) -> Waiter | None:
        """Give a place to whoever waits longest; return them, or None if nobody does."""
        with self._lock:
            if not self.waiting:
                self.active -= 1
                return None
            # The place goes from hand to hand, so that a newcomer cannot snatch it.
            waiter = self.waiting.popleft()
            waiter.has_place = True
            return waiter

    @contextmanager
    def _cared_for(self, waiter: Waiter) -> Iterator[None]:
        """Leave no place behind if *waiter* is cancelled, or interrupted by a signal."""
        try:
            yield
        except BaseException:
            # It was given a place that it will never use: the next one shall have it.
            if not self._forget(waiter):
                self.leave()
            raise

    def _take_or_queue(self, wake: Callable[[], object]) -> Waiter | None:
        policy = self._policy
        with self._lock:
            # Who comes later must not overtake those in the queue.
            if self.active < self.limit and not self.waiting:
                self.active += 1
                return None
            crowded = (
                policy.max_waiting is not None
                and len(self.waiting) >= policy.max_waiting
            )
            if policy.max_wait > 0 and not crowded:
                waiter = Waiter(wake)
                self.waiting.append(waiter)
                return waiter
        raise self._refusal()

    def _give_up(self, waiter: Waiter) -> None:
        """Refuse the call, unless it got its place in the last moment."""
        if self._forget(waiter):
            raise self._refusal()

    def _forget(self, waiter: Waiter) -> bool:
        """Take *waiter* out of the queue; tell whether it has no place."""
        with self._lock:
            if waiter in self.waiting:
                self.waiting.remove(waiter)
            return not waiter.has_place

    def _refusal(self) -> BulkheadFullError:
        scope = self._scope
        self._hub.tell(CallRejected, scope, reason="full")
        return BulkheadFullError(str(scope), self.limit, None)


def doubt_holding(outer: Strategy, inner: Strategy) -> str | None:
    """Doubt a limit on calls under way around pauses in which none is."""
    if not inner.repeats or inner.is_concurrent:
        return None
    return (
        f"the {type(outer).__name__} is outside of the {type(inner).__name__}, so that "
        "a call keeps its place while it waits between attempts. Put it inside."
    )
