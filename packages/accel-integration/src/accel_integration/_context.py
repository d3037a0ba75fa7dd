"""What a call in progress knows: its scope, its deadline, the last status seen."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

__all__ = [
    "CALLER",
    "DEADLINE",
    "EXCHANGE",
    "Clock",
    "Entry",
    "Exchange",
    "Request",
    "Scope",
    "Seconds",
    "Temporarily",
    "called_by",
    "in_force",
    "seconds_of",
    "time_left",
]

T = TypeVar("T")

Clock: TypeAlias = Callable[[], float]
Seconds: TypeAlias = float | timedelta


def seconds_of(value: Seconds) -> float:
    """Return a duration in seconds, and for `timedelta.max` as many as one can wait."""
    if isinstance(value, timedelta):
        return min(value.total_seconds(), threading.TIMEOUT_MAX)
    return float(value)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a strategy keeps one state for: a function, and the origin it calls."""

    endpoint: str
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.endpoint} at {self.origin}" if self.origin else self.endpoint


class Request(NamedTuple):
    """A request that was sent; it holds secrets, and is masked where it is shown."""

    url: object
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Exchange:
    """Notes on the call in progress, written by hooks and strategies, read by both."""

    __slots__ = (
        "attempts",
        "fallbacks",
        "prepare",
        "request",
        "retry_after",
        "status",
    )

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after: str | None = None
        self.request: Request | None = None
        # What adds to each request what its endpoint declares.
        # What it returns, if anything, must be awaited.
        self.prepare: Callable[[Any], Any] | None = None
        self.attempts = 1
        self.fallbacks = 0

    def forget_response(self) -> None:
        """Forget the last response, because a new attempt begins."""
        self.status = self.retry_after = None


EXCHANGE: ContextVar[Exchange | None] = ContextVar("EXCHANGE", default=None)

# The moment, on time.monotonic, at which the nearest enclosing Timeout expires.
DEADLINE: ContextVar[float | None] = ContextVar("DEADLINE", default=None)


class Entry(float):
    """A call that waits: its deadline, which knows the task that it will cancel.

    A number, since it is what `DEADLINE` holds, of which most want only the moment.
    """

    __slots__ = ("cancelling", "fired", "outer", "task", "token")

    cancelling: int
    # Whether its time is over.
    fired: bool
    # What `DEADLINE` holds after this one; known once it is announced.
    outer: float | None
    # None once the call is over.
    task: "asyncio.Task[Any] | None"
    # What resets `DEADLINE` to that, unless others have come in between.
    token: Token[float | None] | None


def in_force(deadline: float | None) -> float | None:
    """Return *deadline*, or what was around it if its call is over.

    That holds for nobody, such as a task that the call has started and left behind.
    """
    while isinstance(deadline, Entry) and deadline.task is None:
        deadline = deadline.outer
    return deadline


# Says which route the current task serves, as far as that is known by now.
CALLER: ContextVar[Callable[[], str | None] | None] = ContextVar("CALLER", default=None)


class Temporarily(Generic[T]):
    """Set *variable* inside of a `with` block."""

    # A class, since a generator would cost each call of an endpoint three times as much.
    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._variable.reset(self._token)
        except ValueError:
            # A coroutine that is dropped in the middle ends in the context of the
            # garbage collector, where nothing was set, and nothing is to be reset.
            if not isinstance(exc, GeneratorExit):
                raise


def called_by(
    caller: Callable[[], str | None],
) -> "Temporarily[Callable[[], str | None] | None]":
    """Note inside of a `with` block that its calls are made for *caller*.

    That is a function, such as `lambda: "GET /books/{id}"`: a web framework learns the
    route of a request only after its middleware has begun. It is asked when an endpoint
    was called, and `docintegration` lists what it says.
    """
    return Temporarily(CALLER, caller)


def time_left() -> float | None:
    """Return the seconds until the enclosing `sp.Timeout` expires, or None.

    Use it to give a budget to what a call does itself. An endpoint knows its deadline
    from the start, any other function from the moment it first waits.
    """
    if (deadline := in_force(DEADLINE.get())) is None:
        return None
    return max(0.0, deadline - time.monotonic())
