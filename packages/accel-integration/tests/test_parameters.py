"""Parameters that make no sense are refused when a function is decorated."""

import math
import re
import threading
from datetime import timedelta
from functools import partial

import pytest

from accel_integration import EndpointsDeclaration, IntegrationHTTP, sp

NAN, INFINITY = math.nan, math.inf

TIMES = [
    (sp.Timeout, "seconds"),
    (sp.CircuitBreaker, "reset_timeout"),
    (sp.CircuitBreaker, "window"),
    (sp.CircuitBreaker, "slow_call"),
    (sp.Throttling, "calls_per_second"),
]
TIMES_OR_ZERO = [
    (sp.RetryPattern, "delay"),
    (sp.RetryPattern, "max_delay"),
    (sp.Throttling, "max_wait"),
    (sp.Bulkhead, "max_wait"),
    (sp.Hedge, "delay"),
    (sp.Chaos, "latency"),
    (sp.RetryBudget, "ratio"),
    (sp.RetryBudget, "reserve"),
]
COUNTS = [
    (sp.RetryPattern, "max_attempts"),
    (sp.CircuitBreaker, "fail_threshold"),
    (sp.CircuitBreaker, "min_calls"),
    (sp.CircuitBreaker, "probes"),
    (sp.Throttling, "burst"),
    (sp.Bulkhead, "max_concurrent"),
    (sp.Hedge, "max_hedges"),
    (sp.AdaptiveLimit, "initial"),
    (sp.AdaptiveLimit, "minimum"),
    (sp.AdaptiveLimit, "maximum"),
]
SHARES = [
    (sp.CircuitBreaker, "failure_rate"),
    (sp.Chaos, "error_rate"),
    (sp.Chaos, "latency_rate"),
]


def make(strategy, **options):
    if strategy is sp.Hedge:
        options = {"delay": 1} | options
    return strategy(**options)


@pytest.mark.parametrize(("strategy", "name"), TIMES)
@pytest.mark.parametrize("value", [0, -1, NAN, INFINITY, -INFINITY, timedelta(0)])
def test_times_must_be_above_zero(strategy, name, value):
    with pytest.raises(ValueError, match=f'"{name}" must be > 0 and finite: '):
        make(strategy, **{name: value})


@pytest.mark.parametrize(("strategy", "name"), TIMES_OR_ZERO)
@pytest.mark.parametrize("value", [-0.001, NAN, INFINITY, timedelta(seconds=-1)])
def test_pauses_must_not_be_negative(strategy, name, value):
    with pytest.raises(ValueError, match=f'"{name}" must be >= 0 and finite: '):
        make(strategy, **{name: value})


@pytest.mark.parametrize(("strategy", "name"), TIMES + TIMES_OR_ZERO + SHARES)
@pytest.mark.parametrize("value", ["5", True, [1]])
def test_numbers_must_be_numbers(strategy, name, value):
    with pytest.raises(TypeError, match=f'"{name}" must be a number'):
        make(strategy, **{name: value})


@pytest.mark.parametrize(("strategy", "name"), COUNTS)
def test_counts_must_be_whole_and_at_least_one(strategy, name):
    for value in (0, -3):
        with pytest.raises(ValueError, match=f'"{name}" must be >= 1: {value}'):
            make(strategy, **{name: value})
    for value in (2.5, NAN, "3", True):
        with pytest.raises(TypeError, match=f'"{name}" must be a whole number: '):
            make(strategy, **{name: value})


@pytest.mark.parametrize(("strategy", "name"), SHARES)
@pytest.mark.parametrize("value", [-0.1, 1.1, 50, NAN])
def test_shares_must_be_shares(strategy, name, value):
    with pytest.raises(ValueError, match=f'"{name}" must be >=? 0 and <= 1: '):
        make(strategy, **{name: value})


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: sp.RetryPattern(backoff="quadratic"),
            ValueError,
            "\"backoff\" must be one of 'constant', 'linear', 'exponential': 'quadratic'",
        ),
        (
            lambda: sp.RetryPattern(jitter="half"),
            ValueError,
            "\"jitter\" must be one of 'full', 'equal', 'decorrelated': 'half'",
        ),
        (
            lambda: sp.RetryBudget(reserve=0.5),
            ValueError,
            '"reserve" must be >= 1, or no retry is ever allowed: 0.5',
        ),
        (
            lambda: sp.CircuitBreaker(failure_rate=0),
            ValueError,
            '"failure_rate" must be > 0 and <= 1: 0',
        ),
        (
            lambda: sp.CircuitBreaker(statuses={42}),
            ValueError,
            '"statuses" must be HTTP statuses',
        ),
        (
            lambda: sp.Hedge(1, percentile=95),
            ValueError,
            '"percentile" must be > 0 and < 1, as in 0.95: 95',
        ),
        (
            lambda: sp.Bulkhead(max_waiting=-1),
            ValueError,
            '"max_waiting" must be >= 0: -1',
        ),
        (
            lambda: sp.AdaptiveLimit(1, minimum=2),
            ValueError,
            "must be >= 1 and in this order",
        ),
        (
            lambda: sp.Hedge(1, percentile="0.95"),
            TypeError,
            "\"percentile\" must be a number: '0.95'",
        ),
        (
            lambda: sp.Chaos(error_rate=timedelta(1)),
            TypeError,
            '"error_rate" must be a number: ',
        ),
        (
            lambda: sp.Chaos(error="down"),
            TypeError,
            "\"error\" must be an exception, or its class: 'down'",
        ),
        (
            lambda: sp.Chaos(enabled="no"),
            TypeError,
            "\"enabled\" must be a bool or a function: 'no'",
        ),
        (
            lambda: sp.RetryPattern(retry_if=True),
            TypeError,
            '"retry_if" must be a function: True',
        ),
        (
            lambda: sp.RetryPattern(budget=0.2),
            TypeError,
            '"budget" must be an `sp.RetryBudget`: 0.2',
        ),
        (lambda: sp.RetryBudget(key=7), TypeError, '"key" must be a str: 7'),
        (
            lambda: sp.CircuitBreaker(statuses=b"5"),
            TypeError,
            '"statuses" must be a collection, such as {502, 503}: b',
        ),
        (
            lambda: sp.Timeout(10**400),
            ValueError,
            '"seconds" must be > 0 and finite: 1000',
        ),
        (
            lambda: IntegrationHTTP("it", strategies=sp.Timeout(5)),
            TypeError,
            '"strategies" must be a list, as in [sp.Timeout(5)]: <Timeout: ',
        ),
        (
            lambda: IntegrationHTTP("it", strategies=[sp.Timeout]),
            TypeError,
            '"strategies" must be made, as in [sp.Timeout(5)]: <class ',
        ),
        (
            lambda: IntegrationHTTP("it").endpoint("get", "/", strategies=[3]),
            TypeError,
            '"strategies" must be made, as in [sp.Timeout(5)]: 3',
        ),
        (
            lambda: IntegrationHTTP("it", retry_budget=0.2),
            TypeError,
            '"retry_budget" must be an `sp.RetryBudget`: 0.2',
        ),
        (
            lambda: IntegrationHTTP("it").endpoint("fetch", "/"),
            ValueError,
            "\"httpmethod\" must be one of 'GET', 'POST',",
        ),
        (
            lambda: IntegrationHTTP("it").endpoint("get", "/")(partial(max, 1)),
            TypeError,
            "Cannot declare a partial as an endpoint: write a function that calls it",
        ),
        (
            lambda: EndpointsDeclaration(None),
            TypeError,
            '"base_url" must be a str: NoneType',
        ),
        (
            lambda: EndpointsDeclaration("http://it", client=5),
            TypeError,
            '"client" must be a client, or what returns one: int',
        ),
        (lambda: sp.CircuitBreaker(key=3), TypeError, '"key" must be a str: 3'),
        (
            lambda: sp.pipeline("retry"),
            TypeError,
            "A pipeline is made of strategies, as `sp.Timeout(5)`: 'retry'",
        ),
        (
            lambda: sp.pipeline(sp.Timeout),
            TypeError,
            "A pipeline is made of strategies",
        ),
    ],
)
def test_what_is_wrong_is_named(build, error, message):
    with pytest.raises(error, match=re.escape(message)):
        build()


async def asynchronous(*args):
    return True


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        (sp.RetryPattern, "on"),
        (sp.RetryPattern, "retry_if"),
        (sp.RetryPattern, "backoff"),
        (sp.Throttling, "key"),
        (sp.Chaos, "enabled"),
    ],
)
def test_function_that_nobody_would_await_is_refused(strategy, name):
    with pytest.raises(TypeError, match=f'"{name}" must be a sync function'):
        strategy(**{name: asynchronous})


def test_listener_that_nobody_would_await_is_refused():
    with pytest.raises(TypeError, match='"listener" must be a sync function'):
        sp.RetryPattern().subscribe(asynchronous)


@pytest.mark.parametrize("on", [[ValueError], (ValueError, "OSError"), "OSError", int])
def test_exceptions_are_classes(on):
    for strategy in (sp.RetryPattern, lambda on: sp.Fallback(1, on=on)):
        with pytest.raises(TypeError, match='"on" must be an exception class'):
            strategy(on=on)


@pytest.mark.parametrize("statuses", [503, "500", None])
@pytest.mark.parametrize("strategy", [sp.RetryPattern, sp.CircuitBreaker])
def test_statuses_are_a_collection(strategy, statuses):
    with pytest.raises(TypeError, match='"statuses" must be a collection'):
        strategy(statuses=statuses)


def test_value_that_cannot_be_copied_is_no_fallback():
    with pytest.raises(TypeError, match="Give a function that returns it"):
        sp.Fallback(threading.Lock())


@pytest.mark.parametrize(
    "strategy",
    [
        sp.Timeout(timedelta.max),
        sp.Timeout(timedelta.max, abandon=True),
        sp.Hedge(timedelta.max),
        sp.Bulkhead(1, max_wait=timedelta.max),
    ],
)
def test_time_without_an_end_is_the_longest_that_a_thread_can_wait(strategy):
    gate, results = threading.Event(), []

    @strategy
    def call():
        results.append(gate.wait(60))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()

    assert results == [True, True]
