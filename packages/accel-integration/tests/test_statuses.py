"""What a response says beside its content reaches the strategies, endpoint or not."""

import contextvars

import httpx
import pytest

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    IntegrationHTTP,
    sp,
    watch_client,
)
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

    assert Flaky("http://host", client=client).ask() == "ok"
    assert clock.sleeps == [50, 1]


def test_status_of_one_attempt_is_not_that_of_the_next_one(apart):
    clock, outcomes = FakeClock(), iter([True, False])
    client = client_of(httpx.Response(503, text="busy"))

    @sp.RetryPattern(3, 1, statuses={503}, clock=clock)
    def ask():
        return client.get("http://host").text if next(outcomes) else "from the cache"

    assert apart(ask) == "from the cache"
    assert clock.sleeps == [1]
