"""Real databases for the tests: SQLite, and a PostgreSQL of our own."""

import pytest
from hypothesis import HealthCheck, settings

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


@pytest.fixture(scope="session")
def postgres():
    """Give the URL of a PostgreSQL server that this run owns."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url(postgres):
    """Give the URL of a database that all tests share, one after the other."""
    return create_database(postgres)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request):
    return request.param


@pytest.fixture
def url(backend, request):
    if backend == "sqlite":
        return "sqlite://"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def db(url):
    """Give the manager of the models, on empty tables."""
    with manager.override(url):
        manager.create_all()
        manager.clear_all()
        yield manager


@pytest.fixture
async def asession(db):
    async with db.asession() as session:
        yield session
    await db.adispose()


@pytest.fixture
def aorm(asession):
    return OrmAsync(asession)
