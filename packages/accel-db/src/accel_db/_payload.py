"""Data to write, in whatever form it arrives."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.orm import ColumnProperty, Mapper, object_mapper

from accel_db._errors import InvalidPayload
from accel_db._values import coerce, fitting


def as_mapping(data: Any, *, path: str, partial: bool) -> dict[str, Any]:
    """Return *data* as a dict of attribute names, one level deep.

    A pydantic model gives the fields that were set. When a row is created
    (*partial* is False) it gives its defaults too, but for None, which would hide the
    default of the column.
    """
    if isinstance(data, Mapping):
        return dict(data)
    if (fields := getattr(type(data), "model_fields", None)) is not None:
        # A PATCH must tell a field that was sent as None from one that was left out.
        given = data.model_fields_set
        everything = {name: getattr(data, name) for name in fields}
        return {
            name: value
            for name, value in everything.items()
            if name in given or (not partial and value is not None)
        }
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return {f.name: getattr(data, f.name) for f in dataclasses.fields(data)}
    raise InvalidPayload(path, f"{type(data).__name__} is no mapping and no schema")


def column_values(
    mapper: Mapper[Any], values: Mapping[str, Any], *, path: str
) -> dict[str, Any]:
    """Return *values*, coerced to the types of their columns.

    Raises:
        InvalidPayload: a name is no column. A relationship needs `deep=True`.
    """
    return {
        name: column_value(mapper, name, value, path=path)
        for name, value in values.items()
    }


def column_value(mapper: Mapper[Any], name: str, value: Any, *, path: str) -> Any:
    """Return *value* as the column attribute *name* takes it."""
    attribute = mapper.attrs.get(name)
    if isinstance(attribute, ColumnProperty):
        if isinstance(value, ClauseElement):
            return value
        here, column_type = f"{path}.{name}", attribute.columns[0].type
        return fitting(coerce(value, column_type, here), column_type, here)
    if name in mapper.relationships:
        raise InvalidPayload(
            f"{path}.{name}", "it is a relationship, which needs `deep=True`"
        )
    if attribute is not None or _is_settable(mapper, name):
        return value
    raise InvalidPayload(f"{path}.{name}", "there is no such attribute")


def check_object(instance: Any) -> None:
    """Treat a number that its column cannot hold as that of data: round or refuse it."""
    mapper = object_mapper(instance)
    for name, value in list(instance.__dict__.items()):
        attribute = mapper.attrs.get(name)
        if isinstance(attribute, ColumnProperty):
            path = f"{mapper.class_.__name__}.{name}"
            held = fitting(value, attribute.columns[0].type, path)
            if held is not value:
                setattr(instance, name, held)


def _is_settable(mapper: Mapper[Any], name: str) -> bool:
    """Tell whether *name* is a hybrid or a proxy that takes a value."""
    if name not in mapper.all_orm_descriptors:
        return False
    descriptor = mapper.all_orm_descriptors[name]
    return getattr(descriptor, "fset", True) is not None
