"""What a Timeout makes known to breakers and throttles inside of it, also in a store."""

import asyncio
import time

import pytest

from accel_integration import (
    MemoryStore,
    StabilityTimeoutError,
    ThrottlingError,
    sp,
    time_left,
)
from accel_integration.testing import FakeClock


class SlowStore(MemoryStore):
    """Takes its time for each answer, and notes when it has given it."""

    def __init__(self):
        super().__init__()
        self.answered = []

    def run(self, *args):
        time.sleep(0.001)
        answer = super().run(*args)
        self.answered.append(time.monotonic())
        return answer


EITHER_WAY = pytest.mark.parametrize("seconds", [(60, 0.001), (0.001, 60)])


def around(seconds, func):
    """Put a Timeout of each of *seconds* around *func*."""
    for limit in reversed(seconds):
        func = sp.Timeout(limit)(func)
    return func


def late(seconds=0.02):
    time.sleep(seconds)
    return "late"


@EITHER_WAY
@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore::accel_integration.OrderWarning")
async def test_each_of_several_timeouts_is_a_failure_of_the_breaker_inside(seconds):
    breaker = sp.CircuitBreaker(1)

    with pytest.raises(StabilityTimeoutError):
        await around(seconds, breaker(asyncio.sleep))(60)

    assert breaker.state == "open"


@EITHER_WAY
@pytest.mark.filterwarnings("ignore::accel_integration.OrderWarning")
def test_each_of_several_deadlines_makes_a_late_answer_a_failure(seconds):
    breaker = sp.CircuitBreaker(1)

    with pytest.raises(StabilityTimeoutError):
        around(seconds, breaker(late))()

    assert breaker.state == "open"


@pytest.mark.anyio
@pytest.mark.parametrize("steps", [0, 1])
async def test_cancellation_from_outside_is_no_failure_of_the_breaker_inside(steps):
    breaker = sp.CircuitBreaker(1)

    @sp.Timeout(60)
    @breaker
    async def cancelled():
        for _ in range(steps):
            await asyncio.sleep(0)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await cancelled()

    assert breaker.state == "closed"


@pytest.mark.parametrize("abandon", [False, True])
def test_interrupt_passes_and_is_no_failure(abandon):
    breaker = sp.CircuitBreaker(1)

    @sp.Timeout(60, abandon=abandon)
    @breaker
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert breaker.state == "closed"


@pytest.mark.parametrize("shared", [sp.CircuitBreaker, sp.Throttling])
def test_time_that_a_store_takes_is_not_taken_from_the_timeout_inside(shared):
    store = SlowStore()

    @sp.Timeout(60)
    @shared(5, store=store)
    @sp.Timeout(30)
    def call():
        return time_left() + time.monotonic()

    assert call() >= store.answered[0] + 30


@pytest.mark.parametrize("is_shared", [False, True])
def test_turn_is_waited_for_if_it_comes_before_the_deadline(is_shared):
    clock = FakeClock()
    store = MemoryStore(clock=clock) if is_shared else None
    throttle = sp.Throttling(0.1, burst=1, max_wait=60, store=store, clock=clock)
    hasty, patient = (sp.Timeout(seconds)(throttle(late)) for seconds in (5, 60))
    throttle.at(late).acquire_sync()

    assert patient() == "late"
    assert clock.sleeps == [pytest.approx(10, abs=0.1)]
    with pytest.raises(ThrottlingError):
        hasty()
    assert len(clock.sleeps) == 1
