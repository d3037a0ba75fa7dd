"""Filters for columns."""

import datetime as dt
import decimal
import uuid
from typing import Any

import sqlalchemy as sa
from flask_admin.contrib.sqla.filters import FilterConverter

from accel_admin._types import has_zone, python_type

_NAMES: dict[type, str] = {
    bool: "boolean",
    dt.date: "date",
    dt.datetime: "datetime",
    dt.time: "time",
    decimal.Decimal: "numeric",
    float: "float",
    int: "integer",
    str: "string",
    uuid.UUID: "uuid",
}


class _InUtc:
    """Reads the moments to compare with as UTC."""

    def clean(self, value: str) -> Any:
        cleaned = super().clean(value)  # type: ignore[misc]  # mixed into a filter
        if isinstance(cleaned, list):
            return [moment.replace(tzinfo=dt.UTC) for moment in cleaned]
        return cleaned.replace(tzinfo=dt.UTC) if _is_moment(cleaned) else cleaned


def _is_moment(value: object) -> bool:
    return isinstance(value, dt.datetime)


class Filters(FilterConverter):  # type: ignore[misc]  # Flask-Admin is not typed
    """Chooses filters by the Python type of a column, which wrapped types have, too."""

    zoned_filters = tuple(
        type(f"Utc{kind.__name__}", (_InUtc, kind), {})
        for kind in FilterConverter.datetime_filters
    )

    def convert(self, type_name: str, column: Any, name: str, **kwargs: Any) -> Any:
        """Return the filters for *column*; none if its type has none."""
        if isinstance(column.type, sa.Enum):
            return super().convert(type_name, column, name, **kwargs) or []
        kind = python_type(column.type)
        if kind is dt.datetime and has_zone(column.type):
            return [make(column, name, **kwargs) for make in self.zoned_filters]
        known = _NAMES.get(kind, type_name)
        return super().convert(known, column, name, **kwargs) or []
