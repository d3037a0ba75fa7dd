"""Models with everything that an admin panel stumbles over."""

import datetime as dt
import decimal
import enum
import uuid

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accel_db import AuditMixin, MainDatabaseManager, SoftDeleteMixin, UtcDateTime

db = MainDatabaseManager("sqlite://", name="accel-admin-tests", DEV_STATUS=True)


class Mood(enum.Enum):
    happy = "H"
    sad = "S"


class Stage(enum.Enum):
    """An enum that the database knows by its values."""

    first = "1st"
    second = "2nd"


class Person(db.Base):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    email: Mapped[str | None] = mapped_column(sa.String(100), unique=True)
    password_hash: Mapped[str] = mapped_column(sa.String(200), default="")
    api_key: Mapped[str | None] = mapped_column(sa.String(50))
    shadow: Mapped[str | None] = mapped_column("password_old", sa.String(50))
    joined: Mapped[dt.datetime] = mapped_column(
        UtcDateTime, default=lambda: dt.datetime.now(dt.UTC)
    )
    notes: Mapped[list["Note"]] = relationship(back_populates="author")

    def __str__(self) -> str:
        return self.name


label_links = sa.Table(
    "label_links",
    db.Base.metadata,
    sa.Column("note_uid", sa.ForeignKey("notes.uid"), primary_key=True),
    sa.Column("label_code", sa.ForeignKey("labels.code"), primary_key=True),
)


class Note(db.Base):
    __tablename__ = "notes"

    uid: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    text: Mapped[str] = mapped_column(sa.Text)
    author_id: Mapped[int | None] = mapped_column(sa.ForeignKey("people.id"))
    author: Mapped[Person | None] = relationship(back_populates="notes")
    labels: Mapped[list["Label"]] = relationship(secondary=label_links)


class Label(db.Base):
    """A model whose key somebody types."""

    __tablename__ = "labels"

    code: Mapped[str] = mapped_column(sa.String(50), primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(50), default="")


class Seat(db.Base):
    """A model whose key has two parts."""

    __tablename__ = "seats"

    room: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    comment: Mapped[str | None] = mapped_column(sa.String(50))


class Kinds(db.Base):
    """A model with a column of every kind."""

    __tablename__ = "kinds"

    id: Mapped[int] = mapped_column(primary_key=True)
    mood: Mapped[Mood | None]
    stage: Mapped[Stage | None] = mapped_column(
        sa.Enum(Stage, values_callable=lambda kind: [x.value for x in kind])
    )
    size: Mapped[str | None] = mapped_column(sa.Enum("s", "l", name="size"))
    settings: Mapped[dict | None] = mapped_column(sa.JSON)
    price: Mapped[decimal.Decimal | None] = mapped_column(sa.Numeric(10, 2))
    weight: Mapped[float | None]
    words: Mapped[list | None] = mapped_column(
        sa.ARRAY(sa.String).with_variant(sa.JSON(), "sqlite")
    )
    active: Mapped[bool] = mapped_column(default=False)
    day: Mapped[dt.date | None]
    hour: Mapped[dt.time | None]
    moment: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    local: Mapped[dt.datetime | None] = mapped_column(sa.DateTime)
    ref: Mapped[uuid.UUID | None]
    blob: Mapped[bytes | None]


class Clumsy(db.Base):
    """A model whose columns are called like the parts of a form."""

    __tablename__ = "clumsy"

    id: Mapped[int] = mapped_column(primary_key=True)
    meta: Mapped[str] = mapped_column(sa.String(50))
    data: Mapped[str] = mapped_column(sa.String(50))
    errors: Mapped[str | None] = mapped_column(sa.String(50))
    validate: Mapped[str | None] = mapped_column(sa.String(50))
    url: Mapped[str | None] = mapped_column(sa.String(50))
    csrf_token: Mapped[str | None] = mapped_column(sa.String(50))


class Badge(db.Base):
    """A model whose key is that of another one."""

    __tablename__ = "badges"

    person_id: Mapped[int] = mapped_column(sa.ForeignKey("people.id"), primary_key=True)
    person: Mapped[Person] = relationship()
    color: Mapped[str | None] = mapped_column(sa.String(20))


class Visit(db.Base):
    """A model whose relation only shows."""

    __tablename__ = "visits"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(sa.ForeignKey("people.id"))
    host: Mapped[Person] = relationship(viewonly=True)


class Paper(SoftDeleteMixin, AuditMixin, db.Base):
    """A model that remembers who wrote it, and is only marked as deleted."""

    __tablename__ = "papers"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(50))
    remarks: Mapped[list["Remark"]] = relationship(back_populates="paper")


class Remark(AuditMixin, db.Base):
    """A model that leaves much to the database, and offers the rest."""

    __tablename__ = "remarks"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(50))
    paper_id: Mapped[int | None] = mapped_column(sa.ForeignKey("papers.id"))
    paper: Mapped[Paper | None] = relationship(back_populates="remarks")
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  # as SQLAlchemy has it
    seen: Mapped[dt.datetime] = mapped_column(server_default=sa.func.now())
    day: Mapped[dt.date] = mapped_column(default=dt.date.today)
    touched: Mapped[str | None] = mapped_column(onupdate="again")
    code: Mapped[str] = mapped_column(server_default=sa.text("lower('CODE')"))
    folded: Mapped[str] = mapped_column(sa.Computed("lower(text)"))
    state: Mapped[str] = mapped_column(server_default="draft")
    shown: Mapped[bool] = mapped_column(server_default=sa.true())
    hint: Mapped[str] = mapped_column(server_default=sa.text("'(none)'"))
    opens: Mapped[dt.time] = mapped_column(default=dt.time(9))


MODELS = [Person, Note, Label, Seat, Kinds, Clumsy, Badge, Visit, Paper, Remark]
