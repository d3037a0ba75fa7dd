"""A transaction around a test, which is rolled back at its end."""

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from accel_db._engines import Engines
from accel_db._manager import MainDatabaseManager, Override
from accel_db._savepoints import SharedConnection, yield_to_loop


class _Transaction:
    """A driver's connection, as far as SQLAlchemy can tell.

    It begins with the first cursor, and commits and rolls back a savepoint.
    """

    def __init__(self, shared: SharedConnection) -> None:
        self._shared = shared
        self._point: Any = None
        self._autocommit = False

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        # As an async driver would: races between tasks must show.
        yield_to_loop()
        if self._point is None:
            self._point = self._shared.enter()
        return _Cursor(self._shared.raw.cursor(*args, **kwargs))

    def note_write(self) -> None:
        if self._point is not None:
            self._point.wrote = True

    def commit(self) -> None:
        self._leave(keep=True)

    def rollback(self) -> None:
        self._leave(keep=self._autocommit)

    close = rollback

    def _leave(self, *, keep: bool) -> None:
        point, self._point = self._point, None
        if point is None:
            return
        try:
            self._shared.leave(point, keep=keep)
        except Exception:
            # A commit that failed can still be rolled back.
            self._point = point if keep else None
            raise

    @property
    def autocommit(self) -> bool:
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        self._leave(keep=self._autocommit)
        self._autocommit = value

    @property
    def isolation_level(self) -> str | None:
        return None if self._autocommit else ""

    @isolation_level.setter
    def isolation_level(self, value: Any) -> None:
        # SQLite's way to say autocommit. The level of a transaction that has begun
        # cannot change, so PostgreSQL's others are what the outer one is.
        if not self._shared.postgres:
            self.autocommit = value is None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shared.raw, name)


class _Cursor:
    """A driver's cursor, which the async face of SQLAlchemy accepts, too."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    async def _async_soft_close(self) -> None:
        """Do nothing: SQLAlchemy asks drivers that must be awaited for it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class _SyncBehindAsync(AsyncEngine):
    """An async engine that never waits, since a sync driver does its work."""

    def __init__(self, engine: Engine) -> None:
        self.sync_engine = self._assign_proxied(engine)


class Sandbox(Engines):
    """Both halves of a manager on one connection, which rolls back at the end."""

    transient = True

    def __init__(self, around: Engines) -> None:
        super().__init__(around.urls.sync, around.options, around.on_create)
        self.urls = around.urls
        real = around.sync
        self._real, self._pool = real, real.pool
        self._connection = real.raw_connection()
        shared = SharedConnection(self._connection.dbapi_connection)
        self.shared = shared
        pool = NullPool(lambda: _Transaction(shared), dialect=real.dialect)
        self._engine = Engine(
            pool, real.dialect, real.url, hide_parameters=real.hide_parameters
        )
        self._engine.echo = real.echo
        event.listen(self._engine, "before_cursor_execute", _note_write)
        self.on_create(self._engine)
        self._asynchronous = _SyncBehindAsync(self._engine)
        shared.begin()

    @property
    def sync(self) -> Engine:
        """Return the engine of the sandbox."""
        return self._engine

    @property
    def asynchronous(self) -> AsyncEngine:
        """Return the engine of the sandbox, for async code of any loop."""
        return self._asynchronous

    def dispose(self) -> None:
        """Keep the sandbox: an application that ends must not end the test."""

    async def adispose(self) -> None:
        """Keep the sandbox: an application that ends must not end the test."""

    def roll_back(self) -> None:
        """Undo everything, and give the connection back."""
        try:
            self.shared.end()
        finally:
            if self._real.pool is not self._pool:
                # An application ended meanwhile, and its pool closes nothing any more.
                self._connection.detach()
            self._connection.close()


def _note_write(
    connection: Connection, _cursor: object, statement: str, *_: object
) -> None:
    transaction: Any = connection.connection.dbapi_connection
    if not statement.lstrip()[:6].upper().startswith("SELECT"):
        transaction.note_write()


class rollback_sandbox:  # noqa: N801  # it is used like a function
    """Rolls back everything that *manager* writes in the block, by either half.

    `with` and `async with`. Sessions and engines of both halves share one connection, in
    one transaction: a commit becomes the end of a savepoint, so that the code under test
    commits, rolls back and hits constraints as ever, and both halves see each other's
    rows. Nothing is left behind, even if the process is killed.

    Unrelated transactions, such as those of parallel requests, take turns. Those of one
    request may overlap; if the first of two that wrote is rolled back, that is a
    `ConfigurationError`.

    What it cannot show: locks between connections, `LISTEN`, isolation levels, a clock
    (`now()` is the time the test began), and what an async driver refuses and the sync
    one does not. asyncpg takes no `str` for a date, for example, and no aware
    `datetime` for a column without a zone. On SQLite both halves use one driver.
    """

    def __init__(self, manager: MainDatabaseManager) -> None:
        self._manager = manager
        self._sandbox: Sandbox | None = None
        self._override: Override | None = None

    def __enter__(self) -> MainDatabaseManager:
        """Begin the transaction."""
        self._sandbox = Sandbox(self._manager.engines)
        self._override = self._manager.override(self._sandbox)
        return self._override.__enter__()

    def __exit__(self, *exc: object) -> None:
        """Roll back."""
        if self._override is not None and self._sandbox is not None:
            self._override.__exit__(*exc)
            self._sandbox.roll_back()

    async def __aenter__(self) -> MainDatabaseManager:
        """Begin the transaction."""
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        """Roll back."""
        self.__exit__(*exc)
