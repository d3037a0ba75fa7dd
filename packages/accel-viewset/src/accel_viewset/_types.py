"""The Python types of columns."""

import datetime as dt
from typing import Any

from accel_db import UtcDateTime


def type_of(column: Any) -> type[Any] | None:
    """Return the type of the values of *column*, or None where it cannot be told."""
    if isinstance(column.type, UtcDateTime):
        return dt.datetime
    try:
        found: type[Any] = column.type.python_type
    except NotImplementedError:
        return None
    return found
