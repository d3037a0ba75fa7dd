"""The models of the tests, and the manager that they belong to."""

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    REAL,
    CheckConstraint,
    Column,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    Numeric,
    String,
    Table,
    Time,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from accel_db import AuditMixin, MainDatabaseManager, SoftDeleteMixin, UtcDateTime

db = MainDatabaseManager("sqlite://", name="accel-db tests", DEV_STATUS=True)
Base = db.Base

post_tag = Table(
    "post_tag",
    Base.metadata,
    Column("post_id", ForeignKey("post.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Author(Base):
    __tablename__ = "author"

    id = Column(Integer, primary_key=True)
    name = Column(String, unique=True)
    bio = Column(String, server_default="unknown")
    posts = relationship("Post", back_populates="author")
    profile = relationship("Profile", back_populates="author", uselist=False)


class Profile(Base):
    """Cannot live without its author."""

    __tablename__ = "profile"

    id = Column(Integer, primary_key=True)
    city = Column(String)
    author_id = Column(ForeignKey("author.id"), nullable=False, unique=True)
    author = relationship("Author", back_populates="profile")


class Post(Base):
    """Can live without an author."""

    __tablename__ = "post"

    id = Column(Integer, primary_key=True)
    title = Column(String)
    author_id = Column(ForeignKey("author.id"), index=True)
    author = relationship("Author", back_populates="posts")
    comments = relationship("Comment", back_populates="post", order_by="Comment.id")
    tags = relationship("Tag", secondary=post_tag, back_populates="posts")


class Comment(Base):
    """Cannot live without its post."""

    __tablename__ = "comment"

    id = Column(Integer, primary_key=True)
    text = Column(String)
    post_id = Column(ForeignKey("post.id"), nullable=False, index=True)
    post = relationship("Post", back_populates="comments")


class Tag(Base):
    __tablename__ = "tag"

    id = Column(Integer, primary_key=True)
    name = Column(String, unique=True)
    posts = relationship("Post", secondary=post_tag, back_populates="tags")


class Node(Base):
    __tablename__ = "node"

    id = Column(Integer, primary_key=True)
    name = Column(String)
    parent_id = Column(ForeignKey("node.id"), index=True)
    children = relationship("Node", back_populates="parent", order_by="Node.id")
    parent = relationship("Node", back_populates="children", remote_side=[id])  # noqa: A003


class File(Base):
    __tablename__ = "file"

    uid = Column(Uuid, primary_key=True, default=uuid.uuid4)
    filename = Column(String)


class Order(Base):
    __tablename__ = "order"

    id = Column(Integer, primary_key=True)
    note = Column(String)
    lines = relationship("OrderLine", back_populates="order", order_by="OrderLine.line")


class OrderLine(Base):
    """Has a composite key, of which the order's key is a part."""

    __tablename__ = "order_line"

    order_id = Column(ForeignKey("order.id"), primary_key=True)
    line = Column(Integer, primary_key=True, autoincrement=False)
    product = Column(String)
    order = relationship("Order", back_populates="lines")
    serials = relationship("Serial", back_populates="order_line")


class Serial(Base):
    """Refers to a composite key."""

    __tablename__ = "serial"

    code = Column(String, primary_key=True)
    order_id = Column(Integer)
    line = Column(Integer)
    order_line = relationship("OrderLine", back_populates="serials")

    __table_args__ = (
        ForeignKeyConstraint(
            ["order_id", "line"], ["order_line.order_id", "order_line.line"]
        ),
    )


class Document(Base):
    """Is locked optimistically."""

    __tablename__ = "document"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Note(AuditMixin, SoftDeleteMixin, Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    board_id: Mapped[int | None] = mapped_column(ForeignKey("board.id"))
    board: Mapped["Board | None"] = relationship(back_populates="notes")


class Board(Base):
    __tablename__ = "board"

    id: Mapped[int] = mapped_column(primary_key=True)
    notes: Mapped[list[Note]] = relationship(back_populates="board")
    pins: Mapped[list["Pin"]] = relationship(cascade="all, delete-orphan")
    cover: Mapped["Cover | None"] = relationship(back_populates="board")


class Pin(SoftDeleteMixin, Base):
    """Cannot live without its board, and is only marked as deleted."""

    __tablename__ = "pin"

    id: Mapped[int] = mapped_column(primary_key=True)
    board_id: Mapped[int] = mapped_column(ForeignKey("board.id"))


class Cover(SoftDeleteMixin, Base):
    """Is the only one of its board that is not marked as deleted."""

    __tablename__ = "cover"

    id: Mapped[int] = mapped_column(primary_key=True)
    board_id: Mapped[int] = mapped_column(ForeignKey("board.id"))
    board: Mapped[Board] = relationship(back_populates="cover")


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Account(Base):
    """Has constraints of every kind, and a validator."""

    __tablename__ = "account"

    id = Column(Integer, primary_key=True)
    owner = Column(String, nullable=False)
    country = Column(String, nullable=False, server_default="SK")
    balance = Column(Integer, nullable=False, default=0)
    level = Column(Enum(Level), nullable=False, default=Level.LOW)

    __table_args__ = (
        CheckConstraint("balance >= 0", name="balance_not_negative"),
        UniqueConstraint("owner", "country"),
    )

    @validates("owner")
    def _strip(self, _key: str, value: str) -> str:
        return value.strip()


class Thing(Base):
    """Has a foreign key that is only checked at the commit."""

    __tablename__ = "thing"

    id = Column(Integer, primary_key=True)
    name = Column(String)
    parent_id = Column(ForeignKey("thing.id", deferrable=True, initially="DEFERRED"))


class Parcel(Base):
    """Has columns that do not take every value of their type."""

    __tablename__ = "parcel"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str | None] = mapped_column(String(5))
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    weight: Mapped[float | None]
    pieces: Mapped[int | None]
    sent: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    meta: Mapped[Any] = mapped_column(JSON, default=dict)


class Moment(Base):
    """Has times that the database may fill in."""

    __tablename__ = "moment"

    id: Mapped[int] = mapped_column(primary_key=True)
    made: Mapped[dt.datetime] = mapped_column(
        UtcDateTime, server_default=func.now(), index=True
    )
    plain: Mapped[dt.datetime | None] = mapped_column(server_default=func.now())
    clock: Mapped[dt.time | None] = mapped_column(server_default=func.current_time())


class Slot(TypeDecorator[dt.time]):
    """Does not tell of which type its values are, and shows whole minutes only."""

    impl = Time
    cache_ok = True

    def process_bind_param(
        self, value: dt.time | None, dialect: Dialect
    ) -> dt.time | None:
        if value is not None and not isinstance(value, dt.time):
            raise TypeError
        return value

    def process_result_value(
        self, value: dt.time | None, dialect: Dialect
    ) -> dt.time | None:
        return value and value.replace(second=0, microsecond=0)


class Sample(Base):
    """Has a column of each type that rows are ordered by."""

    __tablename__ = "sample"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str | None]
    count: Mapped[int | None]
    cut: Mapped[Decimal | None] = mapped_column(Float(asdecimal=True))
    day: Mapped[dt.date | None]
    digits: Mapped[Decimal | None] = mapped_column(Numeric)
    inexact: Mapped[float | None] = mapped_column(Numeric(38, 20, asdecimal=False))
    level: Mapped[Level | None]
    meta: Mapped[Any] = mapped_column(
        JSON().with_variant(JSONB, "postgresql"), nullable=True
    )
    moment: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    ratio: Mapped[float | None]
    raw: Mapped[bytes | None]
    ready: Mapped[bool | None]
    single: Mapped[float | None] = mapped_column(REAL)
    slot: Mapped[dt.time | None] = mapped_column(Slot)
    span: Mapped[dt.timedelta | None]
    token: Mapped[uuid.UUID | None]
