"""Times of SQLite, which compares them as texts."""

from typing import Any

from sqlalchemy import ColumnElement, DateTime, Time
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from accel_db._mixins import UtcDateTime

_SECONDS = ((DateTime, len("2026-11-24 12:00:0")), (Time, len("12:00:0")))


def padded(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return *column*, where a time has all digits of its fraction."""
    return _Padded(column) if _seconds(column.type) else column


class _Padded(FunctionElement[Any]):
    """A time with all digits of its fraction, by which SQLite compares.

    SQLAlchemy writes six of them, and `server_default=func.now()` none.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(_Padded)
def _with_fraction(element: Any, compiler: Any, **kwargs: Any) -> str:
    text: str = compiler.process(element.clauses, **kwargs)
    return f"({text} || substr('.000000', length({text}) - {_seconds(element.type)}))"


def _seconds(column_type: TypeEngine[Any]) -> int:
    """Return where the fraction may be missing in a text of *column_type*; else 0."""
    while isinstance(column_type, TypeDecorator):
        # A moment has one text there, so that an index on the column serves the order.
        if isinstance(column_type, UtcDateTime):
            return 0
        column_type = column_type.impl_instance
    return next((n for kind, n in _SECONDS if isinstance(column_type, kind)), 0)
