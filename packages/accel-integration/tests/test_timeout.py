"""Timeouts end what takes too long, and nothing else."""

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
import time
import weakref

import pytest

from accel_integration import StabilityTimeoutError, _threads, sp, time_left
from accel_integration._context import DEADLINE
from accel_integration._timeout import AsyncLimit, Lane, announce

pytestmark = pytest.mark.anyio

# For what takes no time, but on a busy machine.
PATIENCE = 30


@sp.Timeout(0.01)
async def hang():
    await asyncio.sleep(60)


async def test_ends_a_call_that_hangs():
    with pytest.raises(StabilityTimeoutError, match=r"took longer than 0\.01 s"):
        await hang()


async def test_its_error_is_a_timeout_error_and_a_gateway_timeout():
    with pytest.raises(TimeoutError) as caught:
        await hang()

    assert caught.value.http_status == 504


async def test_leaves_the_task_usable():
    with pytest.raises(StabilityTimeoutError):
        await hang()

    await asyncio.sleep(0.001)
    assert asyncio.current_task().cancelling() == 0


async def test_passes_results_exceptions_and_arguments():
    @sp.Timeout(PATIENCE)
    async def divide(a, b):
        await asyncio.sleep(0)
        return a / b

    assert await divide(6, b=3) == 2
    with pytest.raises(ZeroDivisionError):
        await divide(1, 0)


async def test_does_not_relabel_the_timeout_error_of_the_function():
    @sp.Timeout(1)
    async def own():
        await asyncio.sleep(0)
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as caught:
        await own()
    assert not isinstance(caught.value, StabilityTimeoutError)


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_cancellation_from_outside_propagates(steps):
    @sp.Timeout(1)
    async def patient():
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.sleep(60)

    task = asyncio.create_task(patient())
    for _ in range(steps + 1):
        await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_cancellation_from_outside_is_left_to_whoever_asked_for_it():
    @sp.Timeout(60)
    async def cancelled():
        asyncio.current_task().cancel()
        await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        await cancelled()
    requests = asyncio.current_task().cancelling()
    asyncio.current_task().uncancel()

    assert requests == 1


async def test_cancellation_after_an_expiry_is_left_to_whoever_asked_for_it():
    task = asyncio.current_task()

    @sp.Timeout(0.01)
    async def cancelled():
        try:
            await asyncio.sleep(60)
        finally:
            task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await cancelled()
    requests = task.cancelling()
    task.uncancel()

    assert requests == 1


async def test_cancellation_wins_over_an_expiry_in_the_same_moment():
    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, task.cancel)

    with pytest.raises((asyncio.CancelledError, StabilityTimeoutError)):
        await task
    assert task.cancelled() or task.cancelling() == 0


async def test_cleanup_may_take_its_time():
    cleaned = []

    @sp.Timeout(0.01)
    async def tidy():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(True)

    with pytest.raises(StabilityTimeoutError):
        await tidy()
    assert cleaned == [True]


async def test_what_comes_of_our_cancellation_is_our_timeout():
    @sp.Timeout(0.01)
    async def translates():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ConnectionError("gone") from None

    with pytest.raises(StabilityTimeoutError) as caught:
        await translates()
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert asyncio.current_task().cancelling() == 0


async def test_result_of_a_function_that_swallows_the_cancellation_is_kept():
    @sp.Timeout(0.01)
    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "kept"

    assert await stubborn() == "kept"
    assert asyncio.current_task().cancelling() == 0


async def test_many_calls_end_each_at_its_own_time():
    @sp.Timeout(2)
    async def work(seconds):
        await asyncio.sleep(seconds)
        return seconds

    jobs = [work(30 if number % 3 == 0 else 0.001) for number in range(300)]
    results = await asyncio.gather(*jobs, return_exceptions=True)

    late = [r for r in results if isinstance(r, StabilityTimeoutError)]
    assert len(late) == 100
    assert results.count(0.001) == 200


async def test_time_spent_before_the_first_wait_counts_where_the_deadline_is_known():
    @sp.Timeout(0.1)
    async def busy(api, seconds):
        time.sleep(seconds)  # noqa: ASYNC251 - it blocks on purpose
        started = time.monotonic()
        try:
            await asyncio.sleep(60)
        finally:
            waits.append(time.monotonic() - started)

    waits = []
    calls = [busy(None, seconds) for seconds in (0, 0.02, 0.15, 0)]
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(result) for result in results] == [StabilityTimeoutError] * 4
    assert min(waits) < 0.05
    assert asyncio.current_task().cancelling() == 0


async def test_deadlines_out_of_order_are_kept_in_order():
    loop = asyncio.get_running_loop()
    lane = Lane(loop)
    woken = []

    async def wait(delay):
        limit = AsyncLimit(delay, "it", lambda: None)
        entry = limit.entry()
        announce(entry, None, DEADLINE.set(entry))
        lane.add(entry, loop)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            woken.append(delay)
            asyncio.current_task().uncancel()
        finally:
            lane.leave(entry)

    await asyncio.gather(*(wait(delay) for delay in (0.06, 0.02, 0.04, 0.02, 0.08)))

    assert woken == [0.02, 0.02, 0.04, 0.06, 0.08]


async def test_nested_timeouts_tell_which_one_it_was():
    @sp.Timeout(5)
    @sp.Timeout(0.01)
    async def inner():
        await asyncio.sleep(60)

    @sp.Timeout(0.01)
    async def outer():
        await longer()

    @sp.Timeout(5)
    async def longer():
        await asyncio.sleep(60)

    with pytest.raises(StabilityTimeoutError, match=r"0\.01 s"):
        await inner()
    with pytest.raises(StabilityTimeoutError, match=r"outer took longer than 0\.01"):
        await outer()


def test_works_in_one_event_loop_after_another():
    for _ in range(3):
        with pytest.raises(StabilityTimeoutError):
            asyncio.run(hang())


def test_works_in_two_event_loops_at_once():
    errors = []

    def run():
        try:
            asyncio.run(hang())
        except StabilityTimeoutError as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(errors) == 4


def test_keeps_no_event_loop_alive():
    async def use():
        with pytest.raises(StabilityTimeoutError):
            await hang()
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(use())
    gc.collect()

    assert loop() is None


async def test_time_left_shrinks_towards_the_nearest_deadline():
    @sp.Timeout(5)
    @sp.Timeout(1)
    async def look(api):
        first = time_left()
        await asyncio.sleep(0.01)
        return first, time_left()

    first, second = await look(None)

    assert 0 < first <= 1
    assert second < first
    assert time_left() is None


async def test_deadline_of_a_call_that_never_waits_is_known_and_forgotten():
    @sp.Timeout(60)
    async def look(api):
        return time_left()

    assert await look(None) <= 60
    assert time_left() is None


async def test_inner_deadline_is_never_later_than_the_outer_one():
    @sp.Timeout(1)
    async def outer(api):
        return await inner(api)

    @sp.Timeout(50)
    async def inner(api):
        await asyncio.sleep(0)
        return time_left()

    assert await outer(None) <= 1


def test_sync_function_that_hangs_can_be_abandoned():
    answer, ended = threading.Event(), []

    @sp.Timeout(0.02, abandon=True)
    def hang_sync():
        answer.wait(10)
        ended.append(True)

    with pytest.raises(StabilityTimeoutError):
        hang_sync()
    assert not ended
    answer.set()


@pytest.mark.parametrize(("outside", "inside"), [(30, 50), (50, 30), (None, 30)])
def test_abandoned_call_knows_the_nearest_deadline(outside, inside):
    inner = sp.Timeout(inside, abandon=True)(time_left)

    def call():
        return inner()

    left = (call if outside is None else sp.Timeout(outside)(call))()

    assert 0 < left <= 30


@pytest.mark.parametrize("abandon", [False, True])
def test_listeners_hear_of_sync_functions_whose_time_is_over(abandon):
    timeout, free, heard = sp.Timeout(0.01, abandon=abandon), threading.Event(), []
    timeout.subscribe(heard.append)

    with pytest.raises(StabilityTimeoutError):
        timeout(lambda: free.wait(0.1))()

    assert [(type(event).__name__, event.seconds) for event in heard] == [
        ("CallTimedOut", 0.01)
    ]


async def test_listeners_hear_of_async_functions_whose_time_is_over():
    timeout, heard = sp.Timeout(0.01), []
    timeout.subscribe(heard.append)

    with pytest.raises(StabilityTimeoutError):
        await timeout(asyncio.sleep)(60)

    assert [(type(event).__name__, event.seconds) for event in heard] == [
        ("CallTimedOut", 0.01)
    ]


@pytest.mark.parametrize("abandon", [False, True])
def test_sync_function_passes_results_exceptions_and_context(abandon):
    from contextvars import ContextVar

    name = ContextVar("name", default="nobody")
    name.set("somebody")

    @sp.Timeout(5, abandon=abandon)
    def work(divisor):
        return name.get(), 4 / divisor, time_left() > 4

    assert work(2) == ("somebody", 2.0, True)
    with pytest.raises(ZeroDivisionError):
        work(0)


@pytest.mark.filterwarnings("ignore::accel_integration.OrderWarning")
def test_time_that_is_over_inside_is_no_failure_outside():
    breaker = sp.CircuitBreaker(1)

    @breaker
    @sp.Fallback("instead")
    @sp.Timeout(0.001)
    def late():
        time.sleep(0.02)

    assert late() == "instead"
    assert breaker.state == "closed"


def test_usual_timeout_is_ten_seconds():
    assert sp.Timeout().describe() == "gives up after 10 s"


@pytest.mark.parametrize(("inside", "doubted"), [(2.9, False), (3, True), (4, True)])
def test_timeout_that_cannot_end_before_the_one_around_it_is_doubted(inside, doubted):
    doubt = sp.Timeout(3).doubts(sp.Timeout(inside))

    assert (doubt is not None) is doubted
    assert not doubted or "Make the inner one shorter" in doubt


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_at_all_is_refused(seconds):
    with pytest.raises(ValueError, match='"seconds" must be > 0'):
        sp.Timeout(seconds)


class Forever:
    def __await__(self):
        yield


async def endpoint(api):
    await Forever()


async def plain(other):
    await Forever()


@pytest.mark.parametrize("func", [endpoint, plain])
def test_needs_a_task_to_cancel(func):
    async def drive():
        loop, failed = asyncio.get_running_loop(), []

        def step():
            try:
                sp.Timeout(1)(func)(None).send(None)
            except RuntimeError as exc:
                failed.append(str(exc))

        loop.call_soon(step)
        await asyncio.sleep(0.001)
        gc.collect()
        return failed

    assert asyncio.run(drive()) == [
        "`sp.Timeout` has no task to cancel: await the call inside of a task."
    ]


@pytest.mark.parametrize("eager", [True, False])
async def test_a_coroutine_dropped_in_the_middle_complains_not(eager):
    async def patient(api):
        await asyncio.sleep(60)

    async def plain(other):
        await asyncio.sleep(60)

    coro = sp.Timeout(1)(patient if eager else plain)(None)
    contextvars.copy_context().run(coro.send, None)

    del coro
    gc.collect()

    assert time_left() is None


def test_one_thread_after_another_call_serves_the_next():
    call = sp.Timeout(PATIENCE, abandon=True)(threading.get_ident)
    call()
    before = threading.active_count()

    idents = {call() for _ in range(50)}

    assert threading.get_ident() not in idents
    # A thread may still be on its way back when the next call begins.
    assert threading.active_count() <= before + 1


def test_a_thread_that_hangs_keeps_no_other_call_waiting():
    free = threading.Event()
    hang = sp.Timeout(0.01, abandon=True)(lambda: free.wait(PATIENCE))
    for _ in range(5):
        with pytest.raises(StabilityTimeoutError):
            hang()

    assert sp.Timeout(PATIENCE, abandon=True)(lambda: "ok")() == "ok"
    free.set()


def test_many_threads_get_their_own_results():
    call = sp.Timeout(PATIENCE, abandon=True)(lambda number: number)
    results = []

    def work(start):
        results.extend(call(number) == number for number in range(start, start + 200))

    threads = [threading.Thread(target=work, args=(i * 1000,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 1600
    assert all(results)


def test_idle_threads_end_or_work_on_if_they_are_needed(monkeypatch):
    monkeypatch.setattr(_threads, "IDLE_SECONDS", 0.001)
    call = sp.Timeout(PATIENCE, abandon=True)(lambda: "ok")
    before = len(_threads.idle)

    # Some calls find a thread that is about to leave.
    for _ in range(300):
        assert call() == "ok"
        time.sleep(0.001)

    assert len(_threads.idle) <= before + 2


def test_a_forked_process_starts_threads_of_its_own():
    script = """
import os, sys
from accel_integration import sp
call = sp.Timeout(30, abandon=True)(lambda: 0)
call()
if (child := os.fork()) == 0:
    os._exit(call())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)

    assert done.returncode == 0
