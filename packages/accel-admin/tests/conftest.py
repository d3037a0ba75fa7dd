"""Panels on real databases: SQLite, and a PostgreSQL of our own."""

import pytest
from flask import Flask

from accel_admin import admin_pattern
from accel_db.testing import create_database, postgres_server

from .models import MODELS, db as manager
from .visitor import HASH, KEY, Visitor


@pytest.fixture(scope="session")
def postgres_url():
    """Give the URL of a database that all tests share, one after the other."""
    with postgres_server() as url:
        yield create_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request):
    return request.param


@pytest.fixture
def db(backend, request, tmp_path):
    """Give the manager of the models, on empty tables."""
    url = (
        f"sqlite:///{tmp_path}/admin.db"
        if backend == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    with manager.override(url):
        manager.create_all()
        manager.clear_all()
        yield manager


@pytest.fixture
def sqlite(tmp_path):
    """Give the manager on an empty file, where the database does not matter."""
    with manager.override(f"sqlite:///{tmp_path}/admin.db"):
        manager.create_all()
        yield manager


@pytest.fixture
def build():
    """Give a function that builds an app with a panel, and returns both."""

    def build(database_manager=manager, models=MODELS, **options):
        app = Flask(__name__)
        panel = admin_pattern(
            app,
            KEY,
            HASH,
            "admin",
            models=models,
            database_manager=database_manager,
            **options,
        )
        return app, panel

    return build


@pytest.fixture
def panel(sqlite, build):
    """Give a panel on SQLite."""
    return build()[1]


@pytest.fixture
def visitor(panel):
    """Give somebody who is not logged in."""
    return Visitor(panel.app)


@pytest.fixture
def admin(visitor):
    """Give somebody who may do everything."""
    assert visitor.log_in().status_code == 303
    return visitor


@pytest.fixture
def admin_on(db, build):
    """Give somebody who may do everything, on each of the databases."""
    visitor = Visitor(build()[0])
    assert visitor.log_in().status_code == 303
    return visitor


@pytest.fixture
def anyio_backend():
    return "asyncio"
