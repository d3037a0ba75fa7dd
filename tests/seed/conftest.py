"""The service of the seed, running: under both names, on both databases."""

import contextlib
import functools
import importlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from accel_cache.testing import ValkeyAddress, valkey_server
from accel_db.testing import create_database, postgres_server

SERVICE = Path(__file__).parent / "service"
# Its tests run in a copy.
collect_ignore = ["service"]

# Where the names of a module of the drop-in live under the new names.
HOMES = {
    "appstate": "accel_pattern",
    "auth_jwt": "accel_auth",
    "cache": "accel_cache",
    "commands.py2dantic": "accel_integration",
    "db": "accel_db",
    "db.dborm": "accel_db",
    "db.dbsession": "accel_db",
    "dbsession": "accel_db",
    "exception": "accel_pattern",
    "integration.http_integration": "accel_integration",
    "integration.stability_patterns": "accel_integration",
    "middleware": "accel_pattern",
    "paginator": "accel_viewset",
    "pattern.pattern_alembic": "accel_db",
    "pattern.pattern_fastapi": "accel_pattern",
    "pattern.pattern_flask_admin": "accel_admin",
    "pattern_fastapi": "accel_pattern",
    "pattern_flask_admin": "accel_admin",
    "test_utils": "accel_pattern.testing",
    "testutils": "accel_pattern.testing",
    "testutils.fixture_auth": "accel_auth.testing",
    "testutils.fixture_base": "accel_pattern.testing",
    "testutils.fixture_db": "accel_pattern.testing",
    "testutils.fixture_db.apply_fixture": "accel_db.testing",
    "testutils.fixture_db.db": "accel_pattern.testing",
    "testutils.fixture_db.trace_sql": "accel_db.testing",
    "testutils.fixture_integration": "accel_integration.testing",
    "testutils.utils": "accel_pattern.testing",
    "timezone": "accel_pattern",
    "viewset": "accel_viewset",
}
# What has another name there, since one package holds both panels and services.
RENAMED = {
    ("pattern_flask_admin", "base_pattern"): "admin_pattern",
    ("pattern.pattern_flask_admin", "base_pattern"): "admin_pattern",
}

IMPORT = re.compile(r"^from fastapi_accelerator\.([\w.]+) import ", re.MULTILINE)

USER = {"username": "admin", "password": "admin"}


def rewritten(source: str) -> str:
    """Return *source* with imports of the new names."""
    source = re.sub(
        r"(fastapi_accelerator\.(?:pattern\.)?pattern_flask_admin import )base_pattern",
        r"\1admin_pattern as base_pattern",
        source,
    )
    return IMPORT.sub(lambda found: f"from {HOMES[found[1]]} import ", source)


@dataclass(frozen=True)
class Names:
    """One of the two sets of names."""

    kind: str

    def __call__(self, module: str, name: str) -> Any:
        """Return what `from fastapi_accelerator.<module> import <name>` stands for."""
        if self.kind == "old":
            return getattr(
                importlib.import_module(f"fastapi_accelerator.{module}"), name
            )
        home = importlib.import_module(HOMES[module])
        return getattr(home, RENAMED.get((module, name), name))

    def copy(self, target: Path) -> None:
        """Copy the service to *target*, with imports of these names."""
        leftovers = shutil.ignore_patterns("__pycache__", "ruff.toml", ".ruff_cache")
        shutil.copytree(SERVICE, target, ignore=leftovers)
        if self.kind == "old":
            return
        for path in target.rglob("*.py"):
            path.write_text(rewritten(path.read_text()))


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session", params=["old", "new"])
def seed(request):
    return Names(request.param)


@pytest.fixture(scope="session")
def old_and_new():
    return Names("old"), Names("new")


@pytest.fixture(scope="session")
def postgres():
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def backend(request):
    return request.param


@pytest.fixture(scope="session")
def new_database(backend, request, tmp_path_factory):
    """Return a function that makes an empty database, and returns its URL."""
    if backend == "postgresql":
        return functools.partial(create_database, request.getfixturevalue("postgres"))
    folder = tmp_path_factory.mktemp("databases")
    return lambda: f"sqlite:///{folder}/test_{uuid.uuid4().hex}.db"


@pytest.fixture(scope="session")
def scratch(backend, new_database):
    """Return a function that gives the URL of an empty database, one after the other.

    It is the same database wherever making one is slow.
    """
    if backend == "sqlite":
        return new_database
    url = new_database()
    return lambda: url


@pytest.fixture
def manager(seed, backend, scratch, unique):
    made = seed("dbsession", "MainDatabaseManager")(
        scratch(), name=unique, DEV_STATUS=True
    )
    yield made
    made.dispose()
    if backend == "postgresql":
        with made.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        made.dispose()


# What the service calls -----------------------------------------------------------


@dataclass
class Upstream:
    """A service that speaks the formats of the seed's integrations."""

    url: str
    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    # How many more requests about a text get no answer.
    hang_up: Counter[str] = field(default_factory=Counter)

    def asked(self, text: str) -> int:
        """Return how often *text* was asked about."""
        return sum(text in json.dumps(body) for _, _, body in self.seen)


def handler_of(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            upstream.seen.append((self.path, dict(self.headers), body))
            text = body["argument_1"] if self.path == "/path" else body[0][0][0]
            if upstream.hang_up[text] > 0:
                upstream.hang_up[text] -= 1
                self.close_connection = True
                return
            self.answer(*self.think(body))

        def think(self, body: Any) -> tuple[int, Any]:
            if self.path == "/v1/translateHtml":
                (lines, _, to_lang), _ = body
                return 200, [[f"{line} in {to_lang}", "en"] for line in lines]
            if body["argument_1"] == "wrong":
                return 400, {"error": "that is wrong"}
            return 200, {"body": body["argument_1"].upper()}

        def answer(self, status: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture(scope="session")
def upstream():
    found = Upstream("")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(found)) as server:
        server.daemon_threads = True
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


# One process for all commands, since importing the service costs the most.
SEPARATOR = "=" * 20
MIGRATION = f"""
from alembic.config import main

for command in (
    "revision --autogenerate -m first",
    "upgrade head --sql",
    "history",
    "upgrade head",
    "check",
    "downgrade base",
    "current",
    "upgrade head",
    "current --verbose",
):
    print("{SEPARATOR}", command, sep="", flush=True)
    main(command.split(), prog="alembic")
"""


# The service ----------------------------------------------------------------------


@dataclass
class Valkey:
    """A server that can be killed, and started again at its port."""

    port: int | None = None
    address: ValkeyAddress | None = None
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self) -> None:
        """Start it."""
        self.address = self.stack.enter_context(valkey_server(self.port))
        self.port = self.address.port

    def kill(self) -> None:
        """End its process at once."""
        os.kill(self.address.pid, signal.SIGKILL)
        self.stack.close()


@dataclass
class Service:
    """A copy of the service, migrated and running."""

    folder: Path
    env: dict[str, str]
    valkey: Valkey
    url: str = ""
    # What each command of Alembic wrote.
    migration: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a Python module or script in the folder of the service."""
        done = subprocess.run(
            [sys.executable, *args],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            pytest.fail(f"{args} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def migrate(self) -> None:
        """Make a migration, try what Alembic can do with it, and leave it applied."""
        written = self.run("-c", MIGRATION).stdout
        parts = (part.partition("\n") for part in written.split(SEPARATOR)[1:])
        self.migration = {command: output.strip() for command, _, output in parts}

    @contextlib.contextmanager
    def serve(self, module: str, *args: str, ready: str) -> Iterator[str]:
        """Run a server for the time of the block, and return its URL."""
        log = self.folder / f"{module}.log"
        with held_port() as port, log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *args, "--port", str(port)],
                cwd=self.folder,
                env=self.env,
                stdout=output,
                stderr=output,
            )
            try:
                url = f"http://127.0.0.1:{port}"
                wait_for(url + ready, process, log)
                yield url
            finally:
                process.terminate()
                process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx2.TransportError):
            httpx2.get(url, timeout=5)
            return
        time.sleep(0.05)
    pytest.fail(f"The server does not start:\n{log.read_text()}")


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """Keep a port for a server: nobody else who asks for a free one is given it."""
    with socket.socket() as held:
        # Bound and never listening, it is in nobody's way who says the same.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def settings(database_url: str, valkey: Valkey, upstream: Upstream) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DATABASE_URL": database_url,
        "REDIS_URL": valkey.address.url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "OTHER_SECRET_KEY": secrets.token_urlsafe(48),
        "ADMIN_USERNAME": "admin",
        "ADMIN_PASSWORD": secrets.token_urlsafe(16),
        "UPSTREAM_URL": upstream.url,
        "UPSTREAM_TOKEN": secrets.token_urlsafe(16),
    }


@pytest.fixture(scope="session")
def copy(seed, backend, new_database, upstream, tmp_path_factory):
    """A copy of the service, with tables made by a migration of its own."""
    folder = tmp_path_factory.mktemp("service") / "copy"
    seed.copy(folder)
    valkey = Valkey()
    valkey.start()
    made = Service(folder, settings(new_database(), valkey, upstream), valkey)
    made.migrate()
    yield made
    valkey.stack.close()


@pytest.fixture(scope="session")
def service(copy):
    """The service, running."""
    with copy.serve("uvicorn", "main:app", ready="/livez") as url:
        copy.url = url
        yield copy


@pytest.fixture(scope="session")
def client(service):
    with httpx2.Client(base_url=service.url, timeout=20) as found:
        yield found


@pytest.fixture(scope="session")
def token(client):
    response = client.post("/token", data=USER)
    assert response.status_code == 200, response.text
    return response.json()["access_token"]


@pytest.fixture(scope="session")
def logged_in(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def unique():
    """Return a text that no other test uses."""
    return f"t{uuid.uuid4().hex}"
