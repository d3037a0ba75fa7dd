"""What tests need: a real server, databases to throw away, counted queries.

Needs the extra `testing` (`pip install "accel-db[testing]"`). The fixtures are there
after `from accel_db.testing import *` or `pytest_plugins = ["accel_db.testing"]` in
`conftest.py`; define `db_manager` yourself to name your manager.
"""

import functools
import inspect
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, ParamSpec, TypeVar

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from accel_db._errors import ConfigurationError
from accel_db._manager import MainDatabaseManager
from accel_db._postgres_server import (
    check_test_database,
    create_database,
    drop_database,
    postgres_server,
)
from accel_db._sandbox import rollback_sandbox
from accel_db._schema import empty_tables
from accel_db._tracking import track_queries

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


@pytest.fixture
def db_session(engine: Engine, db_manager: MainDatabaseManager) -> Iterator[Session]:
    """Provide a sync session on a test database with empty tables."""
    del engine
    with db_manager.session() as session:
        yield session


@pytest.fixture
async def adb_session(
    aengine: AsyncEngine, db_manager: MainDatabaseManager
) -> AsyncIterator[AsyncSession]:
    """Provide an async session on a test database with empty tables."""
    del aengine
    async with db_manager.asession() as session:
        yield session


def apply_fixture_db(
    export: Callable[[], Iterable[object] | Mapping[Any, object]],
    *,
    manager: MainDatabaseManager | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Write the objects that *export* returns before the decorated function runs.

    It decorates test functions, async ones, and methods such as `setUp`. Without
    *manager* it takes the argument `db_manager`, the attribute `self.db_manager`, or
    the only manager there is.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):
            wrapper: Any = _with_rows_async(function, export, manager)
        else:
            wrapper = _with_rows(function, export, manager)
        return functools.wraps(function)(wrapper)

    return decorate


def _with_rows(
    function: Callable[..., R], export: Callable[[], Any], given: Any
) -> Callable[..., R]:
    def call(*args: Any, **kwargs: Any) -> R:
        with _manager_of(given, args, kwargs).session.begin() as session:
            session.add_all(_rows(export))
        return function(*args, **kwargs)

    return call


def _with_rows_async(
    function: Callable[..., Awaitable[R]], export: Callable[[], Any], given: Any
) -> Callable[..., Awaitable[R]]:
    async def call(*args: Any, **kwargs: Any) -> R:
        async with _manager_of(given, args, kwargs).asession.begin() as session:
            session.add_all(_rows(export))
        return await function(*args, **kwargs)

    return call


def _manager_of(
    given: MainDatabaseManager | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> MainDatabaseManager:
    candidates = [given, kwargs.get("db_manager")]
    candidates += [getattr(first, "db_manager", None) for first in args[:1]]
    found = next((x for x in candidates if isinstance(x, MainDatabaseManager)), None)
    return found if found is not None else _only_manager()


def _rows(export: Callable[[], Any]) -> list[object]:
    rows = export()
    return list(rows.values() if isinstance(rows, Mapping) else rows)
