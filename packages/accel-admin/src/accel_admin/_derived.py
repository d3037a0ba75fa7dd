"""What a model tells about its pages."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipProperty
from sqlalchemy.sql.functions import FunctionElement

from accel_admin._secrets import looks_secret
from accel_admin._types import python_type, unwrapped
from accel_db import AuditMixin, SoftDeleteMixin, TimestampMixin

_MIXINS = (AuditMixin, SoftDeleteMixin, TimestampMixin)


def shown_columns(mapper: Mapper[Any]) -> list[str]:
    """Return the columns to show: no secrets, and no key that a relation shows."""
    return [
        attribute.key
        for attribute in _public(mapper)
        if attribute.columns[0].primary_key or not _relation_shows(mapper, attribute)
    ]


def filter_columns(mapper: Mapper[Any]) -> list[str]:
    """Return the columns to filter by."""
    return [a.key for a in _public(mapper) if isinstance(a.columns[0], sa.Column)]


def text_columns(mapper: Mapper[Any]) -> list[str]:
    """Return the columns to search in."""
    return [
        attribute.key
        for attribute in _public(mapper)
        if _is_text(attribute.columns[0].type)
    ]


def form_columns(mapper: Mapper[Any]) -> list[str]:
    """Return the columns to fill in."""
    filled_in = server_columns(mapper)
    return [
        attribute.key
        for attribute in _public(mapper)
        if isinstance(attribute.columns[0], sa.Column)
        and attribute.key not in filled_in
        and not _relation_shows(mapper, attribute, writable=True)
        and not _is_generated_key(attribute.columns[0])
    ]


def server_columns(mapper: Mapper[Any]) -> list[str]:
    """Return the columns that the database or accel-db fills in.

    In a form, somebody could sign as another one, or date a row back.
    """
    return [
        attribute.key
        for attribute in mapper.column_attrs
        if not attribute.columns[0].primary_key and _is_filled_in(mapper, attribute)
    ]


def key_columns(mapper: Mapper[Any]) -> list[str]:
    """Return the attributes of the primary key."""
    return [mapper.get_property_by_column(c).key for c in mapper.primary_key]


def key_relations(mapper: Mapper[Any]) -> list[str]:
    """Return the relations that decide the primary key, or a part of it."""
    key = set(mapper.primary_key)
    return [
        r.key for r in mapper.relationships if _is_to_one(r) and key & r.local_columns
    ]


def secret_columns(mapper: Mapper[Any]) -> list[str]:
    """Return the columns that look like a secret."""
    return [a.key for a in mapper.column_attrs if _is_secret(a)]


def to_one(mapper: Mapper[Any]) -> list[str]:
    """Return the relations to one other row, which a list has room for."""
    return [r.key for r in mapper.relationships if _is_to_one(r)]


def linked(mapper: Mapper[Any]) -> list[str]:
    """Return the relations that a form may change.

    The rows of a one-to-many relation are changed in forms of their own, or inline.
    """
    return [
        relation.key
        for relation in mapper.relationships
        if not relation.viewonly and relation.direction.name != "ONETOMANY"
    ]


def time_column(mapper: Mapper[Any]) -> str | None:
    """Return the column that tells when a row came, or None."""
    times = [
        attribute.key
        for attribute in _public(mapper)
        if python_type(attribute.columns[0].type) is dt.datetime
    ]
    named = [name for name in times if name.startswith(("created", "inserted"))]
    return next(iter(named or times), None)


def _public(mapper: Mapper[Any]) -> Iterator[ColumnProperty[Any]]:
    return (
        attribute
        for attribute in mapper.column_attrs
        if not attribute.key.startswith("_") and not _is_secret(attribute)
    )


def _is_secret(attribute: ColumnProperty[Any]) -> bool:
    # An attribute may rename its column: either name gives a secret away.
    names = [attribute.key, *(column.key for column in attribute.columns)]
    return any(looks_secret(name) for name in names if name)


def _is_text(column_type: Any) -> bool:
    plain = unwrapped(column_type)
    return isinstance(plain, sa.String) and not isinstance(plain, sa.Enum)


def _is_to_one(relation: RelationshipProperty[Any]) -> bool:
    return relation.direction.name == "MANYTOONE"


def _relation_shows(
    mapper: Mapper[Any], attribute: ColumnProperty[Any], *, writable: bool = False
) -> bool:
    column = attribute.columns[0]
    return any(
        column in relation.local_columns
        for relation in mapper.relationships
        if _is_to_one(relation) and not (writable and relation.viewonly)
    )


def _is_filled_in(mapper: Mapper[Any], attribute: ColumnProperty[Any]) -> bool:
    column, name = attribute.columns[0], attribute.key
    if any(issubclass(mapper.class_, m) and hasattr(m, name) for m in _MIXINS):
        return True
    if not isinstance(column, sa.Column):
        return False
    if column is mapper.version_id_col or column.onupdate or column.server_onupdate:
        return True
    return _is_computed(column.server_default) or _is_stamped(column)


def _is_computed(default: Any) -> bool:
    # A constant is only an offer; a function, an identity or a trigger is more.
    if not isinstance(default, sa.DefaultClause):
        return default is not None
    given = default.arg
    if isinstance(given, sa.TextClause):
        return "(" in given.text and not given.text.lstrip().startswith("'")
    return isinstance(given, FunctionElement)


def _is_stamped(column: sa.Column[Any]) -> bool:
    """Tell whether *column* is a time that is taken when the row is written."""
    if not issubclass(python_type(column.type), (dt.date, dt.time)):
        return False
    if column.server_default is not None:
        return True
    return column.default is not None and not column.default.is_scalar


def _is_generated_key(column: sa.Column[Any]) -> bool:
    if not column.primary_key:
        return False
    # A typed key, such as a code, has neither, and somebody must fill it in.
    given = column.default is not None or column.server_default is not None
    return given or column.table.autoincrement_column is column
