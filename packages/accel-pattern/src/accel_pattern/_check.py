"""What is wrong with a service before it goes into production."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.middleware.cors import CORSMiddleware

from accel_auth import MemoryStore
from accel_db import MainDatabaseManager, Unavailable
from accel_pattern._docintegration import PATH
from accel_pattern._reach import panels_of, silent_stores

# What people leave in their settings; compared in lower case.
DEFAULTS = ("changeme", "change_me", "secret", "your_secret_key", "password", "example")
# As long as the hash of HS256 (RFC 7518, section 3.2): accel-auth refuses less.
SHORTEST_SECRET = 32
# PostgreSQL keeps a few connections for its superuser.
RESERVED = 3


@dataclass(frozen=True)
class Finding:
    """One thing to mend, and how."""

    code: str
    message: str
    cure: str

    def as_dict(self) -> dict[str, str]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Subject:
    """What is checked."""

    app: FastAPI
    workers: int = 1

    @property
    def manager(self) -> MainDatabaseManager | None:
        """The database manager of the application."""
        return getattr(self.app.state, "DATABASE_MANAGER", None)


Check = Callable[[Subject], Iterator[Finding]]


def findings(subject: Subject) -> list[Finding]:
    """Run every check."""
    return [finding for check in CHECKS for finding in check(subject)]


def _secret(subject: Subject) -> Iterator[Finding]:
    secret = str(getattr(subject.app.state, "SECRET_KEY", "") or "")
    cure = 'Use: python -c "import secrets; print(secrets.token_urlsafe(48))"'
    if len(secret) < SHORTEST_SECRET:
        yield Finding(
            "secret", f"SECRET_KEY has {len(secret)} characters of 32 or more.", cure
        )
    elif any(word in secret.lower() for word in DEFAULTS) or len(set(secret)) < 8:  # noqa: PLR2004 - as good as no choice
        yield Finding("secret", "SECRET_KEY looks like an example.", cure)


def _debug(subject: Subject) -> Iterator[Finding]:
    if subject.app.debug:
        yield Finding(
            "debug",
            "Debug mode is on: errors show queries and tracebacks to clients.",
            "Set `debug=False`.",
        )


def _dev_status(subject: Subject) -> Iterator[Finding]:
    if subject.manager is not None and subject.manager.DEV_STATUS:
        yield Finding(
            "dev-status",
            "DEV_STATUS is on: one call of `drop_all` empties the database.",
            "Set `DEV_STATUS=False`.",
        )


def _cors(subject: Subject) -> Iterator[Finding]:
    for middleware in subject.app.user_middleware:
        kind: object = middleware.cls
        options: dict[str, Any] = dict(middleware.kwargs)
        if kind is CORSMiddleware and "*" in options.get("allow_origins", ()):
            yield Finding(
                "cors",
                "Any origin may call the service from a browser.",
                "Name the origins: `base_pattern(..., origins=[...])`.",
            )


def _docintegration(subject: Subject) -> Iterator[Finding]:
    routes = [route for route in subject.app.routes if isinstance(route, APIRoute)]
    for route in routes:
        if route.path == PATH and not route.dependencies:
            yield Finding(
                "docintegration",
                f"Everybody may read at {PATH} which systems the service calls.",
                "Give `base_pattern(..., docintegration=...)` the dependency that "
                "decides who may, or `False`.",
            )


def _memory_cache(subject: Subject) -> Iterator[Finding]:
    caches = getattr(subject.app.state, "CACHES", ())
    if subject.workers > 1 and any(not cache.is_shared for cache in caches):
        yield Finding(
            "memory-cache",
            f"{subject.workers} workers have a cache each: a write invalidates one.",
            "Give the cache a Redis client.",
        )


def _memory_sessions(subject: Subject) -> Iterator[Finding]:
    auth = getattr(subject.app.state, "auth_jwt", None)
    if subject.workers > 1 and isinstance(getattr(auth, "store", None), MemoryStore):
        yield Finding(
            "memory-sessions",
            f"{subject.workers} workers know sessions of their own: who logs out of one "
            "is let in by the others.",
            "Give the authentication `store=RedisStore(...)`.",
        )


def _memory_panel(subject: Subject) -> Iterator[Finding]:
    from accel_admin import MemoryStore as PanelMemory

    kept = [panel.store for panel in panels_of(subject.app)]
    if subject.workers > 1 and any(isinstance(store, PanelMemory) for store in kept):
        yield Finding(
            "memory-panel",
            f"{subject.workers} workers know logins of their own: the admin panel asks "
            "for the password again and again.",
            "Give the panel `store=redis.from_url(...)`, the synchronous client.",
        )


def _redis(subject: Subject) -> Iterator[Finding]:
    for owner, why in silent_stores(subject.app):
        yield Finding(
            "redis",
            f"The {owner} does not reach its store: {why}.",
            "Start Redis, or mend REDIS_URL.",
        )


def _connections(subject: Subject) -> Iterator[Finding]:
    manager = subject.manager
    if manager is None or manager.backend != "postgresql":
        return
    wanted = manager.most_connections * subject.workers
    try:
        with manager.transaction() as session:
            limit = int(session.scalar(text("SHOW max_connections"))) - RESERVED
    except Unavailable as exc:
        yield Finding("database", exc.reason, "Start it, or mend DATABASE_URL.")
        return
    if wanted > limit:
        yield Finding(
            "connections",
            f"{subject.workers} workers may open {wanted} connections of {limit}.",
            "Lower `pool_size` and `max_overflow`, or put PgBouncer in between.",
        )


def _migrations(subject: Subject) -> Iterator[Finding]:
    manager, settings = subject.manager, Path("alembic.ini")
    if manager is None or not settings.exists():
        return
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        scripts = ScriptDirectory.from_config(Config(settings))
        heads = set(scripts.get_heads())
        known = {script.revision for script in scripts.walk_revisions()}
    except CommandError as exc:
        why = f"Alembic can not read the migrations ({exc})."
        yield Finding("migrations", why, "Mend alembic.ini.")
        return
    try:
        with manager.engine.connect() as connection:
            current = set(MigrationContext.configure(connection).get_current_heads())
    except SQLAlchemyError:
        # PostgreSQL that does not answer is a finding of `_connections` already.
        return
    if unknown := current - known:
        yield Finding(
            "migrations",
            f"The database is at {sorted(unknown)}, which this code does not have.",
            "Deploy the code that has it, or let that code run: alembic downgrade.",
        )
    elif heads != current:
        yield Finding(
            "migrations",
            f"The database is at {sorted(current) or 'nothing'}, the code at {sorted(heads)}.",
            "Run: alembic upgrade head",
        )


def _namesake(_subject: Subject) -> Iterator[Finding]:
    try:
        distribution("fastapi-accelerator")
    except PackageNotFoundError:
        return
    yield Finding(
        "namesake",
        "fastapi-accelerator is installed beside accel-pattern: both own one module.",
        "Run: pip uninstall fastapi-accelerator, then reinstall accel-pattern.",
    )


CHECKS: tuple[Check, ...] = (
    *(_secret, _debug, _dev_status, _cors, _docintegration),
    *(_memory_cache, _memory_sessions, _memory_panel, _redis),
    *(_connections, _migrations, _namesake),
)
