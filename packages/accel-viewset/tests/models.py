"""The models of the tests, and the manager that they belong to."""

import datetime as dt
import decimal
import enum
import uuid

from sqlalchemy import (
    CheckConstraint,
    Column,
    Enum,
    Float,
    ForeignKey,
    Integer,
    Numeric,
    String,
    Table,
    Time,
    TypeDecorator,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accel_db import (
    AuditMixin,
    MainDatabaseManager,
    SoftDeleteMixin,
    UtcDateTime,
)

db = MainDatabaseManager("sqlite://", name="accel-viewset tests", DEV_STATUS=True)
Base = db.Base


class User(Base):
    __tablename__ = "users"

    id = Column(Integer, primary_key=True, index=True)
    name = Column(String, index=True)
    login = Column(String, index=True)
    email = Column(String, unique=True, index=True)
    password_hash = Column(String, default="argon2-of-secret")
    files = relationship("File", back_populates="owner")


class File(Base):
    __tablename__ = "files"

    uid: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    filename: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(default=0)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    owner: Mapped[User | None] = relationship(back_populates="files")


task_users = Table(
    "task_users",
    Base.metadata,
    Column("task_id", ForeignKey("tasks.id"), primary_key=True),
    Column("user_id", ForeignKey("users.id"), primary_key=True),
)


class Task(Base):
    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    users: Mapped[list[User]] = relationship(secondary=task_users)
    works: Mapped[list["Work"]] = relationship(
        back_populates="task", cascade="all, delete-orphan"
    )


class Work(Base):
    __tablename__ = "works"

    id: Mapped[int] = mapped_column(primary_key=True)
    hours: Mapped[int]
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    task: Mapped[Task] = relationship(back_populates="works")


class Seat(Base):
    __tablename__ = "seats"

    row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    letter: Mapped[str] = mapped_column(String(1), primary_key=True)
    guest: Mapped[str | None]


class Color(enum.Enum):
    red = "red"
    blue = "blue"


class Thing(AuditMixin, Base):
    """One column of each type."""

    __tablename__ = "things"
    __table_args__ = (CheckConstraint("count < 1000", name="small"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    note: Mapped[str | None]
    count: Mapped[int] = mapped_column(default=1)
    ratio: Mapped[float | None]
    price: Mapped[decimal.Decimal | None] = mapped_column(Numeric(10, 2))
    ready: Mapped[bool] = mapped_column(default=False)
    color: Mapped[Color | None] = mapped_column(Enum(Color, native_enum=False))
    day: Mapped[dt.date | None]
    at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    token: Mapped[uuid.UUID | None]
    state: Mapped[str] = mapped_column(server_default="new")
    made: Mapped[dt.datetime] = mapped_column(UtcDateTime, server_default=func.now())


class Clock(TypeDecorator[dt.time]):
    """Does not tell of which type its values are."""

    impl = Time
    cache_ok = True


class Reading(Base):
    """Shows less of its values than the database holds."""

    __tablename__ = "readings"

    id: Mapped[int] = mapped_column(primary_key=True)
    digits: Mapped[decimal.Decimal] = mapped_column(Numeric)
    cut: Mapped[decimal.Decimal] = mapped_column(Float(asdecimal=True))
    clock: Mapped[dt.time] = mapped_column(Clock)


class Note(SoftDeleteMixin, Base):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(50))


class Country(Base):
    __tablename__ = "countries"

    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str]


class Writer(Base):
    __tablename__ = "writers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Book(Base):
    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    org: Mapped[int] = mapped_column(default=1)
    writer_id: Mapped[int | None] = mapped_column(ForeignKey("writers.id"))
    writer: Mapped[Writer | None] = relationship()
    chapters: Mapped[list["Chapter"]] = relationship(order_by="Chapter.id")


class Chapter(AuditMixin, SoftDeleteMixin, Base):
    __tablename__ = "chapters"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("books.id"))
    above_id: Mapped[int | None] = mapped_column(ForeignKey("chapters.id"))
    text: Mapped[str] = mapped_column(String(5))
    below: Mapped[list["Chapter"]] = relationship(order_by="Chapter.id")
