"""Nothing holds on to functions, contexts and exceptions that are over."""

import asyncio
import contextlib
import contextvars
import gc
import threading
import traceback
import weakref

import pytest

from accel_integration import MemoryStore, sp
from accel_integration._strategy import plan_of
from accel_integration._sync_timeout import SYNC_CALL
from accel_integration._timeout import AsyncLimit

pytestmark = pytest.mark.anyio


def decorated(strategy):
    @strategy
    def call():
        raise ConnectionError

    return call


def test_functions_decorated_while_running_do_not_add_up_in_a_strategy():
    breaker = sp.CircuitBreaker(key="api")
    functions = [decorated(breaker) for _ in range(3)]
    plans = [weakref.ref(plan_of(function)) for function in functions]
    heard = []
    plan_of(functions[0]).hub.subscribe(heard.append)
    (hub,) = breaker._hubs.values()

    del functions[1:]
    gc.collect()

    assert [plan() is None for plan in plans] == [False, True, True]
    assert len(hub._followers) == 1
    breaker.isolate()
    assert [event.new for event in heard] == ["isolated"]


def test_injected_error_does_not_keep_the_frames_of_all_calls():
    chaos = sp.Chaos(error_rate=1, error=ConnectionError("injected"))
    call = chaos(print)

    lengths = []
    for _ in range(3):
        with pytest.raises(ConnectionError, match="injected") as caught:
            call()
        lengths.append(len(traceback.extract_tb(caught.tb)))

    assert lengths == lengths[:1] * 3


class Big:
    """Something that is not to be kept."""


async def test_short_call_beside_a_long_one_keeps_nothing_of_its_context():
    variable = contextvars.ContextVar("variable")
    call = sp.Timeout(60)(asyncio.sleep)

    async def short():
        variable.set(big := Big())
        await call(0)
        return weakref.ref(big)

    long = asyncio.create_task(call(60))
    await asyncio.sleep(0)
    big = await asyncio.create_task(short())
    await asyncio.sleep(0)  # The loop has just held the task that is done.
    gc.collect()

    assert big() is None
    long.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await long


@pytest.mark.parametrize(
    "strategy",
    [sp.Timeout(60, abandon=True), sp.Hedge(60), sp.RetryPattern(1), sp.Fallback(0)],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_failed_is_let_go_without_the_garbage_collector(strategy, is_async):
    gone = threading.Event()

    def fail():
        big = Big()
        weakref.finalize(big, gone.set)
        raise ConnectionError

    async def fail_async():
        fail()

    gc.disable()
    try:
        with contextlib.suppress(Exception):
            result = strategy(fail_async if is_async else fail)()
            await result
        await asyncio.sleep(0)

        # A thread may take a moment to leave what it called.
        assert gone.wait(5)
    finally:
        gc.enable()


@pytest.mark.parametrize("store", [None, MemoryStore()])
def test_calls_in_a_long_one_do_not_add_up_in_it(store):
    breaker = sp.CircuitBreaker(store=store)
    inner = sp.Timeout(60, abandon=True)(breaker(lambda: None))

    @sp.Timeout(60, abandon=True)
    def outer():
        for _ in range(5):
            inner()
        gc.collect()
        return len(SYNC_CALL.get().on_abandon)

    assert outer() == 0


async def test_short_calls_do_not_add_up_behind_a_long_one():
    limit = sp.Timeout(3600)
    call = limit(asyncio.sleep)
    long = asyncio.create_task(call(60))
    await asyncio.sleep(0)
    lane = next(
        value for value in call.__globals__.values() if isinstance(value, AsyncLimit)
    )._lane

    for _ in range(3_000):
        await call(0)

    assert len(lane.queue) <= 1_001
    long.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await long
    assert len(lane.queue) == 0
