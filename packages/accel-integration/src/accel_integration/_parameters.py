"""Parameters: what they must be, said when a function is decorated."""

import inspect
import math
from collections.abc import Collection
from datetime import timedelta

from accel_integration._context import Seconds, seconds_of

__all__ = [
    "at_least",
    "exceptions",
    "function_or_none",
    "name_or_none",
    "not_negative",
    "one_of",
    "plain_number",
    "positive",
    "share",
    "synchronous",
]


def at_least(least: int, name: str, value: int) -> int:
    """Return *value*, which must be a whole number of *least* or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f'"{name}" must be a whole number: {value!r}')
    if value < least:
        raise ValueError(f'"{name}" must be >= {least}: {value!r}')
    return value


def positive(name: str, value: Seconds) -> float:
    """Return *value* as a number, in seconds if it is a time; it must be above zero."""
    number = _number(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f'"{name}" must be > 0 and finite: {value!r}')
    return number


def not_negative(name: str, value: Seconds) -> float:
    """Return *value* as a number, in seconds if it is a time; it may be zero."""
    number = _number(name, value)
    if not 0 <= number < math.inf:
        raise ValueError(f'"{name}" must be >= 0 and finite: {value!r}')
    return number


def plain_number(name: str, value: float) -> float:
    """Return *value*, which must be a number and no time."""
    if isinstance(value, timedelta):
        raise TypeError(f'"{name}" must be a number: {value!r}')
    return _number(name, value, "a number")


def share(name: str, value: float, *, may_be_zero: bool = False) -> float:
    """Return *value*, which must be a share, such as 0.5 for one half."""
    number = plain_number(name, value)
    if not 0 <= number <= 1 or not (number or may_be_zero):
        above = ">= 0" if may_be_zero else "> 0"
        raise ValueError(f'"{name}" must be {above} and <= 1: {value!r}')
    return number


def one_of(choices: Collection[str], name: str, value: object) -> None:
    """Refuse *value* if it is none of *choices*."""
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f'"{name}" must be one of {known}: {value!r}')


def name_or_none(name: str, value: object) -> None:
    """Refuse *value* if it is no text; None stands for the name of the function."""
    if not isinstance(value, str | None):
        raise TypeError(f'"{name}" must be a str: {value!r}')


def function_or_none(name: str, value: object) -> None:
    """Refuse *value* if it is no sync function; None stands for none at all."""
    if value is not None and not callable(value):
        raise TypeError(f'"{name}" must be a function: {value!r}')
    synchronous(name, value)


def exceptions(name: str, value: object) -> None:
    """Refuse *value* unless it is an exception class, or a tuple of some."""
    classes = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(c, type) and issubclass(c, BaseException) for c in classes):
        msg = f'"{name}" must be an exception class or a tuple of some: {value!r}'
        raise TypeError(msg)


def synchronous(name: str, value: object) -> None:
    """Refuse *value* if it is an async function, which nobody would await."""
    call = getattr(value, "__call__", None)  # noqa: B004 - asked for its kind
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(call):
        msg = f'"{name}" must be a sync function, since nobody awaits it: {value!r}'
        raise TypeError(msg)


def _number(name: str, value: Seconds, kinds: str = "a number or a timedelta") -> float:
    # A text would become a number without a word, and True would be one second.
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise TypeError(f'"{name}" must be {kinds}: {value!r}')
    try:
        return seconds_of(value)
    except OverflowError:  # A whole number may be longer than any float.
        return math.inf
