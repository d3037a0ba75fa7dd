"""The Python types of columns."""

import datetime as dt
import decimal
import sys
from typing import Any

from sqlalchemy import (
    CHAR,
    Boolean,
    Date,
    DateTime,
    Double,
    Float,
    Integer,
    Numeric,
    String,
    Uuid,
)

from accel_db import UtcDateTime

_KEPT = (Boolean, Date, Integer, String, Uuid)


def type_of(column: Any) -> type[Any] | None:
    """Return the type of the values of *column*, or None where it cannot be told."""
    try:
        found: type[Any] = column.type.python_type
    except NotImplementedError:
        return None
    return found


def is_kept(kind: Any, value: object) -> bool:
    """Tell whether a column of the type *kind* gives *value* back as it was written.

    A `Numeric` pads and rounds, a `CHAR` pads, a time moves to another zone, a type of
    the user's own may do anything.
    """
    if isinstance(value, float):
        # PostgreSQL and SQLite have doubles; but SQLite has no negative zero.
        return type(kind) in {Float, Double} and value != 0
    if isinstance(value, decimal.Decimal):
        _, digits, exponent = value.as_tuple()
        has_scale = type(kind) is Numeric and kind.scale and exponent == -kind.scale
        # As a double, SQLite is sure of fifteen digits.
        return bool(has_scale and value != 0 and len(digits) <= sys.float_info.dig)
    if isinstance(value, dt.datetime):
        if type(kind) is UtcDateTime:
            return not value.utcoffset()
        return type(kind) is DateTime and not (kind.timezone or value.tzinfo)
    return value is None or (isinstance(kind, _KEPT) and not isinstance(kind, CHAR))
