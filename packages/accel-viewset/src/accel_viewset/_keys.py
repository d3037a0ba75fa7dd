"""Primary keys, in URLs and in rows."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, TypeAdapter, ValidationError
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapper

from accel_viewset._types import type_of

_LARGEST = 2**63 - 1
# What has one usual spelling; every other key is taken as its text.
_READABLE = (int, str, uuid.UUID, dt.datetime, dt.date)


@dataclass(frozen=True, slots=True)
class Key:
    """The primary key of a model; its parts are joined by commas in a URL."""

    mapper: Mapper[Any]
    names: tuple[str, ...]
    annotation: Any
    """What a path parameter that carries the key is declared as."""
    is_typed: bool
    """Whether what is read from a path has the types of the columns already."""

    @classmethod
    def of(cls, mapper: Mapper[Any], annotation: Any = None) -> "Key":
        """Return the key of *mapper*; *annotation* replaces the type of its column."""
        columns = mapper.primary_key
        names = tuple(mapper.get_property_by_column(c).key for c in columns)
        usual = _annotation(columns, names)
        is_typed = annotation in {None, usual} and all(
            python_type(column) is type_of(column) for column in columns
        )
        return cls(mapper, names, annotation or usual, is_typed)

    @property
    def columns(self) -> Sequence[Any]:
        """Return the attributes of the model, in the order of the key."""
        return [getattr(self.mapper.class_, name) for name in self.names]

    def parts(self, item_id: object) -> tuple[object, ...]:
        """Return the value of each column."""
        return tuple(item_id) if isinstance(item_id, (tuple, list)) else (item_id,)

    def fits(self, item_id: object) -> bool:
        """Tell whether a database could hold the key at all."""
        parts = self.parts(item_id)
        return all(abs(x) <= _LARGEST for x in parts if isinstance(x, int))

    def read(self, item: object) -> tuple[object, ...] | None:
        """Return the key of a row, a mapping or a schema; None if a part is missing."""
        if isinstance(item, Mapping):
            found = tuple(item.get(name) for name in self.names)
        else:
            found = tuple(getattr(item, name, None) for name in self.names)
        return None if None in found else found


def text_of(key: Sequence[object]) -> str:
    """Return *key* as one segment of a path."""
    # The slash must be quoted: it would end the segment.
    return quote(",".join(map(str, key)), safe=",")


def python_type(column: ColumnElement[Any]) -> type[Any]:
    """Return the type that a client writes for *column*: text if in doubt."""
    found = type_of(column)
    return found if found is not None and issubclass(found, _READABLE) else str


def _annotation(columns: Sequence[ColumnElement[Any]], names: Sequence[str]) -> Any:
    if len(columns) == 1:
        return python_type(columns[0])
    readers = [TypeAdapter[Any](python_type(column)) for column in columns]
    shape = ",".join(names)

    def split(text: str) -> tuple[object, ...]:
        parts = text.split(",")
        if len(parts) != len(readers):
            raise ValueError(f"the key is written as {shape}")
        try:
            pairs = zip(readers, parts, strict=True)
            return tuple(reader.validate_strings(part) for reader, part in pairs)
        except ValidationError:
            raise ValueError(f"the key is written as {shape}") from None

    return Annotated[str, AfterValidator(split)]
