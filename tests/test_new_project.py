"""A new project, as its first user meets it: from wheels, where nothing else is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from accel_db.testing import postgres_server

ROOT = Path(__file__).parent.parent
# `uv run` names itself here; it may be installed where no PATH leads.
UV = os.environ.get("UV") or shutil.which("uv") or "uv"


def run(*command, cwd, **env):
    """Run *command* in an environment that knows no database and no workspace."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH", "SECRET_KEY", "ADMIN_PASSWORD"}
        and not name.startswith(("UV_PROJECT", "COVERAGE"))
        and not name.endswith("_URL")
    }
    done = subprocess.run(
        [UV, *command],
        cwd=cwd,
        env=inherited | {"UV_PYTHON": sys.executable} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Write the project, and return a function that runs a program in it."""
    home = tmp_path_factory.mktemp("user")
    wheels = home / "wheels"
    build = ("build", "--all-packages", "--wheel", "--no-sources")
    run(*build, "--out-dir", str(wheels), cwd=ROOT)
    env = {"UV_FIND_LINKS": str(wheels)}
    run(
        *("run", "--no-project", "--isolated", "--with", "accel-pattern"),
        *("accel", "new", "shop"),
        cwd=home,
        **env,
    )
    return lambda *command, **more: run(
        "run", *command, cwd=home / "shop", **env, **more
    )


def test_its_tests_pass_on_sqlite(shop):
    out = shop("pytest")

    assert " passed" in out
    assert not any(word in out for word in (" failed", " skipped", " error"))


def test_its_tests_pass_on_the_postgresql_of_its_database_url(shop):
    with postgres_server() as server:
        url = server.removesuffix("/postgres") + "/shop"

        out = shop("pytest", DATABASE_URL=url)

        with psycopg.connect(server) as connection:
            made = "SELECT 1 FROM pg_database WHERE datname = 'test_shop'"
            assert connection.execute(made).fetchone()
    assert " passed" in out
    assert not any(word in out for word in (" failed", " skipped", " error"))


def test_ruff_and_mypy_find_nothing(shop):
    shop("ruff", "format", "--check", ".")
    shop("ruff", "check", ".")
    shop("mypy")
