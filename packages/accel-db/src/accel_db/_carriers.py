"""What a cursor carries of a column: what the database holds, as text and numbers.

An object shows less than that. SQLAlchemy cuts decimals that it makes of doubles after
ten digits, and a type of the user's may show whatever it likes. A position that is made
of it lies elsewhere than the row: pages repeat it, or skip the next one.
"""

import datetime as dt
import decimal
import enum
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from accel_db._padding import padded
from accel_db._values import can_be, coerce, python_type

# PostgreSQL's own limits for a number without a precision.
_MOST_DIGITS = 131_072
_READABLE = frozenset(
    {
        *(bool, int, float, decimal.Decimal, str, bytes, uuid.UUID),
        *(dt.date, dt.datetime, dt.time),
    }
)
_NUMBERS = (int, float, decimal.Decimal)
_NUMBER_KINDS = frozenset({bool, int, float, decimal.Decimal})


class Carrier(Protocol):
    """How the position of a row in one column travels."""

    @property
    def compared(self) -> ColumnElement[Any]:
        """The column, as rows are ordered by it."""
        ...

    @property
    def read(self) -> ColumnElement[Any]:
        """What a query selects to know the position."""
        ...

    def plain(self, value: Any) -> Any:
        """Return what was read as JSON has it."""
        ...

    def known(self, plain: Any) -> ColumnElement[Any]:
        """Return what `compared` can be compared with.

        Anyone may forge *plain*: what is no value of the column raises `ValueError`,
        `TypeError`, `KeyError` or `InvalidValue`.
        """
        ...


def carrier_of(column: Any, dialect: Dialect) -> Carrier:
    """Return the carrier of *column* in a database of *dialect*."""
    shown = _shown_type(column.type, dialect)
    kind = python_type(shown)
    if dialect.name == "sqlite":
        return _Stored(column, shown, _stored_kinds(kind))
    if kind in _READABLE or issubclass(kind, enum.Enum):
        return _Typed(column, shown, kind)
    return _Text(column)


def _shown_type(column_type: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return the type under those that change values, which drops no digit."""
    shown = column_type.dialect_impl(dialect)
    while isinstance(shown, TypeDecorator):
        shown = shown.impl_instance
    # In SQLAlchemy 2.0 a Float is a Numeric, too, and that of a dialect is no Float.
    if isinstance(shown, sa.Float) or shown.__visit_name__ == "float":
        return sa.Float()
    return sa.Numeric() if isinstance(shown, sa.Numeric) else shown


class _AsStored(UserDefinedType[Any]):
    """Leaves values as the driver has them."""

    cache_ok = True


_AS_STORED = _AsStored()


def _stored_kinds(kind: type[Any]) -> tuple[type[Any], ...]:
    """Return what SQLite makes of values of *kind*."""
    if kind in _NUMBER_KINDS:
        return (int, float)
    if kind in {str, uuid.UUID} or issubclass(kind, enum.Enum):
        return (str,)
    # A date may be written as a number, and other types as whatever they like.
    return (int, float, str, bytes)


@dataclass(frozen=True, slots=True)
class _Stored:
    """SQLite's own values, of which there are four kinds, whatever the column's type."""

    column: Any
    shown: TypeEngine[Any]
    kinds: tuple[type[Any], ...]

    @property
    def compared(self) -> ColumnElement[Any]:
        return sa.type_coerce(padded(self.column), _AS_STORED)

    @property
    def read(self) -> ColumnElement[Any]:
        return self.compared

    def plain(self, value: Any) -> Any:
        return {"hex": value.hex()} if isinstance(value, bytes) else value

    def known(self, plain: Any) -> ColumnElement[Any]:
        if isinstance(plain, dict):
            plain = bytes.fromhex(plain["hex"])
        if isinstance(plain, bool) or not isinstance(plain, self.kinds):
            raise TypeError
        read = coerce(plain, _AS_STORED, "cursor")
        if not can_be(read, _AS_STORED, "sqlite"):
            raise ValueError
        if isinstance(self.shown, sa.Enum) and read not in self.shown.enums:
            raise ValueError
        return sa.literal(read, _AS_STORED)


@dataclass(frozen=True, slots=True)
class _Typed:
    """A value of a type that Python writes and reads without a loss."""

    column: Any
    shown: TypeEngine[Any]
    kind: type[Any]

    @property
    def compared(self) -> ColumnElement[Any]:
        return sa.type_coerce(self.column, self.shown)

    @property
    def read(self) -> ColumnElement[Any]:
        return self.compared

    def plain(self, value: Any) -> Any:
        # An enum may be a text or a number, too, but the database knows its name.
        if isinstance(value, enum.Enum):
            return value.name
        if isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, bytes):
            return value.hex()
        return value.isoformat() if hasattr(value, "isoformat") else str(value)

    def known(self, plain: Any) -> ColumnElement[Any]:
        # As a value: SQLAlchemy compares no column with the constants True and False.
        known = sa.literal(self._value(plain), self.shown)
        if self.kind is not float:
            return known
        # PostgreSQL compares a REAL as a double, of which it has not all digits.
        return sa.cast(known, self.column.type)

    def _value(self, plain: Any) -> Any:
        if not isinstance(plain, (bool, int, float, str)):
            raise TypeError
        if issubclass(self.kind, enum.Enum):
            return self.kind.__members__[str(plain)]
        if self.kind is bytes:
            return bytes.fromhex(str(plain))
        value = coerce(plain, self.shown, "cursor")
        if not self._fits(value) or not can_be(value, self.shown, "postgresql"):
            raise ValueError
        return value

    def _fits(self, value: Any) -> bool:
        """Tell whether the column compares with *value*."""
        if isinstance(value, decimal.Decimal) and value.is_finite():
            # A driver would write out every zero of 1e999999999.
            return abs(value.adjusted()) <= _MOST_DIGITS
        kinds = _NUMBERS if self.kind in {float, decimal.Decimal} else (self.kind,)
        return isinstance(value, kinds) and isinstance(value, bool) == (
            self.kind is bool
        )


@dataclass(frozen=True, slots=True)
class _Text:
    """PostgreSQL's text of a value, for types that Python knows less well.

    To Python a month of an interval has thirty days, and a year 365; not to PostgreSQL.
    """

    column: Any

    @property
    def compared(self) -> ColumnElement[Any]:
        return sa.type_coerce(self.column, _AS_STORED)

    @property
    def read(self) -> ColumnElement[Any]:
        return sa.cast(self.column, sa.Text)

    def plain(self, value: Any) -> Any:
        return value

    def known(self, plain: Any) -> ColumnElement[Any]:
        if not isinstance(plain, str):
            raise TypeError
        if not can_be(plain, _AS_STORED, "postgresql"):
            raise ValueError
        return sa.cast(sa.literal(plain, sa.Text), self.column.type)
