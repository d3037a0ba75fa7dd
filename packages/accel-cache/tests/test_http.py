"""What a cached endpoint says in HTTP, and what it listens to."""

import asyncio
from datetime import timedelta
from typing import Annotated

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Depends,
    FastAPI,
    HTTPException,
    Response,
)
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.background import BackgroundTask

from accel_cache import CacheConfigurationError, MemoryCache
from accel_cache.testing import cache_spy

pytestmark = pytest.mark.anyio


@pytest.fixture
def cache(clock):
    return MemoryCache(clock=clock)


@pytest.fixture
def app():
    return FastAPI()


def _states(answers):
    return [a.headers["x-cache"] for a in answers]


def _counted(app, cache, **options):
    runs = []

    @app.get("/")
    @cache(**{"ttl": 60, **options})
    async def endpoint():
        runs.append(1)
        return len(runs)

    return runs


async def test_headers_of_a_hit(app, cache, clock, browse):
    _counted(app, cache)
    async with browse(app) as web:
        miss = await web.get("/")
        clock.now += 5
        hit = await web.get("/")

    assert miss.headers["cache-status"] == "accel; fwd=uri-miss; stored"
    assert hit.headers["cache-status"] == "accel; hit; ttl=55"
    assert hit.headers["age"] == "5"
    assert hit.headers["cache-control"] == "max-age=60"
    assert hit.headers["etag"] == miss.headers["etag"]
    assert hit.headers.get_list("content-length") == ["1"]


async def test_what_can_be_invalidated_is_validated_by_browsers(app, cache, browse):
    _counted(app, cache, tags=["t"])
    async with browse(app) as web:
        answer = await web.get("/")
        unchanged = await web.get(
            "/", headers={"If-None-Match": answer.headers["etag"]}
        )
        await cache.invalidate(["t"])
        changed = await web.get("/", headers={"If-None-Match": answer.headers["etag"]})

    assert answer.headers["cache-control"] == "no-cache"
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == answer.headers["etag"]
    assert changed.status_code == 200


async def test_the_request_may_refuse_the_cache(app, cache, browse):
    _counted(app, cache)
    async with browse(app) as web:
        await web.get("/")
        answers = [
            await web.get("/", headers={"Cache-Control": control})
            for control in ("no-store", "no-cache", "max-age=0")
        ]
        last = await web.get("/")

    assert _states([*answers, last]) == ["BYPASS", "MISS", "MISS", "HIT"]
    assert last.json() == 4


@pytest.mark.parametrize(
    ("control", "state"),
    [
        ("no-store", "MISS"),
        ("private", "MISS"),
        ("max-age=5", "HIT"),
        ("max-age=0", "MISS"),
    ],
)
async def test_the_endpoint_may_limit_the_cache(clock, browse, control, state):
    app, cache = FastAPI(), MemoryCache(clock=clock)

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(response: Response):
        response.headers["Cache-Control"] = control
        return 1

    async with browse(app) as web:
        answers = [await web.get("/") for _ in range(2)]
        clock.now += 6
        late = await web.get("/")

    assert _states([*answers, late]) == ["MISS", state, "MISS"]
    assert answers[1].headers.get_list("cache-control") == [control]


async def test_cache_status_is_read_at_every_request(app, cache, browse):
    other = FastAPI()
    _counted(app, cache)
    _counted(other, cache)
    async with browse(app) as web, browse(other) as second:
        on = [await web.get("/") for _ in range(2)]
        app.state.CACHE_STATUS = False
        off = [await web.get("/") for _ in range(2)]
        theirs = await second.get("/")
        app.state.CACHE_STATUS = True
        again = await web.get("/")

    assert _states([*on, *off, again]) == ["MISS", "HIT", "BYPASS", "BYPASS", "HIT"]
    assert off[0].headers["cache-status"] == "accel; fwd=bypass; detail=disabled"
    assert theirs.headers["x-cache"] != "BYPASS"


async def test_the_order_of_the_query_does_not_matter_but_that_of_lists_does(
    app, cache, browse
):
    _counted(app, cache)
    async with browse(app) as web:
        answers = [
            await web.get(f"/?{query}")
            for query in ("a=1&b=2", "b=2&a=1", "a=1&a=2", "a=2&a=1", "a=&b")
        ]

    assert _states(answers) == ["MISS", "HIT", "MISS", "MISS", "MISS"]


async def test_stale_while_revalidate_runs_the_route_again(app, cache, clock, browse):
    open_sessions, seen = [], []

    async def session():
        open_sessions.append(1)
        yield open_sessions
        open_sessions.pop()

    router = APIRouter()

    @router.get("/")
    @cache(ttl=60, stale=30)
    async def endpoint(session: Annotated[list, Depends(session)]):
        await asyncio.sleep(0.01)
        seen.append(len(session))
        return len(seen)

    app.include_router(router, prefix="/v1")
    async with browse(app) as web:
        await web.get("/v1/")
        clock.now += 70
        stale = [await web.get("/v1/") for _ in range(3)]
        await cache.settle()
        fresh = await web.get("/v1/")
        clock.now += 200
        late = await web.get("/v1/")

    assert _states([*stale, fresh, late]) == ["STALE"] * 3 + ["HIT", "MISS"]
    assert [a.json() for a in (*stale, fresh)] == [1, 1, 1, 2]
    # Every run had a session of its own, and it was open.
    assert seen == [1, 1, 1]
    assert stale[0].headers["cache-status"] == (
        "accel; hit; ttl=-10; detail=stale-while-revalidate"
    )


async def test_stale_if_error_covers_failures_but_not_answers(
    app, cache, clock, browse
):
    outcome = ["value"]

    @app.get("/")
    @cache(ttl=60, stale_if_error=600)
    async def endpoint():
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    async with browse(app) as web:
        await web.get("/")
        clock.now += 70
        outcome[0] = RuntimeError("database is away")
        failing = await web.get("/")
        outcome[0] = JSONResponse({}, status_code=503)
        unavailable = await web.get("/")
        outcome[0] = HTTPException(404)
        missing = await web.get("/")
        outcome[0] = RuntimeError("database is away")
        clock.now += 600
        expired = await web.get("/")

    assert [failing.status_code, unavailable.status_code] == [200, 200]
    assert _states([failing, unavailable]) == ["STALE", "STALE"]
    assert missing.status_code == 404
    assert expired.status_code == 500


async def test_a_missing_thing_is_remembered_when_asked_to(app, cache, clock, browse):
    runs = []

    @app.get("/{uid}")
    @cache(ttl=60, negative=5)
    async def endpoint(uid: int):
        runs.append(uid)
        if uid == 400:
            raise HTTPException(400)
        raise HTTPException(404, {"missing": uid}, {"X-Own": "own"})

    async with browse(app) as web:
        answers = [await web.get("/1") for _ in range(2)]
        clock.now += 6
        later = await web.get("/1")
        bad = [await web.get("/400") for _ in range(2)]

    assert [a.status_code for a in (*answers, later)] == [404] * 3
    assert answers[1].json() == {"detail": {"missing": 1}}
    assert answers[1].headers["x-own"] == "own"
    assert _states([*answers, later]) == ["MISS", "HIT", "MISS"]
    assert [b.status_code for b in bad] == [400, 400]
    assert runs == [1, 1, 400, 400]


async def test_early_refresh_before_the_expiry(app, cache, clock, browse):
    runs = _counted(app, cache, early=1e12)
    async with browse(app) as web:
        await web.get("/")
        early = await web.get("/")
        await cache.settle()
        after = await web.get("/")
        await cache.settle()

    assert _states([early, after]) == ["HIT", "HIT"]
    assert [early.json(), after.json()] == [1, 2]
    assert len(runs) == 3


async def test_vary_of_the_option_and_of_the_response(app, cache, browse):
    @app.get("/option")
    @cache(ttl=60, vary=["Accept-Language"])
    async def option():
        return 1

    @app.get("/response")
    @cache(ttl=60)
    async def by_response():
        return PlainTextResponse("x", headers={"Vary": "Accept-Language"})

    async with browse(app) as web:
        for path in ("/option", "/response"):
            answers = [
                await web.get(path, headers={"Accept-Language": language})
                for language in ("de", "fr", "fr")
            ]
            assert _states(answers) == ["MISS", "MISS", "HIT"]
            assert "accept-language" in answers[2].headers["vary"]


async def test_a_key_replaces_path_and_query(app, cache, browse):
    runs = []

    @app.get("/{uid}")
    @cache(ttl=60, key="user:{uid}")
    async def endpoint(uid: int, noise: str = ""):
        runs.append(uid)
        return uid

    async with browse(app) as web:
        for url in ("/1?noise=a", "/1?noise=b", "/2"):
            await web.get(url)

    assert runs == [1, 2]


async def test_tags_by_a_function(app, cache, browse):
    @app.get("/{uid}")
    @cache(ttl=60, tags=lambda uid: [f"user:{uid}"])
    async def endpoint(uid: int):
        return uid

    async with browse(app) as web:
        await web.get("/1")
        await web.get("/2")
        await cache.invalidate(["user:1"])
        answers = [await web.get(f"/{uid}") for uid in (1, 2)]
        await cache.clear()
        cleared = await web.get("/2")

    assert _states([*answers, cleared]) == ["MISS", "HIT", "MISS"]


async def test_a_write_invalidates_and_holds_its_tags(app, cache, clock, browse):
    runs = _counted(app, cache, tags=["list"])

    @app.post("/{uid}")
    @cache.invalidates("list", "item:{uid}")
    async def write(uid: int):
        return uid

    @app.post("/failing/{uid}")
    @cache.invalidates("list")
    def failing(uid: int):
        raise HTTPException(409)

    with cache_spy(cache) as spy:
        async with browse(app) as web:
            await web.get("/")
            await web.post("/failing/1")
            hit = await web.get("/")
            await web.post("/7")
            # The writer's transaction may not be committed yet.
            held = [await web.get("/") for _ in range(2)]
            clock.now += 3
            after = [await web.get("/") for _ in range(2)]

    assert _states([hit, *held, *after]) == ["HIT", "MISS", "MISS", "MISS", "HIT"]
    assert spy.invalidated == {"list", "item:7"}
    assert len(runs) == 4


async def test_streams_and_bodies_pass_uncached(app, cache, browse):
    @app.get("/stream")
    @cache(ttl=60)
    async def stream():
        return StreamingResponse(iter([b"a", b"b"]))

    @app.api_route("/body", methods=["GET"])
    @cache(ttl=60)
    async def body(word: Annotated[str, Body()] = "none"):
        return word

    async with browse(app) as web:
        streams = [await web.get("/stream") for _ in range(2)]
        bodies = [await web.request("GET", "/body", json=w) for w in ("one", "two")]

    assert [s.text for s in streams] == ["ab", "ab"]
    assert _states(streams) == ["MISS", "MISS"]
    assert [b.json() for b in bodies] == ["one", "two"]


async def test_background_tasks_of_the_one_who_computes_run(app, cache, browse):
    sent = []

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(background: BackgroundTasks):
        background.add_task(sent.append, 1)
        return 1

    async with browse(app) as web:
        answers = [await web.get("/") for _ in range(2)]

    assert _states(answers) == ["MISS", "HIT"]
    assert sent == [1]


async def test_a_large_value_is_served_but_not_stored(app, cache, browse):
    @app.get("/")
    @cache(ttl=60, max_size=100)
    async def endpoint():
        return "x" * 200

    async with browse(app) as web:
        answers = [await web.get("/") for _ in range(2)]

    assert _states(answers) == ["MISS", "MISS"]
    assert answers[1].json() == "x" * 200


async def test_an_error_of_the_endpoint_reaches_every_follower_and_is_not_stored(
    app, cache, browse
):
    runs = []

    @app.get("/")
    @cache(ttl=60)
    async def endpoint():
        runs.append(1)
        await asyncio.sleep(0.02)
        raise HTTPException(409, "conflict")

    async with browse(app) as web:
        answers = await asyncio.gather(*(web.get("/") for _ in range(5)))
        await web.get("/")

    assert {a.status_code for a in answers} == {409}
    assert len(runs) == 2


def test_generators_are_refused(cache):
    async def stream():
        yield 1

    with pytest.raises(CacheConfigurationError, match="it is a generator"):
        cache(ttl=60)(stream)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": 0}, "`ttl` must be > 0"),
        ({"ttl": -1}, "`ttl` must be >= 0"),
        ({"ttl": timedelta.max, "stale": float("inf")}, "`stale` must be"),
        ({"ttl": 1, "jitter": 1}, "`jitter` must be in"),
        ({"ttl": 1, "early": -1}, "`early` must be >= 0"),
        ({"ttl": 1, "scope": "everybody"}, "`scope` must be one of"),
        ({"ttl": 1, "tags": "tag"}, "`tags` must be a list"),
    ],
)
def test_settings_that_cannot_work_are_refused(cache, options, message):
    with pytest.raises(CacheConfigurationError, match=message):
        cache(**options)


@pytest.mark.parametrize(
    "headers", [{"Set-Cookie": "a=b"}, {"Cache-Control": "no-store"}, {"Vary": "X-A"}]
)
async def test_what_a_404_says_of_caching_counts(app, cache, browse, headers):
    runs = []

    @app.get("/")
    @cache(ttl=60, negative=5)
    async def missing():
        runs.append(1)
        raise HTTPException(404, "gone", headers)

    async with browse(app) as web:
        for value in "ab":
            answer = await web.get("/", headers={"X-A": value})
            # With its cookie the client would be another one.
            web.cookies.clear()

            assert answer.status_code == 404
    assert len(runs) == 2


async def test_what_a_response_is_to_do_is_done_whoever_gets_it(
    app, cache, clock, browse
):
    done = []

    @app.get("/")
    @cache(ttl=60, stale=60)
    async def endpoint():
        return JSONResponse(1, background=BackgroundTask(done.append, 1))

    async with browse(app) as web:
        first = await web.get("/")
        known = {"If-None-Match": first.headers["etag"], "Cache-Control": "no-cache"}
        unchanged = await web.get("/", headers=known)
        clock.now += 61
        stale = await web.get("/")
        await cache.settle()

    assert (unchanged.status_code, stale.headers["x-cache"]) == (304, "STALE")
    # By the endpoint each time that it ran, the last time in the background.
    assert done == [1, 1, 1]
