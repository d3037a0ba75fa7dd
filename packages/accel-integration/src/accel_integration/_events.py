"""Events, and who listens to them."""

import logging
import threading
import weakref
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
    "Herald",
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

    __slots__ = ("__weakref__", "_followers", "_listeners", "_parents")

    def __init__(self, *parents: "Hub") -> None:
        self._parents = parents
        self._followers: list[weakref.ref[Hub]] = []
        self._listeners: list[Listener] = []

    def __bool__(self) -> bool:
        return bool(self._listeners) or any(self._parents) or any(self._living())

    def subscribe(self, listener: Listener) -> Unsubscribe:
        """Call *listener* with every event; call the result to stop."""
        synchronous("listener", listener)
        self._listeners.append(listener)
        # Emptied by the first call: a second one must not take another subscription.
        mine = [listener]

        def unsubscribe() -> None:
            if mine:
                self._listeners.remove(mine.pop())

        return unsubscribe

    def forward_to(self, parent: "Hub") -> None:
        """Pass every event on to *parent* for as long as that lives.

        Functions that come and go under one strategy must not add up in its hubs.
        """
        follower = weakref.ref(parent, self._followers.remove)
        if follower not in self._followers:
            self._followers.append(follower)

    def _living(self) -> list["Hub"]:
        followers = tuple(self._followers)
        return [hub for follower in followers if (hub := follower()) is not None]

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
        for parent in (*self._parents, *self._living()):
            parent.emit(event)


class Herald:
    """Tells *hub* of one change after the other.

    A listener may change things itself, or wait for another thread that does: what it
    causes is told after its own event, and no lock but this one is held meanwhile.
    """

    __slots__ = ("_hub", "_lock", "_news")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = threading.Lock()
        self._news: list[Event] = []

    def note(self, kind: type[Event], scope: Scope, **details: Any) -> None:
        """Note an event of *kind* in *scope*, if anybody listens."""
        if self._hub:
            event = kind(endpoint=scope.endpoint, origin=scope.origin, **details)
            self._news.append(event)

    def tell(self) -> None:
        """Tell of what was noted, or leave it to who is telling already."""
        # Again, since the last one may have been noted while the lock was given back.
        while self._news and self._lock.acquire(blocking=False):
            try:
                while self._news:
                    self._hub.emit(self._news.pop(0))
            finally:
                self._lock.release()
