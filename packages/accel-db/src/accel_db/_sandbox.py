"""A transaction around a test, which is rolled back at its end."""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only

from accel_db._errors import ConfigurationError
from accel_db._manager import MainDatabaseManager
from accel_db._session import ManagedSession

_PATIENCE = 10.0


class _Sandbox:
    """Puts every session of one half on one connection, each in a savepoint.

    Savepoints of one connection cannot overlap, so whole transactions take turns: a
    session waits until the transaction of another task (or thread) has ended.
    """

    def __init__(self, connection: Connection, *, asynchronous: bool) -> None:
        self._connection = connection
        self._asynchronous = asynchronous
        self._lock: Any = asyncio.Lock() if asynchronous else threading.Lock()
        self._owner: object = None
        self._inside: set[int] = set()
        self._known: weakref.WeakSet[Session] = weakref.WeakSet()

    def bind_for(self, session: ManagedSession) -> Connection:
        """Return the connection, once it is the turn of *session*."""
        if session.asynchronous != self._asynchronous:
            half = "sync" if self._asynchronous else "async"
            raise ConfigurationError(
                f"The {half} half is outside of this sandbox: what it wrote would stay. "
                "Use one half per test, or isolate by `clear_all`."
            )
        if id(session) not in self._inside:
            self._enter(session)
        return self._connection

    def _enter(self, session: ManagedSession) -> None:
        session.join_transaction_mode = "create_savepoint"
        if session not in self._known:
            self._known.add(session)
            event.listen(session, "after_transaction_end", self._leave)
        owner = self._current()
        if self._owner is not owner:
            self._acquire()
            self._owner = owner
        self._inside.add(id(session))

    def _leave(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is not None or id(session) not in self._inside:
            return
        self._inside.discard(id(session))
        if not self._inside:
            self._owner = None
            self._lock.release()

    def _current(self) -> object:
        if self._asynchronous:
            return asyncio.current_task()
        return threading.current_thread()

    def _acquire(self) -> None:
        if self._asynchronous:
            await_only(self._lock.acquire())
        elif not self._lock.acquire(timeout=_PATIENCE):
            raise ConfigurationError(
                "A session of another thread kept the sandbox for "
                f"{_PATIENCE} s: close it first."
            )


class rollback_sandbox:  # noqa: N801  # it is used like a function
    """Rolls back everything that the sessions of *manager* write in the block.

    `async with` isolates the async half, for tests that call the application on their
    own event loop (such as `httpx.ASGITransport`); `with` isolates the sync half.
    Commits become savepoints, so that the code under test works as ever; parallel
    requests take turns.
    """

    def __init__(self, manager: MainDatabaseManager) -> None:
        self._manager = manager
        self._end: Any = None

    def __enter__(self) -> MainDatabaseManager:
        """Isolate the sync half."""
        self._end = self._sync()
        return self._end.__enter__()  # type: ignore[no-any-return]

    def __exit__(self, *exc: object) -> None:
        """Roll back."""
        self._end.__exit__(*exc)

    async def __aenter__(self) -> MainDatabaseManager:
        """Isolate the async half."""
        self._end = self._async()
        return await self._end.__aenter__()  # type: ignore[no-any-return]

    async def __aexit__(self, *exc: object) -> None:
        """Roll back."""
        await self._end.__aexit__(*exc)

    @contextmanager
    def _sync(self) -> Iterator[MainDatabaseManager]:
        with self._manager.engine.connect() as connection:
            transaction = connection.begin()
            try:
                sandbox = _Sandbox(connection, asynchronous=False)
                with self._manager.override(sandbox):
                    yield self._manager
            finally:
                transaction.rollback()

    @asynccontextmanager
    async def _async(self) -> AsyncIterator[MainDatabaseManager]:
        async with self._manager.aengine.connect() as connection:
            transaction = await connection.begin()
            try:
                sandbox = _Sandbox(connection.sync_connection, asynchronous=True)  # type: ignore[arg-type]
                with self._manager.override(sandbox):
                    yield self._manager
            finally:
                await transaction.rollback()
