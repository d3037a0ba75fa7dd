"""What is measured: the same patterns, as each library spells them.

Every function returns decorators by the name of what they add. Libraries are imported
inside of them, because each is installed in an environment of its own. Limits are so
high that nothing is ever refused, and whatever else is left at its default.
"""

from collections.abc import Callable
from typing import Any

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Decorators = dict[str, Decorator]

ENDLESS = 1e9
ATTEMPTS = 3
SECONDS = 10


def fresh(make: Callable[..., Decorator], *args: Any, **kwargs: Any) -> Decorator:
    """Return a decorator that makes a new one for each function."""

    def decorate(func):
        return make(*args, **kwargs)(func)

    return decorate


def accel_integration() -> Decorators:
    from accel_integration import sp

    def retry_breaker_throttle(func):
        return sp.pipeline(
            sp.RetryPattern(), sp.CircuitBreaker(), sp.Throttling(ENDLESS)
        )(func)

    def all_four(func):
        return sp.Timeout(SECONDS)(retry_breaker_throttle(func))

    return {
        "retry": fresh(sp.RetryPattern),
        "timeout": fresh(sp.Timeout),
        "breaker": fresh(sp.CircuitBreaker),
        "breaker, failure rate": fresh(sp.CircuitBreaker, failure_rate=0.5),
        "throttle": fresh(sp.Throttling, ENDLESS),
        "all four": all_four,
        "sync: retry": fresh(sp.RetryPattern),
        "sync: retry, breaker, throttle": retry_breaker_throttle,
        "sync: all four": all_four,
    }


def tenacity() -> Decorators:
    from tenacity import retry, stop_after_attempt, wait_exponential_jitter

    def decorate(func):
        stop = stop_after_attempt(ATTEMPTS)
        return retry(stop=stop, wait=wait_exponential_jitter())(func)

    return {"retry": decorate, "sync: retry": decorate}


def stamina() -> Decorators:
    from stamina import retry

    def decorate(func):
        return retry(on=Exception, attempts=ATTEMPTS)(func)

    return {"retry": decorate, "sync: retry": decorate}


def hyx() -> Decorators:
    from hyx.circuitbreaker import consecutive_breaker
    from hyx.ratelimit import tokenbucket
    from hyx.retry import retry
    from hyx.timeout import timeout

    def retrying(func):
        return retry(on=Exception, attempts=ATTEMPTS)(func)

    def throttled(func):
        return tokenbucket(ENDLESS, 1, ENDLESS)(func)

    return {
        "retry": retrying,
        "timeout": fresh(timeout, SECONDS),
        "breaker": fresh(consecutive_breaker),
        "throttle": throttled,
        "all four": lambda func: throttled(
            retrying(consecutive_breaker()(timeout(SECONDS)(func)))
        ),
    }


def purgatory() -> Decorators:
    from purgatory import AsyncCircuitBreakerFactory

    def decorate(func):
        return AsyncCircuitBreakerFactory()("name")(func)

    return {"breaker": decorate}


def aiobreaker() -> Decorators:
    from aiobreaker import CircuitBreaker

    return {"breaker": fresh(CircuitBreaker)}


def pyresilience() -> Decorators:
    from pyresilience import (
        CircuitBreakerConfig,
        RateLimiterConfig,
        RetryConfig,
        TimeoutConfig,
        resilient,
    )

    endless = RateLimiterConfig(max_calls=int(ENDLESS), period=1)
    retry, timeout = RetryConfig(max_attempts=ATTEMPTS), TimeoutConfig(seconds=SECONDS)
    three = {
        "retry": retry,
        "circuit_breaker": CircuitBreakerConfig(),
        "rate_limiter": endless,
    }
    return {
        "retry": fresh(resilient, retry=retry),
        "timeout": fresh(resilient, timeout=timeout),
        "breaker": fresh(resilient, circuit_breaker=CircuitBreakerConfig()),
        "breaker, failure rate": fresh(
            resilient, circuit_breaker=CircuitBreakerConfig(sliding_window_size=100)
        ),
        "throttle": fresh(resilient, rate_limiter=endless),
        "all four": fresh(resilient, **three, timeout=timeout),
        "sync: retry": fresh(resilient, retry=retry),
        "sync: retry, breaker, throttle": fresh(resilient, **three),
        "sync: all four": fresh(resilient, **three, timeout=timeout),
    }


def interlock() -> Decorators:
    """Return its patterns; it has no throttle, so that its stack is one of three."""
    from interlock import CircuitBreaker, Pipeline

    def retry(func):
        return Pipeline.builder().retry(attempts=ATTEMPTS).build()(func)

    def timeout(func):
        return Pipeline.builder().timeout(SECONDS).build()(func)

    def stack(func):
        pipeline = Pipeline.builder().retry(attempts=ATTEMPTS)
        pipeline.circuit_breaker(CircuitBreaker(name="stack")).timeout(SECONDS)
        return pipeline.build()(func)

    return {
        "retry": retry,
        "timeout": timeout,
        "breaker, failure rate": fresh(CircuitBreaker, name="alone"),
        "all four": stack,
        "sync: retry": retry,
    }


def aiolimiter() -> Decorators:
    from aiolimiter import AsyncLimiter

    def throttle(func):
        limiter = AsyncLimiter(ENDLESS, 1)

        async def throttled():
            async with limiter:
                return await func()

        return throttled

    return {"throttle": throttle}


def tenacity_stack() -> Decorators:
    """Return the stack of those who combine what each does best."""
    from asyncio import timeout

    from aiobreaker import CircuitBreaker
    from aiolimiter import AsyncLimiter

    def stack(func):
        limiter = AsyncLimiter(ENDLESS, 1)

        async def limited():
            async with timeout(SECONDS), limiter:
                return await func()

        return tenacity()["retry"](CircuitBreaker()(limited))

    return {"all four": stack}


def stamina_stack() -> Decorators:
    """Return another such stack."""
    from asyncio import timeout

    from aiolimiter import AsyncLimiter

    def stack(func):
        limiter = AsyncLimiter(ENDLESS, 1)

        async def limited():
            async with timeout(SECONDS), limiter:
                return await func()

        return stamina()["retry"](purgatory()["breaker"](limited))

    return {"all four": stack}


def upstream() -> Decorators:
    from fastapi_accelerator.integration.stability_patterns import sp

    def all_four(func):
        timed = sp.CircuitBreaker()(sp.Timeout(SECONDS)(func))
        return sp.Throttling(ENDLESS)(sp.RetryPattern()(timed))

    return {
        "retry": fresh(sp.RetryPattern),
        "timeout": fresh(sp.Timeout, SECONDS),
        "breaker": fresh(sp.CircuitBreaker),
        "throttle": fresh(sp.Throttling, ENDLESS),
        "all four": all_four,
    }


def standard_library() -> Decorators:
    """Return the floor: passing arguments on, and `asyncio.timeout`."""
    import asyncio

    def pass_on(func):
        async def passed_on(*args: object, **kwargs: object) -> object:
            return await func(*args, **kwargs)

        return passed_on

    def timeout(func):
        async def timed(*args: object, **kwargs: object) -> object:
            async with asyncio.timeout(SECONDS):
                return await func(*args, **kwargs)

        return timed

    return {"pass-through": pass_on, "timeout": timeout}
