"""Refreshes in the background: they may fail, and they may be in nobody's way."""

import asyncio
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse

from accel_cache import Cache, MemoryCache
from accel_cache.testing import cache_spy

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("away"), HTTPException(404), JSONResponse({}, status_code=503)],
)
async def test_a_failed_refresh_leaves_the_old_value(clock, browse, caplog, failure):
    app, cache, outcome = FastAPI(), MemoryCache(clock=clock), ["value"]

    @app.get("/")
    @cache(ttl=60, stale=600)
    async def endpoint():
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    async with browse(app) as web:
        await web.get("/")
        clock.now += 70
        outcome[0] = failure
        first = await web.get("/")
        await cache.settle()
        second = await web.get("/")
        await cache.settle()

    assert [first.json(), second.json()] == ["value", "value"]
    assert [a.headers["x-cache"] for a in (first, second)] == ["STALE", "STALE"]


async def test_a_refresh_that_a_dependency_refuses_is_told(clock, browse, caplog):
    app, cache, calls = FastAPI(), MemoryCache(clock=clock), []

    def guard():
        calls.append(1)
        if len(calls) > 2:
            raise HTTPException(403)

    @app.get("/")
    @cache(ttl=60, stale=600)
    async def endpoint(_: Annotated[None, Depends(guard)]):
        return 1

    with cache_spy(cache) as spy:
        async with browse(app) as web:
            await web.get("/")
            clock.now += 70
            # The user's request is let through, the one in the background is not.
            stale = await web.get("/")
            await cache.settle()

    assert stale.headers["x-cache"] == "STALE"
    assert spy.events[-1].name == "cache.refresh_failed"
    assert "answered before its endpoint ran" in caplog.text


async def test_one_process_refreshes_while_all_are_served_stale(client, clock):
    one, two = (Cache(client, clock=clock) for _ in range(2))
    runs, refreshing, go_on = [], asyncio.Event(), asyncio.Event()

    async def compute():
        runs.append(1)
        if len(runs) > 1:
            refreshing.set()
            await go_on.wait()
        return len(runs)

    async def read(cache):
        return await cache.get_or_set("key", compute, ttl=60, stale=600)

    await read(one)
    clock.now += 70
    stale = [await read(cache) for cache in (one, two, one, two)]
    await asyncio.wait_for(refreshing.wait(), 60)
    go_on.set()
    await one.settle()
    fresh = [await read(cache) for cache in (one, two)]
    await one.aclose()
    await two.aclose()

    assert stale == [1] * 4
    assert fresh == [2, 2]
    assert len(runs) == 2


async def test_closing_stops_refreshes_and_releases_their_lease(client, clock):
    cache = Cache(client, clock=clock)
    refreshing, runs = asyncio.Event(), []

    async def compute():
        runs.append(1)
        if len(runs) > 1:
            refreshing.set()
            await asyncio.sleep(3600)
        return 1

    await cache.get_or_set("key", compute, ttl=60, stale=600)
    clock.now += 70
    await cache.get_or_set("key", compute, ttl=60, stale=600)
    await asyncio.wait_for(refreshing.wait(), 60)
    await cache.aclose()

    assert [key async for key in client.scan_iter("*:l:*")] == []
