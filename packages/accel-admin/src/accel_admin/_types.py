"""The Python types behind columns."""

from typing import Any

from sqlalchemy.types import TypeDecorator, TypeEngine


def python_type(column_type: TypeEngine[Any]) -> type:
    """Return the type of the values of a column; `object` if nobody knows."""
    try:
        kind: type = column_type.python_type
    except NotImplementedError:
        kind = object
    # A decorator that does not tell its type has mostly that of what it wraps.
    if kind is object and isinstance(column_type, TypeDecorator):
        return python_type(column_type.impl_instance)
    return kind


def has_zone(column_type: TypeEngine[Any]) -> bool:
    """Tell whether the moments of a column have a time zone."""
    return bool(getattr(unwrapped(column_type), "timezone", False))


def unwrapped(column_type: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return what a type decorator decorates, or the type itself."""
    if isinstance(column_type, TypeDecorator):
        return unwrapped(column_type.impl_instance)
    return column_type
