"""Columns that many models share: audit trail and soft delete."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import sqlalchemy as sa
from sqlalchemy import DateTime, Delete, Dialect, String, TypeDecorator, func
from sqlalchemy.orm import (
    Mapped,
    Mapper,
    ORMExecuteState,
    mapped_column,
    with_loader_criteria,
)
from sqlalchemy.types import TypeEngine

INCLUDE_DELETED = "include_deleted"
"""The execution option of a query that wants rows that were soft-deleted, too."""

_actor: ContextVar[str | None] = ContextVar("accel_db_actor", default=None)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class UtcDateTime(TypeDecorator[dt.datetime]):
    """Stores an aware time, and returns it in UTC; SQLite alone would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[dt.datetime]:
        """Return the type of the values, which a cursor writes as text."""
        return dt.datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return what writes the time, by which SQLite must be able to compare."""
        if dialect.name != "sqlite":
            return super().load_dialect_impl(dialect)
        from accel_db._sqlite_times import Moment

        return dialect.type_descriptor(Moment())  # type: ignore[no-untyped-call]  # its base

    def process_bind_param(
        self, value: dt.datetime | None, dialect: Dialect
    ) -> dt.datetime | None:
        """Refuse a naive time: nobody knows which moment it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime names no moment; give it a tzinfo")
        value = value.astimezone(dt.UTC)
        # SQLite stores text without a zone, so it must be the text of UTC.
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self, value: dt.datetime | None, dialect: Dialect
    ) -> dt.datetime | None:
        """Return the time in UTC."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=dt.UTC)
        return value.astimezone(dt.UTC)


class TimestampMixin:
    """Adds when a row was created and last updated, in UTC."""

    created_at: Mapped[dt.datetime] = mapped_column(
        UtcDateTime(), default=_now, server_default=func.now(), sort_order=900
    )
    updated_at: Mapped[dt.datetime] = mapped_column(
        UtcDateTime(),
        default=_now,
        onupdate=_now,
        server_default=func.now(),
        sort_order=901,
    )


class AuditMixin(TimestampMixin):
    """Adds who created and last updated a row, as told by `acting_as`."""

    created_by: Mapped[str | None] = mapped_column(
        String(255), default=_actor.get, sort_order=902
    )
    updated_by: Mapped[str | None] = mapped_column(
        String(255), default=_actor.get, onupdate=_actor.get, sort_order=903
    )


class SoftDeleteMixin:
    """Marks rows as deleted instead of deleting them.

    Queries and statements through a manager's session leave marked rows out, at any
    depth, unless they ask with `.execution_options(include_deleted=True)`.
    """

    deleted_at: Mapped[dt.datetime | None] = mapped_column(
        UtcDateTime(), index=True, sort_order=904
    )


@contextmanager
def acting_as(actor: str | None) -> Iterator[None]:
    """Name *actor* as the author of what the block writes."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def hide_deleted(state: ORMExecuteState) -> None:
    """Leave soft-deleted rows out of a query, and out of reach of a statement."""
    # A refresh must find its row even if that was marked meanwhile.
    if state.is_column_load or state.is_insert or not state.is_orm_statement:
        return
    if state.execution_options.get(INCLUDE_DELETED, False):
        return
    statement: Any = state.statement
    state.statement = statement.options(
        with_loader_criteria(
            SoftDeleteMixin, lambda cls: cls.deleted_at.is_(None), include_aliases=True
        )
    )


def soft_delete_column(mapper: Mapper[Any]) -> Any:
    """Return the column that marks a row of *mapper* as deleted, or None."""
    if issubclass(mapper.class_, SoftDeleteMixin):
        return mapper.column_attrs["deleted_at"].columns[0]
    return None


def is_soft(instance: object) -> bool:
    """Tell whether deleting *instance* only marks it."""
    return isinstance(instance, SoftDeleteMixin)


def mark_deleted(statement: Delete, mapper: Mapper[Any]) -> Any:
    """Return *statement*, or the update that marks its rows instead."""
    column = soft_delete_column(mapper)
    if column is None:
        return statement
    where: Any = statement.whereclause
    return sa.update(mapper).where(where, column.is_(None)).values(deleted_at=_now())


def mark(instance: Any) -> None:
    """Mark *instance* as deleted now."""
    instance.deleted_at = _now()
