"""The list of a view set as a query: filtered, searched, ordered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select

from accel_db import OrmAsync
from accel_viewset._fast_lane import FastLane
from accel_viewset._filters import Selection


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of one request; implements `Source` for the paginators."""

    aorm: OrmAsync
    statement: Select[Any]
    selection: Selection
    """The order that the client asked for, and all conditions of *statement*."""
    default_order: Sequence[Any]
    key: Sequence[Any]
    deep: Any
    lane: FastLane | None
    """What reads rows instead of objects, if that will do."""

    @property
    def _order(self) -> Sequence[Any]:
        order = self.selection.order
        return self.default_order if order is None else order

    async def items(self, *, offset: int, limit: int) -> Sequence[Any]:
        """Return the rows at *offset*, in an order that never changes."""
        if self.lane is not None:
            return await self.lane.part(
                self.aorm, self.selection, offset=offset, limit=limit
            )
        statement = self.statement.order_by(*self._order, *self.key)
        statement = statement.offset(offset).limit(limit)
        return await self.aorm.get_list(statement, deep=self.deep)

    async def total(self) -> int:
        """Return how many rows there are."""
        if self.lane is not None:
            return await self.lane.total(self.aorm, self.selection)
        return await self.aorm.count(self.statement.with_only_columns(*self.key))

    async def page(self, *, offset: int, limit: int) -> tuple[Sequence[Any], int]:
        """Return the rows at *offset*, and how many there are."""
        if self.lane is not None:
            return await self.lane.page(
                self.aorm, self.selection, offset=offset, limit=limit
            )
        total = await self.total()
        # To skip rows beyond the end, a database still reads all of them.
        found = await self.items(offset=offset, limit=limit) if offset < total else []
        return found, total

    async def after(
        self, cursor: str | None, *, limit: int
    ) -> tuple[Sequence[Any], str | None]:
        """Return the rows after *cursor*, and the cursor of the rest."""
        page = await self.aorm.cursor_page(
            self.statement,
            order_by=self._order,
            cursor=cursor,
            size=limit,
            deep=self.deep,
        )
        return page.items, page.next_cursor
