"""Each condition of a circuit breaker, at the value where it changes its mind."""

import threading
from collections import deque

import httpx
import pytest
from hypothesis import example, given, strategies as st

from accel_integration import (
    CircuitBreakerError,
    MemoryStore,
    StabilityTimeoutError,
    sp,
)
from accel_integration._window import RateWindow
from accel_integration.testing import FakeClock

# Until a thread that has been set free is done, on a busy machine too.
PATIENCE = 30


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["alone", "in a store"])
def circuit_breaker(request, clock):
    """Make circuit breakers, which do the same wherever they have their state."""

    def make(*args, **options):
        if request.param == "in a store":
            options["store"] = MemoryStore(clock=clock)
        return sp.CircuitBreaker(*args, **options, clock=clock)

    return make


def act(outcome):
    """Return *outcome*, or raise it."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def fail(call, times=1):
    for _ in range(times):
        with pytest.raises(ConnectionError):
            call(ConnectionError())


def status_error(status):
    request = httpx.Request("GET", "http://host")
    response = httpx.Response(status, request=request)
    return httpx.HTTPStatusError("no", request=request, response=response)


def events_of(breaker):
    heard = []
    breaker.subscribe(heard.append)
    return heard


def test_a_call_as_long_as_slow_call_is_not_yet_slow(circuit_breaker, clock):
    breaker = circuit_breaker(1, slow_call=2)

    breaker(clock.advance)(2)

    assert breaker.state == "closed"
    breaker(lambda: clock.advance(2.001))()
    assert breaker.state == "open"


def test_a_fast_call_ends_a_row_of_slow_ones(circuit_breaker, clock):
    breaker = circuit_breaker(2, slow_call=1)
    call = breaker(clock.advance)

    for seconds in (2, 0, 2, 0, 2):
        call(seconds)

    assert breaker.state == "closed"


def test_fast_calls_count_in_the_share_of_slow_ones(circuit_breaker, clock):
    breaker = circuit_breaker(failure_rate=0.5, min_calls=4, slow_call=1, window=100)
    call = breaker(clock.advance)

    for seconds in (0, 0, 2):
        call(seconds)

    assert breaker.state == "closed"
    call(2)
    assert breaker.state == "open"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (httpx.Response(503), "open"),
        (httpx.Response(500), "closed"),
        (httpx.Response(200), "closed"),
        ("no response", "closed"),
        (status_error(503), "open"),
        (status_error(404), "closed"),
        (ConnectionError(), "open"),
        (TypeError(), "closed"),
    ],
    ids=repr,
)
def test_with_statuses_only_those_and_exceptions_without_one_count(
    circuit_breaker, outcome, state
):
    breaker = circuit_breaker(1, statuses={503})
    call = breaker(act)

    if isinstance(outcome, Exception):
        with pytest.raises(type(outcome)):
            call(outcome)
    else:
        call(outcome)

    assert breaker.state == state


def test_without_statuses_exceptions_about_any_status_count(circuit_breaker):
    breaker = circuit_breaker(2)
    call = breaker(act)

    for status in (503, 404):
        with pytest.raises(httpx.HTTPStatusError):
            call(status_error(status))

    assert breaker.state == "open"


def test_interruption_by_hand_is_no_failure(circuit_breaker):
    breaker = circuit_breaker(1)

    with pytest.raises(KeyboardInterrupt):
        breaker(act)(KeyboardInterrupt())

    assert breaker.state == "closed"


def test_share_that_is_reached_exactly_opens(circuit_breaker):
    breaker = circuit_breaker(failure_rate=0.5, min_calls=4)
    call = breaker(act)
    call("ok")
    call("ok")

    fail(call)

    assert breaker.state == "closed"
    fail(call)
    assert breaker.state == "open"


def test_mistakes_count_in_no_share(circuit_breaker):
    breaker = circuit_breaker(failure_rate=0.5, min_calls=4)
    call = breaker(act)
    for _ in range(3):
        with pytest.raises(TypeError):
            call(TypeError())

    fail(call, times=3)

    assert breaker.state == "closed"
    fail(call)
    assert breaker.state == "open"


def test_closing_forgets_the_share_that_opened_it(circuit_breaker, clock):
    breaker = circuit_breaker(
        reset_timeout=1, failure_rate=0.5, min_calls=4, window=100
    )
    call = breaker(act)
    fail(call, times=4)
    clock.advance(1)
    call("ok")

    fail(call, times=3)

    assert breaker.state == "closed"


def test_success_from_before_the_change_does_not_count_in_the_share(
    circuit_breaker, clock
):
    breaker = circuit_breaker(
        reset_timeout=1, failure_rate=0.5, min_calls=4, window=100
    )
    call = breaker(lambda outcome: act(outcome() if callable(outcome) else outcome))

    def outlive_the_change():
        fail(call, times=4)
        clock.advance(1)
        return call("ok")

    call(outlive_the_change)
    fail(call, times=3)

    assert breaker.state == "closed"
    fail(call)
    assert breaker.state == "open"


def test_it_opens_at_the_threshold_and_probes_at_the_end_of_its_time(
    circuit_breaker, clock
):
    breaker = circuit_breaker(3, 10)
    call = breaker(act)
    fail(call, times=2)
    assert breaker.state == "closed"
    fail(call)
    clock.advance(9.999)

    with pytest.raises(CircuitBreakerError):
        call("ok")
    assert breaker.state == "open"
    clock.advance(0.001)

    assert breaker.state == "half_open"
    assert call("ok") == "ok"
    assert breaker.state == "closed"


def test_one_failed_probe_opens_however_many_failures_it_took_before(
    circuit_breaker, clock
):
    breaker = circuit_breaker(3, 10)
    call = breaker(act)
    fail(call, times=3)
    clock.advance(10)

    fail(call)

    assert breaker.state == "open"
    clock.advance(9.999)
    assert breaker.state == "open"


def test_after_a_success_it_takes_a_whole_row_again(circuit_breaker):
    breaker = circuit_breaker(3)
    call = breaker(act)
    fail(call, times=2)
    call("ok")

    fail(call, times=2)

    assert breaker.state == "closed"
    fail(call)
    assert breaker.state == "open"


def test_close_forgets_the_failures_so_far(circuit_breaker):
    breaker = circuit_breaker(3)
    call = breaker(act)
    fail(call, times=2)

    breaker.close()
    fail(call, times=2)

    assert breaker.state == "closed"


def test_probes_of_an_earlier_attempt_to_close_do_not_count(circuit_breaker, clock):
    breaker = circuit_breaker(1, 10, probes=2)
    call = breaker(act)
    fail(call)
    clock.advance(10)
    call("ok")
    fail(call)
    clock.advance(10)

    call("ok")

    assert breaker.state == "half_open"
    call("ok")
    assert breaker.state == "closed"


def test_refusal_says_when_the_first_probe_loses_its_place(circuit_breaker, clock):
    breaker = circuit_breaker(1, 10, probes=2)
    refused = []

    def fetch(depth):
        if depth == 0:
            raise ConnectionError
        clock.advance(3)
        try:
            call(depth + 1)
        except CircuitBreakerError as exc:
            refused.append(exc.retry_after)

    call = breaker(fetch)
    with pytest.raises(ConnectionError):
        call(0)
    clock.advance(10)

    call(1)

    # One has been under way for six seconds, the other for three.
    assert refused == [4]


def test_one_probe_succeeded_and_one_under_way_are_two(circuit_breaker, clock):
    breaker = circuit_breaker(1, 10, probes=2)
    refused = []

    def probe(depth):
        if not depth:
            return
        if depth == 2:
            call(0)
        try:
            call(0)
        except CircuitBreakerError as exc:
            refused.append(exc)

    def fetch(depth):
        probe(depth) if depth >= 0 else act(ConnectionError())

    call = breaker(fetch)
    with pytest.raises(ConnectionError):
        call(-1)
    clock.advance(10)

    call(2)

    # The first is under way, the one inside of it has succeeded, a third is too much.
    assert len(refused) == 1
    assert refused[0].retry_after == 10
    assert breaker.state == "closed"


def test_a_mistake_gives_the_place_of_the_probe_back(circuit_breaker, clock):
    breaker = circuit_breaker(1, 10)
    call = breaker(act)
    fail(call)
    clock.advance(10)

    with pytest.raises(TypeError):
        call(TypeError())

    assert breaker.state == "half_open"
    assert call("ok") == "ok"


@pytest.mark.parametrize("late", ["ok", ConnectionError()], ids=["success", "failure"])
def test_what_comes_of_a_probe_after_its_lease_is_ignored(circuit_breaker, clock, late):
    breaker = circuit_breaker(1, 10, probes=2)
    call = breaker(lambda outcome: act(outcome() if callable(outcome) else outcome))
    fail(call)
    clock.advance(10)

    def outlive_the_lease():
        clock.advance(10)
        call("ok")  # It takes the place, and half of what closes the circuit.
        return act(late)

    if isinstance(late, Exception):
        with pytest.raises(ConnectionError):
            call(outlive_the_lease)
    else:
        call(outlive_the_lease)

    assert breaker.state == "half_open"
    call("ok")
    assert breaker.state == "closed"


def test_an_abandoned_call_counts_once_although_its_thread_fails_later():
    free, failed = threading.Event(), threading.Event()
    breaker = sp.CircuitBreaker(2)

    def hang():
        free.wait(PATIENCE)
        raise ConnectionError

    # The fallback tells when the circuit has heard of the failure in the thread.
    call = sp.Timeout(0.01, abandon=True)(
        sp.Fallback(lambda exc: failed.set())(breaker(hang))
    )
    with pytest.raises(StabilityTimeoutError):
        call()
    free.set()
    failed.wait(PATIENCE)

    assert breaker.at(hang).failures == 1
    assert breaker.state == "closed"


def test_open_circuit_refuses_and_probes_calls_that_may_be_abandoned(
    circuit_breaker, clock
):
    breaker = circuit_breaker(1, 10)
    call = sp.Timeout(PATIENCE, abandon=True)(breaker(act))
    fail(call)

    with pytest.raises(CircuitBreakerError):
        call("ok")
    clock.advance(10)
    fail(call)
    clock.advance(9.999)
    with pytest.raises(CircuitBreakerError):
        call("ok")
    clock.advance(0.001)

    assert call("ok") == "ok"
    assert breaker.state == "closed"


def test_success_in_a_thread_is_no_probe():
    breaker = sp.CircuitBreaker(3)
    heard = events_of(breaker)
    call = sp.Timeout(PATIENCE, abandon=True)(breaker(act))

    call("ok")

    assert not heard
    assert breaker.state == "closed"


def test_success_after_a_failure_changes_nothing_but_the_count(clock):
    breaker = sp.CircuitBreaker(2, clock=clock)
    heard = events_of(breaker)
    call = breaker(act)

    for _ in range(3):
        fail(call)
        call("ok")

    assert not heard
    assert breaker.at(call).epoch == 0


def test_listeners_hear_only_of_real_changes(circuit_breaker, clock):
    breaker = circuit_breaker(1)
    call = breaker(act)
    call("ok")
    heard = events_of(breaker)

    breaker.close()
    breaker.isolate()
    breaker.isolate()
    breaker.close()
    breaker.close()

    assert [(event.old, event.new) for event in heard] == [
        ("closed", "isolated"),
        ("isolated", "closed"),
    ]


def test_closed_again_it_lets_later_places_through(circuit_breaker):
    breaker = circuit_breaker()
    breaker.isolate()

    breaker.close()

    assert breaker(act)("ok") == "ok"


def test_share_needs_ten_calls_unless_it_is_told(circuit_breaker):
    breaker = circuit_breaker(failure_rate=0.1)
    call = breaker(act)

    fail(call, times=9)

    assert breaker.state == "closed"
    fail(call)
    assert breaker.state == "open"


def test_call_that_finds_the_circuit_closed_meanwhile_is_no_probe(clock):
    circuit = sp.CircuitBreaker(clock=clock).at("fetch")

    lease = circuit.admit()

    assert not lease.is_probe
    assert circuit.state == "closed"


# The window moves in steps of a tenth of its length.
STEPS_OF_WINDOW = 10
STEPS = st.lists(st.tuples(st.floats(0, 30), st.booleans()), min_size=1, max_size=60)


# A call at the very moment at which a step begins belongs to that step.
@example(steps=[(0, False), (1, True), (9, False)], seconds=10)
@given(steps=STEPS, seconds=st.sampled_from([0.5, 1, 10, 60]))
def test_window_counts_what_a_list_of_all_calls_would(steps, seconds):
    clock = FakeClock()
    window = RateWindow(seconds, clock)
    calls = deque()

    for pause, failed in steps:
        clock.advance(pause)
        slot = int(clock() * (STEPS_OF_WINDOW / seconds))
        (window.count_failure if failed else window.count_success)()
        calls.append((slot, failed))
        recent = [call for call in calls if call[0] > slot - STEPS_OF_WINDOW]

        assert window.counts() == (sum(failed for _, failed in recent), len(recent))


@given(pause=st.floats(0, 100), seconds=st.sampled_from([0.5, 10, 60]))
def test_window_forgets_while_nobody_calls(pause, seconds):
    clock = FakeClock()
    window = RateWindow(seconds, clock)
    per_second = STEPS_OF_WINDOW / seconds
    window.count_failure()
    first = int(clock() * per_second)

    clock.advance(pause)

    is_recent = int(clock() * per_second) - first < STEPS_OF_WINDOW
    assert window.counts() == ((1, 1) if is_recent else (0, 0))
