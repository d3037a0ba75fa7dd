"""Circuit breakers open, probe and close, whatever happens in between."""

import asyncio
import gc
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from accel_integration import (
    CircuitBreakerError,
    MemoryStore,
    StabilityTimeoutError,
    ThrottlingError,
    sp,
)
from accel_integration.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["alone", "in a store"])
def place(request, clock):
    """Where a circuit is and what its time is, which makes no difference."""
    store = MemoryStore(clock=clock) if request.param == "in a store" else None
    return {"store": store, "clock": clock}


class Upstream:
    """Does what it is told, and counts its calls."""

    def __init__(self):
        self.calls = 0
        self.error = None
        self.gate = None

    async def __call__(self):
        self.calls += 1
        error = self.error
        if self.gate is not None:
            await self.gate.wait()
        if error is not None:
            raise error
        return "ok"


async def trip(call, upstream, times=3):
    upstream.error = OSError("down")
    for _ in range(times):
        with pytest.raises(OSError, match="down"):
            await call()
    upstream.error = None


async def test_opens_after_failures_in_a_row_and_says_for_how_long(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(3, 10, **place)
    call = breaker(upstream)
    await trip(call, upstream)
    clock.advance(4)

    with pytest.raises(CircuitBreakerError, match=r"again in 6\.0 s") as caught:
        await call()

    assert breaker.state == "open"
    assert caught.value.retry_after == 6.0
    assert caught.value.http_status == 503
    assert upstream.calls == 3


async def test_a_success_ends_a_row_of_failures(place):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(3, **place)
    call = breaker(upstream)

    for _ in range(100):
        await trip(call, upstream, times=2)
        await call()

    assert breaker.state == "closed"


@pytest.mark.parametrize("probes", [1, 3])
async def test_half_open_lets_exactly_the_probes_through(place, clock, probes):
    upstream = Upstream()
    call = sp.CircuitBreaker(1, 10, probes=probes, **place)(upstream)
    await trip(call, upstream, times=1)
    clock.advance(10)
    upstream.calls, upstream.gate = 0, asyncio.Event()

    tasks = [asyncio.create_task(call()) for _ in range(50)]
    await asyncio.sleep(0)
    upstream.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert upstream.calls == probes
    assert results.count("ok") == probes
    assert sum(isinstance(r, CircuitBreakerError) for r in results) == 50 - probes


async def test_closes_once_all_probes_succeed(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(1, 10, probes=2, **place)
    call = breaker(upstream)
    await trip(call, upstream, times=1)
    clock.advance(10)

    assert breaker.state == "half_open"
    await call()
    assert breaker.state == "half_open"
    await call()
    assert breaker.state == "closed"


async def test_a_failed_probe_opens_it_again_for_the_whole_time(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(1, 10, **place)
    call = breaker(upstream)
    await trip(call, upstream, times=1)
    clock.advance(10)
    await trip(call, upstream, times=1)
    clock.advance(9.9)

    with pytest.raises(CircuitBreakerError):
        await call()
    assert breaker.state == "open"


async def test_a_success_from_before_the_trip_does_not_close_it(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(3, 10, **place)
    call = breaker(upstream)
    upstream.gate = asyncio.Event()
    slow = asyncio.create_task(call())
    await asyncio.sleep(0)
    gate, upstream.gate = upstream.gate, None
    await trip(call, upstream)

    clock.advance(10)
    gate.set()
    assert await slow == "ok"

    assert breaker.state == "half_open"


async def test_a_failure_from_before_the_trip_does_not_reopen_it(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(1, 10, **place)
    call = breaker(upstream)
    upstream.gate, upstream.error = asyncio.Event(), OSError("late")
    slow = asyncio.create_task(call())
    await asyncio.sleep(0)
    gate, upstream.gate = upstream.gate, None
    await trip(call, upstream, times=1)
    clock.advance(10)
    await call()

    gate.set()
    with pytest.raises(OSError, match="late"):
        await slow

    assert breaker.state == "closed"


async def test_cancellation_is_no_failure(place):
    upstream = Upstream()
    upstream.gate = asyncio.Event()
    breaker = sp.CircuitBreaker(1, **place)
    call = breaker(upstream)

    for _ in range(5):
        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert breaker.state == "closed"


async def test_a_cancelled_probe_gives_its_place_back(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(1, 10, **place)
    call = breaker(upstream)
    await trip(call, upstream, times=1)
    clock.advance(10)
    upstream.gate = asyncio.Event()
    probe = asyncio.create_task(call())
    await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    upstream.gate = None

    assert await call() == "ok"
    assert breaker.state == "closed"


async def test_a_probe_that_never_answers_loses_its_lease(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(1, 10, **place)
    call = breaker(upstream)
    await trip(call, upstream, times=1)
    clock.advance(10)
    upstream.gate = asyncio.Event()
    lost = asyncio.create_task(call())
    await asyncio.sleep(0)
    gate, upstream.gate = upstream.gate, None
    with pytest.raises(CircuitBreakerError):
        await call()

    clock.advance(10)
    upstream.error = OSError("down")
    with pytest.raises(OSError, match="down"):
        await call()
    upstream.error = None
    gate.set()
    await lost

    assert breaker.state == "open"


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        TypeError("x"),
        ThrottlingError("it", 1, 1),
        # What a task group raises whose calls were all refused.
        ExceptionGroup("x", [ThrottlingError("it", 1, 1), TypeError("x")]),
    ],
)
async def test_mistakes_and_rejections_do_not_count(place, error):
    upstream = Upstream()
    upstream.error = error
    breaker = sp.CircuitBreaker(1, **place)

    for _ in range(3):
        with pytest.raises(type(error)):
            await breaker(upstream)()

    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("others", "calls", "state"), [([], 1, "closed"), ([OSError()], 3, "open")]
)
async def test_a_group_is_retried_and_counted_if_one_of_it_is(
    place, others, calls, state
):
    upstream = Upstream()
    upstream.error = ExceptionGroup("x", [ThrottlingError("it", 1, 1), *others])
    breaker, retry = sp.CircuitBreaker(3, **place), sp.RetryPattern(3, delay=0)
    call = retry(breaker(upstream))

    await asyncio.gather(call(), return_exceptions=True)

    assert (upstream.calls, breaker.state) == (calls, state)


@pytest.mark.parametrize("fused", [True, False])
async def test_an_outer_timeout_counts_as_a_failure(place, fused):
    breaker = sp.CircuitBreaker(2, **place)

    @breaker
    async def hang():
        await asyncio.sleep(60)

    async def inner():
        return await hang()

    call = sp.Timeout(0.01)(hang if fused else inner)
    for _ in range(2):
        with pytest.raises(StabilityTimeoutError):
            await call()
        # A store hears of it in the background, since nobody can wait for it.
        await asyncio.sleep(0)

    assert breaker.state == ("open" if fused else "closed")


def test_an_outer_timeout_counts_for_sync_functions_at_once(place):
    breaker = sp.CircuitBreaker(2, **place)
    done = threading.Event()

    @sp.Timeout(0.01, abandon=True)
    @breaker
    def hang():
        done.wait(5)

    for _ in range(100):  # The time may be over before the thread begins.
        with pytest.raises(StabilityTimeoutError):
            hang()
        if breaker.state == "open":
            break
    assert breaker.state == "open"

    done.set()
    time.sleep(0.01)
    assert breaker.state == "open"


def test_sync_functions_share_one_circuit_among_threads(place, clock):
    breaker = sp.CircuitBreaker(1, 10, **place)
    calls, gate = [], threading.Event()

    @breaker
    def call():
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError
        gate.wait(5)

    with pytest.raises(ConnectionError):
        call()
    clock.advance(10)
    refused = []

    def attempt():
        try:
            call()
        except CircuitBreakerError as exc:
            refused.append(exc)

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    while len(refused) < 19:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join()

    assert len(calls) == 2
    assert breaker.state == "closed"


async def test_isolate_refuses_everything_until_close(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(**place)
    call = breaker(upstream)

    breaker.isolate()
    clock.advance(1_000)
    with pytest.raises(
        CircuitBreakerError, match=r"isolated by hand.*`close\(\)`"
    ) as e:
        await call()
    assert e.value.retry_after is None
    assert breaker.state == "isolated"
    breaker.close()

    assert await call() == "ok"


async def test_isolate_holds_for_places_that_come_later(place):
    breaker = sp.CircuitBreaker(**place)
    breaker.isolate()

    call = breaker(Upstream())

    with pytest.raises(CircuitBreakerError):
        await call()


async def test_one_bad_origin_does_not_open_the_others(place):
    breaker = sp.CircuitBreaker(1, **place)

    class Api:
        def __init__(self, origin):
            self.origin = origin

    @breaker
    async def fetch(api):
        if api.origin == "http://bad":
            raise ConnectionError
        return "ok"

    with pytest.raises(ConnectionError):
        await fetch(Api("http://bad"))

    assert await fetch(Api("http://good")) == "ok"
    assert breaker.at(fetch, "http://bad").state == "open"
    assert breaker.at(fetch, "http://good").state == "closed"
    assert breaker.state == "open"


def test_origins_are_told_apart_for_sync_functions_too(place):
    breaker = sp.CircuitBreaker(1, **place)

    class Api:
        def __init__(self, origin):
            self.origin = origin

    @breaker
    def fetch(api):
        if api.origin == "http://bad":
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fetch(Api("http://bad"))

    assert fetch(Api("http://good")) is None


async def test_two_functions_do_not_share_a_circuit(place):
    breaker = sp.CircuitBreaker(1, **place)
    first, second = Upstream(), Upstream()

    @breaker
    async def a():
        return await first()

    @breaker
    async def b():
        return await second()

    await trip(a, first, times=1)

    assert await b() == "ok"


async def test_failure_rate_needs_enough_calls(place):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(failure_rate=0.5, min_calls=10, window=10, **place)
    call = breaker(upstream)

    await trip(call, upstream, times=9)
    assert breaker.state == "closed"
    await trip(call, upstream, times=1)
    assert breaker.state == "open"


async def test_failure_rate_counts_a_share_not_a_row(place):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(failure_rate=0.5, min_calls=10, window=10, **place)
    call = breaker(upstream)

    for _ in range(30):
        for _ in range(5):
            await call()
        await trip(call, upstream, times=4)

    assert breaker.state == "closed"


async def test_window_forgets_old_failures(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(failure_rate=0.5, min_calls=4, window=10, **place)
    call = breaker(upstream)
    await trip(call, upstream, times=3)
    clock.advance(11)

    await trip(call, upstream, times=3)

    assert breaker.state == "closed"


async def test_slow_calls_count_as_failures(place, clock):
    breaker = sp.CircuitBreaker(2, slow_call=1, **place)

    @breaker
    async def slow(seconds):
        clock.advance(seconds)
        return "ok"

    assert await slow(2) == "ok"
    assert breaker.state == "closed"
    assert await slow(2) == "ok"

    assert breaker.state == "open"


async def test_a_result_counts_by_its_status(place):
    breaker = sp.CircuitBreaker(1, statuses={503}, **place)
    replies = iter([httpx.Response(200), httpx.Response(503)])

    @breaker
    async def fetch():
        return next(replies)

    await fetch()
    assert breaker.state == "closed"
    await fetch()
    assert breaker.state == "open"


async def test_a_status_counts_only_when_it_is_named(clock):
    named = sp.CircuitBreaker(1, statuses={503}, clock=clock)
    plain = sp.CircuitBreaker(1, clock=clock)

    async def fetch():
        return httpx.Response(503)

    assert (await named(fetch)()).status_code == 503
    assert (await plain(fetch)()).status_code == 503

    assert named.state == "open"
    assert plain.state == "closed"


async def test_listener_that_closes_it_is_told_after_the_others(place):
    breaker, upstream, heard = sp.CircuitBreaker(1, **place), Upstream(), []

    def close_again(event):
        if event.new == "open":
            breaker.close()

    breaker.subscribe(close_again)
    breaker.subscribe(lambda event: heard.append(event.new))

    await trip(breaker(upstream), upstream, times=1)

    assert heard == ["open", "closed"]
    assert breaker.state == "closed"


@pytest.mark.parametrize("seconds", [0, 5, 10])
async def test_listener_may_wait_for_a_thread_that_uses_the_circuit(
    place, clock, seconds
):
    breaker, upstream, hung = sp.CircuitBreaker(1, 10, **place), Upstream(), []
    call = breaker(upstream)

    def isolate_in_a_thread(_event):
        unsubscribe()
        thread = threading.Thread(target=breaker.isolate, daemon=True)
        thread.start()
        thread.join(5)
        hung.append(thread.is_alive())

    # It hears that the circuit has opened, that a call was refused, or of the probe.
    if not seconds:
        unsubscribe = breaker.subscribe(isolate_in_a_thread)
    await trip(call, upstream, times=1)
    if seconds:
        unsubscribe = breaker.subscribe(isolate_in_a_thread)
        clock.advance(seconds)
        await asyncio.gather(call(), return_exceptions=True)

    assert hung == [False]
    assert breaker.state == "isolated"


async def test_listeners_hear_of_changes_and_rejections(place, clock):
    upstream = Upstream()
    breaker = sp.CircuitBreaker(1, 10, **place)
    call = breaker(upstream)
    heard = []
    unsubscribe = breaker.subscribe(heard.append)

    await trip(call, upstream, times=1)
    with pytest.raises(CircuitBreakerError):
        await call()
    clock.advance(10)
    await call()
    unsubscribe()
    breaker.isolate()

    assert [(e.name, getattr(e, "new", None)) for e in heard] == [
        ("integration.breaker", "open"),
        ("integration.rejected", None),
        ("integration.breaker", "half_open"),
        ("integration.breaker", "closed"),
    ]


async def test_origins_that_were_not_called_for_long_are_forgotten(monkeypatch):
    monkeypatch.setattr("accel_integration._strategy.MAX_ORIGINS", 3)
    breaker = sp.CircuitBreaker(1)

    @breaker
    async def call(api):
        raise ConnectionError

    async def error_at(origin):
        with pytest.raises((ConnectionError, CircuitBreakerError)) as caught:
            await call(SimpleNamespace(origin=origin))
        return caught.type

    await error_at("once")
    await error_at("isolated")
    await breaker.at(call, "isolated").isolate()
    for number in range(10):
        await error_at("often")
        await error_at(f"{number}")

    assert await error_at("once") is ConnectionError
    assert await error_at("often") is CircuitBreakerError
    assert breaker.at(call, "often").state == "open"
    assert await error_at("isolated") is CircuitBreakerError


@pytest.mark.parametrize("is_isolated", [False, True])
def test_memory_does_not_grow_with_the_origins(monkeypatch, is_isolated):
    monkeypatch.setattr("accel_integration._strategy.MAX_ORIGINS", 4)
    breaker, throttle = sp.CircuitBreaker(key="all"), sp.Throttling()
    if is_isolated:
        breaker.isolate()

    @sp.Fallback(None)
    @breaker
    @throttle
    def call(api):
        return api.origin

    def objects():
        gc.collect()
        return len(gc.get_objects())

    for number in range(20):
        call(SimpleNamespace(origin=f"{number}"))
    before = objects()
    for number in range(20, 120):
        call(SimpleNamespace(origin=f"{number}"))

    assert objects() - before < 100
