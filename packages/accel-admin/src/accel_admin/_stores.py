"""Places where sessions live."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from accel_admin._errors import AsyncClient, StoreUnavailable


class Store(Protocol):
    """Keeps small values for a limited time."""

    def load(self, key: str) -> bytes | None:
        """Return the value at *key*, unless it is missing or expired."""
        ...

    def save(self, key: str, value: bytes, ttl: float, *, create: bool) -> None:
        """Keep *value* for *ttl* seconds; without *create*, only replace."""
        ...

    def delete(self, key: str) -> None:
        """Forget *key*."""
        ...

    def count(self, key: str, ttl: float) -> int:
        """Add one to the counter at *key*, which lives *ttl* seconds from now."""
        ...


class MemoryStore:
    """Keeps values in this process: right for one process, and for tests."""

    def __init__(
        self, *, max_size: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_size = max_size
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[str, tuple[float, bytes]] = {}

    def load(self, key: str) -> bytes | None:
        """Return the value at *key*, unless it is missing or expired."""
        with self._lock:
            return self._live(key)

    def save(self, key: str, value: bytes, ttl: float, *, create: bool) -> None:
        """Keep *value* for *ttl* seconds; without *create*, only replace."""
        with self._lock:
            if create or self._live(key) is not None:
                self._put(key, value, ttl)

    def delete(self, key: str) -> None:
        """Forget *key*."""
        with self._lock:
            self._values.pop(key, None)

    def count(self, key: str, ttl: float) -> int:
        """Add one to the counter at *key*, which lives *ttl* seconds from now."""
        with self._lock:
            number = int(self._live(key) or b"0") + 1
            self._put(key, str(number).encode(), ttl)
            return number

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()

    def _live(self, key: str) -> bytes | None:
        expires, value = self._values.get(key, (0.0, b""))
        if expires > self._clock():
            return value
        self._values.pop(key, None)
        return None

    def _put(self, key: str, value: bytes, ttl: float) -> None:
        # Inserted anew, so that the first entries are those that were idle longest.
        self._values.pop(key, None)
        self._values[key] = (self._clock() + ttl, value)
        if len(self._values) > self._max_size:
            self._make_room()

    def _make_room(self) -> None:
        now = self._clock()
        for key in [k for k, (expires, _) in self._values.items() if expires <= now]:
            del self._values[key]
        while len(self._values) > self._max_size:
            del self._values[next(iter(self._values))]


class RedisStore:
    """Keeps values in Redis, so that all processes share them.

    Args:
        client: a synchronous client of redis-py, with or without `decode_responses`.
        prefix: starts every key.
    """

    def __init__(self, client: Any, *, prefix: str = "accel-admin:") -> None:
        self._client = client
        self._prefix = prefix

    def load(self, key: str) -> bytes | None:
        """Return the value at *key*, unless it is missing or expired."""
        with _reached():
            value = self._client.get(self._prefix + key)
        return value.encode() if isinstance(value, str) else value

    def save(self, key: str, value: bytes, ttl: float, *, create: bool) -> None:
        """Keep *value* for *ttl* seconds; without *create*, only replace."""
        milliseconds = max(1, round(ttl * 1000))
        with _reached():
            self._client.set(self._prefix + key, value, px=milliseconds, xx=not create)

    def delete(self, key: str) -> None:
        """Forget *key*."""
        with _reached():
            self._client.delete(self._prefix + key)

    def count(self, key: str, ttl: float) -> int:
        """Add one to the counter at *key*, which lives *ttl* seconds from now."""
        with _reached(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.incr(self._prefix + key)
            pipeline.pexpire(self._prefix + key, max(1, round(ttl * 1000)))
            return int(pipeline.execute()[0])


@contextmanager
def _reached() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as exc:
        raise StoreUnavailable from exc


def store_for(client: Any) -> Store:
    """Return the store for *client*: a store, a Redis client, or nothing."""
    if client is None:
        return MemoryStore()
    if hasattr(client, "load"):
        store: Store = client
        return store
    # Its calls would return coroutines, and the threads of the panel await none.
    if hasattr(client, "aclose"):
        raise AsyncClient
    return RedisStore(client)
