"""Values and keys, read as the types of their columns."""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import BindParameter, ColumnElement
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
    python_type = _python_type(column_type)
    if isinstance(value, uuid.UUID):
        return str(value) if python_type is str else value
    reader = _READERS.get(python_type)
    return value if reader is None else _read(value, reader, python_type, path)


def _python_type(column_type: TypeEngine[Any]) -> type[Any]:
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
    return tuple(coerce(part, column.type, name) for part, column, name in pairs)


def key_criteria(
    mapper: Mapper[Any], key: tuple[Any, ...]
) -> list[ColumnElement[bool]]:
    """Return the conditions that pick the row of *key*."""
    return [
        column == part for column, part in zip(mapper.primary_key, key, strict=True)
    ]


def with_coerced_binds(statement: S) -> S:
    """Return *statement*, whose WHERE clause compares columns with their own types.

    `File.uid == "…"` fails on SQLite, and `File.id == "5"` on asyncpg.
    """
    where = getattr(statement, "whereclause", None)
    if where is None:
        return statement
    changed: dict[str, Any] = {}
    for element in visitors.iterate(where):
        if isinstance(element, BindParameter) and element.callable is None:
            value = _coerced_bind(element)
            if value is not element.value:
                changed[element.key] = value
    if not changed:
        return statement
    coerced: S = statement.params(changed)
    return coerced


def _coerced_bind(bind: BindParameter[Any]) -> Any:
    value = bind.value
    if isinstance(value, str):
        return coerce(value, bind.type, bind.key.rpartition("_")[0] or "value")
    if bind.expanding and isinstance(value, (list, tuple)):
        parts = [coerce(part, bind.type, "value") for part in value]
        return (
            parts
            if any(a is not b for a, b in zip(parts, value, strict=True))
            else value
        )
    return value
