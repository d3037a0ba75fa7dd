import datetime as dt

import pytest
from sqlalchemy import ForeignKey, delete, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from accel_db import (
    InvalidValue,
    MainDatabaseManager,
    NotLoaded,
    OrmAsync,
    SoftDeleteMixin,
    acting_as,
)

from .models import Board, Cover, Note, Pin

pytestmark = pytest.mark.anyio


async def test_timestamps_are_aware_and_in_utc(aorm):
    before = dt.datetime.now(dt.UTC)

    note = await aorm.create_item(Note(text="a"))
    created = note.created_at
    updated = await aorm.update_item(Note, note.id, {"text": "b"})

    assert before <= created <= updated.updated_at <= dt.datetime.now(dt.UTC)
    assert updated.created_at == created
    assert created.utcoffset() == dt.timedelta(0)


async def test_a_naive_time_is_refused(aorm):
    with pytest.raises(InvalidValue):
        await aorm.create_item(Note(text="a", created_at=dt.datetime(2026, 1, 1)))  # noqa: DTZ001


async def test_who_wrote_is_recorded(aorm):
    with acting_as("ann"):
        note = await aorm.create_item(Note(text="a"))
    with acting_as("bea"):
        await aorm.update_item(Note, note.id, {"text": "b"})
    nobody = await aorm.create_item(Note(text="c"))

    assert (note.created_by, note.updated_by) == ("ann", "bea")
    assert nobody.created_by is None


async def test_nested_data_only_marks_children_that_it_leaves_out(aorm):
    data = {"pins": [{}, {}], "cover": {}}
    board = await aorm.create_item(data, Board, deep=True)
    kept, gone = (pin.id for pin in board.pins)
    cover = board.cover.id

    changed = await aorm.update_item(
        Board, board.id, {"pins": [{"id": kept}, {}], "cover": {}}, deep=True
    )

    assert [pin.id for pin in changed.pins] == [kept, changed.pins[1].id]
    assert changed.cover.id != cover
    pins = select(Pin).where(Pin.id == gone).execution_options(include_deleted=True)
    covers = select(Cover).where(Cover.id == cover)
    covers = covers.execution_options(include_deleted=True)
    for marked in (await aorm.get(pins), await aorm.get(covers)):
        assert marked.board_id == board.id
        assert marked.deleted_at is not None


async def test_soft_deleted_rows_disappear_everywhere(db, aorm):
    board = await aorm.create_item(Board(notes=[Note(text="a"), Note(text="b")]))
    gone = board.notes[0].id

    deleted = await aorm.delete_item(Note, gone)
    again = await aorm.delete_item(Note, gone)

    assert (deleted, again) == (True, False)
    assert await aorm.get_item(Note, gone) is None
    assert await aorm.count(select(Note)) == 1
    found = await aorm.get_item(Board, board.id, deep=True)
    assert [note.text for note in found.notes] == ["b"]
    every = select(Note).execution_options(include_deleted=True)
    assert len(await aorm.get_list(every)) == 2
    with db.session() as session:
        assert [note.text for note in session.query(Note).all()] == ["b"]


async def test_soft_deleted_rows_are_not_updated_but_can_be_restored(aorm):
    note = await aorm.create_item(Note(text="a"))
    await aorm.delete_item(Note, note.id)
    restore = update(Note).where(Note.id == note.id)

    missed = await aorm.update_item(Note, note.id, {"text": "b"})
    restored = await aorm.update(
        restore.execution_options(include_deleted=True), {"deleted_at": None}
    )

    assert missed is None
    assert restored.text == "a"
    assert await aorm.get_item(Note, note.id) is restored


async def test_a_delete_statement_marks(aorm):
    await aorm.bulk_create(Note, [{"text": "a"}, {"text": "b"}])

    deleted = await aorm.delete(delete(Note).where(Note.text == "a"))

    every = select(Note).execution_options(include_deleted=True)
    marks = {
        note.text: note.deleted_at is not None for note in await aorm.get_list(every)
    }
    assert deleted
    assert marks == {"a": True, "b": False}
    assert not await aorm.delete(delete(Note).where(Note.text == "a"))


async def test_deleting_deep_marks_children_that_can_be_marked(aorm):
    board = await aorm.create_item(Board(notes=[Note(text="a")]))
    note_id = board.notes[0].id
    await aorm.update_item(Note, note_id, {"board_id": None})

    assert await aorm.delete_item(Board, board.id, deep=True)
    assert await aorm.get_item(Board, board.id) is None
    assert await aorm.get_item(Note, note_id) is not None


async def test_rows_of_the_database_itself_have_times(db, aorm):
    async with db.asession.begin() as session:
        await session.execute(text("INSERT INTO note (text) VALUES ('raw')"))

    note = await aorm.get(select(Note))

    assert note.created_at.utcoffset() == dt.timedelta(0)
    assert await OrmAsync(aorm.session).exists(select(Note))
    assert insert(Note) is not None


@pytest.mark.parametrize("manager_first", [True, False])
async def test_soft_delete_and_loud_attributes_need_no_manager_beforehand(
    manager_first,
):
    class Base(DeclarativeBase):
        pass

    def manage():
        return MainDatabaseManager(
            "sqlite://", name=f"order {manager_first}", base=Base, DEV_STATUS=True
        )

    manager = manage() if manager_first else None

    class Parent(Base, SoftDeleteMixin):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list["Child"]] = relationship()

    class Child(Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey(Parent.id))

    manager = manager or manage()
    manager.create_all()
    async with manager.asession() as session:
        aorm = OrmAsync(session)
        kept = await aorm.create_item(Parent(id=1))
        await aorm.create_item(Parent(id=2))
        await aorm.delete_item(Parent, 2)

        assert await aorm.get_list(select(Parent)) == [kept]
        found = await aorm.get_item(Parent, 1)

    await manager.adispose()
    with pytest.raises(NotLoaded):
        found.children  # noqa: B018 - looking is what is tested
