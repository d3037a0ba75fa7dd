"""Pages, filters, search, order and expansion."""

import datetime as dt
import decimal
import itertools
import types

import pytest
from pydantic import BaseModel, Field

from accel_db import OrmAsync
from accel_db.testing import track_queries
from accel_viewset import (
    BasePaginatorClass,
    CursorPaginator,
    DefaultPaginator,
    FullViewSet,
    LimitOffsetPaginator,
)

from .models import File, Note, Reading, Thing, User
from .schemas import FileOut, FileWithOwner, NoteOut, ThingOut, UserOut

pytestmark = pytest.mark.anyio


class Files(FullViewSet):
    db_model = File
    pydantic_model = FileOut
    paginator_class = DefaultPaginator
    filters = ("filename", "size", "owner_id")
    ordering = ("filename", "size")
    search = ("filename",)
    max_limit = 5


class Users(FullViewSet):
    db_model = User
    pydantic_model = UserOut
    paginator_class = DefaultPaginator


@pytest.fixture
async def files(db, add):
    """Seven files, whose sizes repeat."""
    owner = await add(User(name="Ann", email="a@b"))
    rows = [File(filename=f"f{n}_%.txt", size=n // 2) for n in range(7)]
    rows[0].owner_id = owner.id
    await add(*rows)
    return rows


async def names(web, **params):
    answer = await web.get("/x", params=params)
    assert answer.status_code == 200, answer.text
    return [item["filename"][:2] for item in answer.json()["items"]]


async def test_pages_do_not_overlap(files, serve):
    async with serve(Files) as web:
        pages = [await names(web, ordering="size", page=n, size=3) for n in (1, 2, 3)]

    assert sorted(itertools.chain(*pages)) == [f"f{n}" for n in range(7)]
    assert [len(page) for page in pages] == [3, 3, 1]


@pytest.mark.parametrize("page", [4, 10**9, 10**30])
async def test_page_beyond_the_end_is_empty(files, serve, page):
    async with serve(Files) as web:
        answer = await web.get("/x", params={"page": page, "size": 3})

    assert answer.status_code == 200
    assert answer.json() | {"page": 0} == {
        "page": 0,
        "size": 3,
        "count": 0,
        "total": 7,
        "pages": 3,
        "items": [],
    }


async def test_oversized_page_is_made_smaller(files, serve):
    async with serve(Files) as web:
        answer = await web.get("/x", params={"size": 10**30})

    assert (answer.json()["size"], answer.json()["count"]) == (5, 5)


@pytest.mark.parametrize(
    "query", ["page=0", "size=0", "page=-1", "size=x", "page=", "size=1.5"]
)
async def test_nonsense_is_422(files, serve, query):
    async with serve(Files) as web:
        assert (await web.get(f"/x?{query}")).status_code == 422


async def test_list_without_paginator_has_a_limit(files, serve):
    class Plain(Files):
        paginator_class = None

    async with serve(Plain) as web:
        everything = await web.get("/x")
        part = await web.get("/x", params={"skip": 5, "limit": 10**30})
        beyond = await web.get("/x", params={"skip": 10**30})

    assert (len(everything.json()), len(part.json()), beyond.json()) == (5, 2, [])


async def test_list_without_a_wish_is_ordered_by_key(db, serve, add):
    class Notes(FullViewSet):
        db_model = Note
        pydantic_model = NoteOut

    await add(*(Note(id=n, text="t") for n in (3, 1, 2)))
    async with db.asession() as session:
        # PostgreSQL moves an updated row to the end of its heap.
        await OrmAsync(session).update_item(Note, 1, {"text": "u"})
    async with serve(Notes) as web:
        listed = await web.get("/x")

    assert [note["id"] for note in listed.json()] == [1, 2, 3]


async def test_limit_and_offset(files, serve):
    class Parts(Files):
        paginator_class = LimitOffsetPaginator

    async with serve(Parts) as web:
        query = {"limit": 2, "offset": 6, "ordering": "filename"}
        last = (await web.get("/x", params=query)).json()
        beyond = (await web.get("/x", params={"offset": 10**30})).json()

    assert (last["limit"], last["offset"], last["total"]) == (2, 6, 7)
    assert [item["filename"][:2] for item in last["items"]] == ["f6"]
    assert beyond["items"] == []


async def test_cursors_see_every_row_once(files, serve, add):
    class Cursors(Files):
        paginator_class = CursorPaginator

    found, cursor = [], None
    async with serve(Cursors) as web:
        while cursor or not found:
            query = {"size": 2, "ordering": "-size"} | (
                {"cursor": cursor} if cursor else {}
            )
            page = (await web.get("/x", params=query)).json()
            found += [item["filename"][:2] for item in page["items"]]
            cursor = page["next_cursor"]
            if len(found) == 2:
                await add(File(filename="new", size=9))

    assert sorted(found) == [f"f{n}" for n in range(7)]


@pytest.mark.parametrize("cursor", ["x", "e30", "WyJhIl0", "=", "\0"])
async def test_foreign_cursor_is_422(files, serve, cursor):
    class Cursors(Files):
        paginator_class = CursorPaginator

    async with serve(Cursors) as web:
        answer = await web.get("/x", params={"cursor": cursor})

    assert answer.status_code == 422


class SeedPaginator(BasePaginatorClass):
    class Schema(BaseModel):
        number: int
        rows: dict | list

    @staticmethod
    def json(page, size, response):
        return {"number": page, "rows": response}


class SeenHash(UserOut):
    password_hash: str = Field("", exclude=True)


async def test_paginator_of_the_users_own(db, serve, add):
    class Own(Users):
        paginator_class = SeedPaginator

    await add(User(name="Ann", email="a@b"))
    async with serve(Own) as web:
        page = await web.get("/x")

    user = {"id": 1, "name": "Ann", "login": None, "email": "a@b"}
    assert page.json() == {"number": 1, "rows": [user]}


async def test_excluded_field_stays_excluded(db, serve, add):
    class Hidden(Users):
        pydantic_model = SeenHash

    await add(User(name="Ann", email="a@b"))
    async with serve(Hidden) as web:
        answers = [await web.get("/x"), await web.get("/x/1")]

    assert not any("hash" in answer.text for answer in answers)


async def test_filters_by_type(files, serve):
    async with serve(Files) as web:
        found = {
            query: (await web.get(f"/x?{query}")).json()["total"]
            for query in (
                "size__exact=1",
                "size__gte=1&size__lt=3",
                "size__in=0&size__in=3",
                "owner_id__isnull=false",
                "owner_id__isnull=true",
                "filename__contains=F3",
                "filename__startswith=f",
                "filename=f1",
                "size__lte=0",
                "size__gt=2",
            )
        }

    assert list(found.values()) == [2, 4, 3, 1, 6, 1, 7, 0, 2, 1]


@pytest.mark.parametrize(
    "query", ["size__exact=x", "size__in=1&size__in=x", "size__gt="]
)
async def test_malformed_filter_is_422(files, serve, query):
    async with serve(Files) as web:
        assert (await web.get(f"/x?{query}")).status_code == 422


@pytest.mark.parametrize("value", [2**31, 2**63, -(10**30)])
async def test_filter_beyond_the_column_is_422_or_empty(files, serve, value):
    async with serve(Files) as web:
        answer = await web.get(f"/x?size__exact={value}")

    assert answer.status_code == 422 or answer.json()["items"] == []


async def test_filter_that_is_not_offered_is_refused(files, serve):
    class Few(Files):
        filters = types.MappingProxyType({"filename": ["in"], "size": ["in"]})

    async with serve(Few) as web:
        refused = await web.get("/x?filename=a")
        page_size = await web.get("/x?size=1")

    assert refused.status_code == 422
    assert "Use filename__in" in refused.text
    assert page_size.json()["size"] == 1


async def test_time_without_a_zone_is_refused_by_its_name(db, serve):
    class Things(FullViewSet):
        db_model = Thing
        pydantic_model = ThingOut
        filters = ("at", "updated_at")

    naive = "2026-01-02T03:04:05"
    async with serve(Things) as web:
        asked = await web.get(f"/x?updated_at__gte={naive}")
        several = await web.get(f"/x?at__in={naive}")
        sent = await web.post("/x", json={"name": "a", "note": None, "at": naive})

    assert [x.status_code for x in (asked, several, sent)] == [422, 422, 422]
    assert asked.json()["detail"][0]["loc"] == ["query", "updated_at__gte"]
    assert several.json()["detail"][0]["loc"] == ["query", "at__in", 0]
    assert sent.json()["detail"][0]["loc"] == ["body", "at"]
    assert "a time without a zone names no moment" in sent.text


@pytest.mark.parametrize("name", ["filename", "filename__contains", "search"])
async def test_nul_finds_nothing(files, serve, name):
    async with serve(Files) as web:
        answer = await web.get(f"/x?{name}=%00")

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", name]


async def test_filters_by_every_type(db, serve, add):
    class Things(FullViewSet):
        db_model = Thing
        pydantic_model = ThingOut
        filters = ("color", "day", "at", "token", "ready", "price", "ratio")

    token = "12345678-1234-5678-1234-567812345678"
    payload = {
        "name": "a",
        "note": "n",
        "color": "red",
        "day": "2026-01-02",
        "at": "2026-01-02T03:04:05Z",
        "token": token,
        "ready": True,
        "price": "1.50",
        "ratio": 0.5,
    }
    queries = [
        *("color=red", "day=2026-01-02", f"token={token}", "ready=true"),
        *("price=1.50", "ratio__lt=1", "at__gte=2026-01-02T03:04:05Z"),
        *("color__in=red", "day__in=2026-01-02", "color__isnull=false"),
    ]
    async with serve(Things) as web:
        created = await web.post("/x", json=payload)
        await web.post("/x", json={"name": "b", "note": None})
        found = {q: (await web.get(f"/x?{q}")).json() for q in queries}
        wrong = await web.get("/x?color=green")
        naive = await web.get("/x?at__gte=2026-01-02T03:04:05")

    assert created.status_code == 201
    assert {q: [row["name"] for row in rows] for q, rows in found.items()} == {
        q: ["a"] for q in queries
    }
    assert (wrong.status_code, naive.status_code) == (422, 422)


async def test_filters_may_name_their_lookups(files, serve):
    class Few(Files):
        filters = {"size": ["ne"]}  # noqa: RUF012

    async with serve(Few) as web:
        found = await web.get("/x?size__ne=0")

    assert found.json()["total"] == 5


async def test_search_finds_what_has_all_words(db, add, serve):
    await add(
        User(name="War and Peace", email="1", login="tolstoy"),
        User(name="War of Worlds", email="2", login="wells"),
    )

    class Books(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        search = ("name", "login")

    async def found(web, text):
        return len((await web.get("/x", params={"search": text})).json())

    async with serve(Books) as web:
        counts = [
            await found(web, text)
            for text in ("war peace", "WAR wells", '"war and"', '"and war"', "  ")
        ]

    assert counts == [1, 1, 1, 0, 2]


async def test_search_takes_its_text_literally(files, serve):
    async with serve(Files) as web:
        found = [len(await names(web, search=text)) for text in ("F1", "_%", "%f", "/")]

    assert found == [1, 5, 0, 0]


async def test_order_is_wished_or_default(files, serve):
    class Reversed(Files):
        default_ordering = ("-filename",)

    async with serve(Reversed) as web:
        default = await names(web, size=2)
        wished = await names(web, size=3, ordering="-size, filename")

    assert default == ["f6", "f5"]
    assert wished == ["f6", "f4", "f5"]


async def test_hidden_columns_are_no_oracle(db, serve, add):
    class Open(Users):
        filters = ("name",)
        ordering = ("name",)
        search = ("name",)

    await add(User(name="A", email="a"), User(name="B", email="b"))
    async with serve(Open) as web:
        everyone = (await web.get("/x")).json()
        filtered = await web.get("/x?password_hash__startswith=z&password_hash=z")
        ordered = await web.get("/x?ordering=-password_hash")
        searched = await web.get("/x?search=argon2")

    assert filtered.json() == everyone
    assert ordered.status_code == 422
    assert "password" not in ordered.text
    assert searched.json()["items"] == []


async def test_parameters_are_documented(serve):
    class Documented(Files):
        pass

    async with serve(Documented) as web:
        schema = (await web.get("/openapi.json")).json()

    parameters = {p["name"]: p for p in schema["paths"]["/x"]["get"]["parameters"]}
    assert "`size`" in parameters["ordering"]["description"]
    assert parameters["size__gte"]["schema"]["anyOf"][0]["type"] == "integer"
    assert {"search", "page", "owner_id__isnull"} <= set(parameters)


class ThingsByCursor(FullViewSet):
    db_model = Thing
    pydantic_model = ThingOut
    paginator_class = CursorPaginator
    ordering = ("ratio", "price", "ready", "color", "day", "at", "token", "updated_at")


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize("column", ThingsByCursor.ordering)
async def test_cursors_follow_every_type_of_column(db, serve, column, direction):
    values = {"ratio": 1.5, "price": "1.50", "ready": True, "color": "red"}
    times = {"day": "2026-01-02", "at": "2026-01-02T03:04:05Z"}
    token = "00000000-0000-0000-0000-000000000001"
    one = {"name": "a", "note": None, "token": token, **values, **times}
    asked = {"ordering": f"{direction}{column}", "size": 1}
    seen = []
    async with serve(ThingsByCursor) as web:
        for sent in (one, {**one, "ready": False, "day": None}, one):
            await web.post("/x", json=sent)
        for _ in range(3):
            page = (await web.get("/x", params=asked)).json()
            seen += [item["id"] for item in page["items"]]
            asked["cursor"] = page["next_cursor"]

    assert sorted(seen) == [1, 2, 3]
    assert asked["cursor"] is None


class ReadingOut(BaseModel):
    id: int
    digits: decimal.Decimal
    cut: decimal.Decimal
    clock: dt.time


@pytest.mark.parametrize("column", ["digits", "cut", "clock"])
async def test_cursors_know_more_of_a_value_than_the_response(db, serve, column):
    class Readings(FullViewSet):
        db_model = Reading
        pydantic_model = ReadingOut
        paginator_class = CursorPaginator
        ordering = (column,)

    asked = {"ordering": f"-{column}", "size": 1}
    seen = []
    async with serve(Readings) as web:
        for key in range(3):
            number = f"1.{key:012}"
            sent = {"digits": number, "cut": number, "clock": f"12:00:0{key}"}
            await web.post("/x", json=sent)
        for _ in range(3):
            page = (await web.get("/x", params=asked)).json()
            seen += [item["id"] for item in page["items"]]
            asked["cursor"] = page["next_cursor"]

    assert seen == [3, 2, 1]
    assert asked["cursor"] is None


async def test_times_that_the_database_made_are_found_and_paged(db, serve):
    class Things(FullViewSet):
        db_model = Thing
        pydantic_model = ThingOut
        paginator_class = CursorPaginator
        ordering = ("made",)
        filters = ("made",)

    asked = {"ordering": "-made", "size": 1}
    seen = []
    async with serve(Things) as web:
        for name in "ab":
            await web.post("/x", json={"name": name, "note": None})
        for _ in range(2):
            page = (await web.get("/x", params=asked)).json()
            seen += page["items"]
            asked["cursor"] = page["next_cursor"]
        made = seen[0]["made"]
        found = [
            [item["id"] for item in (await web.get("/x", params=query)).json()["items"]]
            for query in (
                {"made": made},
                {"made__in": [made, made]},
                {"made__gte": made, "made__lte": made},
            )
        ]

    assert {item["id"] for item in seen} == {1, 2}
    assert asked["cursor"] is None
    assert all(seen[0]["id"] in ids for ids in found)


class Expanding(FullViewSet):
    db_model = File
    pydantic_model = FileWithOwner
    expand = ("owner",)


async def test_relation_is_read_when_asked_for(files, serve, db):
    async with serve(Expanding) as web:
        with track_queries(db, max_count=1):
            plain = await web.get("/x", params={"limit": 3})
        with track_queries(db, max_count=2):
            full = await web.get("/x", params={"limit": 7, "expand": "owner"})
        uid = files[0].uid
        one = await web.get(f"/x/{uid}", params={"expand": "owner"})
        bare = await web.get(f"/x/{uid}")
        changed = await web.patch(f"/x/{uid}", json={"size": 9})

    assert all("owner" not in item for item in plain.json())
    assert one.json()["owner"]["name"] == "Ann"
    assert one.json()["owner"] in [item["owner"] for item in full.json()]
    assert "owner" not in bare.json() | changed.json()


async def test_relation_that_may_be_asked_for_is_not_written(serve, db):
    async with serve(Expanding) as web:
        created = await web.post("/x", json={"filename": "f", "owner": None})
        replaced = await web.put(created.headers["location"], json={"filename": "g"})

    assert (created.status_code, replaced.status_code) == (201, 200)
    assert replaced.json()["filename"] == "g"


async def test_unknown_relation_is_422(files, serve):
    async with serve(Expanding) as web:
        answer = await web.get("/x", params={"expand": "owner,files"})

    assert answer.status_code == 422
    assert "owner" in answer.text


async def test_look_up_that_there_is_not_is_refused(files, serve):
    async with serve(Files) as web:
        refused = await web.get("/x", params={"size__ne": 1})
        other = await web.get("/x", params={"utm__source": "mail"})

    assert refused.status_code == 422
    assert "There is no such filter. Use size__exact" in refused.text
    assert other.status_code == 200
