"""What is measured: the same application, with each library in front of its endpoints.

Every function returns an application. Libraries are imported inside of them, because
each is installed in an environment of its own. What they do not need is at its default.
"""

import asyncio
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

# How long a value lives, in seconds: hits must, misses shall not fill the server.
LONG, SHORT = 600, 5

runs: Counter[str] = Counter()
"""How often each endpoint ran."""


class Item(BaseModel):
    """One of the hundred that are 20 kB of JSON together."""

    id: int
    name: str
    maker: str
    price: float
    active: bool
    tags: list[str]
    text: str


ITEMS = [
    Item(
        id=n,
        name=f"Item {n}",
        maker=f"Maker {n % 7}",
        price=12.5 + n,
        active=n % 2 == 0,
        tags=["green", "light"],
        text="A few words, as people write them into a column, and some more of them, for a length of 20 kB.",
    )
    for n in range(100)
]

Cached = Callable[[int], Callable[[Any], Any]]


async def session() -> AsyncIterator[object]:
    """Stand for a session of a database: it is opened, and closed at the end."""
    yield object()


def uncached(seconds: int) -> Callable[[Any], Any]:
    return lambda endpoint: endpoint


def no_dependencies(seconds: int) -> list[Any]:
    return []


def application(
    cached: Cached = uncached,
    dependencies: Callable[[int], list[Any]] = no_dependencies,
    route_class: Any = APIRoute,
) -> FastAPI:
    """Return the application with *cached* around each endpoint."""
    app = FastAPI()
    app.state.CACHE_STATUS = True
    app.router.route_class = route_class

    @app.get("/hit", dependencies=dependencies(LONG))
    @cached(LONG)
    async def hit(request: Request, page: int = 0, size: int = 100) -> list[Item]:
        return ITEMS

    @app.get("/miss", dependencies=dependencies(SHORT))
    @cached(SHORT)
    async def miss(request: Request, page: int = 0, size: int = 100) -> list[Item]:
        runs["miss"] += 1
        return ITEMS

    @app.get("/slow", dependencies=dependencies(LONG))
    @cached(LONG)
    async def slow(request: Request, page: int = 0, size: int = 100) -> list[Item]:
        runs["slow"] += 1
        await asyncio.sleep(0.1)
        return ITEMS

    return app


def prebuilt(url: str) -> FastAPI:
    app = FastAPI()
    dumped = b",".join(item.model_dump_json().encode() for item in ITEMS)
    response = Response(b"[" + dumped + b"]", media_type="application/json")

    @app.get("/hit")
    async def hit(request: Request, page: int = 0, size: int = 100) -> Response:
        return response

    return app


def rendered(url: str) -> FastAPI:
    return application()


def redis_client(url: str) -> Any:
    """Return a client as it is in the service that all of this started from."""
    import redis.asyncio as redis

    return redis.from_url(url, encoding="utf-8", decode_responses=True)


def upstream(url: str) -> FastAPI:
    from fastapi_accelerator.cache import cache_redis

    client = redis_client(url)
    return application(
        lambda seconds: cache_redis(
            cache_class=client, cache_ttl=timedelta(seconds=seconds)
        )
    )


def accel_cache(url: str) -> FastAPI:
    from accel_cache import cache_redis

    client = redis_client(url)
    return application(
        lambda seconds: cache_redis(
            cache_class=client, cache_ttl=timedelta(seconds=seconds)
        )
    )


def accel_cache_without_l1(url: str) -> FastAPI:
    from accel_cache import Cache

    cache = Cache(redis_client(url), tracking=False)
    return application(lambda seconds: cache(ttl=seconds))


def accel_cache_early(url: str) -> FastAPI:
    from accel_cache import cache_for, early_lookup

    cache = cache_for(redis_client(url))
    return application(lambda seconds: cache(ttl=seconds), route_class=early_lookup())


def accel_cache_session(url: str, route_class: Any = APIRoute) -> FastAPI:
    from accel_cache import cache_for

    cache = cache_for(redis_client(url))
    return application(
        lambda seconds: cache(ttl=seconds),
        dependencies=lambda _: [Depends(session)],
        route_class=route_class,
    )


def accel_cache_session_early(url: str) -> FastAPI:
    from accel_cache import early_lookup

    return accel_cache_session(url, early_lookup(session))


def fastapi_cache2(url: str) -> FastAPI:
    import redis.asyncio as redis
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.redis import RedisBackend
    from fastapi_cache.decorator import cache

    FastAPICache.init(RedisBackend(redis.from_url(url)), prefix="benchmark")
    return application(lambda seconds: cache(expire=seconds))


def by_arguments(endpoint: Any, *args: Any, **kwargs: Any) -> str:
    return f"{endpoint.__name__}:{kwargs['page']}:{kwargs['size']}"


def aiocache(url: str) -> FastAPI:
    from aiocache import Cache, cached
    from aiocache.serializers import PickleSerializer

    where = Cache.from_url(url)
    return application(
        lambda seconds: cached(
            ttl=seconds,
            cache=Cache.REDIS,
            endpoint=where.endpoint,
            port=int(where.port),
            serializer=PickleSerializer(protocol=pickle.HIGHEST_PROTOCOL),
            key_builder=by_arguments,
        )
    )


def _cashews(url: str, **options: Any) -> FastAPI:
    from cashews import cache

    cache.setup(url, **options)

    def cached(seconds: int) -> Callable[[Any], Any]:
        def decorate(endpoint: Any) -> Any:
            key = f"{endpoint.__name__}:{{page}}:{{size}}"
            return cache(ttl=seconds, key=key)(endpoint)

        return decorate

    return application(cached)


def cashews(url: str) -> FastAPI:
    return _cashews(url)


def cashews_client_side(url: str) -> FastAPI:
    return _cashews(url, client_side=True)


def redis_sdk(url: str) -> FastAPI:
    from redis_fastapi import FastAPIRedis, cache, get_settings

    get_settings().url = url
    app = application(dependencies=lambda seconds: [Depends(cache(ttl=seconds))])
    FastAPIRedis(app).lifespan().caching()
    return app


def alcazaba(url: str) -> FastAPI:
    import redis.asyncio as redis
    from fastapi_alcazaba import FastAPICache
    from fastapi_alcazaba.backends.redis import RedisBackend
    from fastapi_alcazaba.decorator import cache

    FastAPICache.init(RedisBackend(redis.from_url(url)), prefix="benchmark")
    return application(lambda seconds: cache(expire=seconds))
