"""The look-up before dependencies: only where no dependency could refuse."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException

from accel_cache import MemoryCache, early_lookup

pytestmark = pytest.mark.anyio


@pytest.fixture
def opened():
    return []


@pytest.fixture
def session(opened):
    async def session():
        opened.append(1)
        yield "session"

    return session


def _router(session, cache):
    router = APIRouter(route_class=early_lookup(session))

    @router.get("/items/{uid}")
    @cache(ttl=60, tags=["item:{uid}"])
    async def item(uid: int, _: Annotated[str, Depends(session)]) -> int:
        return uid

    return router


async def test_a_hit_opens_no_session(session, opened, browse):
    app, cache = FastAPI(), MemoryCache()
    app.include_router(_router(session, cache), prefix="/v1")
    async with browse(app) as web:
        answers = [await web.get("/v1/items/1") for _ in range(3)]
        unchanged = await web.get(
            "/v1/items/1", headers={"If-None-Match": answers[0].headers["etag"]}
        )
        await cache.invalidate(["item:1"])
        after = await web.get("/v1/items/1")

    assert [a.headers["x-cache"] for a in (*answers, after)] == [
        "MISS",
        "HIT",
        "HIT",
        "MISS",
    ]
    assert answers[0].headers["etag"] == answers[2].headers["etag"]
    assert unchanged.status_code == 304
    assert len(opened) == 2


async def test_a_guard_that_the_inclusion_adds_still_refuses(session, opened, browse):
    def guard(x_secret: Annotated[str, Header()] = ""):
        if not guarded["open"]:
            raise HTTPException(403)

    app, guarded = FastAPI(), {"open": True}
    app.include_router(_router(session, MemoryCache()), dependencies=[Depends(guard)])
    async with browse(app) as web:
        allowed = [await web.get("/items/1") for _ in range(2)]
        guarded["open"] = False
        refused = await web.get("/items/1")

    assert [a.headers["x-cache"] for a in allowed] == ["MISS", "HIT"]
    assert refused.status_code == 403
    assert len(opened) == 2


async def test_users_stay_apart(session, browse):
    app = FastAPI()
    app.include_router(_router(session, MemoryCache()))
    async with browse(app) as web:
        states = [
            (await web.get("/items/1", headers={"Authorization": user})).headers[
                "x-cache"
            ]
            for user in ("alice", "bob", "alice")
        ]

    assert states == ["MISS", "MISS", "HIT"]


async def test_it_can_be_switched_off(session, opened, browse):
    app = FastAPI()
    app.include_router(_router(session, MemoryCache()))
    async with browse(app) as web:
        await web.get("/items/1")
        app.state.CACHE_STATUS = False
        off = await web.get("/items/1")

    assert off.headers["x-cache"] == "BYPASS"
    assert len(opened) == 2
