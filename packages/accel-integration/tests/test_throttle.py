"""Throttles keep to their rate, with bursts and with waiting."""

import asyncio
import contextlib
import threading

import pytest
from hypothesis import given, strategies as st

from accel_integration import MemoryStore, ThrottlingError, sp
from accel_integration.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["alone", "in a store"])
def throttling(request):
    """Make throttles, which do the same wherever they have their state."""

    def make(*args, clock=None, **options):
        clock = FakeClock() if clock is None else clock
        if request.param == "in a store":
            options["store"] = MemoryStore(clock=clock)
        return sp.Throttling(*args, **options, clock=clock)

    return make


async def ok():
    return "ok"


async def count_admitted(call, times):
    results = await asyncio.gather(
        *(call() for _ in range(times)), return_exceptions=True
    )
    return results.count("ok")


async def test_admits_as_many_at_once_as_in_a_second(throttling):
    call = throttling(10)(ok)

    assert await count_admitted(call, 15) == 10


async def test_lets_one_more_through_per_interval(throttling):
    clock = FakeClock()
    call = throttling(10, clock=clock)(ok)
    await count_admitted(call, 10)

    clock.advance(0.25)

    assert await count_admitted(call, 10) == 2


async def test_a_long_pause_allows_no_more_than_one_burst(throttling):
    clock = FakeClock()
    call = throttling(2, burst=3, clock=clock)(ok)
    await call()

    clock.advance(3600)

    assert await count_admitted(call, 10) == 3


async def test_burst_may_be_smaller_than_the_rate(throttling):
    call = throttling(10, burst=1)(ok)

    assert await count_admitted(call, 5) == 1


async def test_rejection_says_when_the_next_call_is_free(throttling):
    call = throttling(2, burst=1)(ok)
    await call()

    with pytest.raises(
        ThrottlingError, match="limited to 2 calls per second"
    ) as caught:
        await call()

    assert caught.value.retry_after == pytest.approx(0.5, abs=1e-2)
    assert caught.value.http_status == 429


async def test_rate_may_be_less_than_one(throttling):
    clock = FakeClock()
    call = throttling(0.5, clock=clock)(ok)

    assert await count_admitted(call, 3) == 1
    clock.advance(2)
    assert await count_admitted(call, 3) == 1


async def test_waits_for_its_turn_up_to_max_wait(throttling):
    clock = FakeClock(auto=False)
    call = throttling(1, burst=1, max_wait=2, clock=clock)(ok)

    tasks = [asyncio.create_task(call()) for _ in range(5)]
    await asyncio.sleep(0)
    waits = sorted(clock.sleeps)
    for _ in range(3):
        clock.advance(1)
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert waits == pytest.approx([1, 2], abs=0.01)
    assert results.count("ok") == 3
    assert sum(isinstance(r, ThrottlingError) for r in results) == 2


def test_threads_wait_for_their_turn_up_to_max_wait(throttling):
    clock = FakeClock()
    call = throttling(10, burst=1, max_wait=0.1, clock=clock)(len)

    assert [call("a"), call("bb"), call("ccc")] == [1, 2, 3]

    # One that sleeps moves the clock, so that each finds the one before it gone.
    assert clock.sleeps == pytest.approx([0.1, 0.1], abs=1e-3)


async def test_a_cancelled_wait_gives_its_turn_back():
    clock = FakeClock(auto=False)
    call = sp.Throttling(1, burst=1, max_wait=1.5, clock=clock)(ok)
    await call()
    waiter = asyncio.create_task(call())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert waiter.cancelled()

    second = asyncio.create_task(call())
    await asyncio.sleep(0)
    clock.advance(1)

    assert await second == "ok"


async def test_a_turn_before_others_is_not_given_back():
    clock = FakeClock(auto=False)
    call = sp.Throttling(1, burst=1, max_wait=5, clock=clock)(ok)
    await call()
    first, second = asyncio.create_task(call()), asyncio.create_task(call())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    third = asyncio.create_task(call())
    await asyncio.sleep(0)

    # The turns of the second and the third stay as far apart as they must.
    assert clock.sleeps == pytest.approx([1, 2, 3], abs=0.01)
    clock.advance(3)
    assert [await second, await third] == ["ok", "ok"]


async def test_a_listener_may_make_calls_of_its_own(throttling):
    throttle = throttling(1, burst=1)
    call = throttle(len)
    heard = []

    def listen(event):
        heard.append(event.reason)
        if len(heard) < 3:
            with contextlib.suppress(ThrottlingError):
                call("again")

    throttle.subscribe(listen)
    call("a")
    with pytest.raises(ThrottlingError):
        call("b")

    assert heard == ["throttled"] * 3


def test_threads_share_one_rate(throttling):
    call_count = []
    throttle = throttling(50)

    @throttle
    def call():
        call_count.append(1)

    def work():
        for _ in range(50):
            with contextlib.suppress(ThrottlingError):
                call()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(call_count) == 50


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 5), max_size=200),
)
def test_no_interval_ever_sees_more_than_burst_and_rate_allow(rate, burst, gaps):
    clock = FakeClock()
    throttle = sp.Throttling(rate, burst=burst, clock=clock)
    state = throttle.at("it")
    admitted = []

    for gap in gaps:
        clock.advance(gap / rate)
        try:
            state.reserve()
        except ThrottlingError:
            continue
        admitted.append(clock())

    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            allowed = burst + (admitted[last] - start) * rate
            assert last - first + 1 <= allowed + 0.01


async def test_each_key_has_a_rate_of_its_own(throttling):
    throttle = throttling(1, burst=1, key=lambda tenant, _=None: tenant)

    @throttle
    async def call(tenant, _=None):
        return tenant

    assert [await call("a"), await call("b", 1), await call("c", _=2)] == [
        "a",
        "b",
        "c",
    ]
    with pytest.raises(ThrottlingError, match=r"call\[a\] is limited"):
        await call("a")


def test_keys_work_for_threads_and_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr("accel_integration._throttle.MOST_KEYS", 2)
    call = sp.Throttling(1, burst=1, key=str, clock=FakeClock())(len)

    for key in ("a", "b", "c", "a"):
        call(key)

    with pytest.raises(ThrottlingError):
        call("c")


def test_the_key_that_was_not_seen_for_longest_is_forgotten_first(monkeypatch):
    monkeypatch.setattr("accel_integration._throttle.MOST_KEYS", 2)
    call = sp.Throttling(1, burst=1, key=str, clock=FakeClock())(len)
    call("a")
    call("b")
    with pytest.raises(ThrottlingError):
        call("a")

    call("c")

    with pytest.raises(ThrottlingError):
        call("a")
    assert call("b") == 1


async def test_functions_with_one_name_as_their_key_share_a_rate(throttling):
    throttle = throttling(1, burst=1, key="api")

    async def other():
        return "other"

    assert await throttle(ok)() == "ok"
    with pytest.raises(ThrottlingError, match="api is limited"):
        await throttle(other)()


def test_turn_that_comes_after_the_deadline_is_left_to_others():
    clock = FakeClock()
    call = sp.Throttling(0.1, burst=1, max_wait=60, clock=clock)(len)
    call("first")
    with pytest.raises(ThrottlingError):
        sp.Timeout(5)(call)("hasty")

    call("patient")

    assert clock.sleeps == [pytest.approx(10, abs=0.02)]


def test_says_in_words_that_it_goes_by_key():
    throttle = sp.Throttling(5, key=str)

    assert throttle.describe() == "allows 5 calls per second for each key"


@pytest.mark.parametrize("options", [{"calls_per_second": 0}, {"burst": 0}])
def test_senseless_options_are_refused(options):
    with pytest.raises(ValueError, match="must be >"):
        sp.Throttling(**options)


class Meeting(sp.Throttling):
    """A throttle that is woven by two threads at once."""

    barrier = None

    def weave(self, weaver, body):
        if self.barrier is not None:
            self.barrier.wait(5)
        super().weave(weaver, body)


class Api:
    origin = "https://a.test"


@pytest.mark.parametrize("is_pipeline", [False, True])
def test_keys_are_one_for_threads_that_make_the_first_call_together(is_pipeline):
    throttling = Meeting(1, burst=1, key=lambda api, key: key, clock=FakeClock())
    pipeline = sp.pipeline(throttling)
    endpoint = throttling(lambda api, key: key)
    throttling.barrier = threading.Barrier(2)
    outcomes = []

    def call():
        try:
            if is_pipeline:
                outcomes.append(pipeline.call(lambda api, key: key, Api(), "a"))
            else:
                outcomes.append(endpoint(Api(), "a"))
        except ThrottlingError:
            outcomes.append("refused")

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    throttling.barrier = None
    call()
    assert sorted(outcomes) == ["a", "refused", "refused"]


async def test_long_keys_are_told_apart_but_not_remembered(throttling):
    call = throttling(1, burst=1, key=str)(lambda key: "ok")
    longest, long = "k" * 200, "k" * 100_000

    for key in (longest, long, f"{long}1", f"{long}\ud800"):
        assert call(key) == "ok"
        with pytest.raises(ThrottlingError) as caught:
            call(key)
        assert len(str(caught.value)) < 500
