"""A demonstration from nothing to a running service, and back."""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from redis import asyncio as redis

from accel_db import MainDatabaseManager
from accel_pattern._demo._errors import (
    DatabaseDownError,
    RedisDownError,
    StepFailedError,
)
from accel_pattern._demo._servers import (
    HOST,
    background,
    claim_port,
    masked,
    run_step,
    service,
    valkey,
)
from accel_pattern._demo._upstream import FlakyTranslator
from accel_pattern._new import copy_template

PAGES = ("/", "/docs", "/healthcheck", "/readyz", "/docintegration", "/admin/")


@dataclass(frozen=True)
class Demo:
    """A running demonstration."""

    process: subprocess.Popen[bytes]
    url: str
    upstream: str
    database: str
    cache: str
    username: str
    password: str = field(repr=False)


@contextlib.contextmanager
def running_demo(port: int, output: IO[bytes] | None = None) -> Iterator[Demo]:
    """Prepare a working copy, run the service in it, and take everything away again.

    The log of the service goes to *output*, or to where our own output goes.

    `DATABASE_URL` and `REDIS_URL` choose the database and the cache; without them it
    is SQLite, and Valkey from the wheel where that runs.

    Raises:
        DemoError: Something is in the way; the message says what to do.
    """
    port = claim_port(port)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="accel-")))
        copy_template(home)
        database = os.environ.get("DATABASE_URL") or f"sqlite:///{home / 'service.db'}"
        check_database(database)
        cache = os.environ.get("REDIS_URL") or stack.enter_context(valkey())
        check_redis(cache)
        upstream = stack.enter_context(background(FlakyTranslator().app))
        password = secrets.token_urlsafe(12)
        env = {
            "ADMIN_PASSWORD": password,
            "ADMIN_USERNAME": "admin",
            "DATABASE_URL": database,
            "DOCINTEGRATION": "true",
            "REDIS_URL": cache,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "TRANSLATE_TOKEN": secrets.token_urlsafe(16),
            "TRANSLATE_URL": upstream,
        }
        run_step(
            "migrate the database", "alembic", "upgrade", "head", cwd=home, env=env
        )
        run_step("add the first rows", "app.fixture.load", cwd=home, env=env)
        process = stack.enter_context(service(port, home, env, output))
        yield Demo(
            process=process,
            url=f"http://{HOST}:{port}",
            upstream=upstream,
            database=masked(database),
            cache=masked(cache) or "in memory",
            username="admin",
            password=password,
        )


def check_database(url: str) -> None:
    """Make sure that the database answers.

    Raises:
        DatabaseDownError: It does not, or the URL is no URL.
    """
    try:
        manager = MainDatabaseManager(url, name=f"demo-{secrets.token_hex(4)}")
        with manager.engine.connect():
            pass
        manager.dispose()
    except Exception as exc:
        raise DatabaseDownError(masked(url), _reason(exc, url)) from exc


def check_redis(url: str) -> None:
    """Make sure that Redis answers; an empty *url* means that there is none.

    Raises:
        RedisDownError: It does not, or the URL is no URL.
    """
    if not url:
        return
    try:
        asyncio.run(_ping(url))
    except Exception as exc:
        raise RedisDownError(masked(url), _reason(exc, url)) from exc


async def _ping(url: str) -> None:
    async with redis.from_url(url, socket_connect_timeout=3) as client:
        await client.ping()


def _reason(exc: Exception, url: str) -> str:
    # SQLAlchemy's own text goes on for lines; the driver's says what happened.
    text = str(getattr(exc, "orig", None) or exc).strip()
    line = text.splitlines()[0] if text else type(exc).__name__
    return line.replace(url, masked(url))


def serve(port: int) -> None:
    """Run the demonstration until Ctrl-C."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        _interrupts(),
        running_demo(port) as demo,
    ):
        say(ready(demo))
        code = demo.process.wait()
        raise StepFailedError(
            "keep the service running", f"it ended with exit code {code}"
        )


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """Let SIGTERM end the demonstration as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # By an exception, so that every `finally` on the way stops its process.
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def ready(demo: Demo) -> str:
    """Write what there is to see, and how to log in."""
    pages = "\n".join(f"  {demo.url}{page}" for page in PAGES)
    return (
        f"Ready: {demo.url}\n{pages}\n  {demo.url}/api/v1/file\n"
        f"Login: {demo.username} / {demo.password}  (admin panel, and POST /token)\n"
        f"Database: {demo.database}\n"
        f"Cache: {demo.cache}\n"
        f"Upstream: {demo.upstream}  (POST /mode/steady, /mode/flaky or /mode/down)\n"
        "Stop it with Ctrl-C."
    )


def say(text: str) -> None:
    """Write *text* for the reader, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
