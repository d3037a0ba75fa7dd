"""The cache of responses."""

import redis.asyncio as redis
from accel_cache import Cache

from app.core.config import REDIS_URL

# Redis where there is an address, else the memory of this process.
redis_client = (
    redis.from_url(REDIS_URL, encoding="utf-8", decode_responses=True)
    if REDIS_URL
    else Cache()
)
