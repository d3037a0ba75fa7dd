"""One fused function does what separate wrappers would do, whatever the stack."""

import asyncio
import traceback
import warnings

import pytest
from hypothesis import given, settings, strategies as st

from accel_integration import sp
from accel_integration.testing import FakeClock

# Each makes a strategy on a clock; those with states get fresh ones every time.
MAKERS = {
    "retry": lambda clock: sp.RetryPattern(3, 1, clock=clock),
    "retry results": lambda clock: sp.RetryPattern(
        2, 1, retry_if=lambda result: result == "bad", clock=clock
    ),
    "timeout": lambda _: sp.Timeout(60),
    "breaker": lambda clock: sp.CircuitBreaker(2, 3, clock=clock),
    "breaker by rate": lambda clock: sp.CircuitBreaker(
        failure_rate=0.5, min_calls=3, window=20, reset_timeout=3, clock=clock
    ),
    "throttle": lambda clock: sp.Throttling(1, burst=3, clock=clock),
    "waiting throttle": lambda clock: sp.Throttling(
        1, burst=2, max_wait=2, clock=clock
    ),
    "bulkhead": lambda _: sp.Bulkhead(1),
    "adaptive": lambda clock: sp.AdaptiveLimit(2, clock=clock),
    "hedge": lambda _: sp.Hedge(60),
    "fallback": lambda _: sp.Fallback("instead", on=ConnectionError),
}
OUTCOMES = {
    "good": None,
    "bad": None,
    "connection": ConnectionError,
    "value": ValueError,
    "mistake": TypeError,
}
STACKS = st.lists(st.sampled_from(sorted(MAKERS)), min_size=1, max_size=5)
SCRIPTS = st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, max_size=12)


class Run:
    """One stack with its own clock and its own script."""

    def __init__(self, stack, script):
        self.clock = FakeClock()
        self.strategies = [MAKERS[name](self.clock) for name in stack]
        self.script = list(script)
        self.log = []

    def play(self, arguments):
        """Do what the script says next, and note it."""
        name = self.script.pop(0) if self.script else "good"
        self.log.append((name, arguments, self.clock()))
        if (error := OUTCOMES[name]) is not None:
            raise error(name)
        return name

    async def acall(self, *args, **kwargs):
        await asyncio.sleep(0)
        return self.play((args, kwargs))

    def call(self, *args, **kwargs):
        return self.play((args, kwargs))

    def stacked(self, func, *, opaque):
        """Put the strategies around *func*, fused unless something is in between."""
        for strategy in reversed(self.strategies):
            func = strategy(opaque(func))
        return func

    def note(self, outcome):
        self.log.append(outcome)
        self.clock.advance(0.5)


def unchanged(func):
    return func


def passing_on(func):
    def wrapper(*args, **kwargs):
        return func(*args, **kwargs)

    return wrapper


def passing_on_async(func):
    async def wrapper(*args, **kwargs):
        return await func(*args, **kwargs)

    return wrapper


async def logged_async(stack, script, opaque):
    run = Run(stack, script)
    func = run.stacked(run.acall, opaque=opaque)
    for number in range(8):
        try:
            run.note(await func(number, key=number))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is compared
            run.note(type(exc).__name__)
    return run.log, run.clock.sleeps


def logged(stack, script, opaque):
    run = Run(stack, script)
    func = run.stacked(run.call, opaque=opaque)
    for number in range(8):
        try:
            run.note(func(number, key=number))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is compared
            run.note(type(exc).__name__)
    return run.log, run.clock.sleeps


@settings(max_examples=150)
@given(STACKS, SCRIPTS)
def test_fused_and_layered_async_functions_do_the_same(stack, script):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fused = asyncio.run(logged_async(stack, script, unchanged))
        layered = asyncio.run(logged_async(stack, script, passing_on_async))

    assert fused == layered


@settings(max_examples=60)
@given(STACKS, SCRIPTS)
def test_fused_and_layered_sync_functions_do_the_same(stack, script):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fused = logged(stack, script, unchanged)
        layered = logged(stack, script, passing_on)

    assert fused == layered


@settings(max_examples=60)
@given(STACKS, SCRIPTS)
def test_sync_and_async_functions_are_treated_alike(stack, script):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        awaited = asyncio.run(logged_async(stack, script, unchanged))
        called = logged(stack, script, unchanged)

    assert awaited == called


def test_traceback_names_the_function_whose_strategies_it_passes():
    def first():
        raise KeyError

    def second():
        raise KeyError

    def lines_of(func):
        with pytest.raises(KeyError) as caught:
            sp.Timeout(60)(sp.RetryPattern()(func))()
        return "".join(traceback.format_tb(caught.tb))

    assert "stability of" in lines_of(first)
    assert "locals>.first>" in lines_of(first)
    assert "locals>.second>" in lines_of(second)
