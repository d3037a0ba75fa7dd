"""A deadline is known to whatever is inside of it, and sync functions go by it."""

import asyncio
import functools
import math
import threading
import time

import pytest
from hypothesis import example, given, settings, strategies as st

from accel_integration import (
    BulkheadFullError,
    MaxRetriesExceededError,
    MemoryStore,
    StabilityTimeoutError,
    ThrottlingError,
    sp,
    time_left,
)
from accel_integration._context import DEADLINE

pytestmark = pytest.mark.anyio


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that counts the timers it was asked for."""

    timers = 0

    def call_at(self, *args, **kwargs):
        self.timers += 1
        return super().call_at(*args, **kwargs)


def timers_of(main):
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(main(None))
        return runner.get_loop().timers


@sp.Timeout(50)
async def patient(api):
    # Waits without a timer of its own, so that all there are belong to Timeouts.
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await future
    return time_left()


def test_inherited_sooner_deadline_arms_nothing():
    @sp.Timeout(5)
    async def outer(api):
        for _ in range(3):
            assert await patient(api) <= 5

    assert timers_of(outer) == 1


def test_inherited_later_deadline_does_not_stand_in():
    @sp.Timeout(60)
    async def outer(api):
        assert 5 < await patient(api) <= 50

    assert timers_of(outer) == 2


def test_deadline_of_another_task_does_not_stand_in():
    @sp.Timeout(5)
    async def outer(api):
        await asyncio.create_task(patient(api))

    assert timers_of(outer) == 2


@pytest.mark.parametrize(("outside", "inside"), [(5, 50), (50, 5), (5, 5)])
async def test_deadline_is_known_after_an_inner_one_and_forgotten_at_the_end(
    outside, inside
):
    seen = []

    async def wait():
        await asyncio.sleep(0)
        seen.append(time_left())

    innermost = sp.Timeout(inside + 1)(wait)

    @sp.Timeout(inside)
    async def inner():
        await innermost()
        seen.append(time_left())

    @sp.Timeout(outside)
    async def outer():
        await inner()
        seen.append(time_left())

    await outer()

    nearest = min(outside, inside)
    wanted = [nearest, nearest, outside]
    assert [round(left) for left in seen] == wanted
    assert time_left() is None


async def test_what_arms_nothing_is_ended_by_the_deadline_around_it():
    @sp.Timeout(60)
    async def inner(api):
        await asyncio.sleep(60)

    @sp.Timeout(0.05)
    async def outer(api):
        await inner(api)

    with pytest.raises(StabilityTimeoutError, match=r"outer took longer than 0\.05 s"):
        await outer(None)


def in_tens(seconds):
    """Return *seconds* as they were a moment ago, however slow the machine is."""
    return math.ceil(seconds / 10) * 10


def starts(job):
    """Return two functions that start *job* in a task of its own, one an endpoint."""

    async def call(_first):
        await asyncio.sleep(0)
        task = asyncio.create_task(job())
        await asyncio.sleep(0)
        return task

    async def endpoint(api):
        return await call(api)

    return call, endpoint


@pytest.mark.parametrize("is_endpoint", [False, True])
async def test_deadline_of_a_call_that_is_over_holds_for_no_task_it_left(is_endpoint):
    over, seen = asyncio.Event(), []

    def look():
        left = time_left()
        seen.append(None if left is None else in_tens(left))

    async def job():
        look()
        await over.wait()
        look()
        # What limits itself is known again, in every way.
        sp.Timeout(30)(look)()
        sp.Timeout(40, abandon=True)(look)()
        await sp.Timeout(50)(look_after_waiting)()
        await sp.Timeout(60)(look_in_endpoint)(None)
        look()

    async def look_after_waiting():
        await asyncio.sleep(0)
        look()

    async def look_in_endpoint(api):
        look()

    task = await sp.Timeout(20)(starts(job)[is_endpoint])(None)
    over.set()
    await task

    assert seen == [20, None, 30, 40, 50, 60, None]


@pytest.mark.parametrize("is_endpoint", [False, True])
async def test_task_goes_by_what_is_around_the_call_that_started_it(is_endpoint):
    over = asyncio.Event()

    async def job():
        await over.wait()
        return time_left()

    @sp.Timeout(60)
    async def outer():
        await asyncio.sleep(0)
        task = await sp.Timeout(20)(starts(job)[is_endpoint])(None)
        over.set()
        return await task

    assert in_tens(await outer()) == 60


async def test_clean_up_after_the_deadline_has_a_time_of_its_own():
    ended = []

    @sp.Timeout(0.01)
    async def tidy(api):
        await asyncio.sleep(60)

    @sp.Timeout(0.005)
    async def outer(api):
        try:
            await asyncio.sleep(60)
        finally:
            try:
                await tidy(api)
            except StabilityTimeoutError:
                ended.append("tidy")

    with pytest.raises(StabilityTimeoutError, match=r"outer took longer"):
        await outer(None)
    assert ended == ["tidy"]


async def plain(func):
    return await func()


async def endpoint(api, func):
    return await func()


NEVER, AFTER = (False, False, False), (False, True, False)
levels = st.lists(
    st.tuples(
        st.sampled_from((100, 200, 300, 400)),
        st.sampled_from((plain, functools.partial(endpoint, None))),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@example([(100, plain, *NEVER)] * 2 + [(t, plain, *AFTER) for t in (200, 100)])
@example(
    [
        (200, plain, *NEVER),
        (200, plain, True, False, True),
        (300, plain, *NEVER),
        (300, plain, *AFTER),
        (100, plain, *AFTER),
    ]
)
@settings(max_examples=300)
@given(levels)
def test_the_nearest_deadline_is_known_however_calls_are_nested(levels):
    async def enter(depth):
        if depth == len(levels):
            return
        seconds, kind, waits_before, waits_after, has_task = levels[depth]
        nearest = min(level[0] for level in levels[: depth + 1])

        async def body():
            if waits_before:
                await look(nearest)
            inner = enter(depth + 1)
            # A task is told what is known when it begins.
            is_task = has_task and waits_before
            await (asyncio.create_task(inner) if is_task else inner)
            if waits_after:
                await look(nearest)

        await sp.Timeout(seconds)(kind)(body)

    async def look(nearest):
        await asyncio.sleep(0)
        assert nearest - 50 < time_left() <= nearest

    async def main():
        await enter(0)
        await asyncio.sleep(0)
        assert time_left() is None

    asyncio.run(main())


def test_sync_function_stays_in_its_thread_and_starts_none():
    call = sp.Timeout(5)(threading.get_ident)
    before = threading.active_count()

    idents = {call() for _ in range(5)}

    assert idents == {threading.get_ident()}
    assert threading.active_count() == before


def late(seconds=0.02):
    time.sleep(seconds)
    return "late"


def test_answer_that_comes_too_late_is_a_timeout():
    with pytest.raises(StabilityTimeoutError, match=r"took longer than 0\.001 s"):
        sp.Timeout(0.001)(late)()
    assert time_left() is None


def test_error_that_comes_too_late_is_a_timeout_with_its_cause():
    @sp.Timeout(0.001)
    def call():
        late()
        raise ConnectionError("gone")

    with pytest.raises(StabilityTimeoutError) as caught:
        call()
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_own_timeout_error_in_time_is_left_as_it_is():
    @sp.Timeout(5)
    def call():
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as caught:
        call()
    assert not isinstance(caught.value, StabilityTimeoutError)


def test_interrupt_from_the_keyboard_is_left_as_it_is():
    @sp.Timeout(0.001)
    def call():
        late()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call()
    assert time_left() is None


def test_sync_deadlines_are_inherited_if_they_are_sooner():
    def left():
        return time_left()

    assert sp.Timeout(5)(sp.Timeout(2)(left))() <= 2

    @sp.Timeout(2)
    def outer():
        return sp.Timeout(5)(left)(), time_left()

    inner, after = outer()
    assert inner <= 2
    assert after <= 2
    assert time_left() is None


@pytest.mark.parametrize(
    "options",
    [{}, {"failure_rate": 1.0, "min_calls": 1}, {"store": MemoryStore()}],
    ids=["in a row", "rate", "store"],
)
def test_late_answer_is_a_failure_of_the_breaker_inside(options):
    breaker = sp.CircuitBreaker(1, **options)

    with pytest.raises(StabilityTimeoutError):
        sp.Timeout(0.001)(breaker(late))()

    assert breaker.state == "open"


def test_late_answer_in_the_thread_of_a_hedge_is_a_failure_of_the_breaker_inside():
    breaker, changed = sp.CircuitBreaker(1), threading.Event()
    breaker.subscribe(lambda _event: changed.set())

    with pytest.raises(StabilityTimeoutError):
        sp.Timeout(0.01)(sp.Hedge(60)(breaker(late)))(0.05)

    assert changed.wait(30)
    assert breaker.state == "open"


def test_answer_in_time_in_the_thread_of_a_hedge_is_no_failure():
    breaker = sp.CircuitBreaker(1)

    assert sp.Timeout(60)(sp.Hedge(60)(breaker(late)))() == "late"

    assert breaker.state == "closed"


def test_answer_in_time_is_no_failure_of_the_breaker_inside():
    breaker = sp.CircuitBreaker(1)

    assert sp.Timeout(5)(breaker(late))() == "late"

    assert breaker.state == "closed"


@pytest.mark.parametrize("is_shared", [False, True])
def test_an_earlier_answer_in_time_does_not_excuse_a_later_one(is_shared):
    answers = iter([lambda: None, late])
    store = MemoryStore() if is_shared else None

    @sp.Timeout(0.02)
    @sp.Fallback(lambda: late(0.05))
    @sp.RetryPattern(2, 0, retry_if=lambda answer: answer is None)
    @sp.CircuitBreaker(5, store=store)
    def call():
        if (answer := next(answers)) is late:
            raise ConnectionError
        return answer()

    with pytest.raises(StabilityTimeoutError):
        call()


def test_retries_of_threads_end_with_the_deadline():
    calls = []

    @sp.Timeout(0.05)
    @sp.RetryPattern(100, 0.02)
    def down():
        calls.append(1)
        raise ConnectionError

    with pytest.raises(Exception, match=r"the deadline comes before|took longer"):
        down()
    assert len(calls) < 10


@pytest.mark.parametrize("pause", [sp.RetryPattern(2, 0.2), sp.RetryPattern(2, 0)])
def test_each_attempt_takes_its_turn_at_the_time_it_begins(pause):
    throttle = sp.Throttling(50, burst=5)
    attempts = []

    @sp.Timeout(60)
    @pause
    @throttle
    def down():
        attempts.append(time.monotonic())
        late(0.2)
        raise ConnectionError

    with pytest.raises(MaxRetriesExceededError):
        down()

    assert throttle.at(down).tat > attempts[0] + 0.2


@pytest.mark.filterwarnings("ignore::accel_integration.OrderWarning")
@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        # Here the first call waits as well.
        (sp.Chaos(latency_rate=1, latency=0.2), 0.4),
        (sp.Throttling(5, burst=1, max_wait=60), 0.2),
        (sp.Bulkhead(1, max_wait=60), 0.2),
    ],
    ids=["chaos", "throttling", "bulkhead"],
)
def test_turn_is_taken_at_the_time_after_a_strategy_has_waited(waits, seconds):
    throttle = sp.Throttling(50, burst=5)
    entered, started = threading.Event(), time.monotonic()

    @sp.Timeout(60)
    @waits
    @throttle
    def call():
        entered.set()
        late(0.2)

    other = threading.Thread(target=call)
    other.start()
    entered.wait(30)
    call()
    other.join()

    assert throttle.at(call).tat > started + seconds


def test_inner_timeout_counts_from_the_attempt_and_not_from_the_first_one():
    deadlines = []

    @sp.Timeout(60)
    @sp.RetryPattern(2, 0)
    @sp.Timeout(10)
    def down():
        deadlines.append(DEADLINE.get())
        late(0.2)
        raise ConnectionError

    with pytest.raises(MaxRetriesExceededError):
        down()

    assert deadlines[1] >= deadlines[0] + 0.2


def test_throttled_thread_does_not_wait_for_a_turn_after_its_deadline():
    throttle = sp.Throttling(0.1, burst=1, max_wait=60)
    call = sp.Timeout(1)(throttle(lambda: "ok"))
    call()

    started = time.monotonic()
    with pytest.raises(ThrottlingError):
        call()
    assert time.monotonic() - started < 5


def test_thread_waits_for_a_place_until_its_deadline_only():
    bulkhead = sp.Bulkhead(1, max_wait=60)
    entered, free = threading.Event(), threading.Event()

    @bulkhead
    def hold():
        entered.set()
        free.wait(30)

    @sp.Timeout(0.02)
    def call():
        hold()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(30)
    with pytest.raises(StabilityTimeoutError) as caught:
        call()
    free.set()
    holder.join()

    assert isinstance(caught.value.__cause__, BulkheadFullError)


def test_hedged_threads_are_left_alone_at_the_deadline():
    free = threading.Event()
    call = sp.Timeout(0.03)(sp.Hedge(0.01)(lambda: free.wait(30)))

    started = time.monotonic()
    with pytest.raises(StabilityTimeoutError):
        call()
    free.set()

    assert time.monotonic() - started < 5


def test_chaos_delays_a_thread_until_its_deadline_only():
    chaos = sp.Chaos(latency_rate=1, latency=60)

    started = time.monotonic()
    with pytest.raises(StabilityTimeoutError):
        sp.Timeout(0.02)(chaos(lambda: "ok"))()

    assert time.monotonic() - started < 5


def test_a_hedge_in_another_thread_knows_the_deadline_of_this_one():
    seen = []

    @sp.Timeout(5)
    @sp.Hedge(1)
    def ask():
        seen.append(time_left())

    ask()

    assert 4 < seen[0] <= 5
    assert time_left() is None
