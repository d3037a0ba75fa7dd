"""The fast lane writes what the plain path writes, or steps aside."""

import datetime as dt
import decimal
import uuid

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel, computed_field, field_serializer, field_validator
from sqlalchemy import event, inspect, select, text
from sqlalchemy.orm import with_loader_criteria

from accel_db.testing import track_queries
from accel_viewset import DefaultPaginator, FullViewSet
from accel_viewset._fast_lane import FastLane
from accel_viewset._keys import Key
from accel_viewset._rendering import Renderer

from .models import Color, File, Note, Task, Thing, User, db as manager
from .schemas import FileOut, NoteOut, TaskOut, ThingOut, UserOut

words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
)
ROWS = st.fixed_dictionaries(
    {
        "name": words,
        "note": st.none() | words,
        "count": st.integers(-(2**31), 999),
        "ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "price": st.none() | st.decimals(-(10**7), 10**7, places=2),
        "ready": st.booleans(),
        "color": st.none() | st.sampled_from(Color),
        "day": st.none() | st.dates(),
        "at": st.none()
        | st.datetimes(
            dt.datetime(1900, 1, 1),  # noqa: DTZ001  # made aware by the strategy
            dt.datetime(2200, 1, 1),  # noqa: DTZ001
            timezones=st.just(dt.UTC),
        ),
        "token": st.none() | st.uuids(),
    }
)


class Direct(BaseModel):
    """Everything that needs no check."""

    id: int
    name: str
    note: str | None
    count: int
    ratio: float | None
    price: decimal.Decimal | None
    ready: bool
    day: dt.date | None
    at: dt.datetime | None
    token: uuid.UUID | None


class Shouting(BaseModel):
    id: int
    name: str

    @field_validator("name")
    @classmethod
    def loud(cls, value):
        return value.upper()


class Whispering(BaseModel):
    id: int
    name: str

    @field_serializer("name")
    def quiet(self, value):
        return value.lower()


class Counting(BaseModel):
    id: int
    name: str

    @computed_field
    @property
    def length(self) -> int:
        return len(self.name)


def lane_of(model, schema):
    mapper = inspect(model)
    return FastLane.of(Renderer(schema), mapper, Key.of(mapper))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(ROWS, max_size=4))
@pytest.mark.parametrize("schema", [Direct, ThingOut, Shouting, Whispering])
def test_both_paths_write_the_same_bytes(things, schema, rows):
    lane, plain = lane_of(Thing, schema), Renderer(schema)
    with things.session() as session:
        session.add_all(Thing(**row) for row in rows)
        session.flush()
        session.expire_all()

        objects = session.scalars(select(Thing).order_by(Thing.id)).all()
        found = session.execute(select(*lane.columns).order_by(Thing.id)).all()

        assert lane.many(found) == plain.many(objects)
        assert [lane.one(x) for x in found] == [plain.one(x) for x in objects]
        session.rollback()


class Surrogate(BaseModel):
    id: int
    task: str


@pytest.mark.parametrize(
    ("model", "schema", "eligible", "direct"),
    [
        (Thing, Direct, True, True),
        (Note, NoteOut, True, True),
        (File, FileOut, True, False),
        (Thing, ThingOut, True, False),
        (Thing, Shouting, True, False),
        (Thing, Whispering, True, False),
        (Thing, Counting, False, False),
        (Task, TaskOut, False, False),
        (Task, Surrogate, False, False),
    ],
)
def test_eligibility_is_decided_up_front(model, schema, eligible, direct):
    lane = lane_of(model, schema)

    assert (lane is not None) == eligible
    assert (lane is not None and lane._direct is not None) == direct


class Notes(FullViewSet):
    db_model = Note
    pydantic_model = NoteOut
    paginator_class = DefaultPaginator


class Plain(Notes):
    def scope_query(self, statement, request):
        return statement


@pytest.mark.anyio
async def test_responses_are_the_same(db, serve, add):
    await add(*(Note(text=f"n{n}") for n in range(5)))

    async with serve(Notes, plain=Plain) as web:
        for path in ("", "/3", "/9", "?page=2&size=2", "?size=0"):
            fast, plain = await web.get(f"/x{path}"), await web.get(f"/plain{path}")

            assert fast.content == plain.content
            assert fast.headers == plain.headers


@pytest.mark.anyio
async def test_list_costs_two_queries_and_an_item_one(db, serve, add):
    await add(*(Note(text=f"n{n}") for n in range(5)))

    async with serve(Notes) as web:
        with track_queries(db, max_count=2):
            await web.get("/x")
        with track_queries(db, max_count=1):
            await web.get("/x/1")


@pytest.mark.anyio
async def test_a_page_takes_one_connection(db, serve, add):
    taken = []
    await add(Note(text="a"))

    def take(*_):
        taken.append(1)

    async with serve(Notes) as web:
        event.listen(db.aengine.sync_engine, "checkout", take)
        page = (await web.get("/x")).json()

    assert (page["total"], len(page["items"]), len(taken)) == (1, 1, 1)


@pytest.mark.anyio
async def test_a_page_beyond_the_end_is_not_looked_for(db, serve, add):
    await add(Note(text="a"))

    async with serve(Notes) as web:
        with track_queries(db, expected_count=1):
            page = (await web.get("/x", params={"page": 10**30})).json()

    assert (page["total"], page["items"]) == (1, [])


@pytest.mark.anyio
async def test_soft_deleted_rows_are_left_out(db, serve, add):
    await add(Note(text="kept"), Note(text="gone"))

    async with serve(Notes) as web:
        await web.delete("/x/2")
        page = (await web.get("/x")).json()

    assert (page["total"], [item["text"] for item in page["items"]]) == (1, ["kept"])


@pytest.mark.anyio
async def test_listener_added_later_gets_its_objects(sqlite, serve, add):
    loaded = []

    def listen(target, context):
        loaded.append(target.text)

    await add(Note(text="a"))
    async with serve(Notes) as web:
        await web.get("/x")
        event.listen(Note, "load", listen)
        try:
            answer = await web.get("/x")
        finally:
            event.remove(Note, "load", listen)

    assert answer.status_code == 200
    assert loaded == ["a"]


@pytest.mark.anyio
async def test_listener_of_statements_is_heard(db, serve, add):
    def only_a(state):
        if state.is_select:
            criteria = with_loader_criteria(User, User.name == "a")
            state.statement = state.statement.options(criteria)

    class Users(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        paginator_class = DefaultPaginator

    await add(*(User(name=name, email=name) for name in "ab"))
    sessions = type(db.asession().sync_session)
    async with serve(Users) as web:
        before = [(await web.get("/x")).json()["total"], (await web.get("/x/2"))]
        event.listen(sessions, "do_orm_execute", only_a)
        try:
            page, hidden = (await web.get("/x")).json(), await web.get("/x/2")
        finally:
            event.remove(sessions, "do_orm_execute", only_a)

    assert (before[0], before[1].status_code) == (2, 200)
    assert (page["total"], [user["name"] for user in page["items"]]) == (1, ["a"])
    assert hidden.status_code == 404


@pytest.mark.anyio
async def test_orders_are_the_same(db, serve, add):
    class Sorted(Notes):
        default_ordering = ("-text",)
        ordering = ("text",)
        filters = ("text",)
        paginator_class = None

    class PlainSorted(Sorted):
        def scope_query(self, statement, request):
            return statement

    await add(*(Note(text=text) for text in "bacab"))
    async with serve(Sorted, plain=PlainSorted) as web:
        for query in ("", "?ordering=text", "?text=b&skip=1", "?limit=2&text__in=a"):
            fast, plain = await web.get(f"/x{query}"), await web.get(f"/plain{query}")

            assert fast.content == plain.content
        texts = [note["text"] for note in (await web.get("/x")).json()]

    assert texts == ["c", "b", "b", "a", "a"]


@pytest.mark.anyio
async def test_key_that_is_read_as_another_type_takes_the_plain_path(db, serve, add):
    class Named(Notes):
        type_item_id = str

    await add(Note(text="a"))
    async with serve(Named) as web:
        answers = [await web.get(f"/x/{key}") for key in ("1", "one", "7")]

    assert [answer.status_code for answer in answers] == [200, 404, 404]


@pytest.mark.anyio
async def test_value_of_another_type_falls_back(sqlite, serve):
    class Users(FullViewSet):
        db_model = User
        pydantic_model = UserOut

    class Slow(Users):
        def scope_query(self, statement, request):
            return statement

    async with manager.aengine.begin() as connection:
        # SQLite stores what it is given; the schema then reads it as a number.
        await connection.execute(
            text("INSERT INTO users (id, name, email) VALUES (1, 5, 'a')")
        )
    async with serve(Users, slow=Slow) as web:
        fast, slow = await web.get("/x"), await web.get("/slow")

    assert fast.status_code == slow.status_code
    assert fast.content == slow.content
