"""Who may do what, to which rows, how often."""

import types

import pytest
from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, Field
from sqlalchemy import select

from accel_cache import Limiter
from accel_db import OrmAsync
from accel_viewset import (
    AppOrm,
    FullViewSet,
    Permission,
    Throttle,
    ViewSetBulk,
    action,
)

from .models import File, Note, User
from .schemas import FileOut, NoteOut, UserOut

pytestmark = pytest.mark.anyio
ORM = Depends(AppOrm.aget_orm)


class Users(FullViewSet):
    db_model = User
    pydantic_model = UserOut


class Notes(FullViewSet):
    db_model = Note
    pydantic_model = NoteOut


class Mine(FullViewSet, ViewSetBulk):
    """Files of the user whom the header names."""

    db_model = File
    pydantic_model = FileOut

    def scope_query(self, statement, request: Request):
        return statement.where(File.owner_id == int(request.headers["x-user"]))


@pytest.fixture
async def two_users(db, add):
    """Two users with a file each: the second one's is `theirs`."""
    await add(User(id=1, email="1"), User(id=2, email="2"))
    mine = await add(File(filename="mine", owner_id=1))
    theirs = await add(File(filename="theirs", owner_id=2))
    return types.SimpleNamespace(mine=mine.uid, theirs=theirs.uid)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_row_outside_of_the_scope_does_not_exist(two_users, serve, method):
    payload = {"filename": "hacked", "owner_id": 1}

    async with serve(Mine, headers={"x-user": "1"}) as web:
        answer = await web.request(method, f"/x/{two_users.theirs}", json=payload)

    assert answer.status_code == 404
    async with serve(Mine, headers={"x-user": "2"}) as web:
        kept = await web.get(f"/x/{two_users.theirs}")
    assert kept.json()["filename"] == "theirs"


async def test_list_shows_what_is_in_the_scope(two_users, serve):
    async with serve(Mine, headers={"x-user": "1"}) as web:
        listed = await web.get("/x")

    assert [file["filename"] for file in listed.json()] == ["mine"]


async def test_nothing_is_written_outside_of_the_scope(two_users, serve, db):
    async with serve(Mine, headers={"x-user": "1"}) as web:
        created = await web.post("/x", json={"filename": "gift", "owner_id": 2})
        moved = await web.patch(f"/x/{two_users.mine}", json={"owner_id": 2})
        several = await web.post(
            "/x/bulk",
            json=[{"filename": "a", "owner_id": 1}, {"filename": "b", "owner_id": 2}],
        )
        allowed = await web.patch(f"/x/{two_users.mine}", json={"filename": "new"})

    assert [x.status_code for x in (created, moved, several)] == [403, 403, 403]
    assert allowed.status_code == 200
    async with db.asession() as session:
        rows = await OrmAsync(session).get_list(select(File).order_by(File.owner_id))
    assert [(row.filename, row.owner_id) for row in rows] == [("new", 1), ("theirs", 2)]


async def test_scope_may_be_async(two_users, serve):
    class Later(Mine):
        async def scope_query(self, statement, request):
            return super().scope_query(statement, request)

    async with serve(Later, headers={"x-user": "2"}) as web:
        listed = await web.get("/x")

    assert [file["filename"] for file in listed.json()] == ["theirs"]


async def _later(request):
    return int(request.headers["x-user"])


@pytest.mark.parametrize(
    "owner", [_later, lambda request: int(request.headers["x-user"])]
)
async def test_server_says_whose_a_new_row_is(two_users, serve, owner):
    class Owned(Mine):
        create_values = types.MappingProxyType({"owner_id": owner})

    forged = {"filename": "new", "owner_id": 2}
    async with serve(Owned, headers={"x-user": "1"}) as web:
        created = await web.post("/x", json=forged)
        several = await web.post("/x/bulk", json=[forged])
        changed = await web.patch(created.headers["location"], json={"owner_id": 2})
        schema = (await web.get("/openapi.json")).json()["components"]["schemas"]

    assert (created.status_code, several.status_code) == (201, 201)
    assert created.json()["owner_id"] == several.json()[0]["owner_id"] == 1
    assert changed.json()["owner_id"] == 1
    assert "owner_id" not in schema["FileOutCreate"]["properties"]
    assert "owner_id" not in schema["FileOutUpdate"]["properties"]


async def test_server_says_it_whatever_an_explicit_schema_takes(two_users, serve):
    class Sent(BaseModel):
        filename: str = Field(alias="fileName")
        owner_id: int = 2

    class Owned(Mine):
        create_schema = Sent
        create_values = types.MappingProxyType({"owner_id": _later})

    async with serve(Owned, headers={"x-user": "1"}) as web:
        created = await web.post("/x", json={"fileName": "new", "owner_id": 2})

    assert created.status_code == 201, created.text
    assert created.json()["filename"] == "new"
    assert created.json()["owner_id"] == 1


class ReadOnlyForStrangers(Permission):
    message = "Only the admin writes."

    async def has_permission(self, request, view, action):
        assert isinstance(view, FullViewSet)
        return action in {"list", "retrieve"} or "admin" in request.headers


class LocksNotes:
    def has_object_permission(self, request, view, action, row):
        return row.text != "locked" or action == "retrieve"


class Guarded(Notes):
    permissions = (ReadOnlyForStrangers(), LocksNotes())


async def test_permissions_know_the_action(sqlite, serve):
    async with serve(Guarded) as web:
        listed = await web.get("/x")
        created = await web.post("/x", json={"text": "t"})

    assert listed.status_code == 200
    assert created.status_code == 403
    assert created.json() == {"detail": "Only the admin writes."}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_permissions_see_the_row(db, serve, add, method):
    await add(Note(text="locked"))

    async with serve(Guarded, headers={"admin": "1"}) as web:
        refused = await web.request(method, "/x/1", json={"text": "hacked"})
        read = await web.get("/x/1")

    assert refused.status_code == 403
    assert read.json()["text"] == "locked"


async def test_permissions_guard_overridden_endpoints(sqlite, serve):
    class Nobody(Permission):
        async def has_permission(self, request, view, action):
            assert action == "list"
            return False

    class Overridden(Users):
        permissions = (Nobody(),)

        def list(self):
            @self.router.get(f"{self.prefix}", tags=self.tags)
            async def get_list_items() -> list[str]:
                return ["secret"]

    async with serve(Overridden) as web:
        answer = await web.get("/x")

    assert answer.status_code == 403


async def admin_only(request: Request):
    if "admin" not in request.headers:
        raise HTTPException(401)


async def test_dependencies_by_action(sqlite, serve):
    class Partly(Notes):
        action_dependencies = {"create": [Depends(admin_only)]}  # noqa: RUF012

    async with serve(Partly) as web:
        listed = await web.get("/x")
        refused = await web.post("/x", json={"text": "t"})
        created = await web.post("/x", json={"text": "t"}, headers={"admin": "1"})

    statuses = [x.status_code for x in (listed, refused, created)]
    assert statuses == [200, 401, 201]


async def test_dependency_runs_once_a_request(sqlite, serve):
    calls = []

    def count():
        calls.append(1)

    class Counted(Notes):
        dependencies = [Depends(count)]  # noqa: RUF012

        def list(self):
            @self.router.get(f"{self.prefix}", dependencies=self.dependencies)
            async def get_list_items() -> int:
                return 1

    async with serve(Counted) as web:
        await web.get("/x")

    assert calls == [1]


class Shelf(Notes):
    permissions = (LocksNotes(),)

    @action(detail=True, methods=["POST"], status_code=202)
    async def shout(
        self, request: Request, item_id: int, aorm: OrmAsync = ORM
    ) -> NoteOut:
        """Write a note in capitals."""
        note = await self.get_object(request, item_id, aorm)
        return await aorm.update_item(Note, item_id, {"text": note.text.upper()})

    @action(detail=False, path="how-many")
    async def count(self, aorm: OrmAsync = ORM) -> int:
        return await aorm.count(select(Note))


async def test_actions_are_endpoints(db, serve, add):
    await add(Note(text="quiet"), Note(text="locked"))

    async with serve(Shelf) as web:
        shouted = await web.post("/x/1/shout")
        refused = await web.post("/x/2/shout")
        missing = await web.post("/x/9/shout")
        malformed = await web.post("/x/y/shout")
        counted = await web.get("/x/how-many")
        schema = (await web.get("/openapi.json")).json()

    assert (shouted.status_code, shouted.json()["text"]) == (202, "QUIET")
    assert (refused.status_code, missing.status_code) == (403, 404)
    assert (malformed.status_code, counted.json()) == (422, 2)
    assert schema["paths"]["/x/how-many"]["get"]["tags"] == ["Shelf"]


async def test_row_of_an_action_is_asked_for_by_its_name(sqlite, serve, add):
    await add(Note(text="ann's"))

    class ReadOnly(Permission):
        async def has_object_permission(self, request, view, action, row):
            return action in {"retrieve", "peek"}

    class Rows(Shelf):
        permissions = (ReadOnly(),)

        @action(detail=True)
        async def peek(
            self, request: Request, item_id: int, aorm: OrmAsync = ORM
        ) -> NoteOut:
            return await self.get_object(request, item_id, aorm)

    async with serve(Rows) as web:
        shouted = await web.post("/x/1/shout")
        peeked = await web.get("/x/1/peek")
        read = await web.get("/x/1")
        deleted = await web.delete("/x/1")

    assert (shouted.status_code, deleted.status_code) == (403, 403)
    assert (peeked.status_code, read.status_code) == (200, 200)


async def test_throttle_tells_what_is_left(sqlite, serve):
    class Slow(Notes):
        throttle = Throttle(Limiter(clock=lambda: 0.0), limit=2, period=60)

    async with serve(Slow) as web:
        answers = [await web.get("/x") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit"] == '"default";r=1;t=30'
    assert answers[2].headers["ratelimit-policy"] == '"default";q=2;w=60'
    assert answers[2].headers["retry-after"] == "30"


async def known_by_name(request: Request):
    """Leave the claims where accel-auth leaves them, once they are verified."""
    if name := request.headers.get("x-name"):
        request.state.jwt = {"sub": name}


async def test_throttle_goes_by_who_is_known_and_else_by_address(sqlite, serve):
    class Slow(Notes):
        dependencies = (Depends(known_by_name),)
        throttle = Throttle(Limiter(clock=lambda: 0.0), limit=2, period=60)

    async with serve(Slow) as web:
        strangers = [
            await web.get("/x", headers={"authorization": f"Bearer made-up-{n}"})
            for n in range(3)
        ]
        known = [await web.get("/x", headers={"x-name": "ann"}) for _ in range(3)]
        other = await web.get("/x", headers={"x-name": "ben"})

    assert [answer.status_code for answer in strangers] == [200, 200, 429]
    assert [answer.status_code for answer in known] == [200, 200, 429]
    assert other.status_code == 200


async def test_throttle_steps_aside_without_its_server(sqlite, serve):
    class Away(Exception):
        http_status = 503

    class Broken:
        async def hit(self, key, limit, period):
            raise Away

    class Notes2(Notes):
        throttle = Throttle(Broken(), limit=1)

    async with serve(Notes2) as web:
        answers = [await web.get("/x") for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}


class Below(FullViewSet):
    db_model = File
    pydantic_model = FileOut
    parents = {"user_id": "owner_id"}  # noqa: RUF012


async def test_rows_below_their_parent(two_users, serve):
    async with serve(**{"user/{user_id}/file": Below}) as web:
        listed = await web.get("/user/1/file")
        created = await web.post(
            "/user/1/file", json={"filename": "new", "owner_id": 2}
        )
        where = created.headers["location"]
        elsewhere = await web.get(f"/user/1/file/{two_users.theirs}")
        moved = await web.patch(where, json={"owner_id": 2, "filename": "n"})
        replaced = await web.put(where, json={"filename": "newest"})
        deleted = await web.delete(f"/user/2/file/{created.json()['uid']}")
        malformed = await web.get("/user/x/file")

    assert [file["filename"] for file in listed.json()] == ["mine"]
    assert where == f"/user/1/file/{created.json()['uid']}"
    assert [x.json()["owner_id"] for x in (created, moved, replaced)] == [1, 1, 1]
    assert (elsewhere.status_code, deleted.status_code) == (404, 404)
    assert malformed.status_code == 422


async def test_missing_parent_has_no_rows(two_users, serve):
    async with serve(**{"user/{user_id}/file": Below}) as web:
        listed = await web.get("/user/9/file")
        created = await web.post("/user/9/file", json={"filename": "new"})

    assert (listed.json(), created.status_code) == ([], 409)
