"""A project that is tested with the kit as upstream's documentation tells to."""

import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, make_url, select, table

from accel_db.testing import postgres_server

PROJECT = Path(__file__).parent / "upstream_kit"
TESTS = 29
TABLES = ("file", "task", "task_execution", "task_user", "task_user_link")


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The URL of a database that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test_kit.db"
    server = make_url(request.getfixturevalue("postgres"))
    return server.set(database=f"test_{secrets.token_hex(4)}").render_as_string(False)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(PROJECT, folder, ignore=ignored)
    return folder


@pytest.fixture
def run(project, url):
    """Return a function that runs the tests of the project."""

    def call(*args, **env):
        return subprocess.run(
            [sys.executable, "-m", "pytest", *args],
            cwd=project,
            env={
                **os.environ,
                "TEST_DATABASE_URL": url,
                "SECRET_KEY": secrets.token_urlsafe(48),
                **env,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return call


def roll_back(project):
    conftest = project / "conftest.py"
    text = conftest.read_text()
    conftest.write_text(text.replace("keepdb=True)", "keepdb=True, rollback=True)"))


def rows(url):
    engine = create_engine(
        make_url(url).set(
            drivername="sqlite" if "sqlite" in url else "postgresql+psycopg"
        )
    )
    with engine.connect() as connection:
        found = [
            connection.scalar(select(func.count()).select_from(table(name)))
            for name in TABLES
        ]
    engine.dispose()
    return found


@pytest.mark.parametrize("isolation", ["emptied", "rolled back"])
def test_it_passes(run, project, url, isolation):
    if isolation == "rolled back":
        roll_back(project)

    done = run("-W", "error")

    assert done.returncode == 0, done.stdout + done.stderr
    # No "failed", no "skipped", no "error", no "warnings".
    assert re.search(rf"^=+ {TESTS} passed in", done.stdout, re.MULTILINE), done.stdout
    assert rows(url) == [0] * len(TABLES)


def test_its_own_error_is_shown_and_its_rows_are_gone(run, project, url):
    roll_back(project)
    (project / "test_failing.py").write_text(
        "from app.fixture.items_v1 import export_fixture_file\n"
        "from fastapi_accelerator.testutils import apply_fixture_db\n"
        "@apply_fixture_db(export_fixture_file)\n"
        "def test_it(client):\n"
        "    assert client.get('/api/v1/names').json() == ['another']\n"
    )

    done = run("test_failing.py")

    assert "assert ['letter.txt'] == ['another']" in done.stdout, done.stdout
    assert "1 failed" in done.stdout
    assert rows(url)[0] == 0


KILLED = """
import os, signal
import pytest
from app.fixture.items_v1 import export_fixture_file
from fastapi_accelerator.testutils import apply_fixture_db

{mark}
@apply_fixture_db(export_fixture_file)
def test_killed(client):
    client.post("/api/v1/file", json={{"filename": "b"}})
    if "KILL" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("mark", "left"), [("", 0), ("@pytest.mark.committed", 2)])
def test_a_killed_run(run, project, url, mark, left):
    roll_back(project)
    (project / "test_killed.py").write_text(KILLED.format(mark=mark))

    done = run("test_killed.py", KILL="1")

    assert done.returncode == -9, done.stdout
    assert rows(url)[0] == left


def test_leftovers_of_a_killed_run_are_no_ones_problem(run, project, url):
    (project / "test_killed.py").write_text(KILLED.format(mark=""))
    run("test_killed.py", KILL="1")
    before = rows(url)[0]

    done = run("test_killed.py")

    assert before == 2
    assert "1 passed" in done.stdout, done.stdout
    assert rows(url)[0] == 0


@pytest.mark.parametrize(
    "refused",
    [
        "postgresql://test:test@test.test:1/shop?application_name=test",
        "sqlite:////test/test/shop.db",
    ],
)
def test_another_database_is_refused(project, refused):
    done = subprocess.run(
        [sys.executable, "-m", "pytest"],
        cwd=project,
        env={
            **os.environ,
            "TEST_DATABASE_URL": refused,
            "SECRET_KEY": secrets.token_urlsafe(48),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert "is no test database: its name must contain 'test'" in done.stderr
    assert "passed" not in done.stdout
