"""The column of a value that a database refused, which no driver names."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ClauseElement, Dialect, Enum, String
from sqlalchemy.orm import ColumnProperty, Mapper, Session
from sqlalchemy.types import TypeEngine

from accel_db._errors import InvalidValue
from accel_db._graph import has_fields
from accel_db._payload import as_mapping
from accel_db._translation import UNNAMED
from accel_db._values import can_be, python_type

# A column's path, its type, and the value that was sent for it.
_Sent = tuple[str, TypeEngine[Any], Any]


@contextmanager
def naming(session: Session, mapper: Mapper[Any] | None, data: Any) -> Iterator[None]:
    """Let an `InvalidValue` name the column in *data* that it is about, if one is."""
    try:
        yield
    except InvalidValue as exc:
        if mapper is None or exc.path != UNNAMED:
            raise
        dialect = session.get_bind(mapper).dialect
        # Only now, since it costs what writes that succeed need not pay.
        path = _culprit(list(_sent(mapper, data, mapper.class_.__name__)), dialect)
        if path is None:
            raise
        raise InvalidValue(path, exc.expected) from exc.__cause__


def _culprit(sent: list[_Sent], dialect: Dialect) -> str | None:
    for path, column_type, value in sent:
        if not _is_bindable(value, column_type, dialect):
            return path
    # A driver may take another type than the column's, and mostly does not.
    for path, column_type, value in sent:
        flat = python_type(column_type) not in {object, dict, list}
        if flat and isinstance(value, (list, dict, set)):
            return path
    return None


def _is_bindable(value: Any, column_type: TypeEngine[Any], dialect: Dialect) -> bool:
    if not can_be(value, column_type, dialect.name):
        return False
    if dialect.name == "postgresql" and _is_too_long(value, column_type):
        return False
    process = column_type.dialect_impl(dialect).bind_processor(dialect)
    if process is None:
        return True
    try:
        process(value)
    except Exception:  # noqa: BLE001  # whatever a type raises means no
        return False
    return True


def _is_too_long(value: Any, column_type: TypeEngine[Any]) -> bool:
    # An Enum is a String, whose values are the names of its members.
    if not isinstance(column_type, String) or isinstance(column_type, Enum):
        return False
    length = column_type.length
    # PostgreSQL cuts spaces at the end.
    text = value.rstrip(" ") if isinstance(value, str) else ""
    return length is not None and len(text) > length


def _sent(mapper: Mapper[Any], data: Any, path: str) -> Iterator[_Sent]:
    """List the values of columns in *data*, however deep."""
    if isinstance(data, mapper.class_):
        # Without its relationships, which may lead back to it.
        yield from _fields(mapper, {**data.__dict__}, path, nested=False)
    elif isinstance(data, list):
        for position, row in enumerate(data):
            yield from _sent(mapper, row, f"{path}[{position}]")
    elif has_fields(data):
        values = as_mapping(data, path=path, partial=False)
        yield from _fields(mapper, values, path, nested=True)


def _fields(
    mapper: Mapper[Any], values: Mapping[str, Any], path: str, *, nested: bool
) -> Iterator[_Sent]:
    for name, value in values.items():
        attribute = mapper.attrs.get(name)
        here = f"{path}.{name}"
        if isinstance(attribute, ColumnProperty):
            if value is not None and not isinstance(value, ClauseElement):
                yield here, attribute.columns[0].type, value
        elif nested and name in mapper.relationships:
            target = mapper.relationships[name].mapper
            below = list(value) if _is_several(value) else value
            yield from _sent(target, below, here)


def _is_several(value: Any) -> bool:
    return isinstance(value, Iterable) and not has_fields(value)
