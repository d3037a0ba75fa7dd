"""A new project, as its first user meets it: from wheels, where nothing else is."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from accel_cache.testing import valkey_server
from accel_db.testing import postgres_server

ROOT = Path(__file__).parent.parent
# `uv run` names itself here; it may be installed where no PATH leads.
UV = os.environ.get("UV") or shutil.which("uv") or "uv"


class Project:
    """A folder, and what runs in it: without our workspace, and without a database."""

    def __init__(self, home, **env):
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in {"VIRTUAL_ENV", "PYTHONPATH", "SECRET_KEY", "ADMIN_PASSWORD"}
            and not name.startswith(("UV_PROJECT", "COVERAGE"))
            and not name.endswith("_URL")
        }
        self.home = home
        self.env = {**inherited, "UV_PYTHON": sys.executable, **env}

    def uv(self, *command, **env):
        """Return what the command prints; it must succeed."""
        done = subprocess.run(
            [UV, *command],
            cwd=self.home,
            env=self.env | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout

    def __call__(self, *command, **env):
        return self.uv("run", *command, **env)

    def start(self, program, *arguments, **env):
        """Start a program of the project's environment; the caller ends it."""
        return subprocess.Popen(
            [self.home / ".venv/bin" / program, *arguments],
            cwd=self.home,
            env=self.env | env,
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Write the project where there is nothing but our wheels."""
    home = tmp_path_factory.mktemp("user")
    # uv keeps the wheels of a folder for ever, by its path and their names: in a path
    # that an earlier run had too, it would install the wheels of that run.
    wheels = tempfile.mkdtemp(prefix="wheels-", dir=home)
    build = ("build", "--all-packages", "--wheel", "--no-sources", "--out-dir", wheels)
    Project(ROOT).uv(*build)
    user = Project(home, UV_FIND_LINKS=wheels)
    accel = ("--no-project", "--isolated", "--with", "accel-pattern", "accel")
    user("--quiet", *accel, "new", "shop")
    return Project(home / "shop", UV_FIND_LINKS=wheels)


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


def test_it_runs_and_production_would_regret_nothing(shop):
    shop("alembic", "upgrade", "head")
    shop("python", "-m", "app.fixture.load")

    # Of the settings for development that it begins with, production changes one.
    check = ("accel", "check", "main:app")
    assert shop(*check, DOCINTEGRATION="false") == "Nothing to regret.\n"

    with running(shop) as url:
        page = json.loads(ask(f"{url}/api/v1/file"))

    assert page["total"] == 8


def test_who_logs_out_of_one_process_is_unknown_to_the_other(shop):
    shop("alembic", "upgrade", "head")
    shop("python", "-m", "app.fixture.load")
    settings = dict(
        line.partition("=")[::2]
        for line in (shop.home / ".env").read_text().splitlines()
    )
    login = {"username": "admin", "password": settings["ADMIN_PASSWORD"]}

    with (
        valkey_server() as valkey,
        running(shop, REDIS_URL=valkey.url) as one,
        running(shop, REDIS_URL=valkey.url) as other,
    ):
        tokens = json.loads(ask(f"{one}/token", login))
        grant = {
            "grant_type": "refresh_token",
            "refresh_token": tokens["refresh_token"],
        }
        tokens = json.loads(ask(f"{other}/token", grant))
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        page = json.loads(ask(f"{other}/api/v1/taskexecution", headers=bearer))
        ask(f"{one}/token/revoke", {"token": tokens["refresh_token"]})
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(f"{other}/api/v1/taskexecution", headers=bearer)

    refused.value.close()
    assert page["total"] > 0
    assert refused.value.code == 401


@contextmanager
def running(project, **env):
    """Run the service of *project* on a free port; give its address."""
    with socket.socket() as held:
        # Bound and never listening, it leaves the port to a server, and to nobody who
        # asks for a free one.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        command = ("uvicorn", "main:app", "--port", str(port))
        with project.start(*command, **env) as service:
            try:
                url = f"http://127.0.0.1:{port}"
                wait_for(f"{url}/healthcheck", service)
                yield url
            finally:
                service.terminate()


def wait_for(url, service):
    """Ask until the service listens, or has ended."""
    while service.poll() is None:
        try:
            return ask(url)
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the service ended; its log is among what was captured")


def ask(url, form=None, headers=()):
    """Return what is answered, to a form if there is one."""
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, data, dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.read()
    except urllib.error.HTTPError as exc:
        exc.add_note(exc.read().decode())
        raise


def test_ruff_and_mypy_find_nothing(shop):
    shop("ruff", "format", "--check", ".")
    shop("ruff", "check", ".")
    shop("mypy")
