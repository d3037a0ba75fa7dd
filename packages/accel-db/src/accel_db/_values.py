"""Values and keys, read as the types of their columns."""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar

from sqlalchemy import (
    BigInteger,
    BinaryExpression,
    BindParameter,
    Column,
    ColumnElement,
    Float,
    Integer,
    Numeric,
    SmallInteger,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import visitors
from sqlalchemy.types import TypeEngine

from accel_db._errors import InvalidPayload, InvalidValue

S = TypeVar("S", bound=Any)

_READERS: dict[type[object], Callable[[str], object]] = {
    int: int,
    float: float,
    decimal.Decimal: decimal.Decimal,
    uuid.UUID: uuid.UUID,
    dt.datetime: dt.datetime.fromisoformat,
    dt.date: dt.date.fromisoformat,
    dt.time: dt.time.fromisoformat,
}
# No database holds a longer integer; SQLite's driver fails on it without an SQL error.
_LARGEST = 2**63 - 1
# What a double can hold, which SQLite makes of every number with a fraction.
_LARGEST_DOUBLE = decimal.Decimal("1e308")
# More digits than a `Numeric` can have.
_EXACT = decimal.Context(prec=2000, rounding=decimal.ROUND_HALF_UP)
# PostgreSQL refuses to compare with what a column cannot hold, and then the whole
# transaction is lost. BigInteger and SmallInteger are Integers, so they come first.
_POSTGRES_BITS = ((BigInteger, 63), (SmallInteger, 15), (Integer, 31))


def coerce(value: Any, column_type: TypeEngine[Any], path: str) -> Any:
    """Return *value* as the Python type that a column of *column_type* takes.

    URLs and JSON carry text only: `"5"` becomes an integer, and a UUID written as text
    a UUID. Text that is no such value raises `InvalidValue`.
    """
    if isinstance(value, int):
        if not -_LARGEST <= value <= _LARGEST:
            raise InvalidValue(path, "integer")
        return value
    if not isinstance(value, (str, uuid.UUID)):
        return value
    kind = python_type(column_type)
    if isinstance(value, uuid.UUID):
        return str(value) if kind is str else value
    reader = _READERS.get(kind)
    return value if reader is None else _read(value, reader, kind, path)


def key_part(value: Any, column_type: TypeEngine[Any], path: str) -> Any:
    """Return *value* as `coerce` does; a list or an object is no part of a key."""
    if not isinstance(value, Hashable):
        raise InvalidValue(path, python_type(column_type).__name__)
    return coerce(value, column_type, path)


def fitting(value: Any, column_type: TypeEngine[Any], path: str) -> Any:
    """Return *value* as a column of *column_type* holds it, on every database.

    SQLite would make Infinity of a `Numeric` that is too large, and keep digits beyond
    its scale: then neither a filter nor a cursor finds a row by what was read of it.
    """
    if not fits_number(value, column_type):
        raise InvalidValue(path, str(column_type))
    return _rounded(value, column_type)


def _rounded(value: Any, column_type: TypeEngine[Any]) -> Any:
    """Return *value* with the digits that its `Numeric` has, rounded as PostgreSQL does."""
    if not isinstance(value, (float, decimal.Decimal)) or not _has_scale(column_type):
        return value
    number = decimal.Decimal(str(value))
    step = decimal.Decimal(1).scaleb(-(column_type.scale or 0))
    exact = number.quantize(step, context=_EXACT)
    return value if exact == number else type(value)(exact)


def _has_scale(column_type: TypeEngine[Any]) -> TypeGuard[Numeric[Any]]:
    if not isinstance(column_type, Numeric) or isinstance(column_type, Float):
        return False
    # Without a precision, a database keeps every digit.
    return column_type.precision is not None


def fits_number(value: Any, column_type: TypeEngine[Any]) -> bool:
    """Tell whether *value* is within the digits of a `Numeric`, if it is about one."""
    # The precision of a Float is no count of decimal digits.
    if not isinstance(column_type, Numeric) or isinstance(column_type, Float):
        return True
    if not isinstance(value, (int, float, decimal.Decimal)):
        return True
    number = decimal.Decimal(value)
    return number.is_finite() and abs(number) < _bound(column_type)


def _bound(column_type: Numeric[Any]) -> decimal.Decimal:
    """Return the least number that does not fit once it is rounded to the scale."""
    if column_type.precision is None:
        return _LARGEST_DOUBLE
    scale = max(column_type.scale or 0, 0)
    digits = max(column_type.precision - scale, 0)
    # As text: arithmetic would round to the precision of the context.
    return decimal.Decimal(f"{'9' * digits or '0'}.{'9' * scale}5")


def python_type(column_type: TypeEngine[Any]) -> type[Any]:
    """Return the type of the values of a column; `object` if nobody knows."""
    try:
        return column_type.python_type
    except NotImplementedError:
        return object


def _read(
    text: str, reader: Callable[[str], object], expected: type[object], path: str
) -> object:
    try:
        value = reader(text)
    except (ValueError, decimal.InvalidOperation):
        raise InvalidValue(path, expected.__name__) from None
    if expected is int and not -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]
        raise InvalidValue(path, "integer")
    return value


def key_of(mapper: Mapper[Any], key: object) -> tuple[Any, ...]:
    """Return *key* as the tuple of primary-key values of *mapper*, coerced.

    A composite key is a tuple (or a list or dict); a single one may stand alone.
    """
    columns = mapper.primary_key
    names = [mapper.get_property_by_column(column).key for column in columns]
    parts: Sequence[Any]
    if isinstance(key, Mapping):
        parts = [key[name] for name in names if name in key]
    elif isinstance(key, (tuple, list)):
        parts = key
    else:
        parts = [key]
    if len(parts) != len(columns):
        raise InvalidPayload(
            "key",
            f"the key of {mapper.class_.__name__} has {len(columns)} parts "
            f"({', '.join(names)}), not {len(parts)}",
        )
    pairs = zip(parts, columns, names, strict=True)
    return tuple(key_part(part, column.type, name) for part, column, name in pairs)


def row_key(mapper: Mapper[Any], key: object, backend: str) -> tuple[Any, ...] | None:
    """Return *key* as `key_of` does, or None if no row of *backend* can have it."""
    try:
        parts = key_of(mapper, key)
    except InvalidValue:
        return None
    pairs = zip(parts, mapper.primary_key, strict=True)
    if all(can_be(part, column.type, backend) for part, column in pairs):
        return parts
    return None


def can_be(part: Any, column_type: TypeEngine[Any], backend: str) -> bool:
    """Tell whether a column of *column_type* can hold *part* on *backend*."""
    if isinstance(part, str):
        # Half of a surrogate pair is no character, and cannot be encoded.
        halves = not part.isascii() and any("\ud800" <= c <= "\udfff" for c in part)
        return not halves and (backend != "postgresql" or "\0" not in part)
    if backend != "postgresql":
        return True
    for kind, bits in _POSTGRES_BITS:
        if isinstance(column_type, kind) and isinstance(part, int):
            return bool(-(1 << bits) <= part < 1 << bits)
    return True


def key_criteria(
    mapper: Mapper[Any], key: tuple[Any, ...]
) -> list[ColumnElement[bool]]:
    """Return the conditions that pick the row of *key*."""
    return [
        column == part for column, part in zip(mapper.primary_key, key, strict=True)
    ]


def with_coerced_binds(statement: S) -> S:
    """Let the WHERE clause of *statement* compare columns with their own types.

    `File.uid == "…"` fails on SQLite, and `File.id == "5"` on PostgreSQL. Values are
    replaced in place, which cannot be seen: they mean the same.
    """
    where = getattr(statement, "whereclause", None)
    if where is not None:
        for element in visitors.iterate(where):
            if isinstance(element, BinaryExpression):
                _coerce_bind(element.left, element.right)
                _coerce_bind(element.right, element.left)
    return statement


def _coerce_bind(column: Any, bind: Any) -> None:
    if not isinstance(column, Column) or not isinstance(bind, BindParameter):
        return
    if not bind.unique or bind.callable is not None:
        return
    value = _coerced(bind, column)
    if value is not bind.value:
        bind.value, bind.type = value, column.type


def _coerced(bind: BindParameter[Any], column: Column[Any]) -> Any:
    if isinstance(bind.value, str):
        return coerce(bind.value, column.type, column.name)
    if not bind.expanding or not isinstance(bind.value, (list, tuple)):
        return bind.value
    parts = [coerce(part, column.type, column.name) for part in bind.value]
    pairs = zip(parts, bind.value, strict=True)
    return parts if any(new is not old for new, old in pairs) else bind.value
