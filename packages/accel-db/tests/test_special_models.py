"""Models that no single statement can write: inheritance, listeners, versions."""

import pytest
from sqlalchemy import Column, ForeignKey, Integer, String, event, select, update

from accel_db import MainDatabaseManager, OrmAsync, StaleVersion, acting_as

from .models import Author, Document, Note

pytestmark = pytest.mark.anyio


async def test_joined_inheritance(url):
    manager = MainDatabaseManager(url, name=f"inheritance {url}", DEV_STATUS=True)

    class Animal(manager.Base):
        __tablename__ = "animal"
        id = Column(Integer, primary_key=True)
        kind = Column(String)
        name = Column(String)
        zoo_id = Column(ForeignKey("zoo.id"))
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012

    class Cat(Animal):
        __tablename__ = "cat"
        id = Column(ForeignKey("animal.id"), primary_key=True)
        lives = Column(Integer)
        __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012

    class Zoo(manager.Base):
        __tablename__ = "zoo"
        id = Column(Integer, primary_key=True)

    from sqlalchemy.orm import relationship

    Zoo.animals = relationship(Animal, order_by=Animal.id)
    await manager.acreate_all()
    found = []
    manager.on_change(found.append)
    async with manager.asession() as session:
        orm = OrmAsync(session)
        cat = await orm.create_item(Cat(name="Tom", lives=9))
        updated = await orm.update_item(Cat, cat.id, {"name": "Tim", "lives": 8})
        zoo = await orm.create_item(
            {"animals": [{"name": "Rex"}, {"kind": "cat", "name": "Kit", "lives": 1}]},
            Zoo,
            deep=True,
        )
        kinds = [type(animal).__name__ for animal in zoo.animals]
        deleted = await orm.delete_item(Cat, cat.id)
        await orm.delete_item(Zoo, zoo.id, deep=True)
        count = await orm.count(select(Animal))
    await manager.adrop_all()
    await manager.adispose()

    assert (updated.name, updated.lives) == ("Tim", 8)
    assert kinds == ["Animal", "Cat"]
    assert deleted
    assert count == 0
    assert found[0].tables == {"animal", "cat"}


async def test_listeners_see_every_write(aorm):
    seen = []

    def listen(name):
        return lambda _mapper, _connection, target: seen.append((name, target.name))

    listeners = {
        name: listen(name)
        for name in ("before_insert", "after_update", "before_delete")
    }
    for name, listener in listeners.items():
        event.listen(Author, name, listener)
    try:
        author = await aorm.create_item(Author(name="a"))
        await aorm.update_item(Author, author.id, {"name": "b"})
        await aorm.delete_item(Author, author.id)
    finally:
        for name, listener in listeners.items():
            event.remove(Author, name, listener)

    assert seen == [
        ("before_insert", "a"),
        ("after_update", "b"),
        ("before_delete", "b"),
    ]


async def test_an_upsert_counts_versions_and_signs(db, aorm):
    document = await aorm.create_item(Document(text="a"))
    note = await aorm.create_item(Note(text="a"))
    before = note.updated_at

    with acting_as("bea"):
        await aorm.upsert(
            Document, [{"id": document.id, "text": "b", "version": 1}], update=["text"]
        )
        await aorm.upsert(Note, [{"id": note.id, "text": "b"}])
        (again,) = await aorm.get_list(select(Note))

    assert (await aorm.get_item(Document, document.id)).version == 2
    assert again.text == "b"
    assert again.updated_by == "bea"
    assert again.updated_at >= before
    with pytest.raises(StaleVersion):
        await aorm.update_item(Document, document.id, {"text": "c", "version": 1})
    assert (
        await aorm.update(update(Document).where(Document.id == 0), {"text": "x"})
        is None
    )
