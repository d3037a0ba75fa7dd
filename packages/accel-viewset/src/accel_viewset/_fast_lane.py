"""The fast lane of reads: rows of columns instead of objects.

Loading objects is most of the cost of a list. Where the schema is flat and reads nothing
but columns, a row of them holds everything. Whether that is so is decided when the view
set is mounted; what may change later is looked at per call; and what the lane writes is,
byte for byte, what the plain path writes.

Building a statement and its cache key is most of the cost of reading one row. So the
statements are built once, and each call brings its values only.
"""

import datetime as dt
import decimal
import types
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import make_dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError
from sqlalchemy import BigInteger, Column, Select, bindparam, func, select
from sqlalchemy.orm import ColumnProperty, Mapper

from accel_db import Orm, OrmAsync
from accel_viewset._filters import Selection
from accel_viewset._keys import Key
from accel_viewset._rendering import Renderer
from accel_viewset._types import type_of

# Types of which every value is written as validation would leave it. Others, such as an
# Enum or a subclass of these, are not only what their column says.
_DIRECT = frozenset(
    {
        *(int, str, bool, float, decimal.Decimal, uuid.UUID),
        *(dt.datetime, dt.date, dt.time),
    }
)
# Settings of a schema that change nothing about what it writes.
_HARMLESS = frozenset({"from_attributes", "title", "extra"})


class FastLane:
    """Reads and writes the rows of one schema, by default in the *order* of names."""

    def __init__(
        self, renderer: Renderer, mapper: Mapper[Any], key: Key, order: Sequence[str]
    ) -> None:
        self._renderer = renderer
        self._mapper = mapper
        self._names = tuple(renderer.model.model_fields)
        self._direct = _direct(renderer.model, mapper)
        self._key = key
        names = (self._names, key.names, order)
        attributes = {x.key: getattr(mapper.class_, x.key) for x in mapper.column_attrs}
        self.columns = [attributes[name] for name in self._names]
        self._of_model = self._of_table = Statements(mapper.class_, attributes, *names)
        if all(_is_column(mapper, name.removeprefix("-")) for name in order):
            columns = {x.key: x.columns[0] for x in mapper.column_attrs}
            self._of_table = Statements(mapper.local_table, columns, *names)

    @classmethod
    def of(
        cls,
        renderer: Renderer,
        mapper: Mapper[Any],
        key: Key,
        order: Sequence[str] = (),
    ) -> "FastLane | None":
        """Return the lane of a schema, or None if it must take the plain path."""
        # A value of the path may need to be read as another type, as accel-db does it.
        if not (key.is_typed and _is_flat(renderer.model, mapper)):
            return None
        return cls(renderer, mapper, key, order)

    async def row(
        self, aorm: OrmAsync, parts: Sequence[object], where: Sequence[Any]
    ) -> Any:
        """Return the row with the key *parts*, if *where* holds for it."""
        statement = _narrowed(self._chosen(aorm, where).row, where)
        values = {_KEY.format(n): part for n, part in enumerate(parts)}
        found = await aorm.rows(statement, values)
        return found[0] if found else None

    async def part(
        self, aorm: OrmAsync, wanted: Selection, *, offset: int, limit: int
    ) -> Sequence[Any]:
        """Return *limit* rows, in an order that never changes."""
        statement = self._chosen_part(aorm, wanted)
        return await aorm.rows(statement, {_OFFSET: offset, _LIMIT: limit})

    async def total(self, aorm: OrmAsync, wanted: Selection) -> int:
        """Return how many rows there are."""
        return _single(await aorm.rows(self._chosen_total(aorm, wanted)))

    async def page(
        self, aorm: OrmAsync, wanted: Selection, *, offset: int, limit: int
    ) -> tuple[Sequence[Any], int]:
        """Return *limit* rows, and how many there are, over one connection."""
        total_of = self._chosen_total(aorm, wanted)
        part_of = self._chosen_part(aorm, wanted)

        def read(orm: Orm) -> tuple[Sequence[Any], int]:
            total = _single(orm.rows(total_of))
            # To skip rows beyond the end, a database still reads all of them.
            if offset >= total:
                return [], total
            return orm.rows(part_of, {_OFFSET: offset, _LIMIT: limit}), total

        return await aorm.reading(read)

    def _chosen_part(self, aorm: OrmAsync, wanted: Selection) -> Select[Any]:
        if wanted.order is None:
            statement = self._chosen(aorm, wanted.where).ordered_part
        else:
            statement = self._of_model.part.order_by(*wanted.order, *self._key.columns)
        return _narrowed(statement, wanted.where)

    def _chosen_total(self, aorm: OrmAsync, wanted: Selection) -> Select[Any]:
        return _narrowed(self._chosen(aorm, wanted.where).total, wanted.where)

    def _chosen(self, aorm: OrmAsync, where: Sequence[Any]) -> "Statements":
        """Return the statements about the table, if they mean the same.

        They spare a tenth of a request. But listeners, such as the one that hides
        soft-deleted rows, add to statements about models only.
        """
        listeners = aorm.session.sync_session.dispatch.do_orm_execute
        return self._of_model if where or listeners else self._of_table

    @property
    def is_open(self) -> bool:
        """Tell whether nobody waits for objects to be loaded."""
        return not self._mapper.class_manager.dispatch.load

    def one(self, row: Any) -> bytes:
        """Return a row as JSON."""
        return self.many([row])[1:-1]

    def many(self, rows: Sequence[Any]) -> bytes:
        """Return rows as a JSON array."""
        if self._direct is not None:
            try:
                return self._direct.dump(rows)
            except PydanticSerializationError:
                # The database holds what its schema does not promise: SQLite may.
                pass
        names = self._names
        return self._renderer.many([dict(zip(names, x, strict=True)) for x in rows])


# Names that no column has: they stand beside those of filters in one statement.
_KEY, _OFFSET, _LIMIT = "accel_key_{}", "accel_offset", "accel_limit"


class Statements:
    """What a lane asks, with parameters for the values of a request."""

    def __init__(
        self,
        source: Any,
        columns: Mapping[str, Any],
        shown: Sequence[str],
        key: Sequence[str],
        order: Sequence[str],
    ) -> None:
        rows = select(*(columns[name] for name in shown))
        keys = [columns[name] for name in key]
        is_row = (c == bindparam(_KEY.format(n)) for n, c in enumerate(keys))
        self.row = rows.where(*is_row)
        # PostgreSQL takes 64 bits for both, where its driver must be told so.
        self.part = rows.offset(bindparam(_OFFSET, type_=BigInteger)).limit(
            bindparam(_LIMIT, type_=BigInteger)
        )
        self.ordered_part = self.part.order_by(*_clauses(columns, order), *keys)
        self.total = select(func.count()).select_from(source)


def _clauses(columns: Mapping[str, Any], order: Sequence[str]) -> Iterator[Any]:
    for name in order:
        column = columns[name.removeprefix("-")]
        yield column.desc() if name.startswith("-") else column.asc()


def _single(rows: Sequence[Any]) -> int:
    found: int = rows[0][0]
    return found


def _narrowed(statement: Select[Any], where: Sequence[Any]) -> Select[Any]:
    # Even an empty `where()` makes another statement, whose cache key is built anew.
    return statement.where(*where) if where else statement


class _Direct:
    """Writes rows without checking them; a value of another type is an error."""

    def __init__(self, name: str, hints: dict[str, Any]) -> None:
        # Of all that pydantic can write without validation, this is made the fastest.
        self._shape: Any = make_dataclass(name, hints.items(), slots=True)
        self._adapter = TypeAdapter(list[self._shape])  # type: ignore[name-defined]  # known at run time

    def dump(self, rows: Sequence[Any]) -> bytes:
        shape = self._shape
        data = [shape(*row) for row in rows]
        return self._adapter.dump_json(data, warnings="error")


def _is_flat(model: type[BaseModel], mapper: Mapper[Any]) -> bool:
    decorators = model.__pydantic_decorators__
    if decorators.model_validators or decorators.root_validators:
        return False
    if decorators.computed_fields or model.model_config.keys() - _HARMLESS:
        return False
    # Rows of several tables, or some rows of one, are more than a list of columns.
    if len(mapper.tables) != 1 or mapper.polymorphic_on is not None:
        return False
    fields = model.model_fields
    return bool(fields) and all(
        field.validation_alias is None and _is_column(mapper, name)
        for name, field in fields.items()
    )


def _is_column(mapper: Mapper[Any], name: str) -> bool:
    attribute = mapper.attrs.get(name)
    return (
        isinstance(attribute, ColumnProperty)
        and isinstance(attribute.columns[0], Column)
        and attribute.columns[0].key == attribute.columns[0].name
    )


def _direct(model: type[BaseModel], mapper: Mapper[Any]) -> _Direct | None:
    """Return what writes rows without checking them, if they cannot be wrong."""
    decorators = model.__pydantic_decorators__
    checked = decorators.field_validators or decorators.validators
    written = decorators.field_serializers or decorators.model_serializers
    if checked or written:
        return None
    hints = {}
    for name, field in model.model_fields.items():
        column: Any = mapper.column_attrs[name].columns[0]
        # Another name, a constraint, or a field that is left out: all need the schema.
        if field.metadata or field.alias or field.serialization_alias or field.exclude:
            return None
        if not _fits(field.annotation, column):
            return None
        hints[name] = field.annotation
    return _Direct(model.__name__, hints)


def _fits(annotation: Any, column: Column[Any]) -> bool:
    """Tell whether every value of *column* is valid as *annotation*."""
    options = [annotation]
    if get_origin(annotation) in {Union, types.UnionType}:
        options = [part for part in get_args(annotation) if part is not type(None)]
    optional = annotation is not options[0]
    if len(options) != 1 or options[0] not in _DIRECT:
        return False
    return type_of(column) is options[0] and (optional or not column.nullable)
