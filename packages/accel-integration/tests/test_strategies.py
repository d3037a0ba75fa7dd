"""Fallbacks, bulkheads, hedges, adaptive limits, chaos, pipelines, and their order."""

import asyncio
import functools
import inspect
import itertools
import random
import threading
import time
import warnings
from typing import Any

import httpx
import pytest

from accel_integration import (
    ApiHTTP,
    BulkheadFullError,
    CircuitBreakerError,
    EndpointsDeclaration,
    IntegrationHTTP,
    MaxRetriesExceededError,
    OrderWarning,
    StabilityTimeoutError,
    sp,
)
from accel_integration._hedge import Racing
from accel_integration.testing import FakeClock

pytestmark = pytest.mark.anyio


async def down(*args, **kwargs):
    raise ConnectionError("down")


# Fallback ------------------------------------------------------------------------


async def test_fallback_may_be_a_value_which_nobody_can_spoil():
    call = sp.Fallback([])(down)

    first = await call()
    first.append("spoilt")

    assert await call() == []


async def test_fallback_without_parameters_is_called_without_any():
    assert await sp.Fallback(lambda: "else")(down)(1, b=2) == "else"


async def test_fallback_sees_the_exception_and_the_arguments():
    async def otherwise(a, exc, *, b):
        return a, b, str(exc)

    assert await sp.Fallback(otherwise)(down)(1, b=2) == (1, 2, "down")


async def test_fallback_may_want_only_the_exception():
    assert await sp.Fallback(lambda exc: str(exc) + "!")(down)(1, b=2) == "down!"


async def test_fallback_answers_rejections_too():
    breaker = sp.CircuitBreaker()
    breaker.isolate()

    call = sp.Fallback(lambda exc: type(exc).__name__)(breaker(down))

    assert await call() == "CircuitBreakerError"


async def test_fallback_for_other_exceptions_stays_out_of_it():
    with pytest.raises(ConnectionError):
        await sp.Fallback("else", on=KeyError)(down)()


def test_fallback_of_a_sync_function_is_sync():
    @sp.Fallback(lambda a: a * 2)
    def broken(a):
        raise ConnectionError

    assert broken(2) == 4
    with pytest.raises(TypeError, match="give a sync function"):
        sp.Fallback(down)(lambda: None)


# Bulkhead ------------------------------------------------------------------------


async def test_bulkhead_refuses_what_is_too_much():
    gate = asyncio.Event()
    call = sp.Bulkhead(3)(gate.wait)

    tasks = [asyncio.create_task(call()) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results.count(True) == 3
    full = [r for r in results if isinstance(r, BulkheadFullError)]
    assert len(full) == 2
    assert "already has 3 calls under way" in str(full[0])


async def test_bulkhead_hands_places_on_in_the_order_of_arrival():
    order = []

    @sp.Bulkhead(1, max_wait=5)
    async def work(number):
        await asyncio.sleep(0)
        order.append(number)

    await asyncio.gather(*(work(number) for number in range(5)))

    assert order == [0, 1, 2, 3, 4]


async def test_bulkhead_wait_ends():
    gate = asyncio.Event()
    bulkhead = sp.Bulkhead(1, max_wait=0.01)
    call = bulkhead(gate.wait)
    first = asyncio.create_task(call())
    await asyncio.sleep(0)

    with pytest.raises(BulkheadFullError):
        await call()
    gate.set()
    await first

    assert bulkhead.at(gate.wait).active == 0


async def test_bulkhead_limits_who_may_wait():
    gate = asyncio.Event()
    call = sp.Bulkhead(1, max_wait=5, max_waiting=1)(gate.wait)
    tasks = [asyncio.create_task(call()) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(r) for r in results] == [bool, bool, BulkheadFullError]


async def test_bulkhead_loses_no_place_to_cancellation():
    gate = asyncio.Event()
    bulkhead = sp.Bulkhead(1, max_wait=5)

    @bulkhead
    async def call():
        await gate.wait()

    running, waiting, last = (asyncio.create_task(call()) for _ in range(3))
    await asyncio.sleep(0)
    running.cancel()
    waiting.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    gate.set()
    await last

    assert bulkhead.at(call).active == 0


def test_bulkhead_holds_threads_back():
    active, seen = [], []

    @sp.Bulkhead(2, max_wait=5)
    def work():
        active.append(1)
        seen.append(len(active))
        time.sleep(0.002)
        active.pop()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 10
    assert max(seen) <= 2


async def test_bulkhead_keeps_its_places_when_somebody_stops_waiting():
    gate = asyncio.Event()
    bulkhead = sp.Bulkhead(1, max_wait=0.5)
    call = bulkhead(gate.wait)
    running, waiting = (asyncio.create_task(call()) for _ in range(2))
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert waiting.cancelled()
    assert bulkhead.at(gate.wait).active == 1
    last = asyncio.create_task(call())
    await asyncio.sleep(0)
    gate.set()
    # A short wait is a wait, too.
    assert [await running, await last] == [True, True]
    assert bulkhead.at(gate.wait).active == 0


def test_bulkhead_hands_places_of_threads_on_and_refuses_who_waits_too_long():
    free, began = threading.Event(), threading.Event()
    bulkhead = sp.Bulkhead(1, max_wait=0.02, max_waiting=1)

    @bulkhead
    def work(name):
        began.set()
        free.wait(5)
        return name

    results = []
    thread = threading.Thread(target=lambda: results.append(work("first")))
    thread.start()
    began.wait(5)

    with pytest.raises(BulkheadFullError):
        work("late")
    free.set()
    thread.join()

    assert work("next") == "next"
    assert results == ["first"]
    assert bulkhead.at(work).active == 0


async def test_bulkhead_without_a_queue_refuses_at_once():
    gate = asyncio.Event()
    call = sp.Bulkhead(1, max_wait=60, max_waiting=0)(gate.wait)
    first = asyncio.create_task(call())
    await asyncio.sleep(0)

    with pytest.raises(BulkheadFullError):
        await call()
    gate.set()

    assert await first is True


# Adaptive limit ------------------------------------------------------------------


async def run_at_load(limit, clock, duration, rounds):
    state = limit.at("it")
    for _ in range(rounds):
        starts = [state.enter() for _ in range(int(state.limit))]
        clock.advance(duration)
        for start in starts:
            state.succeeded(start)
    return state.limit


async def test_adaptive_limit_grows_while_latency_stays():
    clock = FakeClock()
    limit = sp.AdaptiveLimit(10, maximum=100, clock=clock)

    assert await run_at_load(limit, clock, 0.1, 30) > 50


async def test_adaptive_limit_shrinks_when_latency_rises():
    clock = FakeClock()
    limit = sp.AdaptiveLimit(50, clock=clock)
    before = await run_at_load(limit, clock, 0.1, 3)

    after = await run_at_load(limit, clock, 1.0, 1)

    assert after < before / 2


async def test_adaptive_limit_shrinks_on_failures_and_refuses_the_rest():
    limit = sp.AdaptiveLimit(2, minimum=1)
    call = limit(down)
    for _ in range(20):
        with pytest.raises(ConnectionError):
            await call()

    assert limit.at(down).limit == 1

    limit.at(down).enter()
    with pytest.raises(BulkheadFullError, match="already has 1 calls"):
        await call()


async def test_adaptive_limit_learns_nothing_from_cancellation():
    limit = sp.AdaptiveLimit(5)

    @limit
    async def hang():
        await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (limit.at(hang).active, limit.at(hang).limit) == (0, 5.0)


async def test_adaptive_limit_moves_as_the_gradient_algorithm_says():
    clock = FakeClock()
    limit = sp.AdaptiveLimit(4, clock=clock)
    state = limit.at("it")

    seen = []
    for duration in (1, 1, 3, 100):
        starts = [state.enter() for _ in range(4)]
        clock.advance(duration)
        state.succeeded(starts.pop())
        seen.append(state.limit)
        for _ in starts:
            state.leave()

    # The usual duration is 1 for two calls, then 1.02, and then about 2.01; a fifth of
    # the way goes to (limit times 1.5 times usual per duration) plus its root.
    assert seen == pytest.approx([4.4, 4.819524, 4.786278, 4.745202], rel=1e-6)


async def test_adaptive_limit_loses_a_tenth_to_each_failure():
    state = sp.AdaptiveLimit(100).at("it")
    for _ in range(2):
        state.enter()

    state.failed(ConnectionError())
    assert state.limit == 90
    state.failed(ConnectionError())

    assert state.limit == 81
    assert state.active == 0


async def test_adaptive_limit_that_is_fixed_serves_one_call_after_another():
    # Each takes no time at all on this clock.
    limit = sp.AdaptiveLimit(1, minimum=1, maximum=1, clock=FakeClock())

    @limit
    async def call(number):
        return number

    assert [await call(number) for number in range(5)] == list(range(5))
    assert (limit.at(call).active, limit.at(call).limit) == (0, 1)


@pytest.mark.parametrize("strategy", [sp.AdaptiveLimit(1), sp.Bulkhead(1)], ids=repr)
def test_listeners_hear_of_calls_that_found_no_place(strategy):
    heard = []
    strategy.subscribe(heard.append)

    @strategy
    def call(depth):
        if depth:
            with pytest.raises(BulkheadFullError):
                call(depth - 1)

    call(1)

    assert [(event.name, event.reason) for event in heard] == [
        ("integration.rejected", "full")
    ]


@pytest.mark.parametrize(("busy", "grows"), [(4, False), (5, True)])
async def test_adaptive_limit_learns_only_under_load(busy, grows):
    clock = FakeClock()
    state = sp.AdaptiveLimit(10, clock=clock).at("it")
    starts = [state.enter() for _ in range(busy)]

    clock.advance(1)
    state.succeeded(starts[0])

    assert (state.limit > 10) is grows


async def test_adaptive_limit_keeps_within_its_bounds():
    clock = FakeClock()
    limit = sp.AdaptiveLimit(10, minimum=9, maximum=11, clock=clock)

    assert await run_at_load(limit, clock, 0.1, 20) == 11
    assert await run_at_load(limit, clock, 100, 3) == 9


@pytest.mark.parametrize("error", [TypeError(), CircuitBreakerError("it", 1)])
async def test_adaptive_limit_learns_nothing_from_mistakes_and_rejections(error):
    limit = sp.AdaptiveLimit(10)

    @limit
    async def call():
        raise error

    with pytest.raises(type(error)):
        await call()

    assert (limit.at(call).active, limit.at(call).limit) == (0, 10)


# Hedge ---------------------------------------------------------------------------


async def test_hedge_takes_the_first_answer_and_cancels_the_other():
    ended = []

    @sp.Hedge(0.01)
    async def call():
        number = len(ended)
        ended.append("running")
        try:
            await asyncio.sleep(60 if number == 0 else 0)
        except asyncio.CancelledError:
            ended[number] = "cancelled"
            raise
        ended[number] = "won"
        return number

    assert await call() == 1
    assert ended == ["cancelled", "won"]


async def test_hedge_is_not_made_for_a_fast_call():
    calls = []

    @sp.Hedge(5)
    async def call():
        calls.append(1)
        return "ok"

    for _ in range(50):
        assert await call() == "ok"
    assert len(calls) == 50


@pytest.mark.parametrize("is_async", [True, False])
async def test_hedge_learns_its_delay_from_the_calls(is_async):
    clock = FakeClock()
    hedge = sp.Hedge(1000, percentile=0.9, clock=clock)
    durations = itertools.chain([5, 2] * 10, itertools.repeat(0))

    def work():
        clock.advance(next(durations))

    async def async_work():
        work()

    call = hedge(async_work if is_async else work)
    for _ in range(19):
        await call() if is_async else call()
    at_first = race_of(call).durations.delay
    await call() if is_async else call()
    learnt = race_of(call).durations.delay
    for _ in range(200):
        await call() if is_async else call()

    assert (at_first, learnt) == (1000, 5)
    assert race_of(call).durations.delay == 0


def test_hedge_stands_a_clock_that_goes_back():
    times = itertools.cycle([2, 1])
    call = sp.Hedge(60, percentile=0.9, clock=lambda: next(times))(lambda: "ok")

    assert {call() for _ in range(30)} == {"ok"}


def run_at_once(loop, coro, *, context):
    """Do what eager tasks of Python 3.12 do, for what does not wait."""
    future = loop.create_future()
    try:
        context.run(coro.send, None)
    except StopIteration as stop:
        future.set_result(stop.value)
    except ConnectionError as exc:
        future.set_exception(exc)
    return future


eager_task = getattr(asyncio, "eager_task_factory", run_at_once)


@pytest.mark.parametrize("failures", [0, 1])
async def test_hedge_takes_the_answer_of_an_eager_task(failures):
    loop = asyncio.get_running_loop()
    outcomes = [ConnectionError()] * failures + ["ok"]

    @sp.RetryPattern(2, delay=0)
    @sp.Hedge(60)
    async def call():
        if isinstance(outcome := outcomes.pop(0), Exception):
            raise outcome
        return outcome

    loop.set_task_factory(eager_task)
    try:
        assert await call() == "ok"
    finally:
        loop.set_task_factory(None)


def race_of(call):
    """Return the hedge of *call* in the one place it has."""
    return next(
        value for value in call.__globals__.values() if isinstance(value, Racing)
    )


async def test_hedge_with_a_percentile_asks_again_for_a_call_slower_than_most():
    hedge = sp.Hedge(1000, percentile=0.5)
    slow = []

    @hedge
    async def call():
        if slow:
            await asyncio.sleep(slow.pop())
        return "ok"

    for _ in range(20):
        await call()
    slow.append(3600)

    assert await asyncio.wait_for(call(), 30) == "ok"


@pytest.mark.parametrize("max_hedges", [1, 2])
async def test_hedge_is_made_as_often_as_allowed(max_hedges):
    hedge = sp.Hedge(0.001, max_hedges=max_hedges)
    calls, heard, all_made = [], [], asyncio.Event()
    hedge.subscribe(heard.append)

    @hedge
    async def call():
        calls.append(1)
        if len(calls) > max_hedges:
            all_made.set()
        await all_made.wait()
        await asyncio.sleep(0.05)  # Time for one too many.
        return "ok"

    assert await call() == "ok"
    assert len(calls) == 1 + max_hedges
    assert [event.attempt for event in heard] == [2, 3][:max_hedges]


@pytest.mark.parametrize("max_hedges", [1, 2])
def test_hedge_of_threads_is_made_as_often_as_allowed(max_hedges):
    hedge = sp.Hedge(0.001, max_hedges=max_hedges)
    calls, heard, all_made = [], [], threading.Event()
    hedge.subscribe(heard.append)

    @hedge
    def call():
        calls.append(1)
        if len(calls) > max_hedges:
            all_made.set()
        all_made.wait(5)
        time.sleep(0.05)  # Time for one too many.
        return "ok"

    assert call() == "ok"
    assert len(calls) == 1 + max_hedges
    assert [event.attempt for event in heard] == [2, 3][:max_hedges]


def test_hedge_of_threads_survives_the_failure_of_one():
    second_started, calls = threading.Event(), []

    @sp.Hedge(0.01)
    def call():
        calls.append(1)
        if len(calls) == 1:
            second_started.wait(5)
            raise ConnectionError
        second_started.set()
        time.sleep(0.02)
        return "ok"

    assert call() == "ok"


@pytest.mark.parametrize("percentile", [0, 1, -0.5, 95])
def test_hedge_wants_a_share_as_its_percentile(percentile):
    with pytest.raises(ValueError, match='"percentile" must be > 0 and < 1'):
        sp.Hedge(1, percentile=percentile)


async def test_hedge_fails_when_all_have_failed():
    @sp.Hedge(0.001, max_hedges=2)
    async def call():
        await asyncio.sleep(0.01)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await call()


async def test_hedge_survives_the_failure_of_one():
    second_started, first_failed, calls = asyncio.Event(), asyncio.Event(), []

    @sp.Hedge(0.01)
    async def call():
        calls.append(1)
        if len(calls) == 1:
            await second_started.wait()
            first_failed.set()
            raise ConnectionError
        second_started.set()
        await first_failed.wait()
        await asyncio.sleep(0.01)
        return "ok"

    assert await call() == "ok"


async def test_hedge_takes_everybody_along_when_it_is_cancelled():
    running, everybody = set(), asyncio.Event()

    @sp.Hedge(0.001, max_hedges=2)
    async def call():
        task = asyncio.current_task()
        running.add(task)
        if len(running) == 3:
            everybody.set()
        try:
            await asyncio.sleep(60)
        finally:
            running.remove(task)

    task = asyncio.create_task(call())
    await everybody.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert running == set()


async def test_timeout_around_a_hedge_counts_as_a_failure_of_the_breaker_inside():
    breaker = sp.CircuitBreaker(1)

    @sp.Timeout(0.01)
    @sp.Hedge(0.001)
    @breaker
    async def hang():
        await asyncio.sleep(60)

    with pytest.raises(StabilityTimeoutError):
        await hang()

    assert breaker.state == "open"


def test_hedge_of_threads_takes_the_first_answer():
    calls, gate = [], threading.Event()

    @sp.Hedge(0.01)
    def call():
        calls.append(1)
        if len(calls) == 1:
            gate.wait(5)
            return "slow"
        return "fast"

    assert call() == "fast"
    gate.set()


def test_hedge_of_threads_fails_when_all_have_failed():
    @sp.Hedge(0.001)
    def call():
        time.sleep(0.01)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        call()


def busy(_request):
    return httpx.Response(503)


class Hedged(EndpointsDeclaration):
    integration = IntegrationHTTP("Hedged")

    @integration.endpoint("get", "/call")
    @sp.Hedge(60)
    async def call(api: ApiHTTP) -> Any:
        (await api.client.get(str(api.url))).raise_for_status()

    @integration.endpoint("get", "/call_sync")
    @sp.Hedge(60)
    def call_sync(api: ApiHTTP) -> Any:
        api.client.get(str(api.url)).raise_for_status()


async def test_call_knows_the_status_that_its_hedge_has_seen():
    finished, transport = [], httpx.MockTransport(busy)
    unsubscribe = Hedged.integration.subscribe(finished.append)

    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.HTTPStatusError):
            await Hedged("http://hedged.test", client=client).call()
    with httpx.Client(transport=transport) as client:
        there = Hedged("http://hedged.test", client=client)
        with pytest.raises(httpx.HTTPStatusError):
            there.call_sync()
    unsubscribe()

    assert [event.status for event in finished] == [503, 503]


async def test_call_knows_of_the_fallback_inside_of_its_hedge():
    with pytest.warns(OrderWarning):

        class Answered(EndpointsDeclaration):
            integration = IntegrationHTTP("Answered")

            @integration.endpoint("get", "/call")
            @sp.Hedge(60)
            @sp.Fallback({"answered": True})
            async def call(api: ApiHTTP) -> dict[str, bool]:
                (await api.client.get(str(api.url))).raise_for_status()

    async with httpx.AsyncClient(transport=httpx.MockTransport(busy)) as client:
        answer = await Answered("http://hedged.test", client=client).call()

    assert answer == {"answered": True}


# Chaos ---------------------------------------------------------------------------


async def test_chaos_fails_and_delays_its_share():
    clock = FakeClock()
    chaos = sp.Chaos(
        error_rate=0.3,
        latency_rate=0.5,
        latency=2,
        rng=random.Random(7),
        clock=clock,
    )

    async def fine():
        return "ok"

    call = chaos(fine)
    results = await asyncio.gather(
        *(call() for _ in range(1_000)), return_exceptions=True
    )

    assert 250 < sum(isinstance(r, ConnectionError) for r in results) < 350
    assert 450 < clock.sleeps.count(2.0) < 550


async def test_chaos_can_be_switched_off_while_it_runs():
    is_on = False
    call = sp.Chaos(error_rate=1, error=OSError("chaos"), enabled=lambda: is_on)

    @call
    async def fine():
        return "ok"

    assert await fine() == "ok"
    is_on = True
    with pytest.raises(OSError, match="chaos"):
        await fine()


def test_chaos_reaches_sync_functions():
    clock = FakeClock()
    chaos = sp.Chaos(error_rate=1, latency_rate=1, latency=3, clock=clock)

    with pytest.raises(ConnectionError, match=r"injected by `sp\.Chaos`"):
        chaos(len)("a")
    assert clock.sleeps == [3.0]


# Pipeline ------------------------------------------------------------------------


async def test_pipeline_is_the_same_as_the_stack():
    flaky = iter([ConnectionError(), "ok"])

    @sp.pipeline(sp.Timeout(1), sp.RetryPattern(2, 0))
    async def fetch():
        answer = next(flaky)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await fetch() == "ok"


async def test_pipeline_calls_what_was_never_decorated():
    breaker = sp.CircuitBreaker(2)
    pipeline = sp.pipeline(sp.RetryPattern(2, 0), breaker)

    with pytest.raises(MaxRetriesExceededError):
        await pipeline.call(down, 1, key=2)
    with pytest.raises(CircuitBreakerError):
        await pipeline.call(asyncio.sleep, 0)

    assert breaker.at("pipeline").state == "open"


def test_pipeline_calls_sync_functions():
    assert sp.pipeline(sp.Timeout(5), sp.Throttling(5)).call(divmod, 7, 2) == (3, 1)


def test_pipeline_refuses_a_coroutine_that_nobody_would_wait_for():
    async def fetch(url):
        raise ConnectionError

    pipeline = sp.pipeline(sp.Fallback("nothing"), sp.RetryPattern(3, 0))

    with pytest.raises(TypeError, match="<lambda>' is no async function"):
        pipeline.call(lambda: fetch("/"))


def test_pipeline_leaves_all_names_of_arguments_to_the_function():
    assert sp.pipeline(sp.Timeout(5)).call(dict, func=1) == {"func": 1}


# Fusing and order ----------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
async def test_functions_of_a_pipeline_get_the_arguments_of_its_calls(is_async):
    keys = []
    pipeline = sp.pipeline(
        sp.Fallback(lambda city, *, hour: f"no forecast for {city} at {hour}"),
        sp.Timeout(5, abandon=True),
        sp.Hedge(5),
        sp.Throttling(key=lambda city, *, hour: keys.append((city, hour))),
    )

    def fail(city, *, hour):
        raise ConnectionError

    async def fail_async(city, *, hour):
        raise ConnectionError

    result = pipeline.call(fail_async if is_async else fail, "Oslo", hour=7)

    answer = (await result) if is_async else result
    assert answer == "no forecast for Oslo at 7"
    assert keys == [("Oslo", 7)]


async def test_stacked_decorators_become_one_function():
    @sp.Fallback("else")
    @sp.RetryPattern(2, 0)
    @sp.CircuitBreaker()
    @sp.Throttling()
    async def call(a, b):
        """Do something."""

    assert call.__wrapped__.__code__.co_name == "call"
    assert not hasattr(call.__wrapped__, "__wrapped__")
    assert call.__doc__ == "Do something."
    assert inspect.iscoroutinefunction(call)
    assert list(inspect.signature(call).parameters) == ["a", "b"]


async def test_a_foreign_decorator_in_between_is_not_dropped():
    seen = []

    def foreign(func):
        @functools.wraps(func)
        async def wrapper(*args):
            seen.append(args)
            return await func(*args)

        return wrapper

    @sp.Timeout(1)
    @foreign
    @sp.RetryPattern(2, 0)
    async def call(a):
        return a

    assert await call(1) == 1
    assert seen == [(1,)]


def test_decorators_keep_signatures():
    def fetch(city: str, *, days: int = 1) -> list[float]:
        """Ask for the weather."""

    guarded = sp.Timeout(5)(sp.RetryPattern()(sp.CircuitBreaker()(fetch)))

    assert inspect.signature(guarded) == inspect.signature(fetch)
    assert guarded.__doc__ == fetch.__doc__
    assert guarded.__name__ == "fetch"


async def test_methods_stay_methods():
    class Client:
        @sp.RetryPattern()
        async def get(self, a):
            return self, a

    client = Client()

    assert await client.get(1) == (client, 1)


async def test_partials_and_callable_objects_are_decorated_too():
    class Caller:
        async def __call__(self, a):
            return a

    async def add(a, b):
        return a + b

    assert await sp.Timeout(1)(Caller())(3) == 3
    assert await sp.Timeout(1)(functools.partial(add, 1))(2) == 3


async def test_partial_has_the_name_of_what_it_calls():
    async def fail(a):
        raise ConnectionError

    breaker = sp.CircuitBreaker(1)
    with pytest.raises(ConnectionError):
        await breaker(functools.partial(functools.partial(fail), 1))()

    assert breaker.at(fail).failures == 0
    assert breaker.at(fail).state == "open"


def test_class_is_called_although_its_instances_are_async():
    class Caller:
        async def __call__(self):
            return "ok"

    def fail():
        raise ConnectionError

    assert isinstance(sp.RetryPattern()(Caller)(), Caller)
    assert isinstance(sp.Fallback(Caller)(fail)(), Caller)


def test_methods_of_builtins_are_decorated_too():
    upper = sp.CircuitBreaker()(str.upper)

    assert upper("a") == "A"


async def stream():
    yield 1


def numbers():
    yield 1


class Stream:
    """What gives a stream when it is called."""

    def __call__(self):
        yield 1

    async def slowly(self):
        yield 1


@pytest.mark.parametrize(
    "func",
    [stream, numbers, Stream(), Stream().slowly, functools.partial(Stream())],
)
@pytest.mark.parametrize("decorate", [sp.RetryPattern(), sp.pipeline().call])
def test_generators_are_refused(decorate, func):
    with pytest.raises(TypeError, match="it is a generator"):
        decorate(func)


@pytest.mark.parametrize("decorate", [sp.RetryPattern(), sp.pipeline().call])
def test_what_is_no_function_is_refused(decorate):
    with pytest.raises(TypeError, match="Cannot decorate a str, which is no function"):
        decorate("it")


@pytest.mark.parametrize("kind", [staticmethod, classmethod, property])
def test_what_becomes_a_method_later_is_refused(kind):
    with pytest.raises(TypeError, match=f"write the strategy below `@{kind.__name__}`"):
        sp.RetryPattern()(kind(lambda: 1))


@pytest.mark.parametrize(
    ("outer", "inner", "message"),
    [
        (sp.RetryPattern(), sp.Fallback(1), "never sees a failure"),
        (sp.CircuitBreaker(), sp.Fallback(1), "never sees a failure"),
        (sp.Hedge(1), sp.Fallback(1), "never sees a failure"),
        (sp.Throttling(), sp.RetryPattern(), "escape the limit"),
        (sp.Throttling(), sp.Hedge(1), "escape the limit"),
        (sp.Bulkhead(), sp.RetryPattern(), "keeps its place while it waits"),
        (sp.AdaptiveLimit(), sp.RetryPattern(), "keeps its place while it waits"),
        (sp.Timeout(1), sp.Timeout(2), "always ends before the inner one"),
        (sp.RetryPattern(3), sp.RetryPattern(4), "made up to 12 times"),
        (sp.Timeout(5), sp.RetryPattern(delay=5), "nothing is ever retried"),
        (
            sp.Timeout(5),
            sp.RetryPattern(delay=10, jitter="equal"),
            "nothing is ever retried",
        ),
        (sp.Chaos(), sp.RetryPattern(), "Put the Chaos innermost"),
    ],
)
def test_doubtful_order_is_warned_of(outer, inner, message):
    with pytest.warns(OrderWarning, match=message) as caught:
        outer(inner(down))

    assert caught[0].filename == __file__


def test_doubtful_order_of_a_pipeline_is_warned_of():
    with pytest.warns(OrderWarning, match="escape the limit") as caught:
        sp.pipeline(sp.Throttling(), sp.Timeout(), sp.RetryPattern())

    assert caught[0].filename == __file__


def test_sensible_orders_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sp.Timeout()(sp.RetryPattern()(down))
        sp.Bulkhead()(sp.Hedge(1)(down))
        sp.pipeline(
            sp.Fallback(1),
            sp.Timeout(30),
            sp.RetryPattern(),
            sp.CircuitBreaker(),
            sp.Throttling(),
            sp.Bulkhead(),
            sp.Timeout(5),
            sp.Chaos(),
        )


def test_every_strategy_says_in_words_what_it_does():
    words = [
        strategy.describe()
        for strategy in (
            sp.AdaptiveLimit(),
            sp.Bulkhead(5, max_wait=1),
            sp.Chaos(error_rate=0.1, latency_rate=0.5, latency=2),
            sp.CircuitBreaker(failure_rate=0.5, slow_call=3, statuses={503}),
            sp.CircuitBreaker(),
            sp.Fallback("x"),
            sp.Fallback(down),
            sp.Hedge(0.2),
            sp.Throttling(5, burst=2, max_wait=1),
            sp.Timeout(3),
        )
    ]

    assert words == [
        "allows 1 to 200 calls at once, as latency tells",
        "allows 5 calls at once, waiting up to 1 s",
        "fails 10% of the calls on purpose, and delays 50% by 2 s",
        (
            "opens for 10 s when 50% of the calls of 10 s fail, calls over 3 s "
            "included, also on status 503"
        ),
        "opens for 10 s after 3 failures in a row",
        "falls back to a fixed value",
        "falls back to down",
        "asks once more when there is no answer after 0.2 s",
        "allows 5 calls per second and 2 at once, waiting up to 1 s",
        "gives up after 3 s",
    ]
    assert repr(sp.Timeout(3)) == "<Timeout: gives up after 3 s>"


def test_unsubscribing_twice_leaves_the_same_listener_of_another():
    strategy, heard = sp.Bulkhead(1), []
    unsubscribe = strategy.subscribe(heard.append)
    strategy.subscribe(heard.append)

    unsubscribe()
    unsubscribe()

    with pytest.raises(BulkheadFullError):
        strategy(strategy(lambda: None))()
    assert len(heard) == 1


async def test_failing_listener_is_logged_and_harms_nobody(caplog):
    retry = sp.RetryPattern(2, 0)
    heard = []

    def broken(event):
        raise RuntimeError("listener")

    retry.subscribe(broken)
    retry.subscribe(heard.append)
    with pytest.raises(MaxRetriesExceededError):
        await retry(down)()

    assert [event.attempt for event in heard] == [1]
    assert "A listener of 'integration.retry' failed." in caplog.text
