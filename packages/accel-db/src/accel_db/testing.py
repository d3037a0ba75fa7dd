"""What tests need: a real server, databases to throw away, counted queries.

Needs the extra `testing` (`pip install "accel-db[testing]"`). The fixtures are there
after `from accel_db.testing import *` or `pytest_plugins = ["accel_db.testing"]` in
`conftest.py`; define `db_manager` yourself to name your manager.
"""

import functools
import inspect
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Column, Engine, cast, func, select
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, object_mapper
from sqlalchemy.orm.util import identity_key

try:
    import pytest
except ModuleNotFoundError as exc:
    raise ImportError(
        "`accel_db.testing` needs pytest. "
        'Install it with: pip install "accel-db[testing]"'
    ) from exc

from accel_db._engines import AT_FIRST_WRITE, SQLITE_BEGIN
from accel_db._errors import ConfigurationError
from accel_db._manager import MainDatabaseManager
from accel_db._postgres_server import (
    check_test_database,
    create_database,
    drop_database,
    ensure_database,
    postgres_server,
)
from accel_db._sandbox import rollback_sandbox
from accel_db._savepoints import one_request
from accel_db._schema import empty_tables
from accel_db._tracking import track_queries
from accel_db._values import coerce

__all__ = [
    "adb_session",
    "aengine",
    "apply_fixture_db",
    "check_test_database",
    "create_database",
    "db_manager",
    "db_session",
    "drop_database",
    "engine",
    "ensure_database",
    "one_request",
    "open_session",
    "postgres_server",
    "rollback_sandbox",
    "track_queries",
]

P = ParamSpec("P")
R = TypeVar("R")


@pytest.fixture
def db_manager() -> MainDatabaseManager:
    """Provide the manager under test: the only one of this process.

    Override it where there are several.
    """
    return _only_manager()


def _only_manager() -> MainDatabaseManager:
    managers = MainDatabaseManager.instances()
    if len(managers) != 1:
        raise ConfigurationError(
            f"There are {len(managers)} managers, so tests cannot know which one they "
            "mean. Define a fixture `db_manager` that returns yours."
        )
    return managers[0]


@pytest.fixture
def engine(db_manager: MainDatabaseManager) -> Iterator[Engine]:
    """Provide the sync engine of a test database with empty tables."""
    check_test_database(db_manager.database_url)
    metadata = db_manager.Base.metadata
    metadata.create_all(db_manager.engine)
    _empty(db_manager)
    yield db_manager.engine
    _empty(db_manager)
    db_manager.dispose()


def _empty(manager: MainDatabaseManager) -> None:
    with manager.engine.begin() as connection:
        empty_tables(connection, manager.Base.metadata, None)


@pytest.fixture
async def aengine(
    engine: Engine, db_manager: MainDatabaseManager
) -> AsyncIterator[AsyncEngine]:
    """Provide the async engine of a test database with empty tables."""
    del engine
    yield db_manager.aengine
    await db_manager.aengine.dispose()


def open_session(manager: MainDatabaseManager) -> Session:
    """Return a session that a test keeps open while the application writes.

    On SQLite its reads take no lock, so that they may come before a request; from its
    first write on, until it commits, nobody else can write.
    """
    return manager.session(**_lazily(manager, manager.engine))


def _lazily(
    manager: MainDatabaseManager, engine: Engine | AsyncEngine
) -> dict[str, Any]:
    if manager.backend != "sqlite" or manager.engines.transient:
        return {}
    return {"bind": engine.execution_options(**{SQLITE_BEGIN: AT_FIRST_WRITE})}


@pytest.fixture
def db_session(engine: Engine, db_manager: MainDatabaseManager) -> Iterator[Session]:
    """Provide a sync session on a test database with empty tables."""
    del engine
    with open_session(db_manager) as session:
        yield session


@pytest.fixture
async def adb_session(
    aengine: AsyncEngine, db_manager: MainDatabaseManager
) -> AsyncIterator[AsyncSession]:
    """Provide an async session on a test database with empty tables."""
    del aengine
    engine = _lazily(db_manager, db_manager.aengine)
    async with db_manager.asession(**engine) as session:
        yield session


def apply_fixture_db(
    export: Callable[[], Iterable[object] | Mapping[Any, object]],
    flush: bool = False,
    *,
    manager: MainDatabaseManager | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Write the objects that *export* returns before the decorated function runs.

    It decorates test functions, async ones, and methods such as `setUp`. A function
    that takes `fixtures` gets what *export* returned, keys and all. With *flush* the
    rows are deleted afterwards, where no fixture empties the tables.

    Without *manager* it takes the argument `db_manager`, the attribute
    `self.db_manager`, or the only manager there is.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        takes_rows = "fixtures" in inspect.signature(function).parameters

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            exported, db = export(), _manager_of(manager, args, kwargs)
            with db.session.begin() as session:
                _write(session, exported)
            if takes_rows:
                kwargs["fixtures"] = exported
            try:
                return function(*args, **kwargs)
            finally:
                if flush:
                    with db.session.begin() as session:
                        _erase(session, exported)

        @functools.wraps(function)
        async def acall(*args: P.args, **kwargs: P.kwargs) -> Any:
            exported, db = export(), _manager_of(manager, args, kwargs)
            async with db.asession.begin() as session:
                await session.run_sync(_write, exported)
            if takes_rows:
                kwargs["fixtures"] = exported
            try:
                return await function(*args, **kwargs)  # type: ignore[misc]
            finally:
                if flush:
                    async with db.asession.begin() as session:
                        await session.run_sync(_erase, exported)

        return acall if inspect.iscoroutinefunction(function) else call  # type: ignore[return-value]

    return decorate


def _rows(exported: Iterable[object] | Mapping[Any, object]) -> list[object]:
    return list(exported.values() if isinstance(exported, Mapping) else exported)


def _write(session: Session, exported: Any) -> None:
    rows = _rows(exported)
    session.add_all(rows)
    # Not only *rows*: their relationships bring others along.
    for row in session.new:
        _read_text(row)
    counted = _explicit_keys(session)
    session.flush()
    for column in counted:
        _move_sequence(session, column)
    for row in rows:
        # What the database made of them: keys, defaults, dates out of strings.
        session.refresh(row, [x.key for x in object_mapper(row).column_attrs])


def _explicit_keys(session: Session) -> set[Column[Any]]:
    """Return the columns that would count by themselves, but for the pending rows."""
    found = set()
    for row in session.new:
        mapper = object_mapper(row)
        for table in mapper.tables:
            column = getattr(table, "autoincrement_column", None)
            if column is None or column not in mapper.columns.values():
                continue
            if vars(row).get(mapper.get_property_by_column(column).key) is not None:
                found.add(column)
    return found


def _move_sequence(session: Session, column: Column[Any]) -> None:
    """Let PostgreSQL count on behind the highest key, as SQLite does by itself."""
    if session.connection().dialect.name != "postgresql":
        return
    table = session.connection().dialect.identifier_preparer.format_table(column.table)
    sequence = cast(func.pg_get_serial_sequence(table, column.name), REGCLASS)
    highest = select(func.max(column)).scalar_subquery()
    last = func.coalesce(func.pg_sequence_last_value(sequence), 0)
    session.execute(select(func.setval(sequence, highest)).where(highest > last))


def _read_text(row: object) -> None:
    """Let *row* say dates and keys as text, which not every driver takes."""
    for attribute in object_mapper(row).column_attrs:
        value = vars(row).get(attribute.key)
        if isinstance(value, str):
            column_type = attribute.columns[0].type
            setattr(row, attribute.key, coerce(value, column_type, attribute.key))


def _erase(session: Session, exported: Any) -> None:
    for row in _rows(exported):
        model, key, *_ = identity_key(instance=row)
        if (found := session.get(model, key)) is not None:
            session.delete(found)


def _manager_of(
    given: MainDatabaseManager | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> MainDatabaseManager:
    candidates = [given, kwargs.get("db_manager")]
    candidates += [getattr(first, "db_manager", None) for first in args[:1]]
    found = next((x for x in candidates if isinstance(x, MainDatabaseManager)), None)
    return found if found is not None else _only_manager()
