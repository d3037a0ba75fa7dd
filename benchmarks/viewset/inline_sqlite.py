"""SQLite for async engines, on the thread of the caller.

aiosqlite hands every call to a thread, and that takes longer than most of what is
measured. Nothing here waits for a disk long enough to need a thread.
"""

import sqlite3
from typing import Any, Self


async def connect(database: str, **options: Any) -> "Connection":
    """Connect as aiosqlite does: `connect_args={"async_creator_fn": connect}`."""
    return Connection(sqlite3.connect(database, **options))


class Cursor:
    """What SQLAlchemy calls of a cursor."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, *args: Any) -> None:
        self._cursor.execute(*args)

    async def executemany(self, *args: Any) -> None:
        self._cursor.executemany(*args)

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class Connection:
    """What SQLAlchemy calls of a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        # SQLAlchemy knows these two of aiosqlite: the connection, and its queue.
        self._connection = self._conn = connection
        self._tx = self

    def put_nowait(self, job: tuple[Any, Any]) -> None:
        future, function = job
        future.set_result(function())

    def cursor(self) -> Cursor:
        return Cursor(self._connection.cursor())

    async def create_function(self, *args: Any, **options: Any) -> None:
        self._connection.create_function(*args, **options)

    async def commit(self) -> None:
        self._connection.commit()

    async def rollback(self) -> None:
        self._connection.rollback()

    async def close(self) -> None:
        self._connection.close()

    def stop(self) -> None:
        self._connection.close()
