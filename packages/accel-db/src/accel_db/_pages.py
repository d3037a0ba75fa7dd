"""Pages of a list, by number or by cursor."""

import base64
import datetime as dt
import decimal
import enum
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import ColumnElement, DateTime, Select, Time
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from accel_db._errors import InvalidCursor, InvalidPayload, InvalidValue
from accel_db._mixins import UtcDateTime
from accel_db._values import coerce, python_type

M = TypeVar("M")
_LONGEST_CURSOR = 4096
_MICROSECOND = dt.timedelta(microseconds=1)
_MARKS = (
    *(operators.asc_op, operators.desc_op),
    *(operators.nulls_first_op, operators.nulls_last_op),
)
_SECONDS = ((DateTime, len("2026-11-24 12:00:0")), (Time, len("12:00:0")))


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One numbered page, and how much there is."""

    items: list[M]
    total: int
    page: int
    size: int
    pages: int

    def __iter__(self) -> Iterator[M]:
        """Iterate over the items."""
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class CursorPage(Generic[M]):
    """One page, and the cursor of the next one; None at the end."""

    items: list[M]
    next_cursor: str | None

    def __iter__(self) -> Iterator[M]:
        """Iterate over the items."""
        return iter(self.items)


def page_count(total: int, *, page: int, size: int) -> int:
    """Return how many pages *total* rows fill."""
    if page < 1:
        raise InvalidPayload("page", f"it must be >= 1: {page}")
    _check_size(size)
    return -(-total // size)


def _check_size(size: int) -> None:
    if size < 1:
        raise InvalidPayload("size", f"it must be >= 1: {size}")


@dataclass(frozen=True, slots=True)
class _Order:
    column: Any
    attribute: str
    descending: bool
    nulls_first: bool

    @property
    def compared(self) -> ColumnElement[Any]:
        """The column, as a value that was read from it can be compared with it."""
        return _Padded(self.column) if _seconds(self.column.type) else self.column

    def clauses(self) -> list[ColumnElement[Any]]:
        """Order by NULL first or last: databases disagree on where it belongs."""
        direction = sa.desc if self.descending else sa.asc
        clauses: list[ColumnElement[Any]] = [direction(self.compared)]
        if self.column.nullable:
            known = self.column.is_not(None)
            clauses.insert(0, sa.asc(known) if self.nulls_first else sa.desc(known))
        return clauses

    def after(self, value: Any) -> ColumnElement[bool]:
        """Return the condition for rows beyond *value* in this column alone."""
        if value is None:
            return self.column.is_not(None) if self.nulls_first else sa.false()
        known, compared = self._known(value), self.compared
        beyond = compared < known if self.descending else compared > known
        if self.nulls_first or not self.column.nullable:
            return beyond
        return sa.or_(beyond, self.column.is_(None))

    def same(self, value: Any) -> ColumnElement[bool]:
        if value is None:
            return self.column.is_(None)  # type: ignore[no-any-return]
        return self.compared == self._known(value)

    def _known(self, value: Any) -> ColumnElement[Any]:
        # As a value: SQLAlchemy compares no column with the constants True and False.
        known = sa.literal(value, self.column.type)
        if not isinstance(self.column.type, sa.Float):
            return known
        # PostgreSQL compares a REAL as a double, of which it has not all digits.
        return sa.cast(known, self.column.type)


class _Padded(FunctionElement[Any]):
    """A time with all digits of its fraction, by which SQLite compares.

    SQLAlchemy writes six of them, and `server_default=func.now()` none.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(_Padded)
def _as_it_is(element: Any, compiler: Any, **kwargs: Any) -> str:
    text: str = compiler.process(element.clauses, **kwargs)
    return text


@compiles(_Padded, "sqlite")
def _with_fraction(element: Any, compiler: Any, **kwargs: Any) -> str:
    text = _as_it_is(element, compiler, **kwargs)
    return f"({text} || substr('.000000', length({text}) - {_seconds(element.type)}))"


def _seconds(column_type: TypeEngine[Any]) -> int:
    """Return where the fraction may be missing in a text of *column_type*; else 0."""
    # A moment has one text there, so that an index on the column serves the order.
    if isinstance(column_type, UtcDateTime):
        return 0
    if isinstance(column_type, TypeDecorator):
        column_type = column_type.impl_instance
    return next((n for kind, n in _SECONDS if isinstance(column_type, kind)), 0)


def cursor_page(
    statement: Select[Any],
    mapper: Mapper[Any] | None,
    order_by: Sequence[Any],
    cursor: str | None,
    size: int,
) -> tuple[Select[Any], Callable[[list[Any]], CursorPage[Any]]]:
    """Return the query for one page, and what makes a page of its objects."""
    if mapper is None:
        raise InvalidPayload("statement", "a cursor needs a query for one model")
    _check_size(size)
    orders = list(_orders(mapper, order_by))
    # An order of its own would contradict the condition of the cursor.
    query = statement.order_by(None)
    query = query.order_by(*(clause for x in orders for clause in x.clauses()))
    if cursor:
        query = query.where(_beyond(orders, _decode(cursor, orders)))

    def finish(found: list[Any]) -> CursorPage[Any]:
        items = found[:size]
        more = len(found) > size
        return CursorPage(items, _encode(items[-1], orders) if more else None)

    # One object more than asked for tells whether there is a next page.
    return query.limit(size + 1), finish


def _orders(mapper: Mapper[Any], order_by: Sequence[Any]) -> Iterator[_Order]:
    seen = set()
    for item in [*order_by, *mapper.primary_key]:
        clause = sa.inspect(item) if hasattr(item, "__clause_element__") else item
        clause = getattr(clause, "expression", clause)
        clause, marks = _unmarked(clause)
        descending = operators.desc_op in marks
        nulls_first = operators.nulls_last_op not in marks and (
            not descending or operators.nulls_first_op in marks
        )
        try:
            attribute = mapper.get_property_by_column(clause).key
        except (sa.exc.InvalidRequestError, AttributeError, KeyError):
            raise InvalidPayload(
                "order_by", f"a cursor orders by columns of {mapper.class_.__name__}"
            ) from None
        if attribute not in seen:
            seen.add(attribute)
            column = mapper.column_attrs[attribute].columns[0]
            yield _Order(column, attribute, descending, nulls_first)


def _unmarked(clause: Any) -> tuple[Any, set[Any]]:
    """Return *clause* without what only says how to order by it, and that."""
    marks = set()
    while isinstance(clause, UnaryExpression) and clause.modifier in _MARKS:
        marks.add(clause.modifier)
        clause = clause.element
    return clause, marks


def _beyond(orders: list[_Order], values: list[Any]) -> ColumnElement[bool]:
    """Return `a > x OR (a = x AND b > y) OR …`."""
    alternatives = []
    for position, (order, value) in enumerate(zip(orders, values, strict=True)):
        earlier = zip(orders[:position], values[:position], strict=True)
        equal = [before.same(known) for before, known in earlier]
        alternatives.append(sa.and_(*equal, order.after(value)))
    return sa.or_(*alternatives)


def _encode(instance: Any, orders: list[_Order]) -> str:
    values = [getattr(instance, order.attribute) for order in orders]
    names = [order.attribute for order in orders]
    text = json.dumps([names, [_plain(value) for value in values]])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _plain(value: Any) -> Any:
    # An enum may be a text or a number, too, but the database knows it by its name.
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.timedelta):
        return value // _MICROSECOND
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _decode(cursor: str, orders: list[_Order]) -> list[Any]:
    # Before it is decoded: anyone may send it.
    if len(cursor) > _LONGEST_CURSOR:
        raise InvalidCursor
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        names, values = json.loads(
            base64.b64decode(padded, altchars="-_", validate=True)
        )
        if names != [order.attribute for order in orders]:
            raise InvalidCursor
        pairs = zip(orders, values, strict=True)
        return [_value(order, value) for order, value in pairs]
    except (
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        RecursionError,
        InvalidValue,
    ):
        raise InvalidCursor from None


def _value(order: _Order, value: Any) -> Any:
    if value is None:
        if not order.column.nullable:
            raise InvalidCursor
        return None
    if not isinstance(value, (bool, int, float, str)):
        raise InvalidCursor
    kind = python_type(order.column.type)
    if issubclass(kind, enum.Enum):
        return kind.__members__[str(value)]
    if kind is bytes:
        return bytes.fromhex(str(value))
    if kind is dt.timedelta:
        return int(value) * _MICROSECOND
    read = coerce(value, order.column.type, "cursor")
    if not _fits(read, kind):
        raise InvalidCursor
    return read


def _fits(value: Any, kind: type[Any]) -> bool:
    """Tell whether a column of *kind* compares with *value*, which anyone may forge."""
    if kind is object:
        return True
    if kind in {float, decimal.Decimal}:
        kinds: tuple[type[Any], ...] = (int, float, decimal.Decimal)
    else:
        kinds = (kind,)
    return isinstance(value, kinds) and isinstance(value, bool) == (kind is bool)
