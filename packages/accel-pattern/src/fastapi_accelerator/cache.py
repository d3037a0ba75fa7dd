"""Cache of responses."""

from accel_cache import cache_redis

__all__ = ["cache_redis"]
