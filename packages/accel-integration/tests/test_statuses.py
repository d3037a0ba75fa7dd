"""What a response says beside its content reaches the strategies, endpoint or not."""

import contextvars
import time
from email.utils import formatdate

import httpx
import pytest

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    IntegrationHTTP,
    sp,
    watch_client,
)
from accel_integration._outcome import parse_retry_after, status_of_error
from accel_integration.testing import FakeClock


@pytest.fixture
def apart():
    """Run functions in a context where no other test has left anything."""
    return contextvars.Context().run


def client_of(*responses):
    """A client that the strategies watch, and what it is answered."""
    left = iter(responses)

    def answer(_request):
        if isinstance(response := next(left), Exception):
            raise response
        return response

    transport = httpx.MockTransport(answer)
    return watch_client(httpx.Client(transport=transport))


def test_breaker_of_a_plain_function_counts_the_statuses_of_its_client(apart):
    breaker = sp.CircuitBreaker(1, statuses={503})
    client = client_of(httpx.Response(503, json={}))

    @breaker
    def fetch():
        return client.get("http://host").json()

    assert apart(fetch) == {}
    assert breaker.state == "open"


def test_breaker_of_a_plain_function_goes_by_its_own_response_only(apart):
    breaker = sp.CircuitBreaker(1, statuses={503})
    client = client_of(httpx.Response(503, json={}))

    @breaker
    def fetch():
        return "from the cache"

    def earlier_call():
        sp.RetryPattern(1, statuses={429})(client.get)("http://host")
        return fetch()

    assert apart(earlier_call) == "from the cache"
    assert breaker.state == "closed"


def test_wait_that_one_function_was_asked_for_is_not_for_the_next_one(apart):
    clock, outcomes = FakeClock(), iter([ConnectionError(), "ok"])
    client = client_of(httpx.Response(429, headers={"retry-after": "50"}))
    fetch = sp.RetryPattern(2, 0, statuses={503})(client.get)

    @sp.RetryPattern(2, 1, clock=clock)
    def flaky():
        if isinstance(outcome := next(outcomes), Exception):
            raise outcome
        return outcome

    def one_after_the_other():
        fetch("http://host")
        return flaky()

    assert apart(one_after_the_other) == "ok"
    assert clock.sleeps == [1]


@pytest.mark.parametrize("statuses", [(), {429}])
def test_endpoint_waits_as_its_response_asked_whatever_it_makes_of_it(statuses):
    clock, slow = FakeClock(), IntegrationHTTP("Slow")
    busy = httpx.Response(429, headers={"retry-after": "50"})

    class Slow(EndpointsDeclaration):
        integration = slow

        @slow.endpoint("get", "/")
        @sp.RetryPattern(2, 1, statuses=statuses, clock=clock)
        def ask(api: ApiHTTP) -> str:
            if api.client.get(str(api.url)).status_code == 429:
                raise ConnectionError
            return "ok"

    client = client_of(busy, httpx.Response(200))

    assert Slow("http://host", client=client).ask() == "ok"
    assert clock.sleeps == [50]


def test_wait_that_one_attempt_was_asked_for_is_not_for_the_next_one():
    clock, flaky = FakeClock(), IntegrationHTTP("Flaky")
    busy = httpx.Response(503, headers={"retry-after": "50"})

    class Flaky(EndpointsDeclaration):
        integration = flaky

        @flaky.endpoint("get", "/")
        @sp.RetryPattern(3, 1, statuses={503}, clock=clock)
        def ask(api: ApiHTTP) -> str:
            return api.client.get(str(api.url)).text

    client = client_of(busy, httpx.ConnectError("gone"), httpx.Response(200, text="ok"))
    remote = Flaky("http://host", client=client)

    assert remote.ask() == "ok"
    assert clock.sleeps == [50, 1]
    stats = remote.stats_of(Flaky.endpoints()["ask"])
    assert (stats.last_status, stats.retries) == (200, 2)


def test_status_of_one_attempt_is_not_that_of_the_next_one(apart):
    clock, outcomes = FakeClock(), iter([True, False])
    client = client_of(httpx.Response(503, text="busy"))

    @sp.RetryPattern(3, 1, statuses={503}, clock=clock)
    def ask():
        return client.get("http://host").text if next(outcomes) else "from the cache"

    assert apart(ask) == "from the cache"
    assert clock.sleeps == [1]


@pytest.mark.parametrize("status", [100, 599])
def test_every_status_of_http_may_be_named(status):
    assert f"also on status {status}" in sp.RetryPattern(statuses={status}).describe()


@pytest.mark.parametrize("status", [99, 600])
def test_what_is_no_status_of_http_is_refused(status):
    with pytest.raises(ValueError, match="statuses from 100 to 599"):
        sp.RetryPattern(statuses={status})


@pytest.mark.parametrize("status", [199, 300, 404, 503])
def test_exception_is_about_the_status_that_it_names(status):
    error = ConnectionError()
    error.status = status

    assert status_of_error(error) == status


@pytest.mark.parametrize("status", [200, 299, "503", None])
def test_exception_is_about_no_status_that_tells_of_success_or_is_none(status):
    error = ConnectionError()
    error.status = status

    assert status_of_error(error) is None


def test_date_to_wait_for_is_one_on_the_clock_of_the_day():
    header = formatdate(time.time() + 3600, usegmt=True)

    assert 3000 < parse_retry_after(header) <= 3600


@pytest.mark.parametrize(("length", "seconds"), [(64, 7), (65, None)])
def test_header_that_is_longer_than_any_date_is_not_read(length, seconds):
    assert parse_retry_after("7".zfill(length)) == seconds


class Busy(Exception):
    """Tells how long to wait, one way or another."""

    def __init__(self, **told):
        super().__init__()
        self.__dict__.update(told)


@pytest.mark.parametrize(
    ("told", "slept"),
    [
        ({"retry_after": 7}, 7),
        ({"retry_after": 7.5}, 7.5),
        ({"retry_after": "7"}, 1),
        ({"retry_after": None, "headers": {"retry-after": "7"}}, 7),
        ({"response": httpx.Response(429, headers={"retry-after": "7"})}, 7),
        ({"headers": [("retry-after", "7")]}, 1),
        ({"headers": None}, 1),
        ({}, 1),
    ],
    ids=repr,
)
def test_exception_may_tell_how_long_to_wait(apart, told, slept):
    clock, outcomes = FakeClock(), iter([Busy(**told), None])

    @sp.RetryPattern(2, 1, clock=clock)
    def ask():
        if (outcome := next(outcomes)) is not None:
            raise outcome

    apart(ask)

    assert clock.sleeps == [slept]


def test_plain_function_that_names_statuses_waits_as_its_response_asked(apart):
    clock = FakeClock()
    busy = httpx.Response(503, headers={"retry-after": "50"}, text="busy")
    client = client_of(busy, httpx.Response(200, text="ok"))

    @sp.RetryPattern(2, 1, statuses={503}, clock=clock)
    def ask():
        return client.get("http://host").text

    assert apart(ask) == "ok"
    assert clock.sleeps == [50]
