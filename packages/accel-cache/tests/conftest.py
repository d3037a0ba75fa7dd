import contextlib

import httpx2
import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, settings

from accel_cache import Cache, cache_for
from accel_cache.testing import cache_spy, valkey_server

# Neither chance nor a busy machine decides whether a test passes.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


@pytest.fixture
def anyio_backend():
    return "asyncio"


def _watched(app, misframed):
    """Note every response whose length is not the one of its body: servers refuse it."""

    async def watched(scope, receive, send):
        messages = []

        async def noting(message):
            messages.append(message)
            await send(message)

        await app(scope, receive, noting)
        start, *bodies = messages
        lengths = [
            value for name, value in start["headers"] if name == b"content-length"
        ]
        size = sum(len(message.get("body", b"")) for message in bodies)
        empty = scope["method"] == "HEAD" or start["status"] == 304
        if lengths and not empty and lengths != [b"%d" % size]:
            misframed.append((scope["path"], lengths, size))

    return watched


@contextlib.asynccontextmanager
async def _browse(app, **options):
    misframed = []
    transport = httpx2.ASGITransport(
        app=_watched(app, misframed), raise_app_exceptions=False
    )
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test", **options
    ) as web:
        yield web
    assert misframed == []


@pytest.fixture
def browse():
    """Requests to an application without a socket: `async with browse(app) as web`."""
    return _browse


class Clock:
    """A wall clock that stands still until a test moves it."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def server():
    with valkey_server() as address:
        yield address


@pytest.fixture
async def client(server, monkeypatch):
    """The client of the seed, on a server without data."""
    # A machine that stands still for a moment is no server that is away.
    monkeypatch.setitem(Cache.__init__.__kwdefaults__, "timeout", 10.0)
    client = redis.from_url(server.url, encoding="utf-8", decode_responses=True)
    await client.flushall()
    yield client
    await cache_for(client).aclose()
    await client.aclose()


@pytest.fixture
def spy(client):
    with cache_spy(client) as spy:
        yield spy
