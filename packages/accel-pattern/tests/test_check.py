"""The commands that look at an application."""

import json
import os
import subprocess
import sys

import pytest
import redis
from fastapi import Depends, FastAPI
from sqlalchemy import make_url, text

from accel_admin import mount_admin
from accel_auth import BaseAuthJWT, RedisStore
from accel_cache import Cache, cache_for
from accel_cache.testing import valkey_server
from accel_db import MainDatabaseManager
from accel_db.testing import postgres_server
from accel_integration import EndpointsDeclaration, IntegrationHTTP
from accel_pattern import HTTPException403, base_pattern
from accel_pattern._check import Subject, findings
from accel_pattern._cli import main
from accel_pattern._new import copy_template

GOOD = {
    "secret_key": "q8Zt-4vB1_xYkLmN0pRsTuWc7dEfGhJ2",
    "origins": ["https://a.example"],
}


def codes(app, **options):
    return [finding.code for finding in findings(Subject(app, **options))]


def test_good_service_has_nothing_to_regret():
    assert codes(base_pattern(FastAPI(), **GOOD)) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret_key": "short"}, "secret"),
        ({"secret_key": "your_secret_key_here" * 2}, "secret"),
        ({"secret_key": "ab" * 20}, "secret"),
        ({"debug": True}, "debug"),
        ({"origins": None}, "cors"),
        ({"origins": ["*"]}, "cors"),
    ],
)
def test_each_mistake_is_found(change, code):
    assert codes(base_pattern(FastAPI(), **{**GOOD, **change})) == [code]


def test_missing_secret_is_found():
    assert codes(base_pattern(FastAPI(), origins=[])) == ["secret"]


def test_development_database_is_found():
    manager = MainDatabaseManager("sqlite://", name="dev", DEV_STATUS=True)

    assert codes(base_pattern(FastAPI(), **GOOD, database_manager=manager)) == [
        "dev-status"
    ]


def test_memory_of_several_workers_is_found():
    app = base_pattern(FastAPI(), **GOOD, caches=[Cache()])

    assert codes(app, workers=1) == []
    assert codes(app, workers=4) == ["memory-cache"]


def test_sessions_of_each_worker_are_found():
    class Auth(BaseAuthJWT):
        def check_auth(username, password):
            return False

    app = base_pattern(FastAPI(), **GOOD)
    Auth.mount_auth(app)

    assert codes(app, workers=1) == []
    assert codes(app, workers=4) == ["memory-sessions"]


@pytest.fixture
def panelled():
    """Make an application with a panel, whose logins live in a store."""
    manager = MainDatabaseManager("sqlite://", name="panelled")

    def make(store=None):
        app = base_pattern(FastAPI(), **GOOD, database_manager=manager)
        login = (GOOD["secret_key"], "a fine password", "admin")
        mount_admin(app, *login, [], manager, store=store)
        return app

    yield make
    manager.dispose()


def test_panel_of_each_worker_is_found(panelled):
    assert codes(panelled(), workers=1) == []
    assert codes(panelled(), workers=4) == ["memory-panel"]


class Weather(EndpointsDeclaration):
    integration = IntegrationHTTP("weather", "Tells the weather.")


def only_staff():
    raise HTTPException403


@pytest.mark.parametrize(
    ("shown", "expected"),
    [(True, ["docintegration"]), (only_staff, []), (False, [])],
)
def test_page_of_integrations_that_everybody_may_read_is_found(shown, expected):
    weather = Weather(base_url="https://weather.example")

    app = base_pattern(
        FastAPI(), **GOOD, useintegration=[weather], docintegration=shown
    )

    assert codes(app) == expected


def test_guard_of_the_whole_application_guards_the_page_of_integrations():
    weather = Weather(base_url="https://weather.example")
    app = FastAPI(dependencies=[Depends(only_staff)])

    assert codes(base_pattern(app, **GOOD, useintegration=[weather])) == []


def test_redis_that_is_away_is_found_once_for_each_part(panelled):
    url = "redis://me:hunter2@127.0.0.1:1"
    client = redis.asyncio.from_url(url)

    class Auth(BaseAuthJWT):
        store = RedisStore(client)

        def check_auth(username, password):
            return False

    app = panelled(redis.from_url(url))
    app.state.CACHES = (cache_for(client),) * 2
    Auth.mount_auth(app)

    found = findings(Subject(app, workers=4))

    assert [finding.code for finding in found] == ["redis"] * 3
    for finding, part in zip(
        found, ("cache", "authentication", "admin panel"), strict=True
    ):
        assert finding.message.startswith(f"The {part} does not reach its store: ")
        assert "hunter2" not in finding.message
    # The others have a budget, which a busy machine may exceed before it is refused.
    assert "127.0.0.1:1" in found[-1].message


def test_more_connections_than_the_database_allows_are_found():
    with postgres_server({"max_connections": "50"}) as url:
        manager = MainDatabaseManager(url, name="many", pool_size=10, max_overflow=10)
        app = base_pattern(FastAPI(), **GOOD, database_manager=manager)

        seen = [codes(app, workers=1), codes(app, workers=2)]
        manager.dispose()

    assert seen == [[], ["connections"]]


def test_database_that_is_away_is_found():
    url = "postgresql://me:hunter2@127.0.0.1:1/shop"
    manager = MainDatabaseManager(url, name="away")

    found = findings(Subject(base_pattern(FastAPI(), **GOOD, database_manager=manager)))

    assert [finding.code for finding in found] == ["database"]
    assert "Connection refused" in found[0].message
    assert "hunter2" not in found[0].message


def test_name_that_the_server_does_not_know_is_found():
    with postgres_server() as url:
        wrong = make_url(url).set(database="nowhere")
        manager = MainDatabaseManager(wrong, name="wrong")
        app = base_pattern(FastAPI(), **GOOD, database_manager=manager)
        found = findings(Subject(app))
        manager.dispose()

    assert 'database "nowhere" does not exist' in found[0].message
    assert found[0].cure == "Start it, or mend DATABASE_URL."


def test_database_that_is_ahead_of_the_code_needs_no_upgrade(tmp_path, monkeypatch):
    copy_template(tmp_path)
    monkeypatch.chdir(tmp_path)
    manager = MainDatabaseManager(f"sqlite:///{tmp_path}/ahead.db", name="ahead")
    with manager.session.begin() as session:
        session.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        session.execute(text("INSERT INTO alembic_version VALUES ('f00d')"))
    app = base_pattern(FastAPI(), **GOOD, database_manager=manager)

    found = findings(Subject(app))
    manager.dispose()

    assert [finding.code for finding in found] == ["migrations"]
    assert "['f00d'], which this code does not have" in found[0].message
    assert "upgrade" not in found[0].cure


def test_namesake_is_found(tmp_path, monkeypatch):
    info = tmp_path / "fastapi_accelerator-0.0.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: fastapi-accelerator\nVersion: 0.0.5\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert codes(base_pattern(FastAPI(), **GOOD)) == ["namesake"]


class TestOnTheTemplate:
    @pytest.fixture
    def accel(self, tmp_path):
        """Run a command in a copy of the template, with settings for production."""
        copy_template(tmp_path)
        secrets = {
            "SECRET_KEY": GOOD["secret_key"],
            "ADMIN_PASSWORD": "a fine password",
        }

        def run(*command):
            return subprocess.run(
                [sys.executable, "-m", *command],
                cwd=tmp_path,
                env=os.environ | secrets,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )

        return run

    def test_pending_migrations_are_found_and_then_nothing_is(self, accel):
        pending = accel("accel_pattern", "check", "--json")
        accel("alembic", "upgrade", "head")
        done = accel("accel_pattern", "check")

        assert [item["code"] for item in json.loads(pending.stdout)] == ["migrations"]
        assert pending.returncode == 1
        assert (done.returncode, done.stdout) == (0, "Nothing to regret.\n")

    @pytest.mark.parametrize("url", ["", "shop.db", "postgresql//me:hunter2@db/shop"])
    def test_address_of_no_database_is_told_by_the_name_of_its_variable(
        self, accel, monkeypatch, url
    ):
        monkeypatch.setenv("DATABASE_URL", url)

        done = accel("accel_pattern", "check")

        assert done.returncode == 1
        assert "DATABASE_URL is no address of a database" in done.stderr
        assert "such as sqlite:///service.db" in done.stderr
        assert "hunter2" not in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_redis_that_answers_is_nothing_to_regret(self, accel, monkeypatch):
        accel("alembic", "upgrade", "head")
        with valkey_server() as valkey:
            monkeypatch.setenv("REDIS_URL", valkey.url)
            done = accel("accel_pattern", "check", "--workers", "4")

        assert done.stdout == "Nothing to regret.\n"
        assert "Traceback" not in done.stderr

    def test_routes_and_integrations_are_listed(self, accel):
        routes = accel("accel_pattern", "routes").stdout
        used = accel("accel_pattern", "integrations").stdout

        assert "PATCH    /api/v1/file/{item_id}" in routes
        assert "GET      /healthcheck" in routes
        assert "*        /admin " in routes
        assert "None" not in routes
        assert used.startswith("Google Translate.translate: POST /v1/translateHtml; ")


def test_migrations_that_can_not_be_read_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n")
    manager = MainDatabaseManager("sqlite://", name="unread")

    found = findings(Subject(base_pattern(FastAPI(), database_manager=manager, **GOOD)))

    assert [item.code for item in found] == ["migrations"]
    assert "nowhere" in found[0].message
    assert found[0].cure == "Mend alembic.ini."


@pytest.mark.parametrize(
    "name", ["nowhere:app", "nowhere.main:app", "json:dumps", "json:nothing"]
)
def test_what_is_no_application_is_one_clear_line(name, capsys):
    assert main(["check", name]) == 1

    error = capsys.readouterr().err
    assert "is no application" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ('raise ValueError("one\\ntwo")', "ValueError: one two"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
    ],
)
def test_what_breaks_on_import_is_one_line_about_the_cause(
    code, why, capsys, tmp_path, monkeypatch
):
    (tmp_path / "broken_service.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    assert main(["check", "broken_service:app"]) == 1

    error = capsys.readouterr().err
    assert "'broken_service:app' cannot be imported: " in error
    assert why in error
    assert "Name its module" not in error
    assert len(error.splitlines()) == 1
