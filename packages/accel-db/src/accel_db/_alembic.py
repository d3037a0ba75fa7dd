"""The environment in which Alembic runs."""

import asyncio
import contextlib
import logging.config
import threading
from collections.abc import Iterator
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, Table, text

from accel_db._errors import ConfigurationError, MissingDriver
from accel_db._manager import MainDatabaseManager
from accel_db._mixins import UtcDateTime

# Any number will do, as long as every migration takes the same lock.
_LOCK = 0x61636365


class AlembicEnv:
    """Runs the migrations of a manager's models: `AlembicEnv(DatabaseManager).run()`.

    Works with the URL of the manager, whatever its driver, and only with the tables of
    its `Base`: a table that no model describes is never dropped. Types and server
    defaults are compared, SQLite changes tables in batches, and on PostgreSQL only one
    process migrates at a time.
    """

    def __init__(self, database_manager: MainDatabaseManager) -> None:
        self._manager = database_manager
        self._metadata = database_manager.Base.metadata

    def run(self) -> None:
        """Execute the command that Alembic was called with."""
        self._configure_logging()
        if context.is_offline_mode():
            self._run_offline()
        elif (given := context.config.attributes.get("connection")) is not None:
            self._migrate(given)
        else:
            self._run_online()

    def _configure_logging(self) -> None:
        """Set logging up for Alembic's own command line, and for nobody else's."""
        config = context.config
        if config.cmd_opts is None or config.config_file_name is None:
            return
        with contextlib.suppress(KeyError):
            # A KeyError means that the file has no section for logging.
            logging.config.fileConfig(
                config.config_file_name, disable_existing_loggers=False
            )

    def _run_offline(self) -> None:
        context.configure(
            dialect_name=self._manager.backend,
            literal_binds=True,
            dialect_opts={"paramstyle": "named"},
            **self._options(),
        )
        with context.begin_transaction():
            context.run_migrations()

    def _run_online(self) -> None:
        try:
            engine = self._manager.engine
        except MissingDriver:
            self._run_async()
            return
        with engine.connect() as connection:
            self._migrate(connection)

    def _run_async(self) -> None:
        """Migrate through the async half, in a loop of its own."""
        failed: list[BaseException] = []

        def work() -> None:
            try:
                asyncio.run(self._migrate_async())
            except BaseException as exc:  # noqa: BLE001  # raised again below
                failed.append(exc)

        # This thread may run a loop already.
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    async def _migrate_async(self) -> None:
        async with self._manager.aengine.connect() as connection:
            await connection.run_sync(self._migrate)
        await self._manager.aengine.dispose()

    def _migrate(self, connection: Connection) -> None:
        context.configure(connection=connection, **self._options())
        if self._manager.pgbouncer and self._manager.backend == "postgresql":
            with context.begin_transaction():
                _lock_transaction(connection)
                context.run_migrations()
            return
        with _locked(connection), context.begin_transaction():
            context.run_migrations()

    def _options(self) -> dict[str, Any]:
        schemas = {table.schema for table in self._metadata.tables.values()}
        return {
            "target_metadata": self._metadata,
            "compare_type": True,
            "compare_server_default": True,
            "render_as_batch": self._manager.backend == "sqlite",
            "include_schemas": schemas - {None} != set(),
            "include_name": self._is_ours,
            "include_object": self._is_described,
            "render_item": _render,
        }

    def _is_ours(self, name: str | None, kind: str, _parents: object) -> bool:
        if kind != "schema":
            return True
        return any(table.schema == name for table in self._metadata.tables.values())

    def _is_described(
        self, item: Any, _name: object, kind: str, reflected: bool, compare_to: object
    ) -> bool:
        if kind == "table" and reflected and compare_to is None:
            return False
        if reflected and isinstance(table := getattr(item, "table", None), Table):
            return table.key in self._metadata.tables
        return True


def _render(kind: str, item: Any, context: Any) -> str | Literal[False]:
    """Write our type as the plain one it is in the database.

    A migration says what the tables were: it must not change with the code of today.
    """
    if kind == "type" and isinstance(item, UtcDateTime):
        return f"{context.opts['sqlalchemy_module_prefix']}DateTime(timezone=True)"
    return False


@contextlib.contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    """Keep other migrations out, and SQLite from deleting what it only moves."""
    if connection.dialect.name == "sqlite":
        with _without_foreign_keys(connection):
            yield
        return
    budget = connection.scalar(text("SHOW statement_timeout"))
    # A migration, and who waits for one, takes as long as it takes.
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        restore = text("SELECT set_config('statement_timeout', :budget, false)")
        connection.execute(restore, {"budget": budget})
        connection.commit()


def _lock_transaction(connection: Connection) -> None:
    """Keep other migrations out until the transaction ends.

    A lock of the session would stay with a connection that PgBouncer gives to others.
    """
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


@contextlib.contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    """Let a batch drop the old table without its children noticing, then check."""
    _pragma(connection, "foreign_keys=OFF")
    try:
        yield
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        connection.commit()
        if broken is not None:
            raise ConfigurationError(
                f"The migration left rows of {broken[0]!r} that refer to missing rows."
            )
    finally:
        connection.rollback()
        _pragma(connection, "foreign_keys=ON")


def _pragma(connection: Connection, setting: str) -> None:
    # Inside of a transaction SQLite ignores it, so it must not begin one.
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA {setting}")
    cursor.close()
