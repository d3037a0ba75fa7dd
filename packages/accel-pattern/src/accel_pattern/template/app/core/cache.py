"""Redis, and what all processes of the service share in it."""

import redis as sync_redis
import redis.asyncio as redis
from accel_cache import Cache
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.core.config import REDIS_URL

redis_server = (
    redis.from_url(REDIS_URL, encoding="utf-8", decode_responses=True)
    if REDIS_URL
    else None
)
# The cache of responses: without an address in the memory of this process.
redis_client = redis_server or Cache()
# The panel is a Flask application, which waits for its answers; by its defaults, the
# client would try for a minute.
admin_store = (
    sync_redis.from_url(
        REDIS_URL,
        socket_timeout=2,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 1),
    )
    if REDIS_URL
    else None
)
