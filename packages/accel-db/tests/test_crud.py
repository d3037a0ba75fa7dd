import dataclasses
import re
import uuid

import pytest
from pydantic import BaseModel, ConfigDict
from sqlalchemy import (
    ForeignKey,
    bindparam,
    delete,
    event,
    func,
    select,
    text,
    true,
    update,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    mapped_column,
    relationship,
)

import accel_db
from accel_db import (
    Conflict,
    ConstraintViolation,
    ForeignKeyConflict,
    InvalidPayload,
    InvalidValue,
    MainDatabaseManager,
    NotFound,
    NotLoaded,
    Orm,
    OrmAsync,
    StaleVersion,
    UnsafeStatement,
)

from .models import Account, Author, Document, File, Order, OrderLine, Parcel, Post

pytestmark = pytest.mark.anyio


async def test_the_calls_of_the_seed(db):
    """Each call in a session of its own, with the arguments that FastAPI would pass."""
    uid = uuid.uuid4()
    async with db.asession() as session:
        created = await OrmAsync(session).create_item(File(uid=uid))
    async with db.asession() as session:
        listed = await OrmAsync(session).get_list(select(File).offset("0").limit("5"))
    async with db.asession() as session:
        found = await OrmAsync(session).get(select(File).filter(File.uid == str(uid)))
    async with db.asession() as session:
        updated = await OrmAsync(session).update(
            update(File).filter(File.uid == str(uid)), {"filename": "new"}
        )
    async with db.asession() as session:
        deleted = await OrmAsync(session).delete(
            delete(File).filter(File.uid == str(uid))
        )
    async with db.asession() as session:
        again = await OrmAsync(session).delete(
            delete(File).filter(File.uid == str(uid))
        )
    await db.adispose()

    assert created.uid == uid
    assert [file.uid for file in listed] == [uid]
    assert found.uid == uid
    assert updated.filename == "new"
    assert (deleted, again) == (True, False)


async def test_skip_may_be_text(aorm):
    await aorm.bulk_create(Author, [{"name": f"{i}"} for i in range(8)])

    found = await aorm.get_list(select(Author).order_by(Author.id).offset("5").limit(2))

    assert [author.name for author in found] == ["5", "6"]


async def test_rows_of_a_statement_that_is_kept(aorm):
    ann, bob = await aorm.bulk_create(Author, [{"name": "Ann"}, {"name": "Bob"}])
    statement = select(Author.name).where(Author.id == bindparam("wanted"))

    found = [await aorm.rows(statement, {"wanted": x.id}) for x in (bob, ann)]

    assert found == [[("Bob",)], [("Ann",)]]
    assert await aorm.rows(statement, {"wanted": -1}) == []
    assert not aorm.session.in_transaction()


async def test_reads_of_one_piece_of_work_take_one_connection(db, aorm):
    await aorm.bulk_create(Author, [{"name": "Ann"}, {"name": "Bob"}])
    taken = []

    def work(orm):
        names = orm.rows(select(Author.name).order_by(Author.id))
        return names, orm.count(select(Author))

    event.listen(db.aengine.sync_engine, "checkout", lambda *_: taken.append(1))
    found = await aorm.reading(work)

    assert found == ([("Ann",), ("Bob",)], 2)
    assert len(taken) == 1
    with pytest.raises(ZeroDivisionError):
        await aorm.reading(lambda orm: orm.count(select(Author)) / 0)
    assert not aorm.session.in_transaction()
    assert db.aengine.pool.checkedout() == 0


async def test_a_created_object_is_complete_after_its_session(db):
    class Schema(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        id: int
        name: str
        bio: str

    async with db.asession() as session:
        author = await OrmAsync(session).create_item(Author(name="Ann"))
    await db.adispose()

    schema = Schema.model_validate(author)

    assert schema.bio == "unknown"
    assert schema.id == author.id


async def test_create_from_a_dict_a_schema_and_a_dataclass(aorm):
    class Schema(BaseModel):
        name: str
        bio: str | None = None

    @dataclasses.dataclass
    class Data:
        name: str

    from_dict = await aorm.create_item({"name": "dict"}, Author)
    from_schema = await aorm.create_item(Schema(name="schema"), Author)
    from_data = await aorm.create_item(Data("data"), Author)

    assert [x.name for x in (from_dict, from_schema, from_data)] == [
        "dict",
        "schema",
        "data",
    ]
    # None is the schema's default, and must not hide the default of the column.
    assert from_schema.bio == "unknown"


@pytest.mark.parametrize("pk", ["1; DROP TABLE author", "", "x" * 10_000, "9" * 30])
async def test_a_key_that_is_no_key_finds_nothing(aorm, pk):
    assert await aorm.get_item(Author, pk) is None
    assert await aorm.update_item(Author, pk, {"name": "x"}) is None
    assert await aorm.delete_item(Author, pk) is False
    assert await aorm.get_item(File, pk) is None


async def test_a_value_that_is_no_value_names_no_secret(aorm):
    with pytest.raises(InvalidValue, match=r"no valid UUID") as caught:
        await aorm.get(select(File).where(File.uid == "secret"))

    assert "secret" not in str(caught.value)
    assert caught.value.http_status == 422


async def test_in_lists_are_coerced(aorm):
    author = await aorm.create_item(Author(name="Ann"))

    found = await aorm.get_list(select(Author).where(Author.id.in_([str(author.id)])))

    assert found == [author]


async def test_uuid_keys_are_coerced(aorm):
    file = await aorm.create_item(File(filename="a"))

    found = await aorm.get_item(File, str(file.uid))
    updated = await aorm.update_item(File, str(file.uid), {"filename": "b"})
    deleted = await aorm.delete_item(File, str(file.uid))

    assert found is file
    assert updated.filename == "b"
    assert deleted


async def test_composite_keys_reach_one_row(aorm):
    await aorm.create_item(Order(id=1))
    lines = [{"order_id": 1, "line": i, "product": f"p{i}"} for i in (1, 2)]
    await aorm.bulk_create(OrderLine, lines)

    found = await aorm.get_item(OrderLine, ("1", "2"))
    by_name = await aorm.get_item(OrderLine, {"order_id": 1, "line": 2})
    deleted = await aorm.delete_item(OrderLine, (1, 2))

    assert found.product == "p2"
    assert by_name is found
    assert deleted
    assert await aorm.count(select(OrderLine)) == 1


async def test_half_a_composite_key_is_refused(aorm):
    with pytest.raises(
        InvalidPayload, match=r"key of OrderLine has 2 parts \(order_id, line\), not 1"
    ):
        await aorm.delete_item(OrderLine, 1)


async def test_missing_rows(aorm):
    assert await aorm.get(select(Author)) is None
    assert await aorm.get_item(Author, 1) is None
    assert await aorm.update_item(Author, 1, {"name": "x"}) is None
    assert (
        await aorm.update(update(Author).where(Author.id == 1), {"name": "x"}) is None
    )
    with pytest.raises(
        NotFound, match=r"There is no Author with the key 1\."
    ) as caught:
        await aorm.get_item_or_raise(Author, 1)
    assert caught.value.http_status == 404
    with pytest.raises(NotFound, match=r"There is no Author that matches\."):
        await aorm.get_one(select(Author))


async def test_update_item_leaves_other_columns_alone(aorm):
    author = await aorm.create_item(Author(name="Ann", bio="tall"))

    updated = await aorm.update_item(Author, author.id, {"name": "Bea"})

    assert (updated.name, updated.bio) == ("Bea", "tall")


async def test_update_item_with_a_schema_sets_what_was_given(aorm):
    class Patch(BaseModel):
        name: str | None = None
        bio: str | None = None

    author = await aorm.create_item(Author(name="Ann", bio="tall"))

    updated = await aorm.update_item(Author, author.id, Patch(bio=None))

    assert (updated.name, updated.bio) == ("Ann", None)


async def test_update_item_takes_expressions(aorm):
    account = await aorm.create_item(Account(owner="Ann", balance=5))

    updated = await aorm.update_item(
        Account, account.id, {"balance": Account.balance + 10}
    )

    assert updated.balance == 15


async def test_update_item_runs_validators(aorm):
    account = await aorm.create_item(Account(owner="Ann"))

    updated = await aorm.update_item(Account, account.id, {"owner": "  Bea "})

    assert updated.owner == "Bea"


async def test_nothing_to_update_is_a_read(aorm):
    author = await aorm.create_item(Author(name="Ann"))

    assert (await aorm.update_item(Author, author.id, {})) is author


async def test_the_key_cannot_change(aorm):
    author = await aorm.create_item(Author(name="Ann"))

    same = await aorm.update_item(Author, author.id, {"id": author.id, "name": "Bea"})
    with pytest.raises(InvalidPayload, match="the key cannot change"):
        await aorm.update_item(Author, author.id, {"id": author.id + 1})

    assert same.name == "Bea"


@pytest.mark.parametrize(
    "name", ["nope", "__class__", "metadata", "_sa_instance_state"]
)
async def test_unknown_names_are_refused(aorm, name):
    author = await aorm.create_item(Author(name="Ann"))

    with pytest.raises(InvalidPayload, match="there is no such attribute"):
        await aorm.update_item(Author, author.id, {name: 1})
    with pytest.raises(InvalidPayload, match="there is no such attribute"):
        await aorm.create_item({"name": "x", name: 1}, Author)


async def test_relationships_need_deep(aorm):
    with pytest.raises(InvalidPayload, match=r"'Author\.posts'.*needs `deep=True`"):
        await aorm.create_item({"name": "Ann", "posts": []}, Author)


async def test_data_needs_its_model(aorm):
    with pytest.raises(InvalidPayload, match=r"`create_item\(data, Model\)`"):
        await aorm.create_item({"name": "Ann"})


async def test_a_duplicate_names_the_constraint(aorm):
    await aorm.create_item(Author(name="Ann"))

    with pytest.raises(
        Conflict, match="'author_name_key' on name of 'author'"
    ) as caught:
        await aorm.create_item(Author(name="Ann"))

    assert caught.value.http_status == 409
    assert caught.value.constraint == "author_name_key"
    assert caught.value.columns == ("name",)
    # The session works on.
    assert (await aorm.create_item(Author(name="Bea"))).id


async def test_a_duplicate_of_several_columns(aorm):
    await aorm.create_item(Account(owner="Ann"))

    with pytest.raises(Conflict) as caught:
        await aorm.create_item(Account(owner="Ann"))

    assert caught.value.constraint == "account_owner_country_key"
    assert caught.value.columns == ("owner", "country")


async def test_a_duplicate_key_names_the_primary_key(aorm):
    await aorm.create_item(Order(id=1))

    with pytest.raises(Conflict, match="order_pkey"):
        await aorm.bulk_create(Order, [{"id": 1}])


async def test_other_constraints(aorm):
    with pytest.raises(ConstraintViolation, match="balance_not_negative") as check:
        await aorm.create_item(Account(owner="Ann", balance=-1))
    with pytest.raises(ConstraintViolation, match=r"NOT NULL.* on owner") as null:
        await aorm.bulk_create(Account, [{"owner": None}])
    with pytest.raises(ForeignKeyConflict, match="foreign key") as foreign:
        await aorm.create_item(Post(title="x", author_id=99))

    assert not isinstance(check.value, Conflict)
    assert check.value.http_status == null.value.http_status == 422
    assert foreign.value.http_status == 409


async def test_errors_never_show_values(aorm):
    await aorm.create_item(Author(name="secret@example.org"))

    with pytest.raises(Conflict) as caught:
        await aorm.create_item(Author(name="secret@example.org"))

    assert "secret" not in str(caught.value)


async def test_nul_characters_are_an_invalid_value_at_most(aorm, backend):
    if backend == "sqlite":
        assert (await aorm.create_item(Author(name="a\0b"))).id
        return
    with pytest.raises(InvalidValue):
        await aorm.create_item(Author(name="a\0b"))


async def test_half_a_character_is_an_invalid_value(aorm):
    with pytest.raises(InvalidValue):
        await aorm.create_item(Author(name="\ud800"))
    with pytest.raises(InvalidValue):
        await aorm.get_list(select(Author).where(Author.name == "\ud800"))

    assert await aorm.count(select(Author)) == 0


async def test_a_number_that_no_column_holds_is_an_invalid_value(db):
    with db.session() as session:
        for _ in range(2):
            with pytest.raises(InvalidValue):
                Orm(session).create_item(Post(title="x", author_id=2**70))

    with db.session() as session:
        assert Orm(session).count(select(Post)) == 0


@pytest.mark.parametrize("key", [2**31, -(2**31) - 1, 2**63, 2**70])
async def test_a_key_that_no_row_can_have_leaves_the_transaction_whole(aorm, key):
    async with aorm.transaction():
        assert await aorm.get_item(Author, key) is None
        assert await aorm.update_item(Author, key, {"name": "x"}) is None
        assert await aorm.delete_item(Author, key) is False
        kept = await aorm.create_item(Author(name="Ann"))

    assert await aorm.get_item(Author, kept.id) is kept


@pytest.mark.parametrize(
    ("call", "statement"),
    [("update", update(Author)), ("delete", delete(Author))],
)
async def test_statements_without_where_are_refused(aorm, call, statement):
    await aorm.create_item(Author(name="Ann"))
    arguments = ({"name": "x"},) if call == "update" else ()

    with pytest.raises(
        UnsafeStatement, match=rf"This {call} has no WHERE clause.*every Author"
    ):
        await getattr(aorm, call)(statement, *arguments)

    assert await aorm.exists(select(Author).where(Author.name == "Ann"))
    assert await getattr(aorm, call)(statement.where(true()), *arguments)


async def test_update_list_returns_every_row(aorm):
    await aorm.bulk_create(Author, [{"name": f"{i}"} for i in range(3)])

    updated = await aorm.update_list(update(Author).where(Author.id > 0), {"bio": "b"})

    assert [author.bio for author in updated] == ["b"] * 3


async def test_rows_and_values_come_as_they_are_selected(aorm):
    await aorm.bulk_create(
        Author, [{"name": "a", "bio": "x"}, {"name": "b", "bio": "x"}]
    )

    names = await aorm.get_list(select(Author.bio))
    rows = await aorm.get_list(select(Author.name, func.length(Author.bio)))

    assert names == ["x", "x"]
    assert sorted(map(tuple, rows)) == [("a", 1), ("b", 1)]


async def test_count_and_exists(aorm):
    await aorm.bulk_create(Author, [{"name": f"{i}"} for i in range(5)])

    assert await aorm.count(select(Author)) == 5
    assert await aorm.count(select(Author).where(Author.name < "2")) == 2
    assert await aorm.count(select(Author).order_by(Author.name).limit(3)) == 3
    assert await aorm.exists(select(Author).where(Author.name == "4"))
    assert not await aorm.exists(select(Author).where(Author.name == "9"))


async def test_bulk_create_keeps_the_order_and_is_atomic(aorm):
    rows = [{"name": f"{i}"} for i in range(2_500)]

    created = await aorm.bulk_create(Author, rows)
    with pytest.raises(Conflict):
        await aorm.bulk_create(Author, [{"name": "new"}, {"name": "7"}])

    assert [author.name for author in created] == [row["name"] for row in rows]
    assert created[7].bio == "unknown"
    assert await aorm.count(select(Author)) == 2_500


async def test_bulk_create_takes_objects(aorm):
    created = await aorm.bulk_create(Author, [Author(name="a"), Author(name="b")])

    assert all(author.id for author in created)


async def test_upsert(aorm):
    await aorm.create_item(Author(name="Ann", bio="old"))

    rows = [{"name": "Ann", "bio": "new"}, {"name": "Bea", "bio": "new"}]
    written = await aorm.upsert(Author, rows, on=["name"])
    kept = await aorm.upsert(
        Author, [{"name": "Ann", "bio": "x"}], on=["name"], update=[]
    )

    assert sorted((a.name, a.bio) for a in written) == [("Ann", "new"), ("Bea", "new")]
    assert [(a.name, a.bio) for a in kept] == [("Ann", "new")]
    assert await aorm.count(select(Author)) == 2
    assert await aorm.upsert(Author, []) == []


async def test_upsert_gets_or_creates(aorm):
    await aorm.create_item(Author(name="Ann", bio="old"))

    both = await aorm.upsert(Author, [{"name": "Ann"}, {"name": "Bea"}], on=["name"])

    assert sorted(a.name for a in both) == ["Ann", "Bea"]


async def test_upsert_refuses_a_row_that_is_named_twice(aorm):
    rows = [{"name": "Ann", "bio": "a"}, {"name": "Ann", "bio": "b"}]

    with pytest.raises(InvalidPayload, match=r"Author\[1\].*\[0\] is, by name"):
        await aorm.upsert(Author, rows, on=["name"])


@pytest.mark.parametrize("meta", [{"a": 1}, ["a"]])
async def test_upsert_refuses_a_key_that_is_a_list_or_an_object(aorm, meta):
    with pytest.raises(InvalidPayload, match=r"Parcel\[0\].* names no row, by meta"):
        await aorm.upsert(Parcel, [{"meta": meta}], on=["meta"])


async def test_upsert_by_primary_key(aorm):
    await aorm.create_item(Order(id=1, note="old"))

    (order,) = await aorm.upsert(Order, [{"id": "1", "note": "new"}])

    assert order.note == "new"


async def test_a_read_is_never_stale(db, aorm):
    author = await aorm.create_item(Author(name="Ann"))
    async with db.atransaction() as other:
        await other.execute(update(Author).values(name="Bea"))

    again = await aorm.get_item(Author, author.id)

    assert again is author
    assert author.name == "Bea"


async def test_a_pending_change_survives_a_read(aorm):
    author = await aorm.create_item(Author(name="Ann"))
    author.name = "Bea"

    await aorm.get_list(select(Author))
    await aorm.session.commit()

    assert (await aorm.get(select(Author))).name == "Bea"


async def test_a_failed_read_leaves_objects_alone(aorm):
    author = await aorm.create_item(Author(name="Ann"))

    with pytest.raises(Exception, match="nope"):
        await aorm.get_list(select(Author).where(text("nope")))

    assert author.name == "Ann"


async def test_what_was_not_loaded_says_so(db, aorm):
    author = await aorm.create_item(Author(name="Ann"))
    message = re.escape("'Author.posts' was not loaded")

    with pytest.raises(NotLoaded, match=message):
        author.posts  # noqa: B018
    await aorm.session.close()
    with pytest.raises(NotLoaded, match=message):
        author.posts  # noqa: B018

    await db.adispose()


def test_sync_sessions_load_lazily(db):
    with db.session() as session:
        session.add(Author(name="Ann", posts=[Post(title="a")]))
        session.commit()
    with db.session() as session:
        titles = [post.title for post in session.query(Author).one().posts]
    db.dispose()

    assert titles == ["a"]


async def test_optimistic_lock(db, aorm):
    document = await aorm.create_item(Document(text="a"))

    second = await aorm.update_item(Document, document.id, {"text": "b", "version": 1})
    with pytest.raises(StaleVersion, match="This Document was changed") as caught:
        await aorm.update_item(Document, document.id, {"text": "c", "version": 1})

    assert second.version == 2
    assert caught.value.http_status == 409
    await db.adispose()


async def test_statements_count_versions_up(db, aorm):
    document = await aorm.create_item(Document(text="a"))
    async with db.asession() as other:
        held = await other.get(Document, document.id)
        await other.commit()
        await aorm.update(
            update(Document).where(Document.id == document.id), {"text": "b"}
        )
        held.text = "c"
        with pytest.raises(StaleVersion):
            await OrmAsync(other).create_item(Document(text="d"))

    assert document.version == 2


@pytest.mark.parametrize("error", accel_db.__all__)
def test_every_error_says_what_to_answer(error):
    found = getattr(accel_db, error)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        return

    assert issubclass(found, accel_db.DatabaseError)
    assert isinstance(found.http_status, int)
    assert found.retry_after is None or isinstance(found.retry_after, float)


async def test_models_that_cannot_be_hashed(url):
    """A mapped dataclass compares by value, and has no hash."""

    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    manager = MainDatabaseManager(
        url, name=f"dataclasses {url}", base=Base, DEV_STATUS=True
    )

    class Leaf(Base):
        __tablename__ = "leaf"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        tree_id: Mapped[int | None] = mapped_column(ForeignKey("tree.id"), init=False)

    class Tree(Base):
        __tablename__ = "tree"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        leaves: Mapped[list[Leaf]] = relationship(default_factory=list)

    await manager.acreate_all()
    async with manager.asession() as session:
        orm = OrmAsync(session)
        tree = await orm.create_item({"leaves": [{}, {}]}, Tree, deep=True)
        again = await orm.get_item(Tree, tree.id, deep=True)
        kept = {"leaves": [{"id": tree.leaves[0].id}]}
        updated = await orm.update_item(Tree, tree.id, kept, deep=True)
        left = len(updated.leaves)
        await orm.delete_item(Tree, tree.id, deep=True)
        count = await orm.count(select(Leaf))
    await manager.adrop_all()
    await manager.adispose()

    assert again is tree
    assert (left, count) == (1, 1)


async def test_streams_yield_everything(aorm):
    await aorm.bulk_create(Author, [{"name": f"{i}"} for i in range(25)])
    query = select(Author).order_by(Author.id)

    names = [author.name async for author in aorm.stream(query, batch=10)]

    assert names == [str(i) for i in range(25)]
    assert not aorm.session.in_transaction()
