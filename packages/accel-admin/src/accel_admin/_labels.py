"""Rows and values in words."""

import datetime as dt
import enum
import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from markupsafe import Markup
from sqlalchemy.orm.collections import InstrumentedList, InstrumentedSet

from accel_admin._keys import encode_key

_NAMING = ("name", "title", "label", "username", "login", "email", "slug", "code")
_SHORT = 80


def label(row: object) -> str:
    """Return a name for *row*: its own, else that of a column, else its key."""
    # A dataclass has no `__str__`, and its `__repr__` would tell every secret.
    if type(row).__str__ is not object.__str__:
        return str(row)
    for name in _NAMING:
        if isinstance(value := getattr(row, name, None), str) and value:
            return value
    mapper = sa.inspect(type(row))
    return f"{type(row).__name__} {encode_key(mapper.primary_key_from_instance(row))}"


def is_row(value: object) -> bool:
    """Tell whether *value* is a row of a model."""
    return hasattr(value, "_sa_instance_state")


def encodable(text: str) -> str:
    """Return *text* with halves of characters as escapes.

    JSON may hold half of a surrogate pair, which UTF-8 cannot: a page would fail. An
    escape is still the same JSON.
    """
    return text.encode(errors="backslashreplace").decode()


def plain(value: object) -> object:
    """Return *value* as text, where it is no text or number already."""
    if is_row(value):
        return label(value)
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    return value


def _moment(value: dt.datetime) -> str:
    if value.tzinfo is None:
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _several(values: Any) -> str:
    return ", ".join(str(plain(value)) for value in values)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


_COLLECTIONS = (InstrumentedList, InstrumentedSet)

# In this order: a collection of rows is a list, and a flag is a number.
_WRITERS: dict[Any, Callable[[Any], str]] = {
    type(None): lambda _: "",
    enum.Enum: lambda value: value.name,
    bool: lambda value: "yes" if value else "no",
    dt.datetime: _moment,
    (bytes, memoryview): lambda value: f"{len(value)} bytes",
    _COLLECTIONS: _several,
    (dict, list): _json,
}


def in_list(view: Any, value: object, _name: str) -> object:
    """Format a value for a cell."""
    text = in_details(view, value, _name)
    if isinstance(text, str) and not isinstance(text, Markup) and len(text) > _SHORT:
        return text[: _SHORT - 1] + "…"
    return text


def in_details(view: Any, value: object, _name: str) -> object:
    """Format a value; a row becomes a link to its page."""
    if is_row(value):
        return _link(view, value)
    if isinstance(value, _COLLECTIONS):
        return Markup(", ").join(in_details(view, item, _name) for item in value)  # type: ignore[misc]  # links and text
    return plain(value)


def in_export(_view: Any, value: object, _name: str) -> object:
    """Format a value for a file."""
    return plain(value)


def _link(view: Any, row: object) -> object:
    url = view.admin.url_of(row)
    return Markup('<a href="{}">{}</a>').format(url, label(row)) if url else label(row)
