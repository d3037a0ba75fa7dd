"""Sessions for FastAPI's `Depends`, and for plain `for` loops."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from accel_db._errors import DatabaseError
from accel_db._fastapi import (
    after_response,
    before_response,
    http_connection,
    in_thread,
)
from accel_db._orm import Orm
from accel_db._orm_async import OrmAsync
from accel_db._translation import translated

__all__ = ["SessionDependencies", "http_connection"]


class SessionDependencies:
    """The seed's injectors.

    Each is a generator with one optional parameter, which FastAPI fills with the
    request. Connections are given back, and transactions committed, *before* the
    response is sent; the session is closed after it.
    """

    session: sessionmaker[Session]
    """Makes sync sessions: `with db.session() as session`."""
    asession: async_sessionmaker[AsyncSession]
    """Makes async sessions: `async with db.asession() as session`."""

    def get_session(self, request: Any = None) -> Iterator[Session]:
        """Provide a session; what you do not commit is rolled back."""
        with self.session() as session:
            _release(request, lambda: in_thread(session.close))
            yield session

    def get_session_transaction(self, request: Any = None) -> Iterator[Session]:
        """Provide a session that commits before the response, or rolls back."""
        with self.session() as session:
            session.begin()
            _finish(
                request,
                lambda: in_thread(lambda: _commit(session)),
                lambda: in_thread(session.rollback),
            )
            try:
                yield session
            except BaseException:
                session.rollback()
                raise
            _commit(session)

    def get_orm(self, request: Any = None) -> Iterator[Orm]:
        """Provide an `Orm`, whose calls commit by themselves."""
        with self.session() as session:
            _release(request, lambda: in_thread(session.close))
            yield Orm(session)

    async def aget_session(self, request: Any = None) -> AsyncIterator[AsyncSession]:
        """Provide a session; what you do not commit is rolled back."""
        async with self.asession() as session:
            _release(request, session.close)
            yield session

    async def aget_session_transaction(
        self, request: Any = None
    ) -> AsyncIterator[AsyncSession]:
        """Provide a session that commits before the response, or rolls back."""
        async with self.asession() as session:
            await session.begin()
            _finish(request, lambda: _acommit(session), session.rollback)
            try:
                yield session
            except BaseException:
                await session.rollback()
                raise
            await _acommit(session)

    async def aget_orm(self, request: Any = None) -> AsyncIterator[OrmAsync]:
        """Provide an `OrmAsync`, whose calls commit by themselves."""
        async with self.asession() as session:
            _release(request, session.close)
            yield OrmAsync(session)

    async def orm_of(self, request: Any) -> OrmAsync:
        """Return an `OrmAsync` that FastAPI closes together with *request*.

        For dependencies of your own: one that returns costs a request much less than
        one that yields. Without a request of FastAPI nobody closes it, and code that
        works on its `session` must do so.
        """
        before, after = before_response(request), after_response(request)
        if before is None or after is None:
            return OrmAsync(self.asession())
        if getattr(self.aget_orm, "__func__", None) is not SessionDependencies.aget_orm:
            # A manager of the user's, which provides it in a way of its own.
            provide = asynccontextmanager(self.aget_orm)
            return await after.enter_async_context(provide(request))
        session = self.asession()
        for stack in (after, before):
            stack.push_async_callback(_close, session)
        return OrmAsync(session)

    for injector in (
        get_session,
        get_session_transaction,
        get_orm,
        aget_session,
        aget_session_transaction,
        aget_orm,
        orm_of,
    ):
        # FastAPI evaluates the text when it looks at the signature, and by then
        # Starlette is imported. The parameter stays out of OpenAPI.
        injector.__annotations__["request"] = "http_connection()"
    del injector


def _release(request: Any, close: Callable[[], Awaitable[None]]) -> None:
    """Give the connection back before the response, which may stream for long."""
    if (stack := before_response(request)) is not None:
        stack.push_async_callback(close)


async def _close(session: AsyncSession) -> None:
    """Close *session*, unless nothing is left to give back, which is the rule.

    Each call of an `OrmAsync` has ended its transaction by then, and to ask is so much
    cheaper than to close.
    """
    if session.in_transaction():
        # Unlike close(), this goes on when the request is cancelled.
        await session.__aexit__(None, None, None)


def _finish(
    request: Any,
    commit: Callable[[], Awaitable[None]],
    rollback: Callable[[], Awaitable[None]],
) -> None:
    if (stack := before_response(request)) is None:
        return

    async def finish(
        kind: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        await (commit() if kind is None else rollback())
        return False

    stack.push_async_exit(finish)


def _commit(session: Session) -> None:
    with translated(session):
        session.commit()


async def _acommit(session: AsyncSession) -> None:
    try:
        with translated(session.sync_session):
            await session.commit()
    except DatabaseError:
        await session.rollback()
        raise
