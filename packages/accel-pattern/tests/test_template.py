"""The template of a service: its own tests, its migrations, its panel."""

import os
import subprocess
import sys

import pytest

from accel_db.testing import create_database, postgres_server
from accel_pattern._new import copy_template


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request, tmp_path):
    """Copy the template, and name its databases."""
    copy_template(tmp_path)
    urls = {}
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        urls["DATABASE_URL"] = create_database(server)
    secrets = {"SECRET_KEY": "s" * 40, "ADMIN_PASSWORD": "a fine password"}
    return {**os.environ, **urls, **secrets}


def run(home, environment, *command):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def test_its_tests_pass(tmp_path, environment):
    out = run(tmp_path, environment, "pytest", "-q", "-p", "no:cacheprovider")

    assert "passed" in out


def test_its_migrations_say_what_its_models_say(tmp_path, environment):
    run(tmp_path, environment, "alembic", "upgrade", "head")

    assert "No new upgrade operations" in run(tmp_path, environment, "alembic", "check")
    run(tmp_path, environment, "alembic", "downgrade", "base")


def test_first_rows_are_added_once(tmp_path, environment):
    run(tmp_path, environment, "alembic", "upgrade", "head")
    count = (
        "from app.core.db import DatabaseManager as m; from app.models import User; "
        "print(m.session().query(User).count())"
    )

    counts = []
    for _ in range(2):
        run(tmp_path, environment, "app.fixture.load")
        (tmp_path / "count.py").write_text(count)
        counts.append(run(tmp_path, environment, "count").strip())

    assert counts == ["6", "6"]


def test_its_panel_stands_alone(tmp_path, environment):
    (tmp_path / "look.py").write_text(
        "from admin_panel import app\n"
        "page = app.test_client().get('/admin/', follow_redirects=True)\n"
        "print(page.status_code, 'csrf_token' in page.text)\n"
    )

    assert run(tmp_path, environment, "look").strip() == "200 True"
