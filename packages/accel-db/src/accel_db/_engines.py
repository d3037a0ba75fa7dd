"""Engines of both halves, created when first needed."""

import asyncio
import contextlib
import json
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from accel_db._errors import MissingDriver
from accel_db._urls import DatabaseUrls, database_urls

# How long SQLite waits for another writer, in seconds.
_SQLITE_PATIENCE = 15.0
# Pydantic writes no JSON that is nested deeper than 254 levels; some are the answer's.
_DEEPEST = 200
_TOO_DEEP = f"JSON must not be nested deeper than {_DEEPEST} levels"
SQLITE_BEGIN = "accel_sqlite_begin"
"""The execution option that says how SQLite begins: a mode, or "" for no BEGIN."""
AT_FIRST_WRITE = "at first write"
"""The mode for sessions that stay open between what others do, such as a test's."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What both engines of a database are created with."""

    echo: bool = False
    pool_size: int = 10
    max_overflow: int = 10
    pool_timeout: float = 30.0
    pool_recycle: int = 1800
    pool_pre_ping: bool = False
    statement_timeout: float | None = None
    pgbouncer: bool = False
    show_parameters: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def common(self) -> dict[str, Any]:
        """Return the arguments of SQLAlchemy that both halves share."""
        return {
            "echo": self.echo,
            "pool_size": self.pool_size,
            "max_overflow": self.max_overflow,
            "pool_timeout": self.pool_timeout,
            "pool_recycle": self.pool_recycle,
            "pool_pre_ping": self.pool_pre_ping,
            # A failing statement must not write its values into logs.
            "hide_parameters": not (self.echo or self.show_parameters),
            "json_serializer": _json_text,
            **self.extra,
        }


class Engines:
    """One sync engine, and one async engine per event loop, of one database.

    Connections of asyncpg cannot leave the loop that opened them, so each loop has a
    pool of its own. Loops that ended are forgotten.
    """

    transient = False
    """Whether everything is in one transaction that somebody else ends."""

    def __init__(
        self,
        url: str | URL,
        options: EngineOptions,
        on_create: Callable[[Engine], object],
    ) -> None:
        self.urls = database_urls(url)
        self.options = options
        self.on_create = on_create
        self._lock = threading.RLock()
        self._sync: Engine | None = None
        self._loops: dict[asyncio.AbstractEventLoop | None, AsyncEngine] = {}
        # Made outside of a loop, and used in one that had an engine by then.
        self._strays: list[tuple[asyncio.AbstractEventLoop, AsyncEngine]] = []
        self._opened: weakref.WeakKeyDictionary[Engine, weakref.WeakSet[Any]] = (
            weakref.WeakKeyDictionary()
        )
        self._directory: weakref.finalize[..., Any] | None = None
        self._file_urls: DatabaseUrls | None = None

    @property
    def sync(self) -> Engine:
        """Return the sync engine."""
        if self._sync is None:
            with self._lock:
                if self._sync is None:
                    self._sync = self._create_sync()
        return self._sync

    @property
    def asynchronous(self) -> AsyncEngine:
        """Return the async engine of the running loop.

        Without a running loop it is the engine that the next new loop will use.
        """
        loop = _running_loop()
        engine = self._loops.get(loop)
        return engine if engine is not None else self._new_loop(loop)

    def _new_loop(self, loop: asyncio.AbstractEventLoop | None) -> AsyncEngine:
        with self._lock:
            self._forget_ended_loops()
            engine = self._loops.pop(None, None) or self._create_async()
            self._loops[loop] = engine
            return engine

    def _forget_ended_loops(self) -> None:
        for loop in [x for x in self._loops if x is not None and x.is_closed()]:
            self._abandon(self._loops.pop(loop))
        for stray in [x for x in self._strays if x[0].is_closed()]:
            self._strays.remove(stray)
            self._abandon(stray[1])

    def _claim(self, engine: AsyncEngine) -> None:
        """Let *engine* belong to the running loop, whoever asked for it."""
        loop = _running_loop()
        with self._lock:
            if loop is None or self._loops.get(None) is not engine:
                return
            del self._loops[None]
            if self._loops.setdefault(loop, engine) is not engine:
                self._strays.append((loop, engine))

    # Creation

    def _create_sync(self) -> Engine:
        urls = self._usable_urls()
        kwargs = self._arguments(sync=True)
        try:
            engine = create_engine(urls.sync, **kwargs)
        except ModuleNotFoundError as exc:
            raise MissingDriver(urls.sync.get_driver_name(), "sync") from exc
        self._prepare(engine)
        return engine

    def _create_async(self) -> AsyncEngine:
        urls = self._usable_urls()
        kwargs = self._arguments(sync=False)
        try:
            engine = create_async_engine(urls.asynchronous, **kwargs)
        except ModuleNotFoundError as exc:
            raise MissingDriver(urls.asynchronous.get_driver_name(), "async") from exc
        self._prepare(engine.sync_engine)
        opened: weakref.WeakSet[Any] = weakref.WeakSet()
        self._opened[engine.sync_engine] = opened

        def remember(raw: Any, _record: object) -> None:
            opened.add(raw.driver_connection)
            self._claim(engine)

        event.listen(engine.sync_engine, "connect", remember)
        return engine

    def _prepare(self, engine: Engine) -> None:
        if self.urls.backend == "sqlite":
            event.listen(engine, "connect", self._prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            event.listen(engine, "before_cursor_execute", _begin_before_write)
        elif self.options.pgbouncer and self.options.statement_timeout is not None:
            event.listen(engine, "begin", self._begin_with_budget)
        self.on_create(engine)

    def _arguments(self, *, sync: bool) -> dict[str, Any]:
        arguments = self.options.common()
        connect: dict[str, Any] = dict(arguments.pop("connect_args", {}))
        if self.urls.backend == "sqlite":
            connect.setdefault("timeout", _SQLITE_PATIENCE)
        else:
            # An AUTOCOMMIT connection has nothing to roll back when it is returned.
            arguments.setdefault("skip_autocommit_rollback", True)
            url = self.urls.sync if sync else self.urls.asynchronous
            if not sync:
                connect = {**self.urls.async_args, **connect}
            self._postgres_arguments(url, connect)
        return {**arguments, "connect_args": connect}

    def _postgres_arguments(self, url: URL, connect: dict[str, Any]) -> None:
        driver, options = url.get_driver_name(), self.options
        # PgBouncer refuses settings at the start of a connection that it shares.
        if options.statement_timeout is not None and not options.pgbouncer:
            budget = milliseconds(options.statement_timeout)
            if driver == "asyncpg":
                settings = connect.get("server_settings", {})
                connect["server_settings"] = {
                    **settings,
                    "statement_timeout": budget,
                }
            else:
                given = connect.get("options") or url.query.get("options", "")
                connect["options"] = f"{given} -c statement_timeout={budget}".strip()
        if options.pgbouncer and driver == "asyncpg":
            connect["statement_cache_size"] = 0
            connect["prepared_statement_cache_size"] = 0
        elif options.pgbouncer and driver == "psycopg":
            connect["prepare_threshold"] = None

    def _usable_urls(self) -> DatabaseUrls:
        """Return the URLs, where a database in memory became a temporary file.

        In memory each half, and each connection, would see a database of its own.
        """
        if not self.urls.in_memory:
            return self.urls
        with self._lock:
            if self._file_urls is None:
                directory = tempfile.mkdtemp(prefix="accel-db-")
                self._directory = weakref.finalize(
                    self, shutil.rmtree, directory, ignore_errors=True
                )
                self._file_urls = self.urls.with_file(str(Path(directory, "memory.db")))
            return self._file_urls

    def _begin_with_budget(self, connection: Connection) -> None:
        budget = milliseconds(self.options.statement_timeout or 0)
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {budget}")

    def _prepare_sqlite(self, raw: Any, _record: object) -> None:
        # The sqlite3 module must not begin by itself: we do, see _begin_sqlite.
        raw.isolation_level = None
        cursor = raw.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # In WAL mode NORMAL cannot corrupt the file; a temporary one needs no care.
        level = "OFF" if self.urls.in_memory else "NORMAL"
        cursor.execute(f"PRAGMA synchronous={level}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def bind_for(self, session: Any) -> Engine:
        """Return the engine of the half that *session* belongs to."""
        return self.asynchronous.sync_engine if session.asynchronous else self.sync

    # The end

    def dispose(self) -> None:
        """Close every connection of both halves, from sync code."""
        with self._lock:
            if self._sync is not None:
                self._sync.dispose()
                self._sync = None
            engines = [*self._loops.items(), *self._strays]
            self._loops, self._strays = {}, []
            for loop, engine in engines:
                self._close(loop, engine)
            self._remove_file()

    async def adispose(self) -> None:
        """Close every connection of both halves, the async ones gracefully."""
        here = self._loops.pop(_running_loop(), None)
        if here is not None:
            await here.dispose()
        self.dispose()

    def _close(
        self, loop: asyncio.AbstractEventLoop | None, engine: AsyncEngine
    ) -> None:
        idle = loop is not None and not loop.is_closed() and not loop.is_running()
        if loop is not None and idle and _running_loop() is None:
            # Between two tests, for example: the loop can still say goodbye.
            loop.run_until_complete(engine.dispose())
        else:
            self._abandon(engine)

    def _abandon(self, engine: AsyncEngine) -> None:
        """Drop connections that nobody can await any more."""
        for connection in list(self._opened.get(engine.sync_engine, ())):
            # The loop of the connection may have ended already.
            with contextlib.suppress(Exception):
                _cut(connection)
        engine.sync_engine.dispose(close=False)

    def _remove_file(self) -> None:
        if self._directory is not None:
            self._directory()
        self._directory = self._file_urls = None

    def __iter__(self) -> Iterator[Engine]:
        """Iterate over the engines that exist by now."""
        if self._sync is not None:
            yield self._sync
        for engine in self._loops.values():
            yield engine.sync_engine


def _json_text(value: object) -> str:
    """Return *value* as JSON; what no response could say again is a `ValueError`.

    Databases take half of a surrogate pair in its escaped form, and SQLite takes NaN.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except RecursionError as exc:
        raise ValueError(_TOO_DEEP) from exc
    # Few values have as many brackets, so few are walked.
    if text.count("[") + text.count("{") > _DEEPEST and _is_too_deep(value):
        raise ValueError(_TOO_DEEP)
    # Whole pairs begin like this too, so the value itself has to tell.
    if "\\ud" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return text


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return any(isinstance(item, (dict, list, tuple)) for item in level)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def milliseconds(seconds: float) -> str:
    """Return *seconds* for PostgreSQL, to which 0 means that there is no limit."""
    return str(max(1, round(seconds * 1000)) if seconds else 0)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _cut(connection: Any) -> None:
    """Close a driver's connection without awaiting anything."""
    if hasattr(connection, "terminate"):  # asyncpg
        connection.terminate()
    elif hasattr(connection, "pgconn"):  # psycopg
        connection.pgconn.finish()
    else:  # aiosqlite
        connection.stop()


def _begin_sqlite(connection: Connection) -> None:
    """Begin with a write lock: a deferred reader that turns writer fails at once."""
    mode = connection.get_execution_options().get(SQLITE_BEGIN, "IMMEDIATE")
    if mode and mode != AT_FIRST_WRITE:
        connection.exec_driver_sql(f"BEGIN {mode}")


def _begin_before_write(
    connection: Connection, cursor: Any, statement: str, *_: object
) -> None:
    """Begin where reads take no lock: each sees what is committed by then.

    So PostgreSQL reads by default, too. What was read may have changed by the write.
    """
    if connection.get_execution_options().get(SQLITE_BEGIN) != AT_FIRST_WRITE:
        return
    raw: Any = connection.connection.driver_connection
    if not raw.in_transaction and statement.lstrip()[:6].upper() != "SELECT":
        cursor.execute("BEGIN IMMEDIATE")
