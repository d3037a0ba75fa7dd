"""Reading and holding the rows of a view set."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from fastapi import Depends, Request, Response
from sqlalchemy import Row, Select, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.attributes import instance_dict

from accel_db import DatabaseError, InvalidValue, NotFound, OrmAsync
from accel_viewset._app_orm import AppOrm
from accel_viewset._conditional import check_match, etag_of
from accel_viewset._errors import OutOfScope
from accel_viewset._fast_lane import FastLane
from accel_viewset._generic import GenericViewSet
from accel_viewset._guards import resolved
from accel_viewset._routing import action_of
from accel_viewset._types import is_kept

ORM = Depends(AppOrm.aget_orm)
_JSON = "application/json"
_NOTHING: frozenset[str] = frozenset()


class Rows(GenericViewSet):
    """Reads rows within their scope, and writes them as responses."""

    async def get_object(
        self,
        request: Request,
        item_id: Any,
        aorm: OrmAsync,
        *,
        action: str | None = None,
        expand: frozenset[str] = _NOTHING,
    ) -> Any:
        """Return the row *item_id*, if *request* may do *action* to it.

        By default *action* is the one that answers the request, such as the `@action`
        that calls this.

        Raises:
            NotFound: there is no such row within the scope.
            PermissionRefused: a permission says no.
        """
        deep = self._deep(expand)
        async with self._keyed(item_id, aorm):
            if self._is_scoped:
                where = self._is_row(item_id)
                rows = await self._rows(request)
                found = await aorm.get(rows.where(*where), deep=deep)
            else:
                parts = self._key.parts(item_id)
                found = await aorm.get_item(self.db_model, parts, deep=deep)
        if found is None:
            raise self._missing(item_id)
        if self._checks_rows:
            await self._guards.check_row(request, action or action_of(request), found)
        return found

    @property
    def _open_lane(self) -> FastLane | None:
        """Return the fast lane, if there is one that may be taken now."""
        lane = self._lane
        return lane if lane is not None and lane.is_open else None

    async def _rows(self, request: Request) -> Select[Any]:
        """Return the query for the rows that *request* may see."""
        statement = self._everything
        if where := self._parents.where(request):
            statement = statement.where(*where)
        narrowed: Select[Any] = await resolved(self.scope_query(statement, request))
        return narrowed

    def _is_row(self, item_id: Any) -> list[Any]:
        parts = self._key.parts(item_id)
        return [c == v for c, v in zip(self._key.columns, parts, strict=True)]

    @asynccontextmanager
    async def _keyed(self, item_id: Any, aorm: OrmAsync) -> AsyncIterator[None]:
        """Let a key that no row can have be a missing row, not an invalid value."""
        if not self._key.fits(item_id):
            raise self._missing(item_id)
        try:
            yield
        except InvalidValue:
            # PostgreSQL says the same of a key that is too long and of a payload that is.
            if await self._is_no_key(item_id, aorm):
                raise self._missing(item_id) from None
            raise

    async def _is_no_key(self, item_id: Any, aorm: OrmAsync) -> bool:
        try:
            await aorm.exists(select(self.db_model).where(*self._is_row(item_id)))
        except InvalidValue:
            return True
        except (DatabaseError, DBAPIError):
            # The transaction is beyond asking: the first error stands.
            return False
        return False

    def _missing(self, item_id: Any) -> NotFound:
        shown = item_id if isinstance(item_id, (int, tuple)) else str(item_id)
        return NotFound(self.db_model.__name__, shown)

    def _deep(self, expand: frozenset[str] = _NOTHING) -> Any:
        """Return which related rows the response needs."""
        if self._expansion:
            return self._expansion.plan(expand)
        return self.pydantic_model if self.deep_schema else False

    @asynccontextmanager
    async def _changing(
        self,
        request: Request,
        action: str,
        item_id: Any,
        aorm: OrmAsync,
        *,
        stays: bool = True,
    ) -> AsyncIterator[None]:
        """Hold a row still while it is checked and changed, where that is needed."""
        if not (self._is_scoped or self._checks_rows or self.etag):
            async with self._keyed(item_id, aorm):
                yield
            return
        async with self._keyed(item_id, aorm), aorm.transaction():
            where = self._is_row(item_id)
            # Apart from `get_object`, which loads related rows that need no lock.
            await aorm.get(select(self.db_model).where(*where).with_for_update())
            row = await self.get_object(request, item_id, aorm, action=action)
            if self.etag:
                current = self._one(row)
                check_match(request, current, required=self.etag == "required")
            yield
            if stays:
                await self._check_scope(request, where, aorm)

    async def _check_scope(self, request: Request, where: Any, aorm: OrmAsync) -> None:
        """Raise if a write moved its row to where its author cannot see it."""
        if not self._is_scoped:
            return
        rows = await self._rows(request)
        if not await aorm.exists(rows.where(*where)):
            raise OutOfScope

    async def _stored(self, row: Any, aorm: OrmAsync) -> Any:
        """Return the new *row* as a later request reads it.

        `9.9` is `9.90` once it is stored, and the `ETag` must be that of the row.
        """
        # What is read deep has been read again already.
        if self.deep_schema or not isinstance(row, self.db_model):
            return row
        key = self._key.read(row)
        written = instance_dict(row)
        kept = (is_kept(kind, written.get(name)) for name, kind in self._kinds)
        # To read it costs as much as to create it.
        if key is None or all(kept):
            return row
        again = select(self.db_model).where(*self._is_row(key))
        # Somebody else may have deleted it meanwhile.
        found = await aorm.get(again.execution_options(populate_existing=True))
        return row if found is None else found

    @cached_property
    def _kinds(self) -> list[tuple[str, Any]]:
        """Return the columns and their types."""
        return [(x.key, x.columns[0].type) for x in self._mapper.column_attrs]

    # Responses

    def _one(self, item: Any, expand: frozenset[str] = _NOTHING) -> bytes:
        """Return *item* as the schema shows it."""
        if isinstance(item, Row) and self._lane is not None:
            return self._lane.one(item)
        shown = self._expansion.view(item, expand)
        return self._renderer.one(shown, hidden=self._expansion.hidden(expand))

    def _many(self, items: Sequence[Any], expand: frozenset[str] = _NOTHING) -> bytes:
        """Return *items* as the schema shows them."""
        if items and isinstance(items[0], Row) and self._lane is not None:
            return self._lane.many(items)
        shown = [self._expansion.view(item, expand) for item in items]
        return self._renderer.many(shown, hidden=self._expansion.hidden(expand))

    def _reply(
        self,
        body: bytes,
        injected: Response,
        *,
        status: int = 200,
        cached: bool = False,
    ) -> Response:
        """Return a response with the headers that dependencies set."""
        response = Response(body, status, media_type=_JSON)
        if self.etag:
            response.headers["ETag"] = etag_of(body)
        if not (cached and self._cache is not None):
            # The cache adds them by itself, to what it keeps for others.
            response.raw_headers.extend(injected.raw_headers)
        return response
