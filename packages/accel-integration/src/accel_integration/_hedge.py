"""Hedges: ask again beside a slow call, and take what comes first."""

import asyncio
import contextvars
import functools
import queue
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from accel_integration._context import (
    EXCHANGE,
    Clock,
    Exchange,
    Scope,
    Seconds,
    time_left,
)
from accel_integration._events import CallHedged, Hub
from accel_integration._parameters import at_least, not_negative, plain_number
from accel_integration._retry import doubt_fallback
from accel_integration._strategy import Strategy
from accel_integration._threads import run_in_thread
from accel_integration._timeout import AsyncLimit
from accel_integration._weaver import Body, Weaver

__all__ = ["Hedge"]

# How many calls a percentile is taken of, and after how many it is taken anew.
REMEMBERED = 200
ENOUGH = 20


class Hedge(Strategy):
    """Make a call once more if it has not answered after *delay*; the first one wins.

    The others are cancelled; in threads, where that is impossible, they are left alone.
    Only for calls that may be made twice. A call that fails before its delay fails.
    See Dean and Barroso, "The Tail at Scale".

    Args:
        delay: How long to wait, best about the 95th percentile of the duration.
        percentile: Wait for as long as this share of the last calls took, between 0
            and 1, once there were enough of them to know; until then, *delay*.
        max_hedges: How many further calls there may be.
    """

    repeats = True
    is_concurrent = True

    def __init__(
        self,
        delay: Seconds,
        *,
        percentile: float | None = None,
        max_hedges: int = 1,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock)
        if (
            percentile is not None
            and not 0 < plain_number("percentile", percentile) < 1
        ):
            msg = f'"percentile" must be > 0 and < 1, as in 0.95: {percentile!r}'
            raise ValueError(msg)
        self.delay = not_negative("delay", delay)
        self.percentile = percentile
        self.max_hedges = at_least(1, "max_hedges", max_hedges)

    def describe(self) -> str:
        times = "once" if self.max_hedges == 1 else f"up to {self.max_hedges} times"
        when = f"after {self.delay:g} s"
        if self.percentile is not None:
            share = f"{self.percentile:.0%}"
            when = f"when {share} of the calls would have one, at first {when}"
        return f"asks {times} more when there is no answer {when}"

    def doubts(self, inner: Strategy) -> str | None:
        return doubt_fallback(self, inner)

    def weave(self, weaver: Weaver, body: Body) -> None:
        hub = Hub(self.hub, weaver.hub)
        limits = [weaver.names[name] for name in weaver.timeouts]
        race = Race if weaver.is_async else SyncRace
        name = weaver.bind("race", race(self, weaver.scope, hub, limits))
        segment = weaver.segment(body)
        weaver.line(f"r = {weaver.wait}{name}.run({segment}, args, kwargs)")


class Durations:
    """How long the last calls took, and the *delay* that follows from it."""

    def __init__(self, policy: Hedge) -> None:
        self.delay = policy.delay
        self._policy = policy
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._news = 0

    def note(self, began: float) -> None:
        """Note that a call that *began* then has its answer."""
        if self._policy.percentile is None:
            return
        # No clock but the usual one promises never to go back.
        self._recent.append(max(0.0, self._policy.clock() - began))
        self._news += 1
        # Not for each call, since sorting takes its time, and the result changes slowly.
        if self._news >= ENOUGH:
            self._news = 0
            recent = sorted(self._recent)
            self.delay = recent[int(self._policy.percentile * len(recent))]


class Racing:
    """A hedge in one place."""

    def __init__(
        self, policy: Hedge, scope: Scope, hub: Hub, limits: Sequence[Any]
    ) -> None:
        self.policy = policy
        self.scope = scope
        self.hub = hub
        # The Timeouts around it.
        self.limits = limits
        self.durations = Durations(policy)

    def tell(self, attempt: int) -> None:
        """Tell the listeners that a further call is made."""
        self.hub.tell(CallHedged, self.scope, attempt=attempt)


class Race(Racing):
    """A hedge of tasks."""

    async def run(
        self,
        func: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call *func*, perhaps more than once, and return the first answer."""
        runners: dict[asyncio.Task[Any], Exchange] = {}

        def start() -> None:
            # Each has its own notes: those of the loser must not count.
            context, exchange = contextvars.copy_context(), sibling_of(EXCHANGE.get())
            context.run(EXCHANGE.set, exchange)
            task = asyncio.create_task(func(*args, **kwargs), context=context)
            # Somebody looks at what is raised in any case, or asyncio would complain.
            task.add_done_callback(look_at)
            runners[task] = exchange

        began = self.policy.clock()
        start()
        try:
            winner = await self._first(runners, start)
            self.durations.note(began)
        finally:
            await self._stop(list(runners))
        adopt(runners[winner])
        try:
            return winner.result()
        finally:
            # An error knows the frames that it has passed, and these are not to know it.
            runners.clear()
            del winner

    async def _first(
        self, runners: dict[asyncio.Task[Any], Exchange], start: Callable[[], None]
    ) -> asyncio.Task[Any]:
        """Return who has an answer first, or who failed last if nobody has."""
        # Not those that are running, since a task may be eager, and done at once.
        seen: set[asyncio.Task[Any]] = set()
        while True:
            may_start = len(runners) <= self.policy.max_hedges
            done, running = await asyncio.wait(
                runners.keys() - seen,
                timeout=self.durations.delay if may_start else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                if not task.cancelled() and task.exception() is None:
                    return task
            if done and not running:
                return done.pop()
            seen |= done
            if not done:
                self.tell(len(runners) + 1)
                start()

    async def _stop(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Cancel who is still running, and wait until they have stopped."""
        running = [task for task in tasks if not task.done()]
        expired = [limit for limit in self.limits if has_expired(limit)]
        for task in running:
            for limit in expired:
                limit.expire_also(task)
            task.cancel()
        if running:
            await asyncio.wait(running)


def look_at(task: "asyncio.Task[Any]") -> None:
    """Look at what *task* has raised, if anything."""
    if not task.cancelled():
        task.exception()


def has_expired(limit: Any) -> bool:
    """Tell whether *limit* has just ended the current task."""
    return isinstance(limit, AsyncLimit) and limit.has_expired()


def sibling_of(exchange: Exchange | None) -> Exchange:
    """Return notes of their own for one of several calls."""
    sibling = Exchange()
    sibling.prepare = None if exchange is None else exchange.prepare
    return sibling


def adopt(winner: Exchange) -> None:
    """Note what the winner has seen as what the call has seen."""
    if (exchange := EXCHANGE.get()) is not None:
        exchange.attempts += winner.attempts - 1
        exchange.fallbacks += winner.fallbacks
        exchange.status = winner.status
        exchange.retry_after = winner.retry_after
        exchange.request = winner.request


class SyncRace(Racing):
    """A hedge of threads."""

    def run(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call *func*, perhaps more than once, and return the first answer."""
        outcomes: queue.SimpleQueue[tuple[BaseException | None, Any, Exchange]]
        outcomes = queue.SimpleQueue()

        def work(exchange: Exchange) -> None:
            EXCHANGE.set(exchange)
            try:
                outcomes.put((None, func(*args, **kwargs), exchange))
            except BaseException as exc:  # noqa: BLE001 - raised by whoever waits
                outcomes.put((exc, None, exchange))

        def start() -> None:
            context = contextvars.copy_context()
            run_in_thread(
                functools.partial(context.run, work, sibling_of(EXCHANGE.get()))
            )

        began = self.policy.clock()
        start()
        started, running = 1, 1
        while True:
            may_start = started <= self.policy.max_hedges
            left = time_left()
            waits = [self.durations.delay] if may_start else []
            waits += [] if left is None else [left]
            try:
                error, result, exchange = outcomes.get(timeout=min(waits, default=None))
            except queue.Empty:
                # The threads are left alone, and the Timeout around here says why.
                if time_left() == 0:
                    raise TimeoutError from None
                self.tell(started + 1)
                start()
                started, running = started + 1, running + 1
                continue
            running -= 1
            if error is not None and running:
                continue  # Another one may still have an answer.
            adopt(exchange)
            if error is None:
                self.durations.note(began)
                return result
            try:
                raise error
            finally:
                del error  # It knows this frame.
