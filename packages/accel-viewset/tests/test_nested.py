"""What a client may write around a row, by the nested schemas of a view set."""

import datetime as dt
import uuid

import pytest
from pydantic import BaseModel

from accel_db import OrmAsync
from accel_viewset import FullViewSet, Permission

from .models import Book, Chapter, File, User, Writer, db as manager

pytestmark = pytest.mark.anyio


class WriterOut(BaseModel):
    id: int
    name: str


class ChapterOut(BaseModel):
    id: int
    book_id: int
    text: str
    created_at: dt.datetime
    created_by: str | None
    deleted_at: dt.datetime | None


class BookOut(BaseModel):
    id: int
    title: str
    writer: WriterOut | None = None
    chapters: list[ChapterOut] = []


class Books(FullViewSet):
    db_model = Book
    pydantic_model = BookOut
    deep_schema = True


class WriterChange(BaseModel):
    id: int | None = None
    name: str


class BookChange(BaseModel):
    title: str
    writer: WriterChange | None = None


class ChangingWriters(Books):
    create_schema = BookChange
    update_schema = BookChange


class Scoped(ChangingWriters):
    def scope_query(self, statement, request):
        return statement.where(Book.org == 1)


class Everyone(Permission):
    async def has_object_permission(self, request, view, action, row):
        return True


class Asked(ChangingWriters):
    permissions = (Everyone(),)


async def _writer(key):
    async with manager.asession() as session:
        return (await OrmAsync(session).get_item(Writer, key)).name


async def test_child_without_a_key_is_created(db, serve):
    async with serve(Books) as web:
        created = await web.post("/x", json={"title": "t", "chapters": [{"text": "a"}]})
        first = created.json()["chapters"][0]
        chapters = [{"id": first["id"], "text": "b"}, {"text": "c"}]
        changed = await web.patch("/x/1", json={"chapters": chapters})

    assert created.status_code == 201, created.text
    assert first["book_id"] == 1
    assert [c["text"] for c in changed.json()["chapters"]] == ["b", "c"]
    assert changed.json()["chapters"][0]["id"] == first["id"]


async def test_keys_of_rows_beyond_the_parent_take_nothing(db, serve, add):
    class FileIn(BaseModel):
        uid: uuid.UUID
        filename: str

    class UserOut(BaseModel):
        id: int
        email: str
        files: list[FileIn] = []

    class Users(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        deep_schema = True

    owner = await add(User(email="o@b", files=[File(filename="hers")]))
    ann = await add(User(email="a@b"))
    nobodys = await add(File(filename="nobody's"))
    async with serve(Users) as web:
        answers = [
            await web.patch(
                f"/x/{ann.id}",
                json={"files": [{"uid": str(file.uid), "filename": "mine"}]},
            )
            for file in (*owner.files, nobodys)
        ]
        files = (await web.get(f"/x/{owner.id}")).json()["files"]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert [file["filename"] for file in files] == ["hers"]


async def test_nested_row_takes_no_column_of_the_server(db, serve):
    forged = {
        "created_by": "ceo",
        "created_at": "1999-01-01T00:00:00Z",
        "deleted_at": "1999-01-01T00:00:00Z",
    }

    async with serve(Books) as web:
        chapters = [{"text": "a", **forged}]
        created = await web.post("/x", json={"title": "t", "chapters": chapters})
        chapter = created.json()["chapters"][0]
        chapters = [{"id": chapter["id"], "text": "b", **forged}]
        await web.patch("/x/1", json={"chapters": chapters})
        read = (await web.get("/x/1")).json()["chapters"][0]

    assert chapter["created_by"] is None
    assert chapter["created_at"] > "2000"
    assert read == {**chapter, "text": "b"}


async def test_nested_text_is_as_long_as_its_column(db, serve):
    book = {"title": "t", "chapters": [{"text": "longer"}]}

    async with serve(Books) as web:
        answer = await web.post("/x", json=book)

    error = answer.json()["detail"][0]
    assert answer.status_code == 422
    assert error["loc"] == ["body", "chapters", 0, "text"]


async def test_schema_that_contains_itself_is_derived(db, serve):
    class Out(BaseModel):
        id: int
        book_id: int
        text: str
        created_by: str | None
        below: list["Out"] = []

    Out.model_rebuild()

    class Chapters(FullViewSet):
        db_model = Chapter
        pydantic_model = Out
        deep_schema = True

    leaf = {"text": "c", "book_id": 1, "created_by": "ceo"}
    tree = {**leaf, "text": "b", "below": [leaf]}
    async with serve(Chapters, books=Books) as web:
        await web.post("/books", json={"title": "t"})
        created = await web.post("/x", json={**tree, "below": [tree]})
        openapi = (await web.get("/openapi.json")).json()["components"]["schemas"]

    lowest = created.json()["below"][0]["below"][0]
    assert created.status_code == 201, created.text
    assert lowest["text"] == "c"
    assert lowest["created_by"] is None
    assert "created_by" not in openapi["OutInOutCreate"]["properties"]


@pytest.mark.parametrize("times", [1, 2])
async def test_partner_is_linked_and_not_changed(db, serve, add, times):
    await add(Writer(id=4, name="Eve"), Book(id=1, title="t"))
    writer = {"id": 4, "name": "hacked"}

    async with serve(Books) as web:
        for _ in range(times):
            answer = await web.patch("/x/1", json={"writer": writer})

    assert answer.json()["writer"] == {"id": 4, "name": "Eve"}
    assert await _writer(4) == "Eve"


async def test_hooks_need_not_load_what_is_shown(db, serve):
    class Sent(BaseModel):
        title: str

    class Plain(Books):
        create_schema = update_schema = Sent

        async def db_create(self, item, aorm):
            return await aorm.create_item({"title": item.title.upper()}, Book)

        async def db_update(self, item_id, item, aorm):
            return await aorm.update_item(Book, item_id, {"title": item.title.upper()})

    async with serve(Plain) as web:
        created = await web.post("/x", json={"title": "a"})
        changed = await web.patch("/x/1", json={"title": "b"})

    row = {"id": 1, "writer": None, "chapters": []}
    assert (created.status_code, created.json()) == (201, {**row, "title": "A"})
    assert (changed.status_code, changed.json()) == (200, {**row, "title": "B"})


async def test_key_alone_links(db, serve, add):
    await add(Writer(id=4, name="Eve"))

    async with serve(Books) as web:
        linked = await web.post("/x", json={"title": "t", "writer": {"id": 4}})
        unknown = await web.post("/x", json={"title": "t", "writer": {"id": 5}})
        no_key = await web.post("/x", json={"title": "t", "writer": {"name": "Bo"}})

    assert linked.json()["writer"]["name"] == "Eve"
    assert "no Writer with the key 5" in unknown.text
    assert no_key.status_code == 422


@pytest.mark.parametrize(
    ("view", "name"), [(ChangingWriters, "new"), (Scoped, "Eve"), (Asked, "Eve")]
)
async def test_partner_changes_where_a_schema_asks_and_nothing_guards(
    db, serve, add, view, name
):
    await add(Writer(id=4, name="Eve"), Book(id=1, title="t", writer_id=4))

    async with serve(view) as web:
        writer = {"id": 4, "name": "new"}
        one = await web.patch("/x/1", json={"writer": writer})
        put = await web.put("/x/1", json={"title": "t", "writer": writer})

    assert one.status_code == put.status_code == 200, one.text
    assert await _writer(4) == name
