"""`cache_redis`: on every kind of endpoint, and with Redis gone."""

import asyncio
import time
import uuid

import pytest
import redis.asyncio as redis
from sqlalchemy import Uuid, bindparam, text

from accel_cache.testing import valkey_server


def test_an_endpoint_without_a_request_is_cached_with_its_status(client, unique):
    first = client.get("/cached/async", params={"key": unique})
    second = client.get("/cached/async", params={"key": unique})

    assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("MISS", "HIT")
    assert first.status_code == second.status_code == 203
    assert first.content == second.content
    assert first.headers["content-type"] == second.headers["content-type"]


def test_a_sync_endpoint_with_a_request_is_cached(client, unique):
    first = client.get("/cached/sync", params={"key": unique})
    second = client.get("/cached/sync", params={"key": unique})

    assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("MISS", "HIT")
    assert first.json() == second.json()
    assert first.json()["path"] == "/cached/sync"


def test_other_arguments_are_another_answer(client, unique):
    first = client.get("/cached/async", params={"key": unique}).json()
    second = client.get("/cached/async", params={"key": f"{unique}2"}).json()

    assert (first["key"], second["key"]) == (unique, f"{unique}2")
    assert first["made"] != second["made"]


@pytest.fixture
def database(seed, service, unique):
    url = service.env["DATABASE_URL"]
    manager = seed("dbsession", "MainDatabaseManager")(url, name=unique)
    yield manager
    manager.dispose()


def test_a_cached_row_shows_what_its_schema_names(client, database, unique):
    key = uuid.uuid4()
    add = text("INSERT INTO files (id, name, place) VALUES (:id, :name, 'a secret')")
    add = add.bindparams(bindparam("id", key, Uuid), bindparam("name", unique))
    with database.session.begin() as session:
        session.execute(add)

    answers = [client.get(f"/files/{key}") for _ in range(2)]

    assert [answer.headers["X-Cache"] for answer in answers] == ["MISS", "HIT"]
    for answer in answers:
        assert answer.json() == {"id": str(key), "name": unique}


@pytest.fixture
def ask_as(client):
    """Return a function that asks for what belongs to a user."""

    def ask(user):
        form = {"username": user, "password": f"of {user}"}
        token = client.post("/people/token", data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return client.get("/people/cached/mine", headers=headers)

    return ask


def test_no_user_gets_the_answer_of_another(client, ask_as, unique):
    ann, bob = f"{unique} ann", f"{unique} bob"

    answers = [ask_as(user) for user in (ann, bob, ann)]
    nobody = client.get("/people/cached/mine")

    assert [answer.json()["user"] for answer in answers] == [ann, bob, ann]
    assert [answer.headers["X-Cache"] for answer in answers[:2]] == ["MISS", "MISS"]
    assert all("private" in answer.headers["Cache-Control"] for answer in answers)
    assert nobody.status_code == 401


def test_a_user_gets_their_own_answer_again(client, logged_in):
    answers = [client.get("/cached/mine", headers=logged_in) for _ in range(2)]

    assert answers[1].headers["X-Cache"] == "HIT"
    assert answers[0].json() == answers[1].json()


def test_the_status_of_the_cache_belongs_to_an_application(client, unique):
    params = {"key": unique}

    answers = [client.get("/other/cached/async", params=params) for _ in range(2)]
    client.get("/cached/async", params=params)
    mine = client.get("/cached/async", params=params)

    assert [answer.headers["X-Cache"] for answer in answers] == ["BYPASS"] * 2
    assert answers[0].json()["made"] != answers[1].json()["made"]
    assert mine.headers["X-Cache"] == "HIT"


def test_answers_go_on_while_redis_is_gone(client, service, unique):
    params = {"key": unique}
    client.get("/cached/async", params=params)

    service.valkey.kill()
    try:
        started = time.monotonic()
        answers = [client.get("/cached/sync", params=params) for _ in range(5)]
        listed = client.get("/api/v1/file")
        written = client.post("/api/v1/file", json={"filename": unique})
        seconds = time.monotonic() - started
    finally:
        service.valkey.start()

    assert [answer.status_code for answer in answers] == [200] * 5
    assert listed.status_code == 200
    assert written.status_code == 201
    assert seconds < 30
    assert cached_again(client, unique)


def cached_again(client, unique):
    """Tell whether the cache comes back on its own, within a while."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        answer = client.get("/cached/sync", params={"key": f"{unique} again"})
        if answer.headers["X-Cache"] == "HIT":
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def valkey():
    with valkey_server() as address:
        yield address


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_function_outside_of_an_application_is_cached(seed, valkey, kind):
    from datetime import timedelta

    cache_redis = seed("cache", "cache_redis")
    client = redis.from_url(valkey.url, encoding="utf-8", decode_responses=True)
    decorate = cache_redis(cache_class=client, cache_ttl=timedelta(minutes=10))

    @decorate
    async def waits(name: str) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"name": name, "made": str(uuid.uuid4())}

    @decorate
    def returns(name: str) -> dict[str, str]:
        return {"name": name, "made": str(uuid.uuid4())}

    function = waits if kind == "async" else returns

    first, second = await function(seed.kind), await function(seed.kind)
    other = await function("another")
    await client.aclose()

    assert first == second
    assert other["made"] != first["made"]
