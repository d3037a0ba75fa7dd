"""What the verbs of HTTP do."""

import datetime as dt
import uuid

import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel
from sqlalchemy import select

from accel_db import OrmAsync
from accel_viewset import (
    DefaultPaginator,
    FullViewSet,
    ReadOnlyViewSet,
    ViewSetCreate,
    ViewSetList,
)

from .models import (
    Color,
    Country,
    File,
    Note,
    Seat,
    Task,
    Thing,
    User,
    Work,
    db as manager,
)
from .schemas import (
    CountryOut,
    FileOut,
    NoteOut,
    SeatOut,
    TaskOut,
    ThingOut,
    UserOut,
    WorkOut,
)

pytestmark = pytest.mark.anyio


class Users(FullViewSet):
    db_model = User
    pydantic_model = UserOut


class Files(FullViewSet):
    db_model = File
    pydantic_model = FileOut


class Tasks(FullViewSet):
    db_model = Task
    pydantic_model = TaskOut
    deep_schema = True


class Seats(FullViewSet):
    db_model = Seat
    pydantic_model = SeatOut


class Things(FullViewSet):
    db_model = Thing
    pydantic_model = ThingOut


class Notes(FullViewSet):
    db_model = Note
    pydantic_model = NoteOut


class Countries(FullViewSet):
    db_model = Country
    pydantic_model = CountryOut


ANN = {"name": "Ann", "email": "ann@example.org"}
JSON = {"content-type": "application/json"}
THING = {"name": "T", "note": None}


async def test_put_replaces_and_patch_changes(db, serve):
    async with serve(Users) as web:
        where = (await web.post("/x", json={**ANN, "login": "ann"})).headers["location"]
        patched = await web.patch(where, json={"name": "Bea"})
        replaced = await web.put(where, json={"email": "c@example.org"})

    assert patched.json() == {"id": 1, **ANN, "name": "Bea", "login": "ann"}
    assert replaced.json() == {
        "id": 1,
        "name": None,
        "login": None,
        "email": "c@example.org",
    }


async def test_put_leaves_a_default_where_null_is_impossible(db, serve):
    class Looser(FileOut):
        size: int | None = None

    class Files(FullViewSet):
        db_model = File
        pydantic_model = Looser

    async with serve(Files) as web:
        where = (await web.post("/x", json={"filename": "a", "size": 3})).headers
        replaced = await web.put(where["location"], json={"filename": "b"})

    assert (replaced.status_code, replaced.json()["size"]) == (200, 3)


async def test_empty_patch_answers_with_the_row(db, serve):
    async with serve(Users) as web:
        created = await web.post("/x", json=ANN)
        patched = await web.patch("/x/1", json={})

    assert (patched.status_code, patched.json()) == (200, created.json())


async def test_patch_with_null_where_null_is_impossible_is_422(db, serve):
    async with serve(Users) as web:
        await web.post("/x", json=ANN)
        patched = await web.patch("/x/1", json={"email": None})

    assert patched.status_code == 422


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_missing_row_is_404(db, serve, method):
    async with serve(Users) as web:
        answer = await web.request(method, "/x/99", json=ANN)

    assert answer.status_code == 404
    assert answer.json() == {"detail": "There is no User with the key 99."}


@pytest.mark.parametrize("key", [2**31, 2**63, -(2**63), 10**30])
async def test_key_beyond_the_column_is_404(db, serve, key):
    async with serve(Users) as web:
        answers = [
            await web.request(method, f"/x/{key}", json=ANN)
            for method in ("GET", "PUT", "PATCH", "DELETE")
        ]

    assert {answer.status_code for answer in answers} == {404}


async def test_duplicate_is_409_naming_the_constraint(db, serve):
    async with serve(Users) as web:
        await web.post("/x", json=ANN)
        again = await web.post("/x", json=ANN)
        other = await web.post("/x", json={"email": "b@example.org"})
        where = other.headers["location"]
        moved = await web.patch(where, json={"email": ANN["email"]})

    assert again.status_code == moved.status_code == 409
    assert "email" in again.json()["detail"]
    assert "Ann" not in again.text


async def test_broken_reference_is_409(db, serve):
    async with serve(Files) as web:
        answer = await web.post("/x", json={"filename": "a", "owner_id": 99})

    assert answer.status_code == 409


async def test_broken_check_is_422(db, serve):
    async with serve(Things) as web:
        answer = await web.post("/x", json={**THING, "count": 1000})

    assert answer.status_code == 422
    assert "small" in answer.json()["detail"][0]["msg"]


async def test_value_beyond_the_column_is_422(db, serve):
    half = b'{"name": "\\ud800", "note": null}'

    async with serve(Things) as web:
        answers = [
            await web.post("/x", json={**THING, "count": 10**30}),
            await web.post("/x", content=half, headers=JSON),
            await web.post("/x", json={**THING, "at": "2026-01-01T00:00:00"}),
        ]

    assert [answer.status_code for answer in answers] == [422, 422, 422]


@pytest.mark.parametrize("price", ["1e999", 10**8, -(10**8), "NaN"])
async def test_number_beyond_the_column_is_422(db, serve, price):
    async with serve(Things) as web:
        answer = await web.post("/x", json={**THING, "price": price})
        listed = await web.get("/x")

    assert (answer.status_code, listed.json()) == (422, [])


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("name", '"' + "x" * 51 + '"'),
        ("ratio", "1e999"),
        ("ratio", '"nan"'),
        ("ratio", "-Infinity"),
    ],
)
async def test_what_the_column_cannot_hold_is_told_by_field(db, serve, name, sent):
    body = f'{{"{name}": {sent}}}'

    async with serve(Things) as web:
        created = await web.post("/x", json={**THING, "name": "x" * 50, "ratio": 0.5})
        url = created.headers["location"]
        changed = await web.patch(url, content=body, headers=JSON)
        cleared = await web.patch(url, json={"ratio": None})

    assert changed.status_code == 422
    assert changed.json()["detail"][0]["loc"] == ["body", name]
    assert cleared.json()["name"] == "x" * 50
    assert cleared.json()["ratio"] is None


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"name": NaN}', b"null", b"\xff"])
async def test_malformed_body_is_422(sqlite, serve, body):
    async with serve(Things) as web:
        answer = await web.post("/x", content=body, headers=JSON)

    assert answer.status_code in {400, 422}


async def test_client_never_sets_the_key(db, serve):
    chosen = str(uuid.uuid4())

    async with serve(Users, files=Files) as web:
        user = await web.post("/x", json={**ANN, "id": 99})
        file = await web.post("/files", json={"filename": "a", "uid": chosen})
        renamed = await web.put("/x/1", json={**ANN, "id": 5})

    assert user.json()["id"] == renamed.json()["id"] == 1
    assert file.json()["uid"] != chosen


async def test_client_never_sets_what_the_server_fills_in(db, serve):
    forged = {"created_by": "root", "made": "2000-01-01T00:00:00Z", "state": "paid"}
    forged |= {"updated_at": "2000-01-01T00:00:00Z"}

    async with serve(Things) as web:
        created = (await web.post("/x", json={**THING, **forged})).json()

    assert (created["created_by"], created["state"]) == (None, "new")
    assert not created["made"].startswith("2000")
    assert not created["updated_at"].startswith("2000")


async def test_key_that_nothing_generates_is_sent(db, serve):
    async with serve(Countries) as web:
        created = await web.post("/x", json={"code": "GE", "name": "Georgia"})
        again = await web.post("/x", json={"code": "GE", "name": "G"})
        without = await web.post("/x", json={"name": "G"})

    assert created.headers["location"] == "/x/GE"
    assert (again.status_code, without.status_code) == (409, 422)


async def test_explicit_schemas_say_what_a_client_sends(db, serve):
    class Registration(BaseModel):
        email: str
        password_hash: str

    class Renaming(BaseModel):
        name: str

    class Explicit(Users):
        create_schema = Registration
        update_schema = Renaming

    async with serve(Explicit) as web:
        created = await web.post("/x", json={"email": "e", "password_hash": "h" * 9})
        renamed = await web.put("/x/1", json={"name": "New", "email": "other"})

    assert created.json() == {"id": 1, "name": None, "login": None, "email": "e"}
    assert (renamed.json()["name"], renamed.json()["email"]) == ("New", "e")


async def test_composite_key_touches_one_row(db, serve):
    async with serve(Seats) as web:
        for letter in "AB":
            created = await web.post("/x", json={"row": 1, "letter": letter})
        where = created.headers["location"]
        changed = await web.patch(where, json={"guest": "Ann"})
        deleted = await web.delete(where)
        rest = await web.get("/x")

    assert where == "/x/1,B"
    assert changed.json() == {"row": 1, "letter": "B", "guest": "Ann"}
    assert deleted.status_code == 204
    assert rest.json() == [{"row": 1, "letter": "A", "guest": None}]


@pytest.mark.parametrize("key", ["1", "1,A,2", "x,A"])
async def test_part_of_a_composite_key_is_422(db, serve, add, key):
    await add(Seat(row=1, letter="A"))

    async with serve(Seats) as web:
        deleted = await web.delete(f"/x/{key}")
        rest = await web.get("/x")

    assert deleted.status_code == 422
    assert "row,letter" in deleted.json()["detail"][0]["msg"]
    assert len(rest.json()) == 1


async def test_soft_deleted_rows_are_gone(db, serve):
    async with serve(Notes) as web:
        await web.post("/x", json={"text": "t"})
        deleted = await web.delete("/x/1")
        answers = [await web.get("/x/1"), await web.delete("/x/1")]
        listed = await web.get("/x")

    assert deleted.status_code == 204
    assert [answer.status_code for answer in answers] == [404, 404]
    assert listed.json() == []


async def test_constraints_and_validators_hold_for_what_is_sent(sqlite, serve):
    class Strict(FileOut):
        @field_validator("filename")
        @classmethod
        def no_slash(cls, value):
            if "/" in value:
                raise ValueError("a file has no slash")
            return value

    class Stricter(FullViewSet):
        db_model = File
        pydantic_model = Strict

    async with serve(Stricter) as web:
        where = (await web.post("/x", json={"filename": "a"})).headers["location"]
        answers = [
            await web.request(method, path, json={"filename": name})
            for method, path in (("POST", "/x"), ("PUT", where), ("PATCH", where))
            for name in ("a/b", "")
        ]

    assert {answer.status_code for answer in answers} == {422}


class Range(BaseModel):
    id: int
    size: int
    filename: str

    @model_validator(mode="after")
    def size_is_that_of_the_name(self):
        assert self.id is None or self.id > 0
        if self.size != len(self.filename):
            raise ValueError("the size is not that of the name")
        return self


async def test_fields_are_checked_against_each_other(sqlite, serve):
    class Rule(BaseModel):
        uid: uuid.UUID
        filename: str
        size: int

        check = model_validator(mode="after")(
            lambda self: (
                Range.size_is_that_of_the_name(
                    type("V", (), {"id": None, **self.__dict__})()
                )
                and self
            )
        )

    class Rules(FullViewSet):
        db_model = File
        pydantic_model = Rule

    async with serve(Rules) as web:
        good = await web.post("/x", json={"filename": "ab", "size": 2})
        where = good.headers["location"]
        bad = await web.post("/x", json={"filename": "ab", "size": 3})
        half = await web.patch(where, json={"size": 3})
        whole = await web.patch(where, json={"filename": "abc", "size": 3})

    assert [x.status_code for x in (good, bad, half, whole)] == [201, 422, 422, 200]
    assert half.json()["detail"][0]["loc"] == ["body"]


async def test_patch_judges_the_whole_row_and_not_what_was_not_sent(db, serve, add):
    class Sent(BaseModel):
        name: str = Field(min_length=8, max_length=20)
        count: int = Field(1, ge=1, le=5, alias="howMany")
        color: Color | None = None
        day: dt.date | None = None

        @model_validator(mode="before")
        @classmethod
        def never_both(cls, data):
            if data.get("color") and data.get("day"):
                raise ValueError("a color or a day")
            return data

        @model_validator(mode="after")
        def counted(self):
            if self.count > self.limit:
                raise ValueError(f"too many for {self.color}")
            return self

        @property
        def limit(self):
            return 9 if self.color is Color.red else 8

    class Rows(Things):
        create_schema = update_schema = Sent

    # A row from before the schema had its rules.
    await add(Thing(name="old", count=9, color=Color.red))
    async with serve(Rows) as web:
        name = await web.patch("/x/1", json={"name": "long enough"})
        rule = await web.patch("/x/1", json={"name": "no"})
        more = await web.patch("/x/1", json={"howMany": 6})
        both = await web.patch("/x/1", json={"day": "2026-01-02"})
        plain = await web.patch("/x/1", json={"color": None})

    assert name.status_code == 200, name.text
    assert name.json()["count"] == 9
    assert {x.status_code for x in (rule, more, both, plain)} == {422}
    assert rule.json()["detail"][0]["loc"] == ["body", "name"]
    assert more.json()["detail"][0]["loc"] == ["body", "howMany"]
    assert "a color or a day" in both.text
    assert "too many for None" in plain.text


async def test_aliases_are_what_a_client_reads_and_writes(db, serve):
    class Camel(BaseModel):
        model_config = ConfigDict(alias_generator=to_camel)

    class Job(Camel):
        id: int
        hours: int
        task_id: int = 0

    class Plan(Camel):
        id: int
        name: str
        works: list[Job] = Field(alias="theWorks")

    class FileName(Camel):
        uid: uuid.UUID
        filename: str
        owner_id: int | None

    class Plans(FullViewSet):
        db_model = Task
        pydantic_model = Plan
        paginator_class = DefaultPaginator
        deep_schema = True

    class Files(FullViewSet):
        db_model = File
        pydantic_model = FileName

    sent = {"name": "a", "theWorks": [{"hours": 1}]}
    async with serve(Plans, file=Files) as web:
        created = await web.post("/x", json=sent)
        changed = await web.patch("/x/1", json={"theWorks": [{"hours": 2}]})
        listed = await web.get("/x")
        file = await web.post("/file", json={"filename": "f", "ownerId": None})
        again = await web.get(file.headers["location"])

    assert created.json()["theWorks"] == [{"id": 1, "hours": 1, "taskId": 1}]
    assert [work["hours"] for work in changed.json()["theWorks"]] == [2]
    assert listed.json()["items"] == [changed.json()]
    assert again.json() == file.json()
    assert file.json().keys() == {"uid", "filename", "ownerId"}


@pytest.mark.parametrize("deep", [True, False])
async def test_patch_judges_relations_that_no_response_shows(db, serve, add, deep):
    class Named(BaseModel):
        id: int
        name: str

    class Sent(BaseModel):
        name: str
        works: list[WorkOut] = []

        @model_validator(mode="after")
        def rested(self):
            if sum(work.hours for work in self.works) > 8:
                raise ValueError("too many hours")
            return self

    class Rows(FullViewSet):
        db_model = Task
        pydantic_model = Named
        create_schema = update_schema = Sent
        deep_schema = deep

    await add(Task(id=1, name="a", works=[Work(hours=9)]), Task(id=2, name="b"))
    async with serve(Rows) as web:
        much = await web.patch("/x/1", json={"name": "c"})
        fine = await web.patch("/x/2", json={"name": "c"})

    assert fine.status_code == 200
    # Without `deep_schema` nobody writes the relation, so nobody reads it.
    assert much.status_code == (422 if deep else 200)


async def test_nested_key_of_somebody_else_is_422(db, serve):
    async with serve(Tasks) as web:
        await web.post("/x", json={"name": "a", "works": [{"hours": 1}]})
        await web.post("/x", json={"name": "b"})
        stolen = await web.patch("/x/2", json={"works": [{"id": 1, "hours": 9}]})
        unknown = await web.patch("/x/2", json={"users": [{"id": 99}]})

    assert (stolen.status_code, unknown.status_code) == (422, 422)
    assert stolen.json()["detail"][0]["loc"] == ["body", "works[0]"]


async def test_patch_leaves_children_alone_that_it_does_not_name(db, serve):
    async with serve(Tasks) as web:
        await web.post("/x", json={"name": "a", "works": [{"hours": 1}]})
        renamed = await web.patch("/x/1", json={"name": "b"})

    assert renamed.json()["works"] == [{"id": 1, "hours": 1}]


async def test_hooks_may_return_data_or_schemas(db, serve):
    class Registration(BaseModel):
        email: str

    class Odd(Users):
        async def db_create(self, item, aorm):
            await super().db_create(item, aorm)
            return {"id": 1, "email": item.email, "password_hash": "secret"}

        async def db_update(self, item_id, item, aorm):
            await super().db_update(item_id, item, aorm)
            return UserOut(id=item_id, email="shown")

    async with serve(Odd) as web:
        created = await web.post("/x", json=ANN)
        updated = await web.patch("/x/1", json={"name": "b"})

    assert created.json()["email"] == ANN["email"]
    assert "secret" not in created.text
    assert created.headers["location"] == "/x/1"
    assert updated.json()["email"] == "shown"


async def test_db_delete_may_be_overridden(db, serve):
    class Keeping(Users):
        async def db_delete(self, item_id, aorm):
            return bool(await aorm.update_item(User, item_id, {"name": "deleted"}))

    async with serve(Keeping) as web:
        await web.post("/x", json=ANN)
        deleted = await web.delete("/x/1")
        read = await web.get("/x/1")

    assert (deleted.status_code, read.json()["name"]) == (204, "deleted")


async def test_raw_integrity_error_of_a_hook_is_409(db, serve):
    class Raw(Users):
        async def db_create(self, item, aorm):
            for _ in range(2):
                aorm.session.add(User(email=item.email))
            await aorm.session.commit()

    async with serve(Raw) as web:
        answer = await web.post("/x", json=ANN)

    assert answer.status_code == 409


async def test_row_that_does_not_fit_the_schema_is_our_fault(sqlite, serve, add):
    await add(User(id=1, email=None))

    async with serve(Users) as web:
        answers = [await web.get("/x"), await web.get("/x/1")]

    assert [answer.status_code for answer in answers] == [500, 500]


async def test_only_what_is_mixed_in_is_offered(db, serve):
    class Log(ViewSetCreate, ViewSetList):
        db_model = Note
        pydantic_model = NoteOut

    class ReadOnly(ReadOnlyViewSet):
        db_model = Note
        pydantic_model = NoteOut

    async with serve(Log, read=ReadOnly) as web:
        created = await web.post("/x", json={"text": "t"})
        answers = [
            await web.get("/x/1"),
            await web.post("/read", json={"text": "t"}),
            await web.delete("/read/1"),
        ]
        read = await web.get("/read/1")

    assert (created.status_code, read.status_code) == (201, 200)
    assert [answer.status_code for answer in answers] == [404, 405, 405]


async def test_location_is_an_address_whatever_the_path_holds(sqlite, browse):
    app, router = FastAPI(), APIRouter(prefix="/{shop}")
    app.state.DATABASE_MANAGER = manager
    Users().as_view(router, "/user")
    app.include_router(router)

    async with browse(app) as web:
        created = await web.post("/Ж%20%0d%25/user?q=%FF", json={"email": "a@b"})
        found = await web.get(created.headers["location"])

    assert created.headers["location"] == "/%D0%96%20%0D%25/user/1"
    assert found.json() == created.json()


async def test_location_does_not_read_the_query(sqlite):
    app, router, sent = FastAPI(), APIRouter(), []
    app.state.DATABASE_MANAGER = manager
    Users().as_view(router, "/x")
    app.include_router(router)

    async def receive():
        return {"type": "http.request", "body": b'{"email": "a@b"}'}

    async def send(message):
        sent.append(message)

    # A server passes on what a client writes, even if it is no text.
    scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"\xff"}
    headers = [(b"content-type", b"application/json")]
    await app({**scope, "headers": headers}, receive, send)

    assert sent[0]["status"] == 201


async def test_row_that_nobody_can_ask_for_has_no_location(sqlite, serve):
    class Inbox(ViewSetCreate):
        db_model = Note
        pydantic_model = NoteOut

    async with serve(Inbox) as web:
        created = await web.post("/x", json={"text": "t"})

    assert created.status_code == 201
    assert "location" not in created.headers


async def test_head_is_get_without_the_content(db, serve):
    class Tagged(Users):
        etag = True

    async with serve(Tagged) as web:
        await web.post("/x", json={"email": "a@b"})
        for path in ("/x", "/x/1", "/x/2", "/x/me"):
            got, head = await web.get(path), await web.head(path)

            assert head.status_code == got.status_code
            assert head.headers == got.headers
            assert (head.content, got.content != b"") == (b"", True)
        tag = {"If-None-Match": head.headers.get("etag", "*")}
        known = await web.head("/x/1", headers=tag)

    assert known.status_code == 304


async def test_head_of_what_has_no_get_is_405(sqlite, serve):
    class Inbox(ViewSetCreate):
        db_model = Note
        pydantic_model = NoteOut

    async with serve(Inbox) as web:
        answer = await web.head("/x")

    assert answer.status_code == 405


async def test_custom_mixin_registers_its_routes(sqlite, serve):
    class Counting:
        def _register_endpoint(self):
            @self.router.get(f"{self.prefix}/count")
            async def count() -> int:
                return 3

    class Counted(Counting, Users):
        pass

    async with serve(Counted) as web:
        answer = await web.get("/x/count")

    assert answer.json() == 3


async def test_view_set_brings_its_own_database(sqlite, serve):
    class Own(Users):
        database_manager = manager

    async with serve(Own, database=None) as web:
        created = await web.post("/x", json=ANN)
        listed = await web.get("/x")

    assert created.status_code == 201
    assert len(listed.json()) == 1


async def test_seen_rows_are_committed(db, serve):
    async with serve(Users) as web:
        await web.post("/x", json=ANN)

    async with db.asession() as session:
        found = await OrmAsync(session).get(select(User))
    assert found.email == ANN["email"]
