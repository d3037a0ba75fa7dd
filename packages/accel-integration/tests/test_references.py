"""Nothing holds on to functions, contexts and exceptions that are over."""

import gc
import weakref

import pytest

from accel_integration import sp
from accel_integration._strategy import plan_of

pytestmark = pytest.mark.anyio


def decorated(strategy):
    @strategy
    def call():
        raise ConnectionError

    return call


def test_functions_decorated_while_running_do_not_add_up_in_a_strategy():
    breaker = sp.CircuitBreaker(key="api")
    functions = [decorated(breaker) for _ in range(3)]
    plans = [weakref.ref(plan_of(function)) for function in functions]
    heard = []
    plan_of(functions[0]).hub.subscribe(heard.append)
    (hub,) = breaker._hubs.values()

    del functions[1:]
    gc.collect()

    assert [plan() is None for plan in plans] == [False, True, True]
    assert len(hub._followers) == 1
    breaker.isolate()
    assert [event.new for event in heard] == ["isolated"]
