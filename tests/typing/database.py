"""What a checker sees of the database manager and the ORM."""

from typing import assert_type

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from accel_db import MainDatabaseManager, OrmAsync, Page

manager = MainDatabaseManager("sqlite://")


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


async def use(aorm: OrmAsync) -> None:
    """Keep the type of the model through every call."""
    assert_type(await aorm.get(select(Book)), Book | None)
    assert_type(await aorm.get_list(select(Book), deep=True), list[Book])
    assert_type(await aorm.get_item(Book, 1), Book | None)
    assert_type(await aorm.create_item(Book(title="a")), Book)
    assert_type(await aorm.page(select(Book)), Page[Book])
    assert_type(await aorm.count(select(Book)), int)
    async with aorm.transaction():
        assert_type(await aorm.delete_item(Book, 1), bool)
