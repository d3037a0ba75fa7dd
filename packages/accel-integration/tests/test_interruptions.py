"""Calls that are interrupted, dropped or cancelled anywhere leave nothing behind."""

import asyncio
import gc
import threading

import pytest

from accel_integration import MemoryStore, called_by, sp
from accel_integration._context import CALLER
from accel_integration.testing import FakeClock

pytestmark = pytest.mark.anyio


class TimeLimitError(Exception):
    """What a worker raises in a job that takes too long, out of a signal handler."""


def test_thread_that_is_interrupted_while_it_waits_leaves_no_place_behind(monkeypatch):
    class InterruptedEvent(threading.Event):
        def wait(self, timeout=None):
            raise TimeLimitError

    bulkhead = sp.Bulkhead(1, max_wait=60)

    @bulkhead
    def call(inner):
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Event", InterruptedEvent)
            return inner()

    with pytest.raises(TimeLimitError):
        call(lambda: call(None))

    state = bulkhead.at(call)
    assert (state.active, len(state.waiting)) == (0, 0)


def test_thread_that_is_interrupted_while_it_waits_gives_its_turn_back():
    class InterruptedClock(FakeClock):
        def sleep_sync(self, seconds):
            raise TimeLimitError

    throttling = sp.Throttling(1, max_wait=60, clock=InterruptedClock())
    call = throttling(lambda: "ok")
    call()
    before = throttling.at(call).tat

    with pytest.raises(TimeLimitError):
        call()

    assert throttling.at(call).tat == before


def test_place_is_not_given_to_a_call_whose_loop_was_closed():
    bulkhead = sp.Bulkhead(1, max_wait=60)

    @bulkhead
    async def call(gate):
        await gate.wait()
        return "ok"

    gone, loop = asyncio.new_event_loop(), asyncio.new_event_loop()
    gate = asyncio.Event()
    holder = loop.create_task(call(gate))
    loop.run_until_complete(asyncio.sleep(0))
    waiter = call(gate)
    task = gone.create_task(waiter)
    gone.run_until_complete(asyncio.sleep(0))
    gone.close()

    gate.set()
    result = loop.run_until_complete(holder)
    waiter.close()
    task._log_destroy_pending = False

    assert result == "ok"
    assert bulkhead.at(call).active == 0
    assert loop.run_until_complete(call(gate)) == "ok"
    loop.close()


@pytest.mark.parametrize("store", [None, MemoryStore()])
def test_call_that_is_dropped_after_its_loop_ends_without_a_word(store):
    clock = FakeClock()
    breaker = sp.CircuitBreaker(1, 10, clock=clock, store=store, key="api")
    call = sp.Timeout(60)(breaker(asyncio.Event().wait))()
    loop = asyncio.new_event_loop()
    task = loop.create_task(call)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    call.close()
    task._log_destroy_pending = False

    assert breaker.state == "closed"


async def test_hedge_that_is_cancelled_twice_leaves_no_error_unseen():
    complaints, gate = [], asyncio.Event()

    @sp.Hedge(60)
    async def call():
        try:
            await asyncio.sleep(60)
        finally:
            await gate.wait()
            raise ConnectionError

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    task = asyncio.create_task(call())
    await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    gate.set()
    await asyncio.sleep(0.001)

    del task
    gc.collect()
    assert complaints == []


def test_generator_that_is_closed_forgets_who_called():
    def generator():
        with called_by(lambda: "GET /books"):
            yield CALLER.get()

    running = generator()
    assert next(running)() == "GET /books"

    running.close()

    assert CALLER.get() is None
