"""Rate limits, shared by processes or in memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accel_cache._cache import Cache, cache_for
from accel_cache._errors import CacheConfigurationError
from accel_cache._keys import digest
from accel_cache._redis_store import RedisStore

# The generic cell rate algorithm (ATM Forum TM 4.0, 1996): one number per key,
# the time at which the bucket would be empty again. The server's clock counts,
# so that processes on several machines agree.
_HIT = b"""
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local limit, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local step = period / limit
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now then full = now end
local allowed = 0
if full + step - now <= period + 0.5 then
  allowed = 1
  full = full + step
  redis.call('SET', KEYS[1], string.format('%.0f', full),
             'PX', math.ceil((full - now) / 1000) + 1)
end
return {allowed, string.format('%.0f', full - now)}
"""

_MAX_KEYS = 100_000


@dataclass(frozen=True, slots=True)
class Hit:
    """The answer to one hit; durations are in seconds."""

    allowed: bool
    remaining: int
    retry_after: float
    reset_after: float


class Limiter:
    """Allow *limit* hits per *period* and key, evenly refilled.

    *store* is a Redis client or a `Cache`: the limits hold across processes.
    Without one they hold in this process.
    """

    def __init__(
        self, store: Any = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        cache = None if store is None else cache_for(store)
        self._redis = _redis_of(cache)
        self._clock = clock
        self._full: dict[str, float] = {}

    async def hit(self, key: str, limit: int, period: float) -> Hit:
        """Count one hit of *key* and tell whether it is within the limit.

        Raises:
            CacheUnavailable: if the server does not answer within its budget;
                whether that allows or refuses is the caller's policy.
        """
        if limit < 1 or period <= 0:
            raise CacheConfigurationError(
                f"A limit is at least 1 hit per positive period: {limit!r}, {period!r}"
            )
        name = digest("limit", key, limit, period)
        if self._redis is None:
            allowed, debt = self._count(name, limit, period)
        else:
            reply = await self._redis.evaluate(
                _HIT, "r", name, b"%d" % limit, b"%d" % max(period * 1_000_000, 1)
            )
            allowed, debt = bool(reply[0]), int(reply[1]) / 1_000_000
        return _answer(allowed, debt, limit, period)

    def _count(self, name: str, limit: int, period: float) -> tuple[bool, float]:
        now = self._clock()
        full = max(self._full.pop(name, now), now)
        allowed = full + period / limit - now <= period * (1 + 1e-9)
        if allowed:
            full += period / limit
        self._full[name] = full
        if len(self._full) > _MAX_KEYS:
            self._forget(now)
        return allowed, full - now

    def _forget(self, now: float) -> None:
        debts = [(key, full) for key, full in self._full.items() if full > now]
        # Some more than needed: to look at all of them for each new key is too slow.
        self._full = dict(debts[-_MAX_KEYS * 9 // 10 :])


def _answer(allowed: bool, debt: float, limit: int, period: float) -> Hit:
    # The clamps take rounding away: nobody waits longer than for one hit.
    step, debt = period / limit, min(max(debt, 0.0), period)
    remaining = max(int((period - debt) / step + 1e-6), 0)
    wait = 0.0 if allowed else min(max(debt + step - period, 0.0), step)
    return Hit(allowed, remaining, wait, debt)


def _redis_of(cache: Cache | None) -> RedisStore | None:
    if cache is None:
        return None
    store = cache._engine.store  # noqa: SLF001 - both are parts of this package
    return store if isinstance(store, RedisStore) else None
