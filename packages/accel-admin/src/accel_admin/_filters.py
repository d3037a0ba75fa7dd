"""Filters for columns."""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from flask_admin.contrib.sqla.filters import (
    FilterConverter,
    FilterEmpty,
    FilterEqual,
    FilterInList,
    FilterNotEqual,
    FilterNotInList,
)

from accel_admin._types import has_zone, python_type, unwrapped

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


def _adapted(filters: Iterable[type], convert: Callable[[Any], Any]) -> list[type]:
    """Return *filters*, whose values go through *convert* once they are read."""

    class Adapted:
        def clean(self, value: str) -> Any:
            cleaned = super().clean(value)  # type: ignore[misc]  # mixed into a filter
            if isinstance(cleaned, list):
                return [convert(item) for item in cleaned]
            return convert(cleaned)

    return [type(kind.__name__, (Adapted, kind), {}) for kind in filters]


def _in_utc(value: Any) -> Any:
    # "Empty" is a filter, too, whose value is no moment.
    return value.replace(tzinfo=dt.UTC) if isinstance(value, dt.datetime) else value


def _as_uuid(value: Any) -> Any:
    try:
        return uuid.UUID(value)
    except ValueError:
        return value


def _members(column_type: Any) -> dict[str, Any]:
    """Return the values of an enum by what stands for them in addresses."""
    if column_type.enum_class is None:
        return {text: text for text in column_type.enums}
    if column_type.values_callable is None:
        return dict(column_type.enum_class.__members__)
    return dict(zip(column_type.enums, column_type.enum_class, strict=False))


def _member_of(members: dict[str, Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return members[text]
        except KeyError as exc:
            # Flask-Admin tells of a `ValueError`, and leaves the filter out.
            raise ValueError("there is no such member") from exc

    return read


class Filters(FilterConverter):  # type: ignore[misc]  # Flask-Admin is not typed
    """Chooses filters by the Python type of a column, which wrapped types have, too."""

    zoned_filters = _adapted(FilterConverter.datetime_filters, _in_utc)
    # Flask-Admin compares with text, which only PostgreSQL takes for a UUID.
    uuid_filters = _adapted(FilterConverter.uuid_filters, _as_uuid)

    def convert(self, type_name: str, column: Any, name: str, **kwargs: Any) -> Any:
        """Return the filters for *column*; none if its type has none."""
        kind = python_type(column.type)
        if isinstance(unwrapped(column.type), sa.Enum):
            return _enum_filters(column, name, **kwargs)
        if kind is dt.datetime and has_zone(column.type):
            return [make(column, name, **kwargs) for make in self.zoned_filters]
        known = _NAMES.get(kind, type_name)
        return super().convert(known, column, name, **kwargs) or []


def _enum_filters(
    column: Any, name: str, options: Any = None, **kwargs: Any
) -> list[Any]:
    # Those of Flask-Admin fail at what is no member, and know members by name only.
    members = _members(unwrapped(column.type))
    options = options or [(text, text) for text in members]
    equal, unequal, within, without = _adapted(
        (FilterEqual, FilterNotEqual, FilterInList, FilterNotInList),
        _member_of(members),
    )
    makers = (equal, unequal, FilterEmpty, within, without)
    return [make(column, name, options, **kwargs) for make in makers]
