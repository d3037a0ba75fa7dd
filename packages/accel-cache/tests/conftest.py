import contextlib

import httpx2
import pytest
import redis.asyncio as redis

from accel_cache import cache_for
from accel_cache.testing import cache_spy, valkey_server


@pytest.fixture
def anyio_backend():
    return "asyncio"


@contextlib.asynccontextmanager
async def _browse(app, **options):
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test", **options
    ) as web:
        yield web


@pytest.fixture
def browse():
    """Requests to an application without a socket: `async with browse(app) as web`."""
    return _browse


@pytest.fixture(scope="session")
def server():
    with valkey_server() as address:
        yield address


@pytest.fixture
async def client(server):
    """The client of the seed, on a server without data."""
    client = redis.from_url(server.url, encoding="utf-8", decode_responses=True)
    await client.flushall()
    yield client
    await cache_for(client).aclose()
    await client.aclose()


@pytest.fixture
def spy(client):
    with cache_spy(client) as spy:
        yield spy
