"""Many rows in one request."""

import anyio
import pytest
from fastapi import APIRouter

from accel_viewset import ConfigurationError, FullViewSet, ViewSetBulk

from .models import Note, Seat, User
from .schemas import NoteOut, SeatOut, UserOut

pytestmark = pytest.mark.anyio


class Users(FullViewSet, ViewSetBulk):
    db_model = User
    pydantic_model = UserOut
    max_bulk = 3


class Seats(FullViewSet, ViewSetBulk):
    db_model = Seat
    pydantic_model = SeatOut


def users(*emails):
    return [{"email": email} for email in emails]


async def test_rows_are_created_changed_and_deleted(db, serve):
    async with serve(Users) as web:
        created = await web.post("/x/bulk", json=users("a", "b", "c"))
        first, second, third = (user["id"] for user in created.json())
        changed = await web.patch(
            "/x/bulk", json=[{"id": first, "name": "A"}, {"id": second, "name": "B"}]
        )
        deleted = await web.delete(f"/x/bulk?key={second}&key={third}&key={third}")
        left = await web.get("/x")

    assert created.status_code == 201
    assert [user["name"] for user in changed.json()] == ["A", "B"]
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [user["email"] for user in left.json()] == ["a"]


async def test_all_or_none(db, serve):
    async with serve(Users) as web:
        kept = (await web.post("/x", json={"email": "a"})).json()
        created = await web.post("/x/bulk", json=users("b", "a"))
        changed = await web.patch(
            "/x/bulk", json=[{"id": kept["id"], "name": "A"}, {"id": 999, "name": "B"}]
        )
        deleted = await web.delete(f"/x/bulk?key={kept['id']}&key=999")
        left = await web.get("/x")

    statuses = [answer.status_code for answer in (created, changed, deleted)]
    assert statuses == [409, 404, 404]
    assert left.json() == [kept]


async def test_value_that_a_database_refuses_is_refused_as_for_one_row(db, serve):
    async with serve(Users) as web:
        key = (await web.post("/x", json={"email": "a"})).json()["id"]
        one = await web.patch(f"/x/{key}", json={"name": "a\0b"})
        many = await web.patch("/x/bulk", json=[{"id": key, "name": "a\0b"}])

    # Only PostgreSQL takes no NUL; it fails the whole transaction then.
    assert many.status_code == one.status_code
    assert one.status_code == (422 if db.backend == "postgresql" else 200)


async def test_size_is_limited(sqlite, serve):
    async with serve(Users) as web:
        answers = [
            await web.post("/x/bulk", json=users(*"abcd")),
            await web.patch("/x/bulk", json=[{"id": 1}] * 4),
            await web.delete("/x/bulk?key=1&key=2&key=3&key=4"),
            await web.delete("/x/bulk"),
        ]

    assert {answer.status_code for answer in answers} == {422}


async def test_composite_keys(sqlite, serve):
    async with serve(Seats) as web:
        rows = [{"row": 1, "letter": letter} for letter in "AB"]
        await web.post("/x/bulk", json=rows)
        changed = await web.patch("/x/bulk", json=[{**rows[1], "guest": "Ann"}])
        deleted = await web.delete("/x/bulk?key=1,A")
        left = await web.get("/x")

    assert changed.json() == [{**rows[1], "guest": "Ann"}]
    assert (deleted.status_code, left.json()) == (204, changed.json())


def test_one_tag_cannot_stand_for_many_rows():
    class Careful(FullViewSet, ViewSetBulk):
        db_model = Note
        pydantic_model = NoteOut
        etag = "required"

    with pytest.raises(ConfigurationError, match="cannot stand for many rows"):
        Careful().as_view(APIRouter(), "/x")


async def test_changes_in_any_order_do_not_deadlock(db, serve):
    async def change(web, answers, keys):
        items = [{"id": key, "name": "x"} for key in keys]
        answers.append((await web.patch("/x/bulk", json=items)).status_code)

    async with serve(Users) as web:
        await web.post("/x/bulk", json=users("1", "2"))
        answers = []
        async with anyio.create_task_group() as group:
            for n in range(10):
                keys = (1, 2) if n % 2 else (2, 1)
                group.start_soon(change, web, answers, keys)

    assert answers == [200] * 10
