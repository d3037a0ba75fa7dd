"""Pages by cursor: queries for what comes after a row."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Dialect, Select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import UnaryExpression

from accel_db._carriers import Carrier, carrier_of
from accel_db._errors import InvalidCursor, InvalidPayload, InvalidValue
from accel_db._pages import CursorPage, check_size

_LONGEST_CURSOR = 4096
_MARKS = (
    *(operators.asc_op, operators.desc_op),
    *(operators.nulls_first_op, operators.nulls_last_op),
)


@dataclass(frozen=True, slots=True)
class _Order:
    attribute: str
    column: Any
    carrier: Carrier
    descending: bool
    nulls_first: bool

    @property
    def nullable(self) -> bool:
        # An expression in SQL does not know.
        return getattr(self.column, "nullable", True)

    def clause(self) -> ColumnElement[Any]:
        """Order by NULL first or last: databases disagree on where it belongs."""
        compared = self.carrier.compared
        clause: ColumnElement[Any] = (
            sa.desc(compared) if self.descending else sa.asc(compared)
        )
        if not self.nullable:
            return clause
        # In the order itself: beside a DISTINCT, PostgreSQL orders by no condition.
        return clause.nulls_first() if self.nulls_first else clause.nulls_last()

    def known(self, plain: Any) -> ColumnElement[Any] | None:
        """Return the value of a cursor, or None where that has no value."""
        if plain is not None:
            return self.carrier.known(plain)
        if not self.nullable:
            raise InvalidCursor
        return None

    def after(self, known: ColumnElement[Any] | None) -> ColumnElement[bool]:
        """Return the condition for rows beyond *known* in this column alone."""
        if known is None:
            return self.column.is_not(None) if self.nulls_first else sa.false()
        compared = self.carrier.compared
        beyond = compared < known if self.descending else compared > known
        if self.nulls_first or not self.nullable:
            return beyond
        return sa.or_(beyond, self.column.is_(None))

    def same(self, known: ColumnElement[Any] | None) -> ColumnElement[bool]:
        if known is None:
            return self.column.is_(None)  # type: ignore[no-any-return]
        return self.carrier.compared == known


class CursorQuery:
    """The query for one page, and what makes a page of its rows.

    Raises:
        InvalidPayload: the statement or the order is none that a cursor can follow.
        InvalidCursor: the cursor was not issued for this query.
    """

    def __init__(
        self,
        statement: Select[Any],
        dialect: Dialect,
        *,
        order_by: Sequence[Any],
        cursor: str | None,
        size: int,
    ) -> None:
        check_size(size)
        entity = _entity(statement)
        if entity is None:
            raise InvalidPayload("statement", "a cursor needs a query for one model")
        self._size = size
        self._orders = list(_orders(entity, order_by, dialect))
        self._positions: list[Any] = []
        # An order of its own would contradict the condition of the cursor.
        query = statement.order_by(None)
        query = query.order_by(*(x.clause() for x in self._orders))
        query = query.add_columns(*_labelled(self._orders))
        if cursor:
            query = query.where(_beyond(self._orders, _decode(cursor, self._orders)))
        # One object more than asked for tells whether there is a next page.
        self.statement = query.limit(size + 1)

    def objects(self, _statement: object, result: Any) -> list[Any]:
        """Return the objects of *result*, and keep where they are."""
        # Joined eager loading repeats the parent of each child.
        rows = result.unique().all()
        self._positions = [row[1:] for row in rows]
        return [row[0] for row in rows]

    def page(self, found: list[Any]) -> CursorPage[Any]:
        """Return *found* as a page."""
        more = len(found) > self._size
        items = found[: self._size]
        return CursorPage(items, self._cursor_after(len(items)) if more else None)

    def _cursor_after(self, count: int) -> str:
        pairs = zip(self._orders, self._positions[count - 1], strict=True)
        values = [None if x is None else order.carrier.plain(x) for order, x in pairs]
        text = json.dumps([[order.attribute for order in self._orders], values])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _labelled(orders: list[_Order]) -> Iterator[ColumnElement[Any]]:
    # Under a name of its own, SQLAlchemy keeps it apart from the object's column.
    for number, order in enumerate(orders):
        yield order.carrier.read.label(f"position_{number}")


def _entity(statement: Select[Any]) -> Any:
    """Return the model, or the alias of one, that *statement* selects alone."""
    descriptions = statement.column_descriptions
    if len(descriptions) != 1:
        return None
    entity = descriptions[0].get("entity")
    return entity if entity is descriptions[0]["expr"] else None


def _orders(entity: Any, order_by: Sequence[Any], dialect: Dialect) -> Iterator[_Order]:
    mapper = sa.inspect(entity).mapper
    seen = set()
    for item in [*order_by, *_key(entity, mapper)]:
        clause = sa.inspect(item) if hasattr(item, "__clause_element__") else item
        clause = getattr(clause, "expression", clause)
        clause, marks = _unmarked(clause)
        descending = operators.desc_op in marks
        nulls_first = operators.nulls_last_op not in marks and (
            not descending or operators.nulls_first_op in marks
        )
        attribute = _attribute(entity, mapper, clause)
        if attribute not in seen:
            seen.add(attribute)
            column = getattr(entity, attribute).expression
            carrier = carrier_of(column, dialect)
            yield _Order(attribute, column, carrier, descending, nulls_first)


def _key(entity: Any, mapper: Mapper[Any]) -> Iterator[Any]:
    for column in mapper.primary_key:
        yield getattr(entity, mapper.get_property_by_column(column).key)


def _unmarked(clause: Any) -> tuple[Any, set[Any]]:
    """Return *clause* without what only says how to order by it, and that."""
    marks = set()
    while isinstance(clause, UnaryExpression) and clause.modifier in _MARKS:
        marks.add(clause.modifier)
        clause = clause.element
    return clause, marks


def _attribute(entity: Any, mapper: Mapper[Any], clause: Any) -> str:
    """Return the name of the attribute of *entity* that *clause* is."""
    try:
        if entity is mapper.class_:
            return mapper.get_property_by_column(clause).key
        # An alias has columns of its own, which the mapper does not know.
        names = {getattr(entity, x.key).expression: x.key for x in mapper.column_attrs}
        return names[clause]
    except (sa.exc.InvalidRequestError, AttributeError, KeyError, TypeError):
        of = "the alias of " if entity is not mapper.class_ else ""
        raise InvalidPayload(
            "order_by", f"a cursor orders by columns of {of}{mapper.class_.__name__}"
        ) from None


def _beyond(
    orders: list[_Order], values: list[ColumnElement[Any] | None]
) -> ColumnElement[bool]:
    """Return `a > x OR (a = x AND b > y) OR …`."""
    alternatives = []
    for position, (order, value) in enumerate(zip(orders, values, strict=True)):
        earlier = zip(orders[:position], values[:position], strict=True)
        equal = [before.same(known) for before, known in earlier]
        alternatives.append(sa.and_(*equal, order.after(value)))
    return sa.or_(*alternatives)


def _decode(cursor: str, orders: list[_Order]) -> list[ColumnElement[Any] | None]:
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
        return [order.known(value) for order, value in pairs]
    except (
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        RecursionError,
        InvalidValue,
    ):
        raise InvalidCursor from None
