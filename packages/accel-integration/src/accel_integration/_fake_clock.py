"""A clock that moves only when it is told to."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from accel_integration._context import Clock
from accel_integration._endpoint import endpoint_of
from accel_integration._strategy import Plan, plan_of

__all__ = ["FakeClock", "on_clock"]


class FakeClock:
    """A clock for tests: `sp.RetryPattern(clock=clock)`, or `with clock.drive(...)`.

    Who sleeps on it moves it, so that retries take no time. With *auto* off, sleepers
    wait until `advance` gets them there.

    An `sp.Timeout` goes by real time all the same, because the event loop does: sleeps
    on this clock do not use it up, and `advance` does not end it. Test one with small
    seconds against a `fault_server` that hangs, or with `latency`.

    Attributes:
        sleeps: The seconds of every sleep so far.
    """

    def __init__(self, start: float = 1_000.0, *, auto: bool = True) -> None:
        self.sleeps: list[float] = []
        self._now = start
        self._auto = auto
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self._now

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._now:g}>"

    def advance(self, seconds: float) -> None:
        """Move on by *seconds*, and wake whose time has come."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Sleep on this clock."""
        self.sleeps.append(seconds)
        if self._auto:
            self.advance(seconds)
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._now + seconds, next(self._order), future)
        heapq.heappush(self._sleepers, entry)
        await future

    def sleep_sync(self, seconds: float) -> None:
        """Sleep on this clock in a thread, which moves it."""
        self.sleeps.append(seconds)
        self.advance(seconds)

    @contextmanager
    def drive(self, *methods: Callable[..., Any]) -> Iterator["FakeClock"]:
        """Let the stability patterns of *methods* live on this clock for a while.

        All but `sp.Timeout` do. They begin with fresh states, and again when it is over.
        """
        with on_clock(self, [_plan_behind(method) for method in methods]):
            yield self


def _plan_behind(method: Callable[..., Any]) -> Plan:
    endpoint = endpoint_of(method)
    plan = endpoint.plan if endpoint else plan_of(method)
    if plan is None:
        msg = f"{method!r} has no stability patterns that a clock could drive."
        raise TypeError(msg)
    return plan


@contextmanager
def on_clock(clock: Clock, plans: list[Plan]) -> Iterator[None]:
    """Replace the clock of *plans*, and put the old ones back at the end."""
    strategies = [strategy for plan in plans for strategy in plan.strategies]
    before = [strategy.clock for strategy in strategies]
    for strategy in strategies:
        strategy.clock = clock
    for plan in plans:
        plan.reset()
    try:
        yield
    finally:
        for strategy, old in zip(strategies, before, strict=True):
            strategy.clock = old
        for plan in plans:
            plan.reset()
