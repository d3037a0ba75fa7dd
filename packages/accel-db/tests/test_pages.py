import base64
import contextlib
import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import ARRAY, Integer, insert, select, text
from sqlalchemy.dialects.postgresql import DATERANGE, INET, INTERVAL
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, joinedload, mapped_column

from accel_db import InvalidCursor, InvalidPayload, Orm
from accel_db._cursors import CursorQuery
from accel_db.testing import create_database

from .models import (
    Author,
    Comment,
    File,
    Level,
    Moment,
    OrderLine,
    Post,
    Sample,
    db as manager,
)

pytestmark = pytest.mark.anyio


async def test_numbered_pages(aorm):
    await aorm.bulk_create(Author, [{"name": f"{i}"} for i in range(7)])
    query = select(Author).order_by(Author.id)

    second = await aorm.page(query, page=2, size=3, deep=["posts"])
    beyond = await aorm.page(query, page=9, size=3)

    assert [author.name for author in second] == ["3", "4", "5"]
    assert second.items[0].posts == []
    assert (second.total, second.page, second.size, second.pages) == (7, 2, 3, 3)
    assert (beyond.items, beyond.total) == ([], 7)


@pytest.mark.parametrize("arguments", [{"page": 0}, {"page": -1}, {"size": 0}])
async def test_impossible_pages_are_refused(aorm, arguments):
    with pytest.raises(InvalidPayload, match="must be >= 1"):
        await aorm.page(select(Author), **arguments)


async def test_cursor_pages_are_not_shifted_by_new_rows(aorm):
    await aorm.bulk_create(
        Author, [{"id": i * 10, "name": f"{i}"} for i in range(1, 6)]
    )

    first = await aorm.cursor_page(select(Author), size=2)
    await aorm.bulk_create(Author, [{"id": 5, "name": "new"}])
    second = await aorm.cursor_page(select(Author), size=2, cursor=first.next_cursor)
    third = await aorm.cursor_page(select(Author), size=2, cursor=second.next_cursor)

    assert [[a.name for a in page] for page in (first, second, third)] == [
        ["1", "2"],
        ["3", "4"],
        ["5"],
    ]
    assert third.next_cursor is None


async def test_cursors_carry_uuids_and_composite_keys(aorm):
    await aorm.bulk_create(File, [{"filename": f"{i}"} for i in range(5)])
    seen, cursor = [], None
    while True:
        page = await aorm.cursor_page(select(File), size=2, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    lines = await aorm.cursor_page(
        select(OrderLine), order_by=[OrderLine.product.desc()]
    )

    assert len({file.uid for file in seen}) == 5
    assert lines.items == []


def forge(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!!",
        "é",
        "A" * 10_000,
        forge([]),
        forge([["id"], []]),
        forge([["id"], [None]]),
        forge([["id"], [{"a": 1}]]),
        forge([["id"], ["1 OR 1=1"]]),
        forge([["id"], [10**40]]),
        forge([["name", "id"], ["a", 1]]),
        forge({"id": 1}),
    ],
)
async def test_hostile_cursors_are_refused(aorm, cursor):
    with pytest.raises(InvalidCursor, match="start without one") as caught:
        await aorm.cursor_page(select(Author), cursor=cursor)

    assert caught.value.http_status == 422


async def test_a_cursor_orders_by_columns(aorm):
    with pytest.raises(InvalidPayload, match="a cursor orders by columns of Author"):
        await aorm.cursor_page(select(Author), order_by=[Post.title])
    with pytest.raises(InvalidPayload, match="a cursor orders by columns of Author"):
        await aorm.cursor_page(select(Author), order_by=[-Author.id])
    with pytest.raises(InvalidPayload, match="needs a query for one model"):
        await aorm.cursor_page(select(1))


async def test_a_cursor_needs_objects_of_one_model(aorm):
    for query in (select(Author.id), select(Author, Post).join(Post)):
        with pytest.raises(InvalidPayload, match="needs a query for one model"):
            await aorm.cursor_page(query)


def test_a_cursor_follows_an_alias(db):
    writer = aliased(Author)
    query = select(writer).options(joinedload(writer.posts))
    with db.session() as session:
        orm = Orm(session)
        for name in "bca":
            author = orm.create_item({"name": name}, Author)
            orm.bulk_create(Post, [{"author_id": author.id}] * 2)

        found = page_by_page(orm, query, size=1, order_by=[writer.name.desc()])
        plain = page_by_page(orm, query, size=2)

        assert [author.name for author in found] == ["c", "b", "a"]
        assert [author.name for author in plain] == ["b", "c", "a"]
        with pytest.raises(InvalidPayload, match="columns of the alias of Author"):
            orm.cursor_page(query, order_by=[Author.name])


def test_a_cursor_leaves_duplicates_out(db):
    query = select(Post).join(Post.comments).distinct()
    with db.session() as session:
        orm = Orm(session)
        posts = orm.bulk_create(Post, [{"title": title} for title in (None, "a", "b")])
        for post in posts:
            orm.bulk_create(Comment, [{"post_id": post.id}] * 2)

        found = page_by_page(orm, query, size=1, order_by=[Post.title.desc()])

        assert [post.title for post in found] == ["b", "a", None]


titles = st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=8)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    titles=titles,
    size=st.integers(1, 4),
    backwards=st.tuples(st.booleans(), st.booleans()),
    nulls=st.sampled_from(["", "nulls_first", "nulls_last"]),
)
def test_pages_together_are_the_whole_list(db, titles, size, backwards, nulls):
    """Whatever repeats, is NULL, or is ordered backwards."""
    db.clear_all()
    down, back = backwards
    title = Post.title.desc() if down else Post.title
    orders = [
        getattr(title, nulls)() if nulls else title,
        Post.id.desc() if back else Post.id,
    ]
    with db.session() as session:
        orm = Orm(session)
        orm.bulk_create(Post, [{"title": title} for title in titles])
        posts = page_by_page(orm, select(Post), size=size, order_by=orders)
        seen = [(post.title, post.id) for post in posts]
        everything = session.execute(select(Post.title, Post.id)).all()

    rows = sorted(map(tuple, everything), key=lambda x: x[1], reverse=back)
    known = [row for row in rows if row[0] is not None]
    known.sort(key=lambda x: x[0], reverse=down)
    unknown = [row for row in rows if row[0] is None]
    first = nulls == "nulls_first" if nulls else not down
    assert seen == (unknown + known if first else known + unknown)


def page_by_page(orm, query, *, size, most=50, **options):
    """Return what all pages show; *most* pages, since a fault may repeat one."""
    seen, cursor = [], None
    for _ in range(most):
        page = orm.cursor_page(query, size=size, cursor=cursor, **options)
        seen += page.items
        if (cursor := page.next_cursor) is None:
            return seen
    pytest.fail(f"no end after {most} pages")


@contextlib.contextmanager
def rollback(session):
    """Undo what an example wrote."""
    transaction = session.begin()
    yield
    transaction.rollback()


NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
# Whole seconds, which SQLite's CURRENT_TIMESTAMP writes without a fraction.
moments = st.sampled_from(
    [NOON + dt.timedelta(microseconds=x * 500_000) for x in range(4)]
)


def insert_moments(session, rows):
    """Write times as a client does, or as the database itself."""
    zone = "" if session.connection().dialect.name == "sqlite" else "+00"
    for key, (moment, by_database) in enumerate(rows):
        values = {"plain": moment.replace(tzinfo=None), "clock": moment.time()}
        if by_database:
            times = (
                f"'{values['plain']}{zone}', '{values['plain']}', '{values['clock']}'"
            )
            session.execute(text(f"INSERT INTO moment VALUES ({key}, {times})"))
        else:
            session.execute(insert(Moment).values(id=key, made=moment, **values))


@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(st.tuples(moments, st.booleans()), max_size=6),
    size=st.integers(1, 3),
    down=st.booleans(),
    attribute=st.sampled_from([Moment.made, Moment.plain, Moment.clock]),
)
def test_pages_are_ordered_by_times_whoever_wrote_them(db, rows, size, down, attribute):
    db.clear_all()
    with db.session.begin() as session:
        insert_moments(session, rows)

    with db.session() as session:
        order = [attribute.desc() if down else attribute, Moment.id]
        found = page_by_page(Orm(session), select(Moment), size=size, order_by=order)

    expected = sorted(range(len(rows)), key=lambda x: rows[x][0], reverse=down)
    assert [row.id for row in found] == expected


async def test_times_of_the_database_are_found(db, aorm):
    """Whole seconds have no fraction in SQLite's own texts."""
    rows = [(NOON, True), (NOON, False), (NOON + dt.timedelta(seconds=1.5), False)]
    with db.session.begin() as session:
        insert_moments(session, rows)
    made = Moment.made
    conditions = [
        (made == NOON, {0, 1}),
        (made != NOON, {2}),
        (made.in_([NOON]), {0, 1}),
        (made >= NOON, {0, 1, 2}),
        (made > NOON, {2}),
        (made <= NOON, {0, 1}),
        (made < NOON, set()),
        (made.between(NOON, NOON), {0, 1}),
    ]

    for condition, expected in conditions:
        found = await aorm.get_list(select(Moment).where(condition))

        assert {row.id for row in found} == expected, str(condition)


async def test_a_default_of_the_database_is_found_by_what_was_read(aorm):
    made = (await aorm.create_item({}, Moment)).made

    assert made.utcoffset() == dt.timedelta(0)
    assert await aorm.get(select(Moment).where(Moment.made == made)) is not None


# Beyond the ten decimals that SQLAlchemy leaves of a double.
tiny = st.integers(0, 3).map(lambda x: Decimal(x) / 10**14)
SAMPLES = {
    "code": st.text("aB é'", max_size=2),
    "count": st.integers(-(2**31), 2**31 - 1),
    "cut": tiny.map(lambda x: 1 + float(x)),
    "day": st.dates(),
    "digits": st.builds(lambda x, y: x + y, tiny, st.sampled_from([0, 1, 10**6])),
    "inexact": st.sampled_from([0.1, 1e-18, 1e17, -0.5]),
    "level": st.sampled_from(Level),
    "meta": st.none() | st.integers(0, 3) | st.lists(st.sampled_from("ab"), max_size=2),
    "moment": st.integers(-(10**15), 10**15).map(
        lambda x: NOON + dt.timedelta(microseconds=x)
    ),
    "price": st.decimals(-100, 100, places=4),
    "ratio": st.sampled_from([0.1, 1e300, float("inf"), -float("inf"), -0.0, 0.0]),
    "raw": st.binary(max_size=2),
    "ready": st.booleans(),
    "single": st.sampled_from([0.1, 0.2, 1.5]),
    "slot": st.times(dt.time(12), dt.time(12, 1)),
    "span": st.timedeltas(dt.timedelta(-9), dt.timedelta(9)),
    "token": st.uuids(),
}


@pytest.mark.parametrize("name", SAMPLES)
@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data(), size=st.integers(1, 2), down=st.booleans())
def test_small_pages_are_the_parts_of_a_large_one(db, name, data, size, down):
    values = data.draw(st.lists(st.none() | SAMPLES[name], min_size=2, max_size=4))
    attribute = getattr(Sample, name)
    order = [attribute.desc() if down else attribute]
    with db.session() as session, rollback(session):
        orm = Orm(session)
        orm.bulk_create(Sample, [{name: value} for value in values])

        pages = page_by_page(orm, select(Sample), size=size, order_by=order)
        whole = orm.cursor_page(select(Sample), size=10, order_by=order).items

        assert [row.id for row in pages] == [row.id for row in whole]
        assert len(whole) == len(values)


FORGED = st.one_of(
    st.none() | st.booleans() | st.floats(),
    st.integers(-(2**65), 2**65),
    st.text(st.characters(exclude_categories=[]), max_size=3),
    st.sampled_from(["1e999999999", "Infinity", "sNaN", "LOW", "1 day", "12:00"]),
    st.sampled_from([{"hex": "ff"}, {"hex": 5}, {"a": 1}, [1]]),
    st.datetimes(timezones=st.timezones()).map(dt.datetime.isoformat),
)


@pytest.mark.parametrize("name", SAMPLES)
@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=FORGED)
def test_a_forged_position_is_a_page_or_refused(db, name, value):
    cursor = forge([[name, "id"], [value, 1]])
    order = [getattr(Sample, name)]

    with db.session() as session, contextlib.suppress(InvalidCursor):
        Orm(session).cursor_page(select(Sample), order_by=order, cursor=cursor)


class Postgres(DeclarativeBase):
    pass


class Host(Postgres):
    """Has columns of types that PostgreSQL alone has."""

    __tablename__ = "host"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[Any] = mapped_column(INET)
    lease: Mapped[Any] = mapped_column(INTERVAL)
    ports: Mapped[Any] = mapped_column(ARRAY(Integer))
    valid: Mapped[Any] = mapped_column(DATERANGE)


@pytest.fixture
def hosts(postgres):
    """Give a session with rows that are mostly larger than the one before."""
    with (
        manager.override(create_database(postgres)),
        manager.session.begin() as session,
    ):
        Postgres.metadata.create_all(session.connection())
        # Thirty days are less than a month of an interval, and a year is 360 of them.
        for key, lease in enumerate(
            ["29 days", "1 mon", "30 days 1 s", "1 year", "361 d"]
        ):
            row = f"{key}, '10.0.0.{key}/30', '{lease}', '{{1,{key}}}', '[2026-01-0{key + 1},)'"
            session.execute(text(f"INSERT INTO host VALUES ({row})"))
        yield session


@pytest.mark.parametrize("name", ["address", "lease", "ports", "valid"])
def test_types_that_only_the_database_knows(hosts, name):
    order = [getattr(Host, name)]
    forged = forge([[name, "id"], ["nonsense", 1]])

    found = page_by_page(Orm(hosts), select(Host), size=1, order_by=order)

    assert [host.id for host in found] == [0, 1, 2, 3, 4]
    with pytest.raises(InvalidCursor), hosts.begin_nested():
        Orm(hosts).cursor_page(select(Host), order_by=order, cursor=forged)


def test_an_index_serves_pages_by_time():
    with manager.override("sqlite://"), manager.session() as session:
        manager.create_all()
        orm = Orm(session)
        orm.bulk_create(Moment, [{} for _ in range(2)])
        first = orm.cursor_page(select(Moment), order_by=[Moment.made.desc()], size=1)
        query = CursorQuery(
            select(Moment),
            manager.engine.dialect,
            order_by=[Moment.made.desc()],
            cursor=first.next_cursor,
            size=1,
        )
        sql = query.statement.compile(manager.engine)
        rows = session.connection().exec_driver_sql(
            f"EXPLAIN QUERY PLAN {sql}",
            tuple(sql.params[name] for name in sql.positiontup),
        )
        plan = str(rows.all())

    assert "USING INDEX ix_moment_made" in plan
