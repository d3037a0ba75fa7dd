import redis.asyncio as redis

from app.core.config import REDIS_URL

# Create a global Redis object
redis_client = redis.from_url(REDIS_URL, encoding="utf-8", decode_responses=True)
