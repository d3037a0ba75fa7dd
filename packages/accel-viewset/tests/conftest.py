"""Real databases, a real Valkey, and applications without a socket."""

import contextlib

import httpx2
import pytest
import redis.asyncio as redis
from fastapi import APIRouter, FastAPI
from hypothesis import HealthCheck, settings
from sqlalchemy import text

from accel_cache import cache_for
from accel_cache.testing import valkey_server
from accel_db import OrmAsync
from accel_db.testing import create_database, postgres_server

from .models import db as manager

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


@pytest.fixture(scope="session")
def postgres_url():
    """Give the URL of a database that all tests share, one after the other."""
    with postgres_server() as url:
        yield create_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    if request.param == "sqlite":
        return "sqlite://"
    return request.getfixturevalue("postgres_url")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def things(request):
    """Give a sync database for examples, of which there are many."""
    sqlite = request.param == "sqlite"
    url = "sqlite://" if sqlite else request.getfixturevalue("postgres_url")
    with manager.override(url):
        manager.create_all()
        yield manager
        manager.dispose()


@pytest.fixture
async def db(url):
    """Give the manager of the models, on empty tables."""
    with manager.override(url):
        await manager.acreate_all()
        await _empty()
        yield manager
        await manager.adispose()


async def _empty():
    """Delete every row, and let keys begin at 1 again."""
    if manager.backend == "sqlite":
        await manager.aclear_all()
        return
    names = ", ".join(manager.Base.metadata.tables)
    async with manager.aengine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))


@pytest.fixture
async def sqlite():
    """Give the manager on SQLite, where the database does not matter."""
    with manager.override("sqlite://"):
        await manager.acreate_all()
        yield manager
        await manager.adispose()


@pytest.fixture
async def add():
    """Write rows as any part of a service might: `await add(row, …)`."""

    async def write(*rows):
        async with manager.asession() as session:
            aorm = OrmAsync(session)
            for row in rows:
                await aorm.create_item(row)
        return rows[0]

    return write


@contextlib.asynccontextmanager
async def _browse(app, **options):
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test", **options
    ) as web:
        yield web


@pytest.fixture
def browse():
    """Requests to an application: `async with browse(app) as web`."""
    return _browse


@pytest.fixture
def serve():
    """Requests to view sets: `async with serve(Users, files=Files) as web`.

    Each is mounted under its keyword, the first one under `/x`.
    """

    def open_client(first=None, /, database=manager, headers=None, **others):
        app = FastAPI()
        app.state.DATABASE_MANAGER = database
        router = APIRouter()
        for name, view in {"x": first, **others}.items():
            if view is not None:
                view().as_view(router, f"/{name}")
        app.include_router(router)
        return _browse(app, headers=headers)

    return open_client


@pytest.fixture(scope="session")
def valkey():
    with valkey_server() as address:
        yield address


@pytest.fixture
async def redis_client(valkey):
    """Give the client of the seed, on a server without data."""
    client = redis.from_url(valkey.url, encoding="utf-8", decode_responses=True)
    await client.flushall()
    yield client
    await cache_for(client).aclose()
    await client.aclose()
