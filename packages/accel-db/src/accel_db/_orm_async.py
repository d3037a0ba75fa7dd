"""CRUD on an async session."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

from sqlalchemy import Delete, Select, Update
from sqlalchemy.ext.asyncio import AsyncSession

from accel_db._orm import Orm
from accel_db._pages import CursorPage, Page
from accel_db._plan import Deep
from accel_db._streams import stream_plan
from accel_db._translation import reached, translated

M = TypeVar("M")
R = TypeVar("R")


class OrmAsync:
    """Reads and writes objects; each call commits by itself.

    Inside `async with aorm.transaction():`, or in a session that began explicitly,
    calls only flush. Objects stay usable after the session is closed. The methods are
    those of `Orm`, one for one.
    """

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self._orm = Orm(session.sync_session)

    async def _run(self, method: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        return await self.session.run_sync(lambda _: method(*args, **kwargs))

    # Transactions

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["OrmAsync"]:
        """Make the calls in the block one transaction; inside another, a savepoint."""
        end = await self._run(self._orm.begin)
        try:
            yield self
        except BaseException:
            await self._run(end, False)
            raise
        await self._run(end, True)

    @asynccontextmanager
    async def nested(self) -> AsyncIterator["OrmAsync"]:
        """Make the calls in the block a savepoint, which may fail alone."""
        with translated(self.session.sync_session):
            async with self.session.begin_nested():
                yield self

    # Reading

    async def get(self, statement: Select[M], *, deep: Deep = False) -> M | None:
        """Return the first object that *statement* finds, or None."""
        return await self._run(self._orm.get, statement, deep=deep)

    async def get_one(self, statement: Select[M], *, deep: Deep = False) -> M:
        """Return the first object that *statement* finds, or raise `NotFound`."""
        return await self._run(self._orm.get_one, statement, deep=deep)

    async def get_list(
        self,
        statement: Select[M],
        *,
        deep: Deep = False,
        db_model: type[Any] | None = None,
    ) -> list[M]:
        """Return every object that *statement* finds; a LIMIT counts these objects."""
        return await self._run(
            self._orm.get_list, statement, deep=deep, db_model=db_model
        )

    async def rows(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Return the rows of columns that *statement* finds; see `Orm.rows`."""
        return await self._run(self._orm.rows, statement, parameters)

    async def reading(self, work: Callable[[Orm], R]) -> R:
        """Return what *work* does with an `Orm`, whose reads share a connection.

        *work* is no coroutine: it runs where the calls of an `Orm` may wait for the
        database. See `Orm.reading`.
        """
        return await self._run(self._orm.reading, work)

    async def get_item(
        self, model: type[M], pk: object, *, deep: Deep = False
    ) -> M | None:
        """Return the object with the primary key *pk* (a tuple if composite), or None."""
        return await self._run(self._orm.get_item, model, pk, deep=deep)

    async def get_item_or_raise(
        self, model: type[M], pk: object, *, deep: Deep = False
    ) -> M:
        """Return the object with the primary key *pk*, or raise `NotFound`."""
        return await self._run(self._orm.get_item_or_raise, model, pk, deep=deep)

    async def count(self, statement: Select[Any]) -> int:
        """Return how many rows *statement* would find."""
        return await self._run(self._orm.count, statement)

    async def exists(self, statement: Select[Any]) -> bool:
        """Tell whether *statement* would find a row."""
        return await self._run(self._orm.exists, statement)

    async def page(
        self,
        statement: Select[M],
        *,
        page: int = 1,
        size: int = 50,
        deep: Deep = False,
    ) -> Page[M]:
        """Return page number *page* of what *statement* finds, and how much there is."""
        return await self._run(
            self._orm.page, statement, page=page, size=size, deep=deep
        )

    async def cursor_page(
        self,
        statement: Select[M],
        *,
        order_by: Sequence[Any] = (),
        cursor: str | None = None,
        size: int = 50,
        deep: Deep = False,
    ) -> CursorPage[M]:
        """Return the *size* objects after *cursor*, at the same cost on every page."""
        return await self._run(
            self._orm.cursor_page,
            statement,
            order_by=order_by,
            cursor=cursor,
            size=size,
            deep=deep,
        )

    async def stream(
        self, statement: Select[M], *, batch: int = 500, deep: Deep = False
    ) -> AsyncIterator[M]:
        """Iterate over what *statement* finds, *batch* objects in memory at a time.

        The connection is held until the iteration ends: wrap it in
        `contextlib.aclosing` if you may leave it early.
        """
        query, options, load = stream_plan(
            self.session.sync_session, statement, batch, deep
        )
        try:
            with reached(self.session.sync_session):
                result = await self.session.stream_scalars(
                    query, execution_options=options
                )
                try:
                    async for objects in result.partitions():
                        await self._run(load, objects)
                        for instance in objects:
                            yield instance
                finally:
                    await result.close()
        finally:
            await self._run(self._orm.end_of_stream)

    async def eager_refresh(self, instance: M, *, deep: Deep = True) -> M:
        """Read *instance* again, with everything that *deep* names."""
        return await self._run(self._orm.eager_refresh, instance, deep=deep)

    # Writing

    @overload
    async def create_item(
        self, item: Mapping[str, Any], db_model: type[M], *, deep: Deep = False
    ) -> M: ...
    @overload
    async def create_item(
        self, item: M, db_model: None = None, *, deep: Deep = False
    ) -> M: ...
    @overload
    async def create_item(
        self, item: object, db_model: type[M], *, deep: Deep = False
    ) -> M: ...
    async def create_item(
        self, item: Any, db_model: type[Any] | None = None, *, deep: Deep = False
    ) -> Any:
        """Create *item*, an object or the data (dict, schema) of a *db_model*."""
        return await self._run(self._orm.create_item, item, db_model, deep=deep)

    async def update_item(
        self, model: type[M], pk: object, data: Any, *, deep: Deep = False
    ) -> M | None:
        """Set what *data* (dict or schema) names on the object *pk*, or return None.

        See `Orm.update_item` for what *deep* does to related objects.
        """
        return await self._run(self._orm.update_item, model, pk, data, deep=deep)

    async def delete_item(
        self, model: type[Any], pk: object, *, deep: bool = False
    ) -> bool:
        """Delete the object *pk*, with *deep* its children too; False if there is none."""
        return await self._run(self._orm.delete_item, model, pk, deep=deep)

    async def update(self, statement: Update, data: Mapping[str, Any] | Any) -> Any:
        """Set *data* on the rows of *statement*; return the first of them, or None."""
        return await self._run(self._orm.update, statement, data)

    async def update_list(
        self, statement: Update, data: Mapping[str, Any] | Any
    ) -> list[Any]:
        """Set *data* on the rows of *statement*, and return them."""
        return await self._run(self._orm.update_list, statement, data)

    async def delete(self, statement: Delete) -> bool:
        """Delete the rows of *statement*; tell whether there were any."""
        return await self._run(self._orm.delete, statement)

    async def bulk_create(
        self, model: type[M], rows: Iterable[Any], *, batch: int = 1000
    ) -> list[M]:
        """Insert *rows* (objects, dicts or schemas), many per statement, all or none."""
        return await self._run(self._orm.bulk_create, model, rows, batch=batch)

    async def upsert(
        self,
        model: type[M],
        rows: Iterable[Any],
        *,
        on: Sequence[str] = (),
        update: Sequence[str] | None = None,
    ) -> list[M]:
        """Insert *rows*, or update those that exist already, and return them."""
        return await self._run(self._orm.upsert, model, rows, on=on, update=update)
