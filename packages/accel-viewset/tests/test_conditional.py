"""ETag, If-None-Match and If-Match."""

import datetime as dt
import decimal

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel
from sqlalchemy import text

from accel_cache import MemoryCache
from accel_db.testing import track_queries
from accel_viewset import FullViewSet, ViewSetBulk

from .models import Note, Thing, db as manager
from .schemas import NoteOut

pytestmark = pytest.mark.anyio


class Notes(FullViewSet):
    db_model = Note
    pydantic_model = NoteOut
    etag = True


class Careful(Notes):
    etag = "required"


@pytest.fixture
async def note(db, add):
    return await add(Note(text="first"))


async def test_unchanged_is_304(note, serve):
    async with serve(Notes) as web:
        tag = (await web.get("/x/1")).headers["etag"]
        again = await web.get("/x/1", headers={"if-none-match": f'"other", W/{tag}'})
        anything = await web.get("/x", headers={"if-none-match": "*"})
        await web.patch("/x/1", json={"text": "second"})
        changed = await web.get("/x/1", headers={"if-none-match": tag})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert "content-length" not in again.headers
    assert anything.status_code == 304
    assert changed.json()["text"] == "second"


async def test_several_lines_are_one_list(note, serve):
    async with serve(Notes) as web:
        tag = (await web.get("/x/1")).headers["etag"]
        names = ("if-match", "if-none-match")
        lines = [(name, value) for value in ('"other"', tag) for name in names]
        known = await web.get("/x/1", headers=lines)
        changed = await web.patch("/x/1", json={"text": "new"}, headers=lines)
        empty = await web.patch("/x/1", json={"text": "a"}, headers={"if-match": ""})

    assert (known.status_code, changed.status_code) == (304, 200)
    assert empty.status_code == 412


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_change_of_another_state_is_412(note, serve, method):
    async with serve(Notes) as web:
        old = (await web.get("/x/1")).headers["etag"]
        await web.patch("/x/1", json={"text": "theirs"})
        stale = await web.request(
            method, "/x/1", json={"text": "mine"}, headers={"if-match": old}
        )
        read = await web.get("/x/1")
        fresh = await web.request(
            method,
            "/x/1",
            json={"text": "mine"},
            headers={"if-match": f'"x", {read.headers["etag"]}'},
        )

    assert stale.status_code == 412
    assert "Read it again" in stale.json()["detail"]
    assert read.json()["text"] == "theirs"
    assert fresh.is_success


async def test_write_answers_with_the_new_tag(note, serve):
    async with serve(Notes) as web:
        written = await web.patch("/x/1", json={"text": "second"})
        read = await web.get("/x/1")
        created = await web.post("/x", json={"text": "new"})

    assert written.headers["etag"] == read.headers["etag"]
    assert "etag" in created.headers


async def test_weak_tag_never_allows_a_change(note, serve):
    async with serve(Notes) as web:
        tag = (await web.get("/x/1")).headers["etag"]
        answer = await web.delete("/x/1", headers={"if-match": f"W/{tag}"})

    assert answer.status_code == 412


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_change_without_a_tag_can_be_refused(note, serve, method):
    async with serve(Careful) as web:
        answer = await web.request(method, "/x/1", json={"text": "t"})
        missing = await web.request(method, "/x/9", json={"text": "t"})

    assert (answer.status_code, missing.status_code) == (428, 404)
    assert "If-Match" in answer.json()["detail"]


@pytest.fixture
async def contended(postgres_url, add):
    """Give what waits until a statement waits for a lock; there is one note."""
    with manager.override(postgres_url):
        await manager.acreate_all()
        await manager.aclear_all()

        async def is_blocked():
            async with manager.aengine.connect() as connection:
                waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                return bool(await connection.scalar(waiting))

        yield await add(Note(text="first")), is_blocked
        await manager.adispose()


async def test_one_of_two_racing_changes_loses(contended, serve):
    note, is_blocked = contended
    inside, statuses = [], []

    class Slow(Notes):
        async def db_update(self, item_id, item, aorm):
            inside.append(item.text)
            # Go on when the other request is here, too, or has to wait.
            while len(inside) < 2 and not await is_blocked():
                await anyio.lowlevel.checkpoint()
            return await super().db_update(item_id, item, aorm)

    async with serve(Slow) as web:
        tag = (await web.get(f"/x/{note.id}")).headers["etag"]

        async def change(content):
            headers = {"if-match": tag}
            path, body = f"/x/{note.id}", {"text": content}
            answer = await web.patch(path, json=body, headers=headers)
            statuses.append(answer.status_code)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(change, "a")
                group.start_soon(change, "b")

    assert sorted(statuses) == [200, 412]


async def test_cached_response_has_the_tag_that_changes_need(note, serve):
    class Cached(Notes):
        cache_class = MemoryCache()
        cache_ttl = 60

    async with serve(Cached) as web:
        await web.get("/x/1")
        hit = await web.get("/x/1")
        tag = hit.headers["etag"]
        unchanged = await web.get("/x/1", headers={"if-none-match": tag})
        changed = await web.patch(
            "/x/1", json={"text": "new"}, headers={"if-match": tag}
        )

    assert hit.headers["x-cache"] == "HIT"
    assert (unchanged.status_code, changed.status_code) == (304, 200)


class Priced(BaseModel):
    id: int
    name: str
    price: decimal.Decimal
    at: dt.datetime


class Prices(FullViewSet, ViewSetBulk):
    db_model = Thing
    pydantic_model = Priced
    etag = True


@pytest.mark.parametrize("sent", ["9.9", "1e1", "7"])
async def test_what_a_write_answers_is_what_is_stored(db, serve, sent):
    item = {"name": "t", "price": sent, "at": "2026-01-01T12:00:00+02:00"}

    async with serve(Prices) as web:
        created = await web.post("/x", json=item)
        url = created.headers["location"]
        read = await web.get(url)
        match = {"If-Match": created.headers["etag"]}
        changed = await web.patch(url, json={"price": sent}, headers=match)
        replaced = await web.put(url, json=item)
        many = await web.post("/x/bulk", json=[item])
        changes = [{"id": many.json()[0]["id"], "price": sent}]
        many_changed = await web.patch("/x/bulk", json=changes)

    assert created.content == read.content
    assert created.headers["etag"] == read.headers["etag"]
    assert changed.status_code == 200
    assert changed.content == replaced.content == read.content
    assert [{**x, "id": 1} for x in many.json()] == [read.json()]
    assert many_changed.json() == many.json()


class Measured(Priced):
    ratio: float | None = None


class Measures(Prices):
    pydantic_model = Measured


NOON = "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(
    ("sent", "queries"),
    [
        ({}, 1),
        ({"price": "9.90", "ratio": 0.1}, 1),
        ({"price": "12345678.25", "at": "2026-01-01T12:00:00.123456+00:00"}, 1),
        ({"ratio": 1.7976931348623157e308}, 1),
        ({"price": "9.9"}, 2),
        ({"price": "-0.00"}, 2),
        ({"ratio": -0.0}, 2),
        ({"at": "2026-01-01T14:00:00+02:00"}, 2),
    ],
)
async def test_only_what_may_be_stored_otherwise_is_read_again(
    db, serve, sent, queries
):
    item = {"name": "t", "price": "1.00", "at": NOON, **sent}

    async with serve(Measures) as web:
        with track_queries(db, expected_count=queries):
            created = await web.post("/x", json=item)
        read = await web.get(created.headers["location"])

    assert created.status_code == 201
    assert created.content == read.content
