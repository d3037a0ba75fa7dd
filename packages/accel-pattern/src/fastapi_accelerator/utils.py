"""Utilities."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from accel_pattern._namedtuple import to_namedtuple

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["SingletonMeta", "run_async", "singleton", "to_namedtuple"]


class SingletonMeta(type):
    """Make a class return the same instance for every call."""

    instance: Any = None

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the instance; the first call makes it."""
        if cls.instance is None:
            cls.instance = super().__call__(*args, **kwargs)
        return cls.instance


def singleton(function: Callable[P, R]) -> Callable[P, R | bool]:
    """Call *function* once; before that, a call without arguments answers `False`."""
    found: list[R] = []

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | bool:
        if found:
            return found[0]
        if not args and not kwargs:
            return False
        found.append(function(*args, **kwargs))
        return found[0]

    return wrapper


def run_async(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run *coroutine* to its end, from code that is not async."""
    return asyncio.run(coroutine)
