"""Events, and who listens to them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from accel_integration._context import Scope
from accel_integration._parameters import synchronous

__all__ = [
    "BreakerChanged",
    "CallFinished",
    "CallHedged",
    "CallRejected",
    "CallTimedOut",
    "Event",
    "FallbackUsed",
    "Hub",
    "Listener",
    "RetryScheduled",
    "Unsubscribe",
]

logger = logging.getLogger("accel_integration")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a call of *endpoint* at *origin*."""

    name: str = field(default="integration.event", init=False)
    endpoint: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished(Event):
    """An endpoint was called; *duration* is in seconds, all its attempts included."""

    name: str = field(default="integration.call", init=False)
    integration: str
    method: str
    status: int | None
    duration: float
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled(Event):
    """Attempt number *attempt* failed; the next one starts in *delay* seconds."""

    name: str = field(default="integration.retry", init=False)
    attempt: int
    delay: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRejected(Event):
    """A call was refused without being made."""

    name: str = field(default="integration.rejected", init=False)
    reason: Literal["open", "throttled", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimedOut(Event):
    """A call took longer than *seconds*."""

    name: str = field(default="integration.timeout", init=False)
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged(Event):
    """A circuit breaker went from one state to another."""

    name: str = field(default="integration.breaker", init=False)
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackUsed(Event):
    """A call failed with *error*, and its fallback answered."""

    name: str = field(default="integration.fallback", init=False)
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHedged(Event):
    """A call was slow, so that it was made once more beside the first one."""

    name: str = field(default="integration.hedge", init=False)
    attempt: int


Listener: TypeAlias = Callable[[Any], object]
Unsubscribe: TypeAlias = Callable[[], None]


class Hub:
    """A list of listeners, which may pass on what it hears to other hubs.

    It is false while nobody listens, so that no event is built in vain.
    """

    __slots__ = ("_listeners", "_parents")

    def __init__(self, *parents: "Hub") -> None:
        self._parents = list(parents)
        self._listeners: list[Listener] = []

    def __bool__(self) -> bool:
        return bool(self._listeners) or any(self._parents)

    def subscribe(self, listener: Listener) -> Unsubscribe:
        """Call *listener* with every event; call the result to stop."""
        synchronous("listener", listener)
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def forward_to(self, parent: "Hub") -> None:
        """Pass every event on to *parent*."""
        if parent not in self._parents:
            self._parents.append(parent)

    def tell(self, kind: type[Event], scope: Scope, **details: Any) -> None:
        """Tell the listeners of an event of *kind* in *scope*, if there are any."""
        if self:
            self.emit(kind(endpoint=scope.endpoint, origin=scope.origin, **details))

    def emit(self, event: Event) -> None:
        """Hand *event* to every listener; what they raise is logged, not passed on."""
        # A copy, because a listener may unsubscribe itself.
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                logger.exception("A listener of %r failed.", event.name)
        for parent in self._parents:
            parent.emit(event)
