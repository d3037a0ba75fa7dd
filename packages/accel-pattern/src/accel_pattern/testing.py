"""The testing kit of a service: everything the packages offer, and a test client.

In `conftest.py`, make the manager of the test database before the application is
imported, and tell the kit about both:

    from accel_pattern.testing import *

    manager = MainDatabaseManager("sqlite:///test_shop.db", DEV_STATUS=True)

    from main import app

    SettingTest(manager, app)

Tests commit for real, and the tables are emptied after each. With `rollback=True` each
runs in one transaction instead, which is rolled back: both halves see each other's
rows, and not even a killed run leaves any. A test that needs real commits then says
`@pytest.mark.committed`.

It is no default, because the sync driver then works for the async half, too, and
asyncpg refuses values that psycopg takes: a test could pass where production fails. It
saves little: with 16 tables, a test that writes a row took 2.4 ms rather than 3.8 ms on
PostgreSQL, and 1.4 ms rather than 2.3 ms on SQLite, where both halves use one driver.

The kit needs the extra `testing`: `pip install "accel-pattern[testing]"`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx2
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

try:
    import pytest
except ModuleNotFoundError as exc:
    raise ImportError(
        "`accel_pattern.testing` needs pytest. "
        'Install it with: pip install "accel-pattern[testing]"'
    ) from exc

from accel_auth.testing import auth_headers, auth_token, client_auth_jwt
from accel_cache.testing import cache_spy, valkey_server
from accel_db import MainDatabaseManager
from accel_db.testing import (
    apply_fixture_db,
    check_test_database,
    create_database,
    drop_database,
    ensure_database,
    one_request,
    open_session,
    postgres_server,
    rollback_sandbox,
    track_queries,
)
from accel_integration.testing import (
    FakeClock,
    MockRules,
    fail,
    latency,
    patch_integration,
    respond,
)
from accel_pattern._errors import NoTestSettingError
from accel_pattern._namedtuple import to_namedtuple
from accel_viewset.testing import check_response_json, rm_key_from_deep_dict

__all__ = [
    "BaseAuthJwtPytest",
    "BasePytest",
    "FakeClock",
    "MockRules",
    "SettingTest",
    "aclient",
    "aengine",
    "apply_fixture_db",
    "auth_headers",
    "auth_token",
    "cache_spy",
    "check_response_json",
    "client",
    "client_auth_jwt",
    "common_client",
    "create_database",
    "db_manager",
    "db_session",
    "drop_database",
    "empty_tables",
    "engine",
    "ensure_database",
    "fail",
    "fixtures",
    "isolation",
    "latency",
    "patch_integration",
    "postgres_server",
    "pytest_configure",
    "respond",
    "rm_key_from_deep_dict",
    "rollback_sandbox",
    "test_app",
    "test_database",
    "to_namedtuple",
    "track_queries",
    "url_path_for",
    "valkey_server",
]


class SettingTest:
    """What the fixtures of the kit work on: a manager and an application.

    Args:
        DatabaseManager: The manager of the test database.
        app: The application under test.
        alembic_migrate: Make the tables by the migrations of `alembic.ini` in the
            current folder; else by `create_all`.
        keepdb: Leave the tables after the last test; else drop them.
        rollback: Run each test in a transaction that is rolled back, instead of
            emptying the tables after it.

    Raises:
        ConfigurationError: The name of the database does not contain "test".
    """

    instance: ClassVar[Self | None] = None

    def __init__(
        self,
        DatabaseManager: MainDatabaseManager,  # noqa: N803 - the seed's name
        app: FastAPI,
        alembic_migrate: bool = False,
        keepdb: bool = True,
        *,
        rollback: bool = False,
    ) -> None:
        check_test_database(DatabaseManager.database_url)
        self.DatabaseManager = DatabaseManager
        self.app = app
        self.alembic_migrate = alembic_migrate
        self.keepdb = keepdb
        self.rollback = rollback
        SettingTest.instance = self

    def make_tables(self) -> None:
        """Create the database if it is missing, and its tables."""
        ensure_database(self.DatabaseManager.database_url)
        if not self.alembic_migrate:
            self.DatabaseManager.create_all()
            return
        from alembic import command
        from alembic.config import Config

        command.upgrade(Config(Path("alembic.ini")), "head")

    def drop_tables(self) -> None:
        """Drop the tables, and what Alembic noted of them."""
        self.DatabaseManager.drop_all()
        with self.DatabaseManager.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the kit."""
    config.addinivalue_line(
        "markers", "committed: commit for real, and empty the tables after the test."
    )


def _setting() -> SettingTest:
    if SettingTest.instance is None:
        raise NoTestSettingError
    return SettingTest.instance


@pytest.fixture(scope="session")
def test_app() -> FastAPI:
    """Provide the application under test."""
    return _setting().app


@pytest.fixture(scope="session")
def db_manager() -> MainDatabaseManager:
    """Provide the manager of the test database."""
    return _setting().DatabaseManager


@pytest.fixture(scope="session")
def test_database(db_manager: MainDatabaseManager) -> Iterator[MainDatabaseManager]:
    """Make the tables, once; drop them at the end unless `keepdb`."""
    setting = _setting()
    setting.make_tables()
    if not setting.rollback:
        # What a killed run left must not be there for the first test.
        db_manager.clear_all()
    yield db_manager
    if not setting.keepdb:
        setting.drop_tables()
    db_manager.dispose()


@pytest.fixture(autouse=True)
def isolation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Roll back what the test writes, if `SettingTest(rollback=True)` says so.

    It is there for every test, so that it and the tables come before `setUp`.
    """
    setting = SettingTest.instance
    committed = request.node.get_closest_marker("committed") is not None
    rollback = setting is not None and setting.rollback and not committed
    if rollback or (setting is not None and _needs_tables(request)):
        request.getfixturevalue("test_database")
    if setting is None or not rollback:
        yield
        return
    with rollback_sandbox(setting.DatabaseManager):
        yield


def _needs_tables(request: pytest.FixtureRequest) -> bool:
    """Tell whether a test may write before a fixture has made the tables."""
    in_class = request.cls is not None and issubclass(request.cls, BasePytest)
    return in_class or "db_manager" in request.fixturenames


@pytest.fixture
def empty_tables(test_database: MainDatabaseManager, isolation: None) -> Iterator[None]:
    """Empty the tables after the test, unless it is rolled back."""
    del isolation
    yield
    if not test_database.engines.transient:
        test_database.clear_all()


@pytest.fixture
def engine(test_database: MainDatabaseManager, empty_tables: None) -> Engine:
    """Provide the sync engine; the tables are emptied after the test."""
    del empty_tables
    return test_database.engine


@pytest.fixture
def aengine(test_database: MainDatabaseManager, empty_tables: None) -> AsyncEngine:
    """Provide the async engine; the tables are emptied after the test."""
    del empty_tables
    return test_database.aengine


@pytest.fixture
def db_session(
    test_database: MainDatabaseManager, empty_tables: None
) -> Iterator[Session]:
    """Provide a session; the tables are emptied after the test."""
    del empty_tables
    with open_session(test_database) as session:
        yield session


class _Client(TestClient):
    def send(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        # The sync dependencies of a request run in several threads: isolated, they would
        # wait for each other.
        with one_request():
            return super().send(*args, **kwargs)


class _Transport(httpx2.ASGITransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        with one_request():
            return await super().handle_async_request(request)

    async def aclose(self) -> None:
        # The loop of a test ends with it, and could not close them any more.
        await _setting().DatabaseManager.aengine.dispose()


@pytest.fixture(scope="session")
def common_client(
    test_app: FastAPI, test_database: MainDatabaseManager
) -> Iterator[TestClient]:
    """Start the application, once, and provide a client of it."""
    del test_database
    with _Client(test_app) as client:
        yield client


@pytest.fixture
def client(common_client: TestClient, empty_tables: None) -> Iterator[TestClient]:
    """Provide a client; afterwards its headers and cookies are as they were."""
    del empty_tables
    # One client for all: to start the application for each test would take longer than
    # the tests.
    headers = common_client.headers.copy()
    yield common_client
    common_client.headers = headers
    common_client.cookies.clear()


@pytest.fixture
def aclient(common_client: TestClient, empty_tables: None) -> httpx2.AsyncClient:
    """Provide a client for async tests, in the loop of the test.

    The application was started by `common_client`, in a loop of its own. `async with`
    closes the connections to the database that the loop of the test opened.
    """
    del empty_tables
    transport = _Transport(common_client.app)
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver")


@pytest.fixture
def url_path_for(test_app: FastAPI) -> Callable[..., str]:
    """Provide the function that finds the path of a handler by its name."""

    def find(name: str, /, **params: Any) -> str:
        return str(test_app.url_path_for(name, **params))

    return find


@pytest.fixture
def fixtures() -> None:
    """Stand in for what `apply_fixture_db` hands to the test."""


def _clear_committed() -> None:
    if (setting := SettingTest.instance) is None:
        return
    if not setting.DatabaseManager.engines.transient:
        setting.DatabaseManager.clear_all()


class BasePytest:
    """A class of tests with the life cycle of `unittest`."""

    TEST_USER: ClassVar = {"username": "test", "password": "qwerty"}

    def setup_method(self) -> None:
        """Run `setUp` before each test; one that fails leaves no rows behind."""
        try:
            self.setUp()
        except BaseException:
            # The fixture that empties the tables may not have begun.
            _clear_committed()
            raise

    def teardown_method(self) -> None:
        """Run `tearDown` after each test."""
        self.tearDown()

    @classmethod
    def setup_class(cls) -> None:
        """Run `setUpClass` before the first test."""
        cls.setUpClass()

    @classmethod
    def teardown_class(cls) -> None:
        """Run `tearDownClass` after the last test."""
        cls.tearDownClass()

    def setUp(self) -> None:
        """Prepare a test; override it."""

    def tearDown(self) -> None:
        """Clean up after a test; override it."""

    @classmethod
    def setUpClass(cls) -> None:
        """Prepare the class; override it."""

    @classmethod
    def tearDownClass(cls) -> None:
        """Clean up after the class; override it."""


class BaseAuthJwtPytest(BasePytest):
    """A class of tests whose client is logged in as `TEST_USER`."""

    @pytest.fixture(autouse=True)
    def _logged_in(self, client: TestClient) -> None:
        headers = auth_headers(client.app, self.TEST_USER["username"])  # type: ignore[arg-type]
        client.headers.update(headers)
