"""Events for whoever watches the cache."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger("accel_cache")


@dataclass(frozen=True, slots=True)
class CacheEvent:
    """Tell what the cache did.

    *name* is one of `cache.hit`, `cache.miss`, `cache.stale`, `cache.bypass`,
    `cache.stored`, `cache.refused`, `cache.invalidated`, `cache.deferred`,
    `cache.refresh_failed` and `cache.unavailable`.
    *key* is a digest: it holds neither the path nor a credential.
    """

    name: str
    namespace: str
    key: str = ""
    tags: frozenset[str] = frozenset()
    detail: str = ""


Subscriber = Callable[[CacheEvent], object]


class Subscribers:
    """The callables that hear events; falsy without one, so nobody builds any."""

    def __init__(self) -> None:
        self._callables: list[Subscriber] = []

    def __bool__(self) -> bool:
        return bool(self._callables)

    def add(self, subscriber: Subscriber) -> Callable[[], None]:
        """Add *subscriber* and return the function that removes it."""
        self._callables.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self._callables:
                self._callables.remove(subscriber)

        return unsubscribe

    def emit(self, event: CacheEvent) -> None:
        """Call every subscriber; one that fails is logged and harms nobody."""
        # A copy: a subscriber may take itself off the list.
        for subscriber in tuple(self._callables):
            try:
                subscriber(event)
            except Exception:
                logger.exception("A subscriber failed on the event %r", event.name)
