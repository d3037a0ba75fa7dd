"""The decorator of the seed, on FastAPI's endpoints."""

import asyncio
from datetime import timedelta
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from accel_cache import CacheConfigurationError, MemoryCache, cache_for, cache_redis

pytestmark = pytest.mark.anyio


class Item(BaseModel):
    name: str


class Row(Item):
    password_hash: str = "secret"


async def test_a_response_is_computed_once(client, browse):
    app, runs = FastAPI(), []

    @app.get("/files/{item_id}")
    @cache_redis(cache_class=client, cache_ttl=timedelta(minutes=10))
    async def get_item(request: Request, item_id: str) -> Item:
        runs.append(item_id)
        return Item(name=item_id)

    async with browse(app) as web:
        first = await web.get("/files/a")
        second = await web.get("/files/a")
        other = await web.get("/files/b")

    assert first.json() == second.json() == {"name": "a"}
    assert other.json() == {"name": "b"}
    assert [r.headers["x-cache"] for r in (first, second, other)] == [
        "MISS",
        "HIT",
        "MISS",
    ]
    assert runs == ["a", "b"]


async def test_a_request_parameter_is_not_needed_and_never_documented(client, browse):
    app = FastAPI()

    @app.get("/translate")
    @cache_redis(cache_class=client, cache_ttl=timedelta(minutes=10))
    async def translate(text: str, to_lang: str = "ru") -> Item:
        return Item(name=f"{text}>{to_lang}")

    async with browse(app) as web:
        answers = [await web.get("/translate?text=hi") for _ in range(2)]

    assert [a.json()["name"] for a in answers] == ["hi>ru", "hi>ru"]
    operation = app.openapi()["paths"]["/translate"]["get"]
    assert [p["name"] for p in operation["parameters"]] == ["text", "to_lang"]
    assert translate.__name__ == "translate"


async def test_200_concurrent_misses_run_the_endpoint_once(client, browse):
    app, runs = FastAPI(), []

    @app.get("/slow")
    @cache_redis(cache_class=client, cache_ttl=timedelta(minutes=10))
    async def slow() -> Item:
        runs.append(1)
        await asyncio.sleep(0.1)
        return Item(name="slow")

    async with browse(app) as web:
        answers = await asyncio.gather(*(web.get("/slow") for _ in range(200)))

    assert {a.status_code for a in answers} == {200}
    assert len(runs) == 1


async def test_the_response_model_filters_hits_and_misses(client, browse):
    app = FastAPI()
    router = APIRouter()

    @router.get("/rows", response_model_exclude_none=True)
    @cache_redis(cache_class=client, cache_ttl=60)
    async def rows() -> list[Item]:
        return [Row(name="a")]

    app.include_router(router, prefix="/v1")
    async with browse(app) as web:
        answers = [await web.get("/v1/rows") for _ in range(2)]

    assert [a.json() for a in answers] == [[{"name": "a"}]] * 2


async def test_sync_endpoints_keep_status_and_injected_headers(client, browse):
    app, runs = FastAPI(), []

    def stamped(response: Response):
        response.headers["X-Live"] = str(len(runs))

    @app.get("/sync", status_code=202)
    @cache_redis(cache_class=client, cache_ttl=60)
    def sync(response: Response, _: Annotated[None, Depends(stamped)]) -> Item:
        runs.append(1)
        response.headers["X-Own"] = "own"
        return Item(name="sync")

    async with browse(app) as web:
        answers = [await web.get("/sync") for _ in range(2)]

    assert [a.status_code for a in answers] == [202, 202]
    assert [a.headers["x-own"] for a in answers] == ["own", "own"]
    assert [a.headers["x-live"] for a in answers] == ["0", "1"]
    assert len(runs) == 1


async def test_response_objects_keep_their_kind(client, browse):
    app = FastAPI()

    @app.get("/plain")
    @cache_redis(cache_class=client, cache_ttl=60)
    async def plain():
        return PlainTextResponse("text", headers={"X-Own": "own"})

    @app.get("/teapot")
    @cache_redis(cache_class=client, cache_ttl=60)
    async def teapot():
        return PlainTextResponse("short and stout", status_code=418)

    async with browse(app) as web:
        texts = [await web.get("/plain") for _ in range(2)]
        teapots = [await web.get("/teapot") for _ in range(2)]

    assert [t.text for t in texts] == ["text", "text"]
    assert texts[1].headers["content-type"].startswith("text/plain")
    assert texts[1].headers["x-own"] == "own"
    assert texts[1].headers["x-cache"] == "HIT"
    assert [t.status_code for t in teapots] == [418, 418]
    assert teapots[1].headers["x-cache"] == "MISS"


async def test_invalidation_by_tag(client, browse):
    app, state = FastAPI(), {"name": "old"}

    @app.get("/items/{uid}")
    @cache_redis(cache_class=client, cache_ttl=60, tags=["item", "item:{uid}"])
    async def item(uid: int) -> Item:
        return Item(**state)

    async with browse(app) as web:
        await web.get("/items/1")
        await web.get("/items/2")
        state["name"] = "new"
        await cache_for(client).invalidate(["item:1"])
        one = await web.get("/items/1")
        two = await web.get("/items/2")

    assert one.json() == {"name": "new"}
    assert two.json() == {"name": "old"}


async def test_cache_false_leaves_the_function_alone(client):
    async def endpoint():
        return 1

    decorated = cache_redis(cache_class=client, cache=False)(endpoint)

    assert decorated is endpoint


async def test_a_memory_cache_may_take_the_place_of_the_client(browse):
    app, runs = FastAPI(), []

    @app.get("/")
    @cache_redis(cache_class=MemoryCache(), cache_ttl=60)
    async def index() -> int:
        runs.append(1)
        return 1

    async with browse(app) as web:
        answers = [await web.get("/") for _ in range(3)]

    assert [a.headers["x-cache"] for a in answers] == ["MISS", "HIT", "HIT"]
    assert len(runs) == 1


async def test_two_services_on_one_server_are_strangers(client, browse):
    """They have one host and one path, and a handler of one name."""

    def service(title):
        app = FastAPI(title=title)

        @app.get("/name")
        @cache_redis(client, timedelta(minutes=10), True)
        async def name() -> str:
            return title

        return app

    answers = []
    for title in ("shop", "bank"):
        async with browse(service(title)) as web:
            answers.append((await web.get("/name")).json())

    assert answers == ["shop", "bank"]


class _Manager:
    """What accel-db's manager shows of itself."""

    def __init__(self, url):
        self.database_url = url


async def _answers_of(browse, client, urls):
    answers = []
    for number, url in enumerate(urls):
        # As many services are made: nobody has changed the title.
        app = FastAPI()
        app.state.DATABASE_MANAGER = _Manager(url)

        @app.get("/number")
        @cache_redis(client, timedelta(minutes=10), True)
        async def number_of(number: int = number) -> int:
            return number

        async with browse(app) as web:
            answers.append((await web.get("/number")).json())
    return answers


async def test_services_of_one_template_are_told_apart_by_their_databases(
    client, browse, tmp_path, monkeypatch
):
    urls = [
        "postgresql+psycopg://me:secret@db:5432/shop",
        "postgresql+psycopg://me:secret@db:5432/bank",
        "postgresql+psycopg://me:secret@other:5432/shop",
        f"sqlite:///{tmp_path}/shop.db",
    ]
    (tmp_path / "bank").mkdir()
    there = await _answers_of(browse, client, urls)
    monkeypatch.chdir(tmp_path / "bank")
    elsewhere = await _answers_of(browse, client, ["sqlite:///shop.db"])
    monkeypatch.chdir(tmp_path)
    # The workers of one service, and one whose password was changed.
    again = await _answers_of(
        browse,
        client,
        ["sqlite:///shop.db", "postgresql+psycopg://me:new@db:5432/shop"],
    )

    assert there == [0, 1, 2, 3]
    assert elsewhere == [0]
    assert again == [3, 0]


def test_a_blocking_client_is_refused():
    import redis

    with pytest.raises(CacheConfigurationError, match=r"Use `redis\.asyncio\.from_url"):
        cache_redis(cache_class=redis.Redis(), cache_ttl=60)


def test_a_client_has_one_cache(server):
    import redis.asyncio as redis

    client = redis.from_url(server.url)

    assert cache_for(client) is cache_for(client)
    assert cache_for(redis.from_url(server.url)) is not cache_for(client)
