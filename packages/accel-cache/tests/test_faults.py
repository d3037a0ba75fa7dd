"""The server stops, dies, comes back: endpoints answer all the while."""

import asyncio
import contextlib
import os
import signal
import time

import pytest
import redis.asyncio as redis
from fastapi import FastAPI

from accel_cache import Cache, CacheUnavailable, Limiter, cache_for, cache_redis
from accel_cache.testing import cache_spy, valkey_server

pytestmark = pytest.mark.anyio


def _app(client):
    app = FastAPI()
    app.state.value = "old"
    app.state.runs = 0

    @app.get("/{name}")
    @cache_redis(cache_class=client, cache_ttl=60, tags=["value"])
    async def endpoint(name: str) -> str:
        app.state.runs += 1
        return app.state.value

    return app


@contextlib.asynccontextmanager
async def _own_client(server):
    client = redis.from_url(server.url, encoding="utf-8", decode_responses=True)
    yield client
    await cache_for(client).aclose()
    await client.aclose()


async def _load(web, answers, is_over):
    """Ask as twenty users until it is over; return the longest wait."""
    waits = []

    async def user(name):
        while not is_over():
            started = time.monotonic()
            answers.append(await web.get(f"/{name}"))
            waits.append(time.monotonic() - started)
            await asyncio.sleep(0.005)

    await asyncio.gather(*(user(n) for n in range(20)))
    return max(waits)


def _states(answers):
    return {answer.headers["x-cache"] for answer in answers}


async def _until_up(cache):
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(CacheUnavailable):
                return await cache.ping()
            await asyncio.sleep(0.02)


async def _until(condition):
    async with asyncio.timeout(60):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


async def test_a_stopped_server_costs_one_budget(browse):
    with valkey_server() as server:
        # Long, so that a machine that is busy is no second budget.
        cache, answers = Cache(redis.from_url(server.url), timeout=3), []
        async with cache, browse(_app(cache)) as web:
            await web.get("/1")
            os.kill(server.pid, signal.SIGSTOP)
            try:
                longest = await _load(web, answers, lambda: len(answers) > 200)
                started = time.monotonic()
                await web.get("/later")
                later = time.monotonic() - started
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await _until_up(cache)
            await web.get("/again")
            again = await web.get("/again")

    assert {a.status_code for a in answers} == {200}
    assert longest < 6
    assert later < 3
    assert again.headers["x-cache"] == "HIT"


async def test_a_killed_server_under_load_fails_no_request(browse):
    with valkey_server() as server:
        async with _own_client(server) as client, browse(_app(client)) as web:
            answers, done = [], asyncio.Event()
            load = asyncio.create_task(_load(web, answers, done.is_set))

            async def is_cached():
                return "HIT" in _states(answers[-20:])

            async def is_away():
                return not await is_cached()

            await _until(is_cached)
            os.kill(server.pid, signal.SIGKILL)
            await _until(is_away)
            done.set()
            longest = await load
            with pytest.raises(CacheUnavailable, match="not available") as caught:
                await cache_for(client).ping()
            with valkey_server(port=server.port):
                await _until_up(cache_for(client))
                back = [await web.get("/back") for _ in range(2)]

    assert {a.status_code for a in answers} == {200}
    assert longest < 5
    assert caught.value.http_status == 503
    assert caught.value.retry_after >= 0
    assert [b.headers["x-cache"] for b in back] == ["MISS", "HIT"]


async def test_an_invalidation_while_the_server_is_away_is_made_up_for(browse):
    with valkey_server() as server:
        async with _own_client(server) as client:
            app = _app(client)
            cache = cache_for(client)
            async with browse(app) as web:
                await web.get("/a")
                os.kill(server.pid, signal.SIGSTOP)
                # The connection is given up: nothing waits in the server's buffer.
                await web.get("/b")
                app.state.value = "new"
                with cache_spy(client) as spy:
                    await cache.invalidate(["value"])
                os.kill(server.pid, signal.SIGCONT)
                await _until_up(cache)
                answer = await web.get("/a")

    assert answer.json() == "new"
    assert [e.name for e in spy.events] == ["cache.deferred"]


async def test_nobody_listens_at_all(browse):
    client = redis.from_url("redis://127.0.0.1:1/0")
    async with browse(_app(client)) as web:
        answers = [await web.get("/a") for _ in range(3)]

    assert [a.status_code for a in answers] == [200] * 3
    await cache_for(client).aclose()


async def _require_password(server):
    async with redis.from_url(server.url) as admin:
        await admin.config_set("requirepass", "right")


async def test_a_wrong_password_is_no_500(browse):
    with valkey_server() as server:
        await _require_password(server)
        url = f"redis://:wrong@{server.host}:{server.port}"
        client = redis.from_url(url)
        async with browse(_app(client)) as web:
            answer = await web.get("/a")
        with pytest.raises(CacheUnavailable) as caught:
            await cache_for(client).ping()
        await cache_for(client).aclose()

    assert answer.status_code == 200
    assert "wrong" not in str(caught.value)


async def test_a_password_works(browse):
    with valkey_server() as server:
        await _require_password(server)
        client = redis.from_url(f"redis://:right@{server.host}:{server.port}/3")
        async with Cache(client, timeout=10) as cache, browse(_app(cache)) as web:
            answers = [await web.get("/a") for _ in range(2)]

    assert answers[1].headers["x-cache"] == "HIT"


async def test_cancellation_propagates_and_harms_nobody(client, browse):
    cache = cache_for(client)

    started = asyncio.Event()

    async def slow():
        started.set()
        await asyncio.sleep(0.05)
        return "value"

    leader = asyncio.create_task(cache.get_or_set("k", slow, ttl=60))
    await started.wait()
    follower = asyncio.create_task(cache.get_or_set("k", slow, ttl=60))
    await asyncio.sleep(0.01)
    leader.cancel()
    value = await follower

    assert value == "value"
    with pytest.raises(asyncio.CancelledError):
        await leader


def test_a_loop_that_ends_takes_its_connection_along(server):
    client = redis.from_url(server.url)
    cache = cache_for(client)

    async def one():
        return 1

    for _ in range(3):
        assert asyncio.run(cache.get_or_set("loop", one, ttl=60)) == 1


async def _one():
    return 1


async def test_a_claim_that_was_not_answered_makes_nobody_wait(monkeypatch):
    with valkey_server() as server:
        async with _own_client(server) as client:
            cache = cache_for(client)
            await _until_up(cache)
            store = cache._engine.store

            async def stopped(*args):
                os.kill(server.pid, signal.SIGSTOP)
                return await type(store).claim(store, *args)

            with monkeypatch.context() as patch:
                patch.setattr(store, "claim", stopped)
                await cache.get_or_set("k", _one, ttl=60)
            os.kill(server.pid, signal.SIGCONT)
            await _until_up(cache)
            # The server has granted the lease by now, for thirty seconds.
            async with asyncio.timeout(10):
                value = await cache.get_or_set("k", _one, ttl=60)

    assert value == 1


async def test_who_is_cancelled_while_claiming_leaves_no_lease(client, monkeypatch):
    cache = cache_for(client)
    await cache.ping()
    store = cache._engine.store

    async def cancelled(*args):
        # When the command has left, and before its answer is read.
        asyncio.get_running_loop().call_soon(leader.cancel)
        return await type(store).claim(store, *args)

    monkeypatch.setattr(store, "claim", cancelled)
    leader = asyncio.create_task(cache.get_or_set("k", _one, ttl=60))
    await asyncio.wait([leader])

    assert leader.cancelled()
    assert [key for key in await client.keys() if ":l:" in key] == []


async def test_what_is_made_up_for_is_held_as_long_as_ever(client, monkeypatch):
    cache = cache_for(client)
    await cache.ping()
    link = cache._engine.store._link()

    async def away(*args, **options):
        raise CacheUnavailable("it is away", retry_after=1.0)

    with monkeypatch.context() as patch:
        patch.setattr(link, "call", away)
        # The session of the write commits later.
        await cache.invalidates("value")(_one)()
    with cache_spy(client) as spy:
        await cache.get_or_set("k", _one, ttl=60, tags=["value"])

    assert "cache.refused" in [event.name for event in spy.events]


async def test_what_a_hanging_server_cannot_revoke_is_held_for_a_moment(clock):
    state = ["old"]

    async def compute():
        return state[0]

    with valkey_server() as server:
        async with _own_client(server) as client:
            cache = Cache(client, clock=clock)

            async def after(seconds):
                clock.now += seconds
                return await cache.get_or_set("k", compute, ttl=600)

            await after(0)
            await after(0)
            os.kill(server.pid, signal.SIGSTOP)
            state[0] = "new"
            seen = [await after(seconds) for seconds in (0.9, 0.2, 0.2)]
            os.kill(server.pid, signal.SIGCONT)
            await cache.aclose()

    # A second of silence, and the budget of a call.
    assert seen == ["old", "old", "new"]


async def test_a_clock_that_was_put_back_keeps_nothing_alive(clock):
    state = ["old"]

    async def compute():
        return state[0]

    with valkey_server() as server:
        async with _own_client(server) as client:
            cache = Cache(client, clock=clock)
            for _ in range(2):
                await cache.get_or_set("k", compute, ttl=600)
            os.kill(server.pid, signal.SIGSTOP)
            state[0] = "new"
            clock.now -= 3600
            value = await cache.get_or_set("k", compute, ttl=600)
            os.kill(server.pid, signal.SIGCONT)
            await cache.aclose()

    assert value == "new"


async def test_a_write_reaches_another_worker_while_the_server_hangs():
    state = ["old"]

    async def compute():
        return state[0]

    async def read(cache):
        return await cache.get_or_set("k", compute, ttl=600, tags=["value"])

    with valkey_server() as server:
        async with _own_client(server) as one, _own_client(server) as two:
            writer, reader = cache_for(one), cache_for(two)

            async def is_new():
                return await read(reader) == "new"

            async def is_forgotten():
                return not await one.exists("{accel:1}:t:value")

            before = [await read(reader) for _ in range(2)]
            await _until_up(writer)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                # The connection is given up: nothing waits in the server's buffer.
                with pytest.raises(CacheUnavailable):
                    await writer.ping()
                state[0] = "new"
                await writer.invalidate(["value"])
                await _until(is_new)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            # Nobody asks the one who wrote: it says so by itself.
            await _until(is_forgotten)

    assert before == ["old", "old"]


async def test_a_server_that_answers_is_asked_in_the_background(clock):
    with valkey_server() as server:
        async with _own_client(server) as client:
            cache = Cache(client, clock=clock, timeout=10)
            for _ in range(2):
                await cache.get_or_set("k", _one, ttl=600)
            await client.config_resetstat()
            with cache_spy(cache) as spy:
                for _ in range(20):
                    clock.now += 1.1
                    await cache.get_or_set("k", _one, ttl=600)
                    await cache._engine.store._local.get().asking
            asked = (await client.info("commandstats"))["cmdstat_ping"]["calls"]
            await cache.aclose()

    assert (spy.hits, spy.misses) == (20, 0)
    assert asked == 20


@pytest.mark.parametrize("away", ["stopped", "killed"])
async def test_the_first_who_asks_when_the_server_is_back_is_answered(away):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(valkey_server())
        client = redis.from_url(server.url)
        limiter, link = Limiter(client), cache_for(client)._engine.store._link()

        async def is_up():
            return not link._down

        await _until_up(cache_for(client))
        await limiter.hit("key", 5, 60)
        os.kill(server.pid, signal.SIGSTOP if away == "stopped" else signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(CacheUnavailable):
                await limiter.hit("key", 5, 60)
        # Long enough for a first probe to fail.
        await asyncio.sleep(0.8)
        if away == "stopped":
            os.kill(server.pid, signal.SIGCONT)
        else:
            stack.enter_context(valkey_server(port=server.port))
        # Nobody asks: only the link itself can find out.
        await _until(is_up)
        hit = await limiter.hit("key", 5, 60)
        await cache_for(client).aclose()
        await client.aclose()

    assert hit.allowed


async def test_nobody_probes_for_a_cache_that_was_closed():
    client = redis.from_url("redis://127.0.0.1:1/0")
    cache = cache_for(client)
    with pytest.raises(CacheUnavailable):
        await cache.ping()
    link = cache._engine.store._link()
    probing = link._probe is not None

    await cache.aclose()

    assert probing
    assert (link._probe, link._opening, link._down) == (None, None, "")
