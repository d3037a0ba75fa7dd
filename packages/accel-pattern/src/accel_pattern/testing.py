"""The testing kit of a service: everything the packages offer, and a test client.

In `conftest.py`, make the manager of the test database before the application is
imported, and tell the kit about both:

    from accel_pattern.testing import *

    manager = MainDatabaseManager("sqlite:///test_shop.db", DEV_STATUS=True)

    from main import app

    SettingTest(manager, app)

The kit needs the extra `testing`: `pip install "accel-pattern[testing]"`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Self

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from accel_auth.testing import auth_headers, auth_token, client_auth_jwt
from accel_cache.testing import cache_spy, valkey_server
from accel_db import MainDatabaseManager
from accel_db.testing import (
    apply_fixture_db,
    check_test_database,
    create_database,
    drop_database,
    ensure_database,
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
    "latency",
    "patch_integration",
    "postgres_server",
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
    ) -> None:
        check_test_database(DatabaseManager.database_url)
        self.DatabaseManager = DatabaseManager
        self.app = app
        self.alembic_migrate = alembic_migrate
        self.keepdb = keepdb
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
    yield db_manager
    if not setting.keepdb:
        setting.drop_tables()
    db_manager.dispose()


@pytest.fixture
def empty_tables(test_database: MainDatabaseManager) -> Iterator[None]:
    """Empty the tables after the test."""
    yield
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
    with test_database.session() as session:
        yield session


@pytest.fixture(scope="session")
def common_client(
    test_app: FastAPI, test_database: MainDatabaseManager
) -> Iterator[TestClient]:
    """Start the application, once, and provide a client of it."""
    del test_database
    with TestClient(test_app) as client:
        yield client


@pytest.fixture
def client(common_client: TestClient, empty_tables: None) -> Iterator[TestClient]:
    """Provide a client; afterwards its headers and cookies are as they were."""
    del empty_tables
    headers = common_client.headers.copy()
    yield common_client
    common_client.headers = headers
    common_client.cookies.clear()


@pytest.fixture
def aclient(common_client: TestClient, empty_tables: None) -> httpx2.AsyncClient:
    """Provide a client for async tests, in the loop of the test.

    The application was started by `common_client`, in a loop of its own.
    """
    del empty_tables
    transport = httpx2.ASGITransport(common_client.app)
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver")


@pytest.fixture
def url_path_for(test_app: FastAPI) -> Callable[..., str]:
    """Provide the function that finds the path of a handler by its name."""
    return lambda name, **params: str(test_app.url_path_for(name, **params))


@pytest.fixture
def fixtures() -> None:
    """Stand in for what `apply_fixture_db` hands to the test."""


class BasePytest:
    """A class of tests with the life cycle of `unittest`."""

    TEST_USER: ClassVar = {"username": "test", "password": "qwerty"}

    def setup_method(self) -> None:
        """Run `setUp` before each test."""
        self.setUp()

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
