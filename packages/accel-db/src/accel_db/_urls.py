"""One database URL, as each half needs it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from accel_db._errors import ConfigurationError
from accel_db._tls import single, take_tls, with_one_mode

_SYNC_POSTGRES = frozenset({"psycopg", "psycopg2", "pg8000"})
_ASYNC_POSTGRES = frozenset({"asyncpg", "psycopg", "psycopg_async"})

# What asyncpg understands by itself, and libpq would refuse.
_ASYNCPG_ONLY = frozenset(
    {
        "async_fallback",
        "command_timeout",
        "prepared_statement_cache_size",
        "prepared_statement_name_func",
        "statement_cache_size",
    }
)
# What libpq understands, and asyncpg needs not or cannot know.
_LIBPQ_ONLY = frozenset(
    {
        "channel_binding",
        "client_encoding",
        "fallback_application_name",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "sslcertmode",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)
_MEMORY = frozenset({None, "", ":memory:"})


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """The URLs of both halves, and what the async driver takes as arguments."""

    sync: URL
    asynchronous: URL
    async_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def backend(self) -> str:
        """Return `sqlite` or `postgresql`."""
        return self.sync.get_backend_name()

    @property
    def in_memory(self) -> bool:
        """Tell whether the URL names a database that only lives in memory."""
        return self.backend == "sqlite" and self.sync.database in _MEMORY

    def with_file(self, path: str) -> "DatabaseUrls":
        """Return the same URLs for the SQLite file at *path*."""
        return DatabaseUrls(
            self.sync.set(database=path), self.asynchronous.set(database=path)
        )


def database_urls(url: str | URL) -> DatabaseUrls:
    """Derive the URLs of both halves from *url*, with or without a driver.

    Raises:
        ConfigurationError: *url* is malformed, or names another database than
            PostgreSQL and SQLite. The message never repeats it: it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database URL cannot be read. Write it like "
            "`postgresql://user:password@host/name` or `sqlite:///file.db`."
        ) from None
    backend, _, driver = parsed.drivername.partition("+")
    if backend in {"postgres", "postgresql"}:
        return _postgres(parsed, driver)
    if backend == "sqlite":
        return DatabaseUrls(
            parsed.set(drivername="sqlite+pysqlite"),
            parsed.set(drivername="sqlite+aiosqlite"),
        )
    raise ConfigurationError(
        f"{backend!r} is not supported: accel-db speaks PostgreSQL and SQLite."
    )


def _postgres(url: URL, driver: str) -> DatabaseUrls:
    if driver and driver not in _SYNC_POSTGRES | _ASYNC_POSTGRES:
        raise ConfigurationError(
            f"The driver {driver!r} is unknown. Leave it out, or use psycopg or asyncpg."
        )
    url = with_one_mode(url)
    sync_driver = driver if driver in _SYNC_POSTGRES else "psycopg"
    async_driver = driver if driver in _ASYNC_POSTGRES else "asyncpg"
    sync = url.set(drivername=f"postgresql+{sync_driver}")
    sync = sync.difference_update_query(_ASYNCPG_ONLY)
    asynchronous = url.set(drivername=f"postgresql+{async_driver}")
    if async_driver != "asyncpg":
        asynchronous = asynchronous.difference_update_query(_ASYNCPG_ONLY)
        return DatabaseUrls(sync, asynchronous)
    rest, args = _asyncpg_arguments(asynchronous)
    return DatabaseUrls(sync, rest, MappingProxyType(args))


def _asyncpg_arguments(url: URL) -> tuple[URL, dict[str, Any]]:
    """Translate libpq's parameters: asyncpg raises a TypeError for them."""
    query = {key: single(value) for key, value in url.query.items()}
    args: dict[str, Any] = {}
    settings = _session_options(query.pop("options", ""))
    if application := query.pop("application_name", None):
        settings["application_name"] = application
    if timeout := query.pop("connect_timeout", None):
        args["timeout"] = _seconds(timeout)
    args |= take_tls(query)
    if settings:
        args["server_settings"] = settings
    unknown = [key for key in query if key in _LIBPQ_ONLY]
    kept = {k: v for k, v in url.query.items() if k in query and k not in unknown}
    return url.set(query=kept), args


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(
            f"`connect_timeout` must be a number of seconds: {value!r}"
        ) from None


def _session_options(options: str) -> dict[str, str]:
    """Read `-c name=value --name=value`, the way libpq's `options` writes settings."""
    settings = {}
    try:
        words = iter(shlex.split(options))
    except ValueError:
        raise ConfigurationError(
            "`options` cannot be read: a quotation or a backslash is left open."
        ) from None
    for word in words:
        if word == "-c":
            setting = next(words, "")
        else:
            setting = word.removeprefix("-c").removeprefix("--")
        name, separator, value = setting.partition("=")
        if not separator:
            raise ConfigurationError(
                f"`options` must be written like `-c name=value`: {word!r}"
            )
        settings[name.replace("-", "_")] = value
    return settings
