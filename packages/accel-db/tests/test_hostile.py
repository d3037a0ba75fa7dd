"""Data, addresses and calls that nobody expects."""

import base64
import datetime as dt
import json
import socket
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter
from sqlalchemy import func, select, text, update

from accel_db import (
    ConfigurationError,
    InvalidCursor,
    InvalidPayload,
    InvalidValue,
    MainDatabaseManager,
    OrmAsync,
    StatementTimeout,
    Unavailable,
)
from accel_db._urls import database_urls
from accel_db.testing import check_test_database

from .models import Account, Author, Level, Node, Parcel, db as manager

pytestmark = pytest.mark.anyio


def nested(levels):
    value = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


_WRITES = {
    "create": lambda aorm, data: aorm.create_item(data, Parcel),
    "deep create": lambda aorm, data: aorm.create_item(data, Parcel, deep=True),
    "object": lambda aorm, data: aorm.create_item(Parcel(**data)),
    "update": lambda aorm, data: aorm.update_item(Parcel, 1, data),
    "deep update": lambda aorm, data: aorm.update_item(Parcel, 1, data, deep=True),
    "statement": lambda aorm, data: aorm.update(
        update(Parcel).where(Parcel.id == 1), data
    ),
    "bulk": lambda aorm, data: aorm.bulk_create(Parcel, [data]),
    "bulk of objects": lambda aorm, data: aorm.bulk_create(Parcel, [Parcel(**data)]),
    "upsert": lambda aorm, data: aorm.upsert(Parcel, [{"id": 1, **data}]),
}


# Transactions


async def test_a_transaction_holds_the_session_and_not_one_orm(asession, aorm):
    await asession.execute(select(1))

    end = await aorm._run(aorm._orm.begin)
    await OrmAsync(asession).create_item(Author(name="A"))
    await aorm._run(end, False)

    assert await aorm.count(select(Author)) == 0


async def test_a_transaction_that_was_left_holds_nothing(asession, aorm):
    aorm._orm.begin()
    await asession.close()

    await aorm.create_item(Author(name="A"))
    await asession.rollback()

    assert await aorm.count(select(Author)) == 1


async def test_waiting_for_a_commit_leaves_the_commit_to_the_call(db, asession, aorm):
    called = []
    db.on_commit(asession, lambda: called.append("committed"))

    await aorm.create_item(Author(name="A"))
    await asession.rollback()

    assert called == ["committed"]
    assert await aorm.count(select(Author)) == 1


async def test_a_ping_does_not_wait_for_a_writer(db):
    with db.transaction() as session:
        session.add(Author(name="A"))
        session.flush()

        assert db.ping()
        assert await db.aping(timeout=2)
    await db.adispose()


async def test_a_budget_of_almost_nothing_is_no_unlimited_one(postgres_url):
    db = MainDatabaseManager(postgres_url, name="tiny budget")

    with pytest.raises(StatementTimeout):
        async with db.atransaction(statement_timeout=0.0001) as session:
            await session.execute(text("SELECT pg_sleep(1)"))
    await db.adispose()


async def test_streams_and_transactions_say_that_the_database_is_down():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    db = MainDatabaseManager(f"postgresql://u@127.0.0.1:{port}/d", name="hostile down")

    async with db.asession() as session:
        with pytest.raises(Unavailable):
            await anext(OrmAsync(session).stream(select(Author)))
    with pytest.raises(Unavailable):
        async with db.atransaction(isolation_level="SERIALIZABLE"):
            pass
    await db.adispose()


# Pages


async def test_a_cursor_orders_by_an_enum(aorm):
    rows = [{"owner": f"{n}", "level": list(Level)[n % 2]} for n in range(6)]
    await aorm.bulk_create(Account, rows)
    seen, cursor = [], None

    while cursor or not seen:
        page = await aorm.cursor_page(
            select(Account), order_by=[Account.level], cursor=cursor, size=2
        )
        seen += [account.owner for account in page]
        cursor = page.next_cursor

    assert sorted(seen) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", [True, 1, 1.5, [1], {}])
async def test_a_forged_cursor_compares_no_text_with_a_number(aorm, name):
    forged = json.dumps([["name", "id"], [name, 1]]).encode()
    cursor = base64.urlsafe_b64encode(forged).decode().rstrip("=")

    with pytest.raises(InvalidCursor):
        await aorm.cursor_page(select(Author), order_by=[Author.name], cursor=cursor)


@pytest.mark.parametrize("level", ["Level.LOW", "low", 1])
async def test_a_forged_cursor_names_a_member_of_the_enum(aorm, level):
    forged = json.dumps([["level", "id"], [level, 1]]).encode()
    cursor = base64.urlsafe_b64encode(forged).decode().rstrip("=")

    with pytest.raises(InvalidCursor):
        await aorm.cursor_page(select(Account), order_by=[Account.level], cursor=cursor)


# Payloads


async def test_data_may_be_deep_but_not_bottomless(aorm):
    data = {"name": "leaf"}
    for _ in range(99):
        data = {"name": "x", "children": [data]}

    await aorm.create_item(data, Node, deep=True)

    assert await aorm.count(select(Node)) == 100
    for _ in range(2000):
        data = {"name": "x", "children": [data]}
    with pytest.raises(InvalidPayload, match="more than 100 levels deep"):
        await aorm.create_item(data, Node, deep=True)


@pytest.mark.parametrize(
    "data",
    [
        {"id": [1]},
        {"posts": [{"id": {}}]},
        {"posts": [[[1]]]},
        {"profile": {"id": []}},
        {"posts": [{"tags": [{"id": [1]}]}]},
    ],
)
async def test_a_list_is_no_key(aorm, data):
    author = await aorm.create_item(Author(name="A"))

    with pytest.raises(InvalidPayload):
        await aorm.update_item(Author, author.id, data, deep=True)

    assert await aorm.get_item(Author, [[1]]) is None


@pytest.mark.parametrize("data", [None, 5, [1]])
async def test_a_row_is_made_of_fields(aorm, data):
    with pytest.raises(InvalidPayload, match="is no mapping and no schema"):
        await aorm.create_item(data, Author, deep=True)

    assert await aorm.count(select(Author)) == 0


async def test_a_value_that_the_driver_cannot_bind_is_invalid(aorm):
    with pytest.raises(InvalidValue):
        await aorm.create_item({"name": {"a": [1]}}, Author)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("\ud800", id="text"),
        pytest.param([{"a": "\udfff"}], id="nested"),
        pytest.param({"\ud800": 1}, id="name"),
        pytest.param([float("nan")], id="nan"),
        pytest.param({"a": float("inf")}, id="infinity"),
        pytest.param(nested(201), id="deep"),
        pytest.param(nested(5000), id="too deep for Python"),
    ],
)
@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES)
async def test_json_that_could_not_be_said_again_is_not_stored(aorm, write, bad):
    await aorm.create_item({"id": 1, "meta": "kept"}, Parcel)

    with pytest.raises(InvalidValue):
        await write(aorm, {"meta": bad})

    assert [x.meta for x in await aorm.get_list(select(Parcel))] == ["kept"]


@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES)
@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
async def test_a_time_beyond_the_calendar_is_invalid(aorm, write, moment):
    await aorm.create_item({"id": 1}, Parcel)
    sent = dt.datetime.fromisoformat(moment)

    with pytest.raises(InvalidValue):
        await write(aorm, {"sent": sent})
    with pytest.raises(InvalidValue):
        await aorm.get_list(select(Parcel).where(Parcel.sent > sent))

    assert [x.sent for x in await aorm.get_list(select(Parcel))] == [None]


@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES)
@pytest.mark.parametrize(
    "price", ["1e8", "-1e8", "99999999.995", "9e999", "NaN", "Infinity"]
)
async def test_a_number_beyond_the_digits_of_its_column_is_invalid(aorm, write, price):
    await aorm.create_item({"id": 1}, Parcel)

    with pytest.raises(InvalidValue):
        await write(aorm, {"price": Decimal(price)})

    assert [x.price for x in await aorm.get_list(select(Parcel))] == [None]


@pytest.mark.parametrize("price", ["99999999.994", "-99999999.99", "0.001", "7"])
async def test_a_number_is_rounded_to_the_digits_of_its_column(aorm, price):
    created = await aorm.create_item({"price": price}, Parcel)
    found = await aorm.eager_refresh(created)

    assert found.price == round(Decimal(price), 2)


@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES)
@pytest.mark.parametrize(
    ("price", "kept"),
    [
        (Decimal("1.005"), "1.01"),
        (Decimal("-1.005"), "-1.01"),
        (Decimal("1.0049"), "1.00"),
        (1.005, "1.01"),
    ],
)
async def test_a_rounded_number_is_found_by_what_it_is(aorm, write, price, kept):
    await aorm.create_item({"id": 1}, Parcel)

    await write(aorm, {"price": price})

    found = await aorm.get_list(select(Parcel).where(Parcel.price == Decimal(kept)))
    assert [x.price for x in found] == [Decimal(kept)]


@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", "\ud800"),
        ("code", {"a": 1}),
        ("meta", {"a": float("nan")}),
        ("sent", dt.datetime(2026, 1, 1)),  # noqa: DTZ001
    ],
)
async def test_a_value_that_is_refused_names_its_column(aorm, write, name, value):
    await aorm.create_item({"id": 1, "code": "kept"}, Parcel)

    with pytest.raises(InvalidValue, match=rf"'Parcel(\[0\])?\.{name}' cannot"):
        await write(aorm, {"pieces": 1, name: value})

    assert [x.code for x in await aorm.get_list(select(Parcel))] == ["kept"]


@pytest.mark.parametrize(
    ("name", "value"), [("code", "123456"), ("code", "a\0b"), ("pieces", 2**40)]
)
async def test_a_column_that_is_too_small_for_postgresql_is_named(
    postgres_url, name, value
):
    with manager.override(postgres_url):
        manager.create_all()
        async with manager.asession() as session:
            with pytest.raises(InvalidValue, match=rf"'Parcel\.{name}' cannot"):
                await OrmAsync(session).create_item({name: value}, Parcel)
        await manager.adispose()


async def test_json_is_as_deep_as_an_answer_can_be(aorm):
    parcel = await aorm.create_item({"id": 1, "meta": nested(200)}, Parcel)

    assert TypeAdapter(list[Any]).dump_json([parcel.meta])


async def test_json_keeps_what_is_a_character(aorm):
    meta = {"emoji": "\U0001f600", "backslash": "\\ud800", "deep": [None, 1.5, "é"]}

    created = await aorm.create_item({"meta": meta}, Parcel)
    found = await aorm.eager_refresh(created)

    assert found.meta == meta


async def test_an_update_of_nothing_returns_the_rows(aorm):
    author = await aorm.create_item(Author(name="A"))
    statement = update(Author).where(Author.id == author.id)

    same = await aorm.update(statement, {})
    changed = await aorm.update(statement.values(name=func.lower(Author.name)), {})

    assert same.id == author.id
    assert changed.name == "a"


async def test_an_upsert_erases_nothing_that_a_row_does_not_name(aorm):
    ann = await aorm.create_item(Author(name="Ann", bio="kept"))
    rows = [{"id": ann.id, "name": "Anna"}, {"id": ann.id + 1, "bio": "new"}]

    with pytest.raises(InvalidPayload, match=r"'Author\[1\]' cannot be written"):
        await aorm.upsert(Author, rows)

    assert (await aorm.get_item(Author, ann.id)).bio == "kept"


@pytest.mark.parametrize("batch", [0, -1])
async def test_a_batch_holds_a_row(aorm, batch):
    with pytest.raises(ValueError, match=rf'"batch" must be >= 1: {batch}'):
        await aorm.bulk_create(Author, [{"name": "A"}], batch=batch)


# Addresses


def test_options_that_cannot_be_read_are_an_error_of_the_configuration():
    with pytest.raises(ConfigurationError, match="`options` cannot be read"):
        database_urls("postgresql://h/d?options=-c%20a%3D'x")


def test_no_certificate_is_read_where_tls_is_off():
    urls = database_urls("postgresql://h/d?sslmode=disable&sslrootcert=/nowhere")

    assert urls.async_args == {"ssl": "disable"}


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslcrl"])
def test_a_file_for_tls_that_is_missing_is_said_to_be(name):
    with pytest.raises(ConfigurationError, match="The files for TLS cannot be read"):
        database_urls(f"postgresql://h/d?sslmode=verify-full&{name}=/nowhere")


def test_the_certificates_of_the_machine_have_a_name():
    urls = database_urls("postgresql://h/d?sslmode=verify-full&sslrootcert=system")

    assert urls.async_args["ssl"].check_hostname


def test_a_database_without_a_name_is_no_test_database():
    with pytest.raises(ConfigurationError, match="is no test database"):
        check_test_database("postgresql://test@test-host")
    check_test_database("sqlite://")
