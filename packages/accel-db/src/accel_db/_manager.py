"""The manager of one database."""

import asyncio
import logging
import random
import weakref
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Engine, MetaData, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapper, Session, sessionmaker

from accel_db._changes import (
    ChangeCallback,
    ChangeFeed,
    CommitCallback,
    row_keys,
    table_names,
)
from accel_db._dependencies import SessionDependencies
from accel_db._engines import SQLITE_BEGIN, EngineOptions, Engines, milliseconds
from accel_db._errors import NotDevelopment
from accel_db._events import Subscriber, Telemetry
from accel_db._mixins import SoftDeleteMixin, hide_deleted
from accel_db._not_loaded import make_loud
from accel_db._registry import OnePerName
from accel_db._schema import empty_tables
from accel_db._session import ManagedSession
from accel_db._translation import cause_of, reached, translated

logger = logging.getLogger("accel_db")

# PostgreSQL's own names: a constraint without a name gets the one it would get there,
# so that migrations and errors can name it on SQLite, too.
_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


class MainDatabaseManager(SessionDependencies, metaclass=OnePerName):
    """Both halves, sync and async, of one database.

    The same name and configuration give the same manager, so that it may be written in
    several places. Nothing connects before the first statement.

    Args:
        url: `postgresql://…` or `sqlite:///…`, with or without a driver.
        name: tells the managers of one process apart.
        echo: log every statement.
        DEV_STATUS: allow `create_all`, `drop_all` and `clear_all`.
        pool_size: connections that each half keeps.
        max_overflow: connections that each half may open beyond *pool_size*.
        pool_timeout: seconds to wait for a connection.
        pool_recycle: seconds after which a connection is replaced.
        pool_pre_ping: test a connection before each use, for one more round trip.
        statement_timeout: seconds after which PostgreSQL cancels a statement.
        slow_query: seconds after which a statement is reported as `SlowQuery`.
        pgbouncer: be compatible with PgBouncer's transaction mode. Then
            *statement_timeout* costs a round trip per transaction.
        replicas: URLs of read-only copies. A session reads from one until it writes or
            begins explicitly.
        engine_options: further arguments for SQLAlchemy's `create_engine`.
        base: your own declarative base, which type checkers understand better than an
            attribute. By default `Base` is made for this manager.

    Raises:
        ManagerConflict: *name* exists with another configuration.
    """

    def __init__(  # noqa: PLR0913  # each is an option of its own
        self,
        url: str | URL,
        *,
        name: str = "default",
        echo: bool = False,
        DEV_STATUS: bool = False,  # noqa: N803  # the name of the seed
        pool_size: int = 10,
        max_overflow: int = 10,
        pool_timeout: float = 30.0,
        pool_recycle: int = 1800,
        pool_pre_ping: bool = False,
        statement_timeout: float | None = None,
        slow_query: float = 0.5,
        pgbouncer: bool = False,
        replicas: Sequence[str | URL] = (),
        engine_options: Mapping[str, Any] | None = None,
        base: type[DeclarativeBase] | None = None,
    ) -> None:
        self.name = name
        """One manager of each name exists at a time."""
        self.DEV_STATUS = DEV_STATUS
        """Whether tables may be made, dropped and emptied."""
        self._options = EngineOptions(
            echo=echo,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=pool_timeout,
            pool_recycle=pool_recycle,
            pool_pre_ping=pool_pre_ping,
            statement_timeout=statement_timeout,
            pgbouncer=pgbouncer,
            show_parameters=DEV_STATUS,
            extra=dict(engine_options or {}),
        )
        self._telemetry = Telemetry(slow_query)
        self._primary = self._engines_of(url)
        self._replicas = [self._engines_of(replica) for replica in replicas]
        self._override: Engines | None = None
        # A class of its own, so that listeners reach the sessions of one manager only.
        self._session_class: type[ManagedSession] = type(
            "ManagedSession", (ManagedSession,), {}
        )
        self.Base: Any = _declarative_base(self, base)
        """What the models of this database inherit."""
        self._changes = ChangeFeed(self._session_class)
        self.session = sessionmaker(
            class_=self._session_class,
            manager=self,
            asynchronous=False,
            expire_on_commit=False,
        )
        self.asession = async_sessionmaker(
            sync_session_class=self._session_class,
            manager=self,
            asynchronous=True,
            expire_on_commit=False,
        )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name!r} url={self._primary.urls.sync} "
            f"DEV_STATUS={self.DEV_STATUS}>"
        )

    def _engines_of(self, url: str | URL) -> Engines:
        return Engines(url, self._options, self._telemetry.watch)

    # Where to connect

    @property
    def database_url(self) -> str:
        """Return the URL of the sync half, with its password."""
        return self._current.urls.sync.render_as_string(hide_password=False)

    @property
    def adatabase_url(self) -> str:
        """Return the URL of the async half, with its password."""
        return self._current.urls.asynchronous.render_as_string(hide_password=False)

    @property
    def pgbouncer(self) -> bool:
        """Tell whether connections are shared as in PgBouncer's transaction mode."""
        return self._options.pgbouncer

    @property
    def backend(self) -> str:
        """Return `postgresql` or `sqlite`."""
        return self._current.urls.backend

    @property
    def most_connections(self) -> int:
        """Return how many connections this process may open, both halves together."""
        return 2 * (self._options.pool_size + self._options.max_overflow)

    @property
    def engine(self) -> Engine:
        """Return the sync engine, created when first asked for."""
        return self._current.sync

    @property
    def aengine(self) -> AsyncEngine:
        """Return the async engine of the running event loop."""
        return self._current.asynchronous

    @property
    def _current(self) -> Engines:
        return self._override or self._primary

    @property
    def engines(self) -> Engines:
        """Return the engines of both halves that are in use."""
        return self._current

    def bind_for(self, session: ManagedSession, *, read: bool) -> Engine:
        """Return what *session* executes on: a replica, if it may only *read*."""
        if self._override is not None:
            return self._override.bind_for(session)
        if read and self._replicas:
            return random.choice(self._replicas).bind_for(session)  # noqa: S311  # no secret
        return self._primary.bind_for(session)

    def lane(self, *, single: bool, write: bool) -> Mapping[str, Any] | None:
        """Return the options of a connection that needs no transaction, or None.

        On SQLite a read of several statements is a transaction, but takes no write lock.
        """
        engines = self._current
        if engines.transient or "isolation_level" in self._options.extra:
            return None
        if engines.urls.backend == "sqlite":
            return _SQLITE_READ if not (single or write) else _SQLITE_SINGLE
        if self._options.pgbouncer:
            return None
        return _AUTOCOMMIT

    def override(self, url: str | URL | Engines) -> "Override":
        """Use the database at *url* inside of the block, as tests do.

        With `with` and `async with`. Models and sessions need not know: `Base` stays,
        and every session asks for its engine when it needs it.
        """
        if isinstance(url, (str, URL)):
            return Override(self, self._engines_of(url), owned=True)
        return Override(self, url, owned=False)

    def swap(self, binds: Engines | None) -> Engines | None:
        """Use *binds* from now on, and return what was used instead of the URL."""
        before, self._override = self._override, binds
        return before

    # Schema

    def check_dev(self, operation: str = "this operation") -> None:
        """Raise `NotDevelopment` unless `DEV_STATUS` is true."""
        if not self.DEV_STATUS:
            raise NotDevelopment(operation)

    def create_all(self) -> None:
        """Create the tables of `Base` that are missing."""
        self.check_dev("create_all")
        self.Base.metadata.create_all(self.engine)

    def drop_all(self) -> None:
        """Drop the tables of `Base`, and no other."""
        self.check_dev("drop_all")
        self.Base.metadata.drop_all(self.engine)

    def clear_all(self, exclude_tables_name: Iterable[str] | None = None) -> None:
        """Delete every row of the tables of `Base`, but for *exclude_tables_name*."""
        self.check_dev("clear_all")
        with self.session.begin() as session:
            self._clear(session, exclude_tables_name)

    def _clear(self, session: Session, exclude: Iterable[str] | None) -> None:
        emptied = empty_tables(session.connection(), self.Base.metadata, exclude)
        self._changes.record(session, emptied)

    async def acreate_all(self) -> None:
        """Create the tables of `Base` that are missing."""
        self.check_dev("acreate_all")
        async with self.aengine.begin() as connection:
            await connection.run_sync(self.Base.metadata.create_all)

    async def adrop_all(self) -> None:
        """Drop the tables of `Base`, and no other."""
        self.check_dev("adrop_all")
        async with self.aengine.begin() as connection:
            await connection.run_sync(self.Base.metadata.drop_all)

    async def aclear_all(
        self, exclude_tables_name: Iterable[str] | None = None
    ) -> None:
        """Delete every row of the tables of `Base`, but for *exclude_tables_name*."""
        self.check_dev("aclear_all")
        async with self.asession.begin() as session:
            await session.run_sync(self._clear, exclude_tables_name)

    # Transactions

    @contextmanager
    def transaction(
        self,
        *,
        isolation_level: str | None = None,
        statement_timeout: float | None = None,
    ) -> Iterator[Session]:
        """Open a session that commits at the end of the block, or rolls back.

        Args:
            isolation_level: such as `SERIALIZABLE`; see `retry_serialization`.
            statement_timeout: seconds after which PostgreSQL cancels a statement.
        """
        with self.session() as session, translated(session), session.begin():
            _set_up(session, isolation_level, statement_timeout)
            yield session

    @asynccontextmanager
    async def atransaction(
        self,
        *,
        isolation_level: str | None = None,
        statement_timeout: float | None = None,
    ) -> AsyncIterator[AsyncSession]:
        """Open an async session that commits at the end of the block, or rolls back."""
        async with self.asession() as session:
            with translated(session.sync_session):
                async with session.begin():
                    await session.run_sync(_set_up, isolation_level, statement_timeout)
                    yield session

    @contextmanager
    def nested(self, session: Session) -> Iterator[Session]:
        """Make the block a savepoint of *session*, which may fail alone."""
        with translated(session), session.begin_nested():
            yield session

    @asynccontextmanager
    async def anested(self, session: AsyncSession) -> AsyncIterator[AsyncSession]:
        """Make the block a savepoint of *session*, which may fail alone."""
        with translated(session.sync_session):
            async with session.begin_nested():
                yield session

    # Health and the end

    def ping(self) -> bool:
        """Tell whether the database answers; the log says why it does not."""
        try:
            try:
                self._ask()
            except DBAPIError as exc:
                if not exc.connection_invalidated:
                    raise
                # It had died in the pool, whose other connections are replaced now.
                self._ask()
        except Exception as exc:  # noqa: BLE001  # whatever a driver raises means no
            logger.warning("The database does not answer: %s.", cause_of(exc))
            return False
        return True

    def _ask(self) -> None:
        with self.engine.connect() as connection:
            # The write lock of SQLite is busy while others write.
            connection.execution_options(**_SQLITE_SINGLE)
            connection.execute(text("SELECT 1"))

    async def aping(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109  # a budget, not a scope
        """Tell whether the database answers within *timeout* seconds, as `ping` does."""
        try:
            async with asyncio.timeout(timeout):
                try:
                    await self._aask()
                except DBAPIError as exc:
                    if not exc.connection_invalidated:
                        raise
                    await self._aask()
        except Exception as exc:  # noqa: BLE001  # whatever a driver raises means no
            logger.warning("The database does not answer: %s.", cause_of(exc))
            return False
        return True

    async def _aask(self) -> None:
        async with self.aengine.connect() as connection:
            await connection.execution_options(**_SQLITE_SINGLE)
            await connection.execute(text("SELECT 1"))

    def dispose(self) -> Awaitable[None]:
        """Close every connection of both halves.

        Sync code cannot wait for async connections: they are cut. Prefer `adispose`
        where a loop runs. The manager may be used again.

        The result may be awaited, as fastapi-accelerator's must be; it is done by then.
        """
        for engines in self._all_engines():
            engines.dispose()
        return _Done()

    async def adispose(self) -> None:
        """Close every connection of both halves."""
        for engines in self._all_engines():
            await engines.adispose()

    def _all_engines(self) -> Iterator[Engines]:
        yield self._primary
        yield from self._replicas
        if self._override is not None:
            yield self._override

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Close every connection at the end: `FastAPI(lifespan=manager.lifespan)`."""
        del app
        self._changes.remember_loop()
        try:
            yield
        finally:
            await self.adispose()

    # What others may want to know

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call *subscriber* with an event per query; return what ends it."""
        return self._telemetry.subscribe(subscriber)

    def on_change(self, callback: ChangeCallback) -> Callable[[], None]:
        """Call *callback* with a `Change` after each commit that wrote something.

        An awaitable result is awaited before the commit of an async session returns.
        Returns what ends it.
        """
        return self._changes.on_change(callback)

    def on_commit(
        self, session: Session | AsyncSession, callback: CommitCallback
    ) -> None:
        """Call *callback* once, after the transaction of *session* was committed.

        If none is open, the next one counts.
        """
        sync = session.sync_session if isinstance(session, AsyncSession) else session
        self._changes.on_commit(sync, callback)

    def record_change(
        self, session: Session, mapper: Mapper[Any], key: tuple[Any, ...]
    ) -> None:
        """Note that a row was written by a statement, which does not tell its key."""
        if self._changes.active:
            self._changes.record(session, table_names(mapper), row_keys(mapper, key))


class Override:
    """Another database for a manager, until the block ends."""

    def __init__(
        self, manager: MainDatabaseManager, binds: Engines, *, owned: bool
    ) -> None:
        self._manager = manager
        self._binds = binds
        self._owned = owned
        self._before: Engines | None = None

    def __enter__(self) -> MainDatabaseManager:
        """Begin to use the other database."""
        self._before = self._manager.swap(self._binds)
        return self._manager

    def __exit__(self, *exc: object) -> None:
        """Return to the database before, and close the other one."""
        self._manager.swap(self._before)
        if self._owned:
            self._binds.dispose()

    async def __aenter__(self) -> MainDatabaseManager:
        """Begin to use the other database."""
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        """Return to the database before, and close the other one gracefully."""
        if self._owned:
            await self._binds.adispose()
        self.__exit__(*exc)


class _Done:
    """The result of something that happened already."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}
_SQLITE_SINGLE = {SQLITE_BEGIN: ""}
_SQLITE_READ = {SQLITE_BEGIN: "DEFERRED"}


def _declarative_base(
    manager: "MainDatabaseManager", given: type[DeclarativeBase] | None
) -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        """The base of the models of one manager."""

        metadata = MetaData(naming_convention=_NAMES)

    base = Base if given is None else given
    owner = weakref.ref(manager)

    def hide(_mapper: object, cls: type[Any]) -> None:
        found = owner()
        if found is None or not issubclass(cls, SoftDeleteMixin):
            return
        if not event.contains(found._session_class, "do_orm_execute", hide_deleted):  # noqa: SLF001  # the manager that we belong to
            event.listen(found._session_class, "do_orm_execute", hide_deleted)  # noqa: SLF001

    event.listen(base, "attribute_instrument", make_loud, propagate=True)
    event.listen(base, "instrument_class", hide, propagate=True)
    # Models that are there already, as where a project makes its manager last.
    for mapper in base.registry.mappers:
        hide(mapper, mapper.class_)
        for attribute in mapper.class_manager.attributes:
            make_loud(mapper.class_, attribute.key, attribute)
    return base


def _set_up(
    session: Session, isolation_level: str | None, statement_timeout: float | None
) -> None:
    if isolation_level is None and statement_timeout is None:
        return
    options = {} if isolation_level is None else {"isolation_level": isolation_level}
    with reached(session):
        connection = session.connection(execution_options=options)
    if statement_timeout is None:
        return
    if connection.dialect.name == "postgresql":
        setting = text("SELECT set_config('statement_timeout', :value, true)")
        connection.execute(setting, {"value": milliseconds(statement_timeout)})
