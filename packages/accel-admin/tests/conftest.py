"""Panels on real databases: SQLite, and a PostgreSQL of our own."""

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings

from accel_admin import MemoryStore, admin_pattern
from accel_db.testing import create_database, postgres_server

from .models import MODELS, db as manager
from .visitor import HASH, KEY, Visitor

# Neither chance nor a busy machine decides whether a test passes.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def usual_store():
    return MemoryStore()


@pytest.fixture(scope="session")
def usual_panel(build, usual_store):
    """Give the panel that most tests share; the database is another for each."""
    return build(store=usual_store)[1]


@pytest.fixture
def shared(usual_panel, usual_store):
    """Give the shared panel, whose sessions and failed logins are forgotten."""
    usual_store.clear()
    return usual_panel


@pytest.fixture
def panel(sqlite, shared):
    """Give a panel on SQLite."""
    return shared


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
def admin_on(db, shared):
    """Give somebody who may do everything, on each of the databases."""
    visitor = Visitor(shared.app)
    assert visitor.log_in().status_code == 303
    return visitor


@pytest.fixture
def anyio_backend():
    return "asyncio"
