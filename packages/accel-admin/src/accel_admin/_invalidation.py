"""Telling a cache what the panel changed."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

logger = logging.getLogger("accel_admin")

_BUDGET = 5.0


class Cache(Protocol):
    """Anything that forgets what carries one of some tags."""

    def invalidate(self, tags: Iterable[str], /) -> Awaitable[object]:
        """Forget every entry with one of *tags*."""
        ...


class Invalidation:
    """Runs an async cache beside threads that have no event loop.

    The loop lives as long as the process, because the connections of a cache belong to
    the loop that opened them.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, change: Any) -> None:
        """Invalidate what *change* touched; a cache that is down stops no write."""
        future = asyncio.run_coroutine_threadsafe(
            self._invalidate(change.tags), self._running_loop()
        )
        try:
            future.result(_BUDGET)
        except Exception:
            logger.exception("The cache was not told of a change.")

    async def _invalidate(self, tags: Iterable[str]) -> None:
        async with asyncio.timeout(_BUDGET):
            await self._cache.invalidate(tags)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: a cache that hangs must not keep the process from ending.
                threading.Thread(
                    target=self._loop.run_forever, name="accel-admin", daemon=True
                ).start()
            return self._loop
