"""Retries ask again when it may help, and know when to stop."""

import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given, strategies as st

from accel_integration import (
    CircuitBreakerError,
    MaxRetriesExceededError,
    MemoryStore,
    ResponseStatusError,
    ResponseValidationError,
    StabilityTimeoutError,
    sp,
)
from accel_integration._outcome import parse_retry_after
from accel_integration.testing import FakeClock

pytestmark = pytest.mark.anyio


class Flaky:
    """Fails a number of times, then answers "ok"."""

    def __init__(self, failures, error=OSError):
        self.left = failures
        self.error = error
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "ok"


def response(status, **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    return httpx.Response(status, headers=headers)


async def test_succeeds_when_a_later_attempt_does():
    clock, flaky = FakeClock(), Flaky(2)

    answer = await sp.RetryPattern(3, timedelta(seconds=1), clock=clock)(flaky)()

    assert answer == "ok"
    assert flaky.calls == 3
    assert clock.sleeps == [1.0, 1.0]


def test_sync_functions_are_retried_too():
    clock, calls = FakeClock(), []

    @sp.RetryPattern(3, 2, clock=clock)
    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise OSError
        return "ok"

    assert flaky() == "ok"
    assert clock.sleeps == [2.0, 2.0]


async def test_gives_up_with_the_last_failure_as_cause_and_status():
    @sp.RetryPattern(2, 0)
    @sp.Timeout(0.005)
    async def hangs():
        await anyio_forever()

    with pytest.raises(MaxRetriesExceededError, match="after 2 attempts") as caught:
        await hangs()

    assert isinstance(caught.value.__cause__, StabilityTimeoutError)
    assert caught.value.http_status == 504
    assert caught.value.attempts == 2


async def anyio_forever():
    import anyio

    await anyio.sleep_forever()


def test_exhaustion_is_a_bad_gateway_not_too_many_requests():
    error = MaxRetriesExceededError("it", 3, OSError(), "it was the last attempt")

    assert error.http_status == 502
    assert str(error) == (
        "it failed after 3 attempts, the last one with OSError: "
        "it was the last attempt."
    )


@pytest.mark.parametrize("mistake", [KeyError, TypeError, AttributeError, NameError])
async def test_own_mistakes_are_not_retried(mistake):
    flaky = Flaky(1, mistake)

    with pytest.raises(mistake):
        await sp.RetryPattern(3, 0)(flaky)()

    assert flaky.calls == 1


async def test_validation_errors_of_pydantic_are_not_retried():
    from pydantic import TypeAdapter, ValidationError

    calls = []

    @sp.RetryPattern(3, 0)
    async def invalid():
        calls.append(1)
        TypeAdapter(int).validate_python("x")

    with pytest.raises(ValidationError):
        await invalid()
    assert len(calls) == 1


async def test_on_names_what_to_retry_even_our_own_mistakes():
    flaky, other = Flaky(1, KeyError), Flaky(1, ConnectionError)
    retry = sp.RetryPattern(3, 0, on=KeyError)

    assert await retry(flaky)() == "ok"
    with pytest.raises(ConnectionError):
        await retry(other)()


async def test_on_may_be_a_function_of_the_exception():
    flaky = Flaky(1, OSError(111, "refused"))
    retry = sp.RetryPattern(3, 0, on=lambda exc: exc.errno == 111)

    assert await retry(flaky)() == "ok"


async def test_an_open_breaker_is_not_waited_for():
    clock, flaky = FakeClock(), Flaky(9)
    breaker = sp.CircuitBreaker(1)
    call = sp.RetryPattern(5, clock=clock)(breaker(flaky))

    with pytest.raises(CircuitBreakerError):
        await call()

    assert flaky.calls == 1
    assert clock.sleeps == [1.0]


async def test_cancellation_is_never_retried():
    import asyncio

    flaky = Flaky(1, asyncio.CancelledError)

    with pytest.raises(asyncio.CancelledError):
        await sp.RetryPattern(3, 0)(flaky)()

    assert flaky.calls == 1


async def test_usual_retry_tries_three_times_a_second_apart():
    clock, flaky = FakeClock(), Flaky(9)

    with pytest.raises(MaxRetriesExceededError, match="after 3 attempts"):
        await sp.RetryPattern(clock=clock)(flaky)()

    assert clock.sleeps == [1, 1]


async def test_usual_retry_waits_for_a_minute_at_most():
    clock = FakeClock()
    reply = response(429, retry_after="61")

    @sp.RetryPattern(statuses={429}, clock=clock)
    async def fetch():
        return reply

    assert await fetch() is reply
    assert clock.sleeps == []


def test_no_attempts_at_all_is_refused():
    with pytest.raises(ValueError, match='"max_attempts" must be >= 1: 0'):
        sp.RetryPattern(0)


async def test_retry_if_looks_at_the_result():
    answers = iter(["busy", "busy", "done", "asked too often"])

    @sp.RetryPattern(4, 0, retry_if=lambda answer: answer == "busy")
    async def poll():
        return next(answers)

    assert await poll() == "done"


async def test_unwanted_result_of_the_last_attempt_is_returned():
    @sp.RetryPattern(2, 0, retry_if=lambda answer: answer == "busy")
    async def poll():
        return "busy"

    assert await poll() == "busy"


async def test_a_status_counts_only_when_it_is_named():
    replies = iter([response(503), response(404)])

    @sp.RetryPattern(3, 0, statuses={503})
    async def fetch():
        return next(replies)

    assert (await fetch()).status_code == 404


async def test_statuses_filter_exceptions_about_a_status():
    calls = []

    @sp.RetryPattern(3, 0, statuses={503})
    async def fetch():
        calls.append(1)
        request = httpx.Request("GET", "http://x")
        httpx.Response(404, request=request).raise_for_status()

    with pytest.raises(httpx.HTTPStatusError):
        await fetch()
    assert len(calls) == 1


async def test_exceptions_about_a_status_that_is_named_are_retried():
    replies = iter([response(503), response(200)])

    @sp.RetryPattern(3, 0, statuses={503})
    async def fetch():
        reply = next(replies)
        reply.request = httpx.Request("GET", "http://x")
        return reply.raise_for_status()

    assert (await fetch()).status_code == 200


async def test_retry_after_is_honoured_in_seconds():
    clock = FakeClock()
    replies = iter([response(429, retry_after="7"), response(200)])

    @sp.RetryPattern(3, 1, statuses={429}, clock=clock)
    async def fetch():
        return next(replies)

    assert (await fetch()).status_code == 200
    assert clock.sleeps == [7.0]


@pytest.mark.parametrize(
    ("asked", "options", "slept"),
    [
        ("1", {}, 5),
        ("60", {}, 60),
        ("7", {"retry_after": False}, 5),
        ("7", {"max_delay": 7}, 7),
    ],
)
async def test_waits_for_as_long_as_itself_and_the_upstream_want(asked, options, slept):
    clock = FakeClock()
    replies = iter([response(429, retry_after=asked), response(200)])

    @sp.RetryPattern(3, 5, statuses={429}, clock=clock, **options)
    async def fetch():
        return next(replies)

    assert (await fetch()).status_code == 200
    assert clock.sleeps == [slept]


async def test_exceptions_without_a_status_are_retried_beside_the_statuses():
    flaky, mistaken = Flaky(1), Flaky(1, TypeError)
    retry = sp.RetryPattern(2, 0, statuses={503})

    assert await retry(flaky)() == "ok"
    with pytest.raises(TypeError):
        await retry(mistaken)()


async def test_statuses_and_results_may_both_ask_for_another_attempt():
    replies = iter([response(503), response(204), response(200)])

    @sp.RetryPattern(
        3, 0, statuses={503}, retry_if=lambda reply: reply.status_code == 204
    )
    async def fetch():
        return next(replies)

    assert (await fetch()).status_code == 200


async def test_listeners_hear_of_each_retry_and_why():
    outcomes = iter([ConnectionError(), response(503), response(204), response(200)])
    retry = sp.RetryPattern(
        4,
        2,
        backoff="linear",
        statuses={503},
        retry_if=lambda reply: reply.status_code == 204,
        clock=FakeClock(),
    )
    heard = []
    retry.subscribe(heard.append)

    @retry
    async def fetch():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    await fetch()

    assert [(event.attempt, event.delay, event.error) for event in heard] == [
        (1, 2, "ConnectionError"),
        (2, 4, "status 503"),
        (3, 6, "result"),
    ]


async def test_gives_up_when_asked_to_wait_longer_than_max_delay():
    clock = FakeClock()
    calls = []

    @sp.RetryPattern(3, 1, max_delay=5, clock=clock)
    async def fetch():
        calls.append(1)
        request = httpx.Request("GET", "http://x")
        reply = httpx.Response(429, headers={"retry-after": "999999"}, request=request)
        reply.raise_for_status()

    with pytest.raises(MaxRetriesExceededError, match="longer wait than `max_delay`"):
        await fetch()
    assert len(calls) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 3 ", 3.0),
        ("-3", None),
        ("1e9", None),
        ("nan", None),
        ("٣", None),
        ("soon", None),
        ("9" * 100, None),
        ("Thu, 99 Foo 2026 00:00:00 GMT", None),
        (None, None),
        (b"3", None),
    ],
)
def test_retry_after_header_is_read_with_care(header, seconds):
    assert parse_retry_after(header) == seconds


def test_retry_after_may_be_a_date():
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    header = format_datetime(now + timedelta(seconds=90), usegmt=True)

    assert parse_retry_after(header, now.timestamp()) == 90.0
    assert parse_retry_after(header, now.timestamp() + 100) == 0.0


@given(st.text(max_size=80))
def test_no_header_breaks_the_reading(text):
    seconds = parse_retry_after(text)

    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        ("constant", [2, 2, 2, 2]),
        ("linear", [2, 4, 6, 8]),
        ("exponential", [2, 4, 8, 10]),
        (lambda attempt: 3 * attempt, [3, 6, 9, 10]),
    ],
)
def test_waits_grow_as_told_up_to_max_delay(backoff, waits):
    retry = sp.RetryPattern(9, 2, backoff=backoff, max_delay=10)

    assert [retry.wait_before(attempt, 0) for attempt in range(1, 5)] == waits


@given(
    jitter=st.sampled_from(["full", "equal", "decorrelated"]),
    attempt=st.integers(1, 10_000),
    last=st.floats(0, 10),
    seed=st.integers(),
)
def test_jitter_stays_within_its_bounds(jitter, attempt, last, seed):
    retry = sp.RetryPattern(
        9,
        0.5,
        backoff="exponential",
        jitter=jitter,
        max_delay=10,
        rng=random.Random(seed),
    )
    base = min(10, 0.5 * 2.0 ** min(attempt - 1, 60))
    lowest = {"full": 0, "equal": base / 2, "decorrelated": 0.5}[jitter]
    highest = {"full": base, "equal": base}.get(jitter, min(10, 3 * max(last, 0.5)))

    wait = retry.wait_before(attempt, last)

    assert lowest <= wait <= highest


def test_processes_forked_from_one_wait_for_different_times():
    program = """
import os
from accel_integration import sp

retry = sp.RetryPattern(9, 1, jitter="full")
retry.wait_before(1, 0)
for _ in range(3):
    if os.fork() == 0:
        print(retry.wait_before(1, 0))
        break
    os.wait()
"""

    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert len(set(done.stdout.split())) == 3


class Extreme:
    """A source of jitter that always gives one end of the range."""

    def __init__(self, end):
        self.end = end

    def uniform(self, low, high):
        return (low, high)[self.end]


@pytest.mark.parametrize(
    ("jitter", "last", "shortest", "longest"),
    [
        ("full", 0, 0, 8),
        ("equal", 0, 4, 8),
        ("decorrelated", 0, 2, 6),
        ("decorrelated", 5, 2, 15),
        ("decorrelated", 90, 2, 100),
    ],
)
def test_jitter_reaches_its_bounds(jitter, last, shortest, longest):
    options = {"backoff": "exponential", "jitter": jitter, "max_delay": 100}

    waits = [
        sp.RetryPattern(9, 2, rng=Extreme(end), **options).wait_before(3, last)
        for end in (0, 1)
    ]

    assert waits == [shortest, longest]


async def test_decorrelated_waits_follow_from_the_one_before():
    clock = FakeClock()
    retry = sp.RetryPattern(
        4, 1, jitter="decorrelated", rng=Extreme(1), max_delay=20, clock=clock
    )

    await retry(Flaky(3))()

    assert clock.sleeps == [3, 9, 20]


def test_backoff_of_ones_own_is_never_a_wait_back_in_time():
    assert sp.RetryPattern(backoff=lambda _: -1).wait_before(1, 0) == 0


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["alone", "in a store"])
async def test_budget_holds_no_more_than_its_reserve_and_earns_its_ratio(store):
    budget = sp.RetryBudget(0.5, reserve=4, store=store, key="api")
    retry = sp.RetryPattern(2, 0, budget=budget)
    for _ in range(20):
        await retry(Flaky(0))()

    retried = []
    for _ in range(10):
        down = Flaky(9)
        with pytest.raises(MaxRetriesExceededError):
            await retry(down)()
        retried.append(down.calls - 1)

    # Each call earns a half, its own included.
    assert retried == [1, 1, 1, 1, 1, 1, 1, 0, 1, 0]


@pytest.mark.filterwarnings("ignore::accel_integration.OrderWarning")
async def test_budget_pays_for_no_retry_that_is_not_made():
    budget = sp.RetryBudget(0, reserve=2)
    hasty = sp.Timeout(0.5)(sp.RetryPattern(2, 60, budget=budget)(flaky_api(Flaky(9))))
    once = sp.RetryPattern(1, 0, budget=budget)(Flaky(9))

    for call in (lambda: hasty(None), once):
        with pytest.raises(MaxRetriesExceededError):
            await call()

    assert budget.balance == 2


def test_budget_of_an_origin_is_like_the_one_it_comes_from():
    budget = sp.RetryBudget(0.5, reserve=3).for_origin("http://host")

    assert (budget.ratio, budget.reserve, budget.balance) == (0.5, 3, 3)
    assert budget.key is None


@pytest.mark.parametrize("reserve", [0, 0.999])
def test_budget_that_would_never_allow_a_retry_is_refused(reserve):
    with pytest.raises(ValueError, match='"reserve" must be >= 1'):
        sp.RetryBudget(reserve=reserve)


async def test_budget_bounds_the_retries_of_many_calls():
    budget = sp.RetryBudget(ratio=0.1, reserve=5)
    calls = []

    @sp.RetryPattern(3, 0, budget=budget)
    async def down():
        calls.append(1)
        raise OSError

    for _ in range(100):
        with pytest.raises(MaxRetriesExceededError):
            await down()

    assert 100 + 5 <= len(calls) <= 100 + 5 + 10


async def test_spent_budget_says_so():
    budget = sp.RetryBudget(ratio=0, reserve=1)
    call = sp.RetryPattern(3, 0, budget=budget)(Flaky(9))

    with pytest.raises(MaxRetriesExceededError, match="the retry budget is spent"):
        await call()


@pytest.mark.parametrize("pause", [30, 40])
async def test_does_not_wait_beyond_a_limit_that_is_no_deadline_yet(pause):
    @sp.Timeout(30)
    @sp.RetryPattern(3, backoff=lambda attempt: pause)
    async def fails_without_having_waited():
        raise ConnectionError("the real failure")

    with pytest.raises(MaxRetriesExceededError, match="deadline") as caught:
        await fails_without_having_waited()

    assert isinstance(caught.value.__cause__, ConnectionError)


def test_does_not_wait_beyond_the_deadline_of_the_function_that_calls_it():
    clock = FakeClock()

    @sp.RetryPattern(3, 40, clock=clock)
    def down():
        raise ConnectionError

    @sp.Timeout(30)
    def call():
        down()

    with pytest.raises(MaxRetriesExceededError, match="deadline"):
        call()

    assert clock.sleeps == []


async def test_of_several_limits_around_it_the_nearest_counts():
    @sp.Timeout(50)
    @sp.Timeout(20)
    @sp.RetryPattern(3, backoff=lambda attempt: 30)
    async def fails_without_having_waited():
        raise ConnectionError

    with pytest.raises(MaxRetriesExceededError, match="deadline"):
        await fails_without_having_waited()


@pytest.mark.parametrize(
    ("options", "shortest"),
    [
        ({"delay": 4}, 4),
        ({"delay": 4, "backoff": "linear"}, 4),
        ({"delay": 4, "backoff": "exponential"}, 4),
        ({"delay": 40, "max_delay": 4}, 4),
        ({"delay": 4, "jitter": "equal"}, 2),
        ({"delay": 4, "jitter": "decorrelated"}, 4),
        ({"delay": 4, "jitter": "full"}, 0),
        ({"delay": 4, "backoff": lambda _: 4}, 0),
    ],
)
def test_timeout_is_doubted_only_if_it_surely_ends_before_the_first_pause(
    options, shortest
):
    retry = sp.RetryPattern(**options)

    def doubts_of(seconds):
        return sp.Timeout(seconds).doubts(retry)

    assert doubts_of(shortest + 0.1) is None
    assert shortest == 0 or "nothing is ever retried" in doubts_of(shortest)


async def test_garbage_with_a_good_status_is_asked_for_again():
    calls = []

    @sp.RetryPattern(3, 0, statuses={503})
    async def call():
        calls.append(1)
        raise ResponseValidationError(
            "call", url="http://it", status=200, body="<html>", errors=["no JSON"]
        )

    with pytest.raises(MaxRetriesExceededError):
        await call()

    assert len(calls) == 3


@pytest.mark.parametrize(
    ("status", "attempts"),
    [(399, 3), (400, 1), (404, 1), (499, 1), (500, 3), (408, 3), (425, 3), (429, 3)],
)
async def test_what_blames_the_request_is_not_asked_again(status, attempts):
    calls = []

    @sp.RetryPattern(3, 0)
    async def call():
        calls.append(1)
        raise ResponseStatusError(
            "call", url="http://it", status=status, body="", retry_after=None
        )

    with pytest.raises((ResponseStatusError, MaxRetriesExceededError)):
        await call()

    assert len(calls) == attempts


@pytest.mark.filterwarnings("ignore::accel_integration.OrderWarning")
async def test_does_not_wait_beyond_the_deadline():
    flaky = Flaky(9)
    call = sp.Timeout(5)(sp.RetryPattern(3, 60)(flaky_api(flaky)))
    start = time.monotonic()

    with pytest.raises(MaxRetriesExceededError, match="the deadline comes before"):
        await call(None)

    assert time.monotonic() - start < 4


def flaky_api(flaky):
    async def call(api):
        return await flaky()

    return call


def test_says_in_words_what_it_does():
    retry = sp.RetryPattern(
        4, 0.5, backoff="exponential", jitter="full", statuses={503}
    )

    assert retry.describe() == (
        "tries up to 4 times, 0.5 s apart with exponential backoff and full jitter, "
        "also on status 503"
    )
