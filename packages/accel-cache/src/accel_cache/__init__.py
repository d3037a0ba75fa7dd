"""A Redis response cache for FastAPI endpoints and plain coroutines."""

from accel_cache._cache import Cache, MemoryCache, cache_for, cache_redis
from accel_cache._decorator import early_lookup
from accel_cache._errors import (
    CacheConfigurationError,
    CacheError,
    CacheUnavailable,
    UnstorableValue,
)
from accel_cache._events import CacheEvent
from accel_cache._limiter import Hit, Limiter
from accel_cache._middleware import CacheMiddleware

__all__ = [
    "Cache",
    "CacheConfigurationError",
    "CacheError",
    "CacheEvent",
    "CacheMiddleware",
    "CacheUnavailable",
    "Hit",
    "Limiter",
    "MemoryCache",
    "UnstorableValue",
    "cache_for",
    "cache_redis",
    "early_lookup",
]
