"""The Python types of columns."""

import datetime as dt
from typing import Any

from sqlalchemy import CHAR, Boolean, Date, Integer, String, Uuid

from accel_db import UtcDateTime

_KEPT = (Boolean, Date, Integer, String, Uuid)


def type_of(column: Any) -> type[Any] | None:
    """Return the type of the values of *column*, or None where it cannot be told."""
    if isinstance(column.type, UtcDateTime):
        return dt.datetime
    try:
        found: type[Any] = column.type.python_type
    except NotImplementedError:
        return None
    return found


def is_kept(column: Any) -> bool:
    """Tell whether *column* holds a value exactly as it was written.

    A `Numeric` pads and rounds, a `CHAR` pads, a type of the user's own may do anything.
    """
    return isinstance(column.type, _KEPT) and not isinstance(column.type, CHAR)
