"""Transactions, repeated when they lost against another one."""

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from accel_db._translation import is_retryable

P = ParamSpec("P")
R = TypeVar("R")


def retry_serialization(
    *, attempts: int = 5, delay: float = 0.02
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Call a function, sync or async, again when its transaction lost.

    PostgreSQL refuses one of two transactions that cannot both be right (40001), that
    wait for each other (40P01) or that may not wait (55P03); SQLite one that waited too
    long. The function must open the transaction itself, so that each attempt is a new
    one, and must do nothing that cannot be repeated.

    Args:
        attempts: how often to call it, at most.
        delay: seconds before the second attempt, doubled for each further one, of which
            a random part is waited ("full jitter").
    """
    if attempts < 1:
        raise ValueError(f'"attempts" must be >= 1: {attempts}')

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", _retry_async(function, attempts, delay))
        return _retry_sync(function, attempts, delay)

    return decorate


def _retry_sync(
    function: Callable[P, R], attempts: int, delay: float
) -> Callable[P, R]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(1, attempts):
            try:
                return function(*args, **kwargs)
            except Exception as exc:
                if not is_retryable(exc):
                    raise
                time.sleep(_pause(delay, attempt))
        return function(*args, **kwargs)

    return call


def _retry_async(
    function: Callable[..., Any], attempts: int, delay: float
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        for attempt in range(1, attempts):
            try:
                return await function(*args, **kwargs)
            except Exception as exc:
                if not is_retryable(exc):
                    raise
                await asyncio.sleep(_pause(delay, attempt))
        return await function(*args, **kwargs)

    return call


def _pause(delay: float, attempt: int) -> float:
    # Those that lost against each other must not meet again.
    return random.uniform(0, delay * 2 ** (attempt - 1))  # noqa: S311  # no secret
