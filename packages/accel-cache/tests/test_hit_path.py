"""What is kept to make hits and misses cheap, and what must not be kept."""

import math
from dataclasses import replace
from types import SimpleNamespace

import fastapi.routing
import pytest
from fastapi import FastAPI
from hypothesis import given, strategies as st

from accel_cache import MemoryCache, early_lookup
from accel_cache._asgi import is_caching_on
from accel_cache._entry import Draft
from accel_cache._policy import Policy
from accel_cache._request import _remembered_key
from accel_cache.testing import cache_spy

pytestmark = pytest.mark.anyio


class Stamping:
    """A middleware that changes the list of headers in place, as Starlette's do."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def stamp(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-stamp", b"1"))
            await send(message)

        await self.app(scope, receive, stamp)


async def _number() -> int:
    return 1


async def _ask(web, count, **headers):
    return [await web.get("/", headers=headers) for _ in range(count)]


async def test_a_middleware_changes_one_answer_alone(browse):
    app, cache = FastAPI(), MemoryCache()
    app.add_middleware(Stamping)
    app.get("/")(cache(ttl=60)(_number))

    async with browse(app) as web:
        *_, last = await _ask(web, 4)

    assert last.headers["x-cache"] == "HIT"
    assert last.headers.get_list("x-stamp") == ["1"]


async def test_each_second_has_its_own_age(browse, clock):
    app, cache = FastAPI(), MemoryCache(clock=clock)
    app.get("/")(cache(ttl=60)(_number))

    async with browse(app) as web:
        await _ask(web, 2)
        clock.now += 1.5
        later = await _ask(web, 2)
        clock.now += 10
        (last,) = await _ask(web, 1)

    assert [a.headers["age"] for a in (*later, last)] == ["1", "1", "11"]
    assert last.headers["cache-status"] == "accel; hit; ttl=48"


async def test_keys_with_credentials_are_not_remembered(browse):
    app, cache = FastAPI(), MemoryCache()
    app.get("/")(cache(ttl=60)(_number))
    async with browse(app) as web:
        await _ask(web, 1)
        before = _remembered_key.cache_info().currsize

        await _ask(web, 2, authorization="Bearer secret")
        await web.get("/", params={"text": "x" * 600})
        await web.get("/", headers={"host": "x" * 600})

    assert _remembered_key.cache_info().currsize == before


async def test_misses_leave_nothing_with_fastapi(browse):
    app, cache = FastAPI(), MemoryCache()
    app.get("/")(cache(ttl=60)(_number))
    async with browse(app) as web:
        await _ask(web, 2)
        noted = getattr(fastapi.routing, "_endpoint_context_cache", {})
        before = len(noted)

        answers = [await web.get("/", params={"page": n}) for n in range(20)]

    assert {a.headers["x-cache"] for a in answers} == {"MISS"}
    assert len(noted) == before


@pytest.mark.parametrize(("early", "how"), [(0.0, "early"), (1e12, "")])
async def test_close_to_its_expiry_the_lot_is_drawn_after_the_dependencies(
    browse, clock, early, how
):
    app, cache = FastAPI(), MemoryCache(clock=clock)
    app.router.route_class = early_lookup()
    app.get("/")(cache(ttl=60, early=early)(_number))

    async with browse(app) as web:
        await _ask(web, 1)
        with cache_spy(cache) as spy:
            await _ask(web, 1)
            await cache.settle()

    assert [e.detail for e in spy.events if e.name == "cache.hit"] == [how]


@pytest.mark.parametrize("state", [FastAPI().state, SimpleNamespace()])
def test_caching_is_on_until_somebody_switches_it_off(state):
    scope = {"app": SimpleNamespace(state=state)}
    before = is_caching_on(scope)

    state.CACHE_STATUS = False

    assert (before, is_caching_on(scope), is_caching_on({})) == (True, False, True)


@given(
    left=st.floats(0, 1000),
    cost=st.floats(0, 100),
    early=st.floats(0.01, 100),
    lead=st.floats(0, 18),
)
def test_what_may_not_be_due_never_is(left, cost, early, lead):
    policy = Policy(ttl=60, early=early)
    entry = replace(policy.date(Draft(b""), 0.0, cost), fresh_until=1000.0)

    due = policy.is_due(entry, 1000 - left, lambda: 1 - math.exp(-lead))

    assert not due or policy.may_be_due(entry, 1000 - left)
