"""`OrmAsync` and `Orm`: every method, deep ones too."""

import contextlib

import pytest
from sqlalchemy import Column, ForeignKey, Integer, String, delete, select, update
from sqlalchemy.orm import relationship

pytestmark = pytest.mark.anyio


@pytest.fixture
def models(manager):
    class Author(manager.Base):
        __tablename__ = "authors"

        id = Column(Integer, primary_key=True)
        name = Column(String, unique=True)
        books = relationship("Book", order_by="Book.id")

    class Book(manager.Base):
        __tablename__ = "books"

        id = Column(Integer, primary_key=True)
        title = Column(String)
        author_id = Column(ForeignKey("authors.id"), nullable=False)

    manager.create_all()
    return manager, Author, Book


@pytest.fixture
async def aorm(models, seed):
    manager, *_ = models
    async for orm in manager.aget_orm():
        assert isinstance(orm, seed("db.dbsession", "OrmAsync"))
        yield orm
    await manager.adispose()


@pytest.fixture
def author(models):
    return models[1]


ANN = {"name": "Ann", "books": [{"title": "One"}, {"title": "Two"}]}


async def test_get_finds_an_object_or_none(aorm, author):
    ann = await aorm.create_item(author(name="Ann"))

    found = await aorm.get(select(author).filter(author.name == "Ann"))
    missing = await aorm.get(select(author).filter(author.name == "Bob"))

    assert (found.id, missing) == (ann.id, None)


async def test_get_list_loads_related_objects(aorm, author):
    await aorm.create_item(ANN, author, deep=True)
    statement = select(author).offset(0).limit(10)

    (found,) = await aorm.get_list(statement, deep=True, db_model=author)

    assert [book.title for book in found.books] == ["One", "Two"]


async def test_what_was_not_loaded_says_so(aorm, author):
    await aorm.create_item(ANN, author, deep=True)
    (found,) = [a async for a in aorm.stream(select(author))]
    aorm.session.expunge_all()
    (found,) = await aorm.get_list(select(author))

    with pytest.raises(Exception, match=r"Author\.books"):
        _ = found.books


async def test_update_changes_what_it_finds(aorm, author):
    await aorm.create_item(author(name="Ann"))

    changed = await aorm.update(
        update(author).filter(author.name == "Ann"), {"name": "Eve"}
    )
    nobody = await aorm.update(
        update(author).filter(author.name == "Ann"), {"name": "Eve"}
    )

    assert (changed.name, nobody) == ("Eve", None)


async def test_delete_tells_whether_there_was_something(aorm, author):
    await aorm.create_item(author(name="Ann"))
    statement = delete(author).filter(author.name == "Ann")

    assert await aorm.delete(statement) is True
    assert await aorm.delete(statement) is False


async def test_a_statement_without_where_is_refused(aorm, author):
    with pytest.raises(Exception, match="WHERE"):
        await aorm.delete(delete(author))
    with pytest.raises(Exception, match="WHERE"):
        await aorm.update(update(author), {"name": "Eve"})


async def test_get_item_takes_a_primary_key(aorm, author):
    ann = await aorm.create_item(ANN, author, deep=True)

    found = await aorm.get_item(author, str(ann.id), deep=True)

    assert [book.title for book in found.books] == ["One", "Two"]
    assert await aorm.get_item(author, 10_000) is None


async def test_create_item_creates_related_objects(aorm, models):
    _, author, book = models

    ann = await aorm.create_item(ANN, author, deep=True)

    assert ann.id
    assert await aorm.count(select(book)) == 2


async def test_update_item_updates_related_objects(aorm, models):
    _, author, book = models
    ann = await aorm.create_item(ANN, author, deep=True)
    kept = {"id": ann.books[0].id, "title": "First"}

    changed = await aorm.update_item(
        author, ann.id, {"books": [kept, {"title": "Three"}]}, deep=True
    )

    assert changed.name == "Ann"
    assert [b.title for b in changed.books] == ["First", "Three"]
    assert await aorm.count(select(book)) == 2
    assert await aorm.update_item(author, 10_000, {"name": "Eve"}) is None


async def test_delete_item_deletes_related_objects(aorm, models):
    _, author, book = models
    ann = await aorm.create_item(ANN, author, deep=True)

    deleted = await aorm.delete_item(author, ann.id, deep=True)

    assert deleted is True
    assert await aorm.count(select(author)) == await aorm.count(select(book)) == 0
    assert await aorm.delete_item(author, ann.id) is False


async def test_eager_refresh_loads_everything(aorm, author):
    await aorm.create_item(ANN, author, deep=True)
    aorm.session.expunge_all()
    ann = await aorm.get(select(author))

    refreshed = await aorm.eager_refresh(ann)

    assert refreshed is ann
    assert [book.title for book in ann.books] == ["One", "Two"]


async def test_each_call_commits(aorm, models):
    manager, author, _ = models

    await aorm.create_item(author(name="Ann"))

    with manager.session() as session:
        assert session.scalars(select(author.name)).all() == ["Ann"]


async def test_a_transaction_is_all_or_nothing(aorm, author):
    async def create_two():
        async with aorm.transaction():
            await aorm.create_item(author(name="Ann"))
            await aorm.create_item(author(name="Bob"))
            raise LookupError

    with pytest.raises(LookupError):
        await create_two()
    async with aorm.transaction():
        await aorm.create_item(author(name="Eve"))

    assert [a.name for a in await aorm.get_list(select(author))] == ["Eve"]


async def test_a_duplicate_names_its_constraint(aorm, author):
    await aorm.create_item(author(name="Ann"))

    with pytest.raises(Exception, match="name") as caught:
        await aorm.create_item(author(name="Ann"))

    assert caught.value.http_status == 409


async def test_lists_are_written_and_read_in_parts(aorm, author):
    written = await aorm.bulk_create(author, [{"name": f"A{n}"} for n in range(5)])
    merged = await aorm.upsert(author, [{"name": "A0"}, {"name": "A9"}], on=["name"])

    page = await aorm.page(select(author).order_by(author.id), page=2, size=4)

    assert (len(written), page.total, page.pages) == (5, 6, 2)
    assert {a.name for a in page.items} <= {"A4", "A9"}
    assert {a.name for a in merged} >= {"A9"}
    assert await aorm.exists(select(author).filter(author.name == "A9"))
    assert (await aorm.get_one(select(author).filter(author.name == "A9"))).id
    assert len([a async for a in aorm.stream(select(author))]) == 6
    assert (
        len(
            await aorm.update_list(
                update(author).filter(author.name == "A9"), {"name": "A10"}
            )
        )
        == 1
    )


def test_the_sync_face_has_the_same_methods(models):
    manager, author, book = models
    for orm in manager.get_orm():
        ann = orm.create_item(ANN, author, deep=True)
        found = orm.get(select(author).filter(author.name == "Ann"))
        (listed,) = orm.get_list(select(author), deep=True, db_model=author)
        item = orm.get_item(author, ann.id, deep=True)
        changed = orm.update(
            update(author).filter(author.name == "Ann"), {"name": "Eve"}
        )
        updated = orm.update_item(author, ann.id, {"books": []}, deep=True)
        refreshed = orm.eager_refresh(updated)
        with contextlib.suppress(LookupError), orm.transaction():
            orm.create_item(author(name="Bob"))
            raise LookupError
        count = orm.count(select(author))
        gone = orm.delete_item(author, ann.id, deep=True)
        deleted = orm.delete(delete(book).filter(book.id == 1))

    assert found is ann is listed is item
    assert (changed.name, refreshed.books, count) == ("Eve", [], 1)
    assert (gone, deleted) == (True, False)
