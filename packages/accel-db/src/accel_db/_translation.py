"""Errors of drivers, told in the terms of accel-db."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from sqlalchemy import MetaData, Table, UniqueConstraint
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
    TimeoutError as PoolTimeout,
)
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from accel_db._errors import (
    Conflict,
    ConstraintViolation,
    DatabaseError,
    ForeignKeyConflict,
    InvalidValue,
    SerializationFailure,
    StaleVersion,
    StatementTimeout,
    Unavailable,
)

UNNAMED = "value"
"""The path of a value whose column no driver names."""
_RETRYABLE = frozenset({"40001", "40P01", "55P03"})
# No connection, no resources, a server that starts or stops, or one that does not know
# whom or which database the settings name.
_DOWN = ("08", "57P", "53", "28", "3D")
_SQLITE_DOWN = ("unable to open database", "disk I/O error", "database or disk is full")
_BAD_VALUES = ("22", "42804")
# What types raise for values that they do not take, such as a time beyond the year 1.
_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
_SQLITE_FAILED = re.compile(
    r"(UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed(?:: (.+))?"
)
# What servers and libpq say of a connection that failed. Other words of theirs may repeat
# a URL that was mistyped, and with it a password.
_SAID = re.compile(
    r"FATAL: +(?P<server>[^\n]+)|Connection refused|timeout expired|"
    r"failed to resolve host|could not translate host name|rejected SSL upgrade|"
    r"server does not support SSL|certificate verify failed(?:: [\w ]+\w)?|"
    r"server certificate for \"[^\"\n]+\"[^\"\n]* does not match host name|"
    r"unsupported startup parameter: \w+|query_wait_timeout|"
    r"root certificate file [^\n]+? does not exist|"
    r"server closed the connection unexpectedly|too many clients already|"
    r"unable to open database file|disk I/O error|database or disk is full"
)
# Where SQLAlchemy connects, and where it waits for asyncpg, whose `command_timeout` ends
# in an OSError, too.
_DRIVING = frozenset({"sqlalchemy.pool.base", "sqlalchemy.dialects.postgresql.asyncpg"})
_DETAIL_KEY = re.compile(r"Key \((.+?)\)=")


@contextmanager
def translated(session: Session) -> Iterator[None]:
    """Raise our errors instead of those of SQLAlchemy and the driver."""
    try:
        yield
    except StaleDataError as exc:
        raise StaleVersion from exc
    except PoolTimeout as exc:
        raise Unavailable("No connection of the pool became free.") from exc
    except StatementError as exc:
        if (ours := translate(exc, _metadata(session))) is None:
            raise
        raise ours from exc


@contextmanager
def reached(session: Session) -> Iterator[None]:
    """Raise our errors, also for a server that cannot be reached.

    Only for our own code: asyncpg raises bare errors of sockets when it connects, which
    code of a user may raise for reasons of its own.
    """
    with translated(session):
        try:
            yield
        except OSError as exc:
            raise unavailable(exc) from exc
        except (OverflowError, UnicodeEncodeError) as exc:
            # SQLite's driver and psycopg leave these as Python raised them.
            raise InvalidValue(UNNAMED, "value for its column") from exc
        except Exception as exc:
            if _is_down(exc):
                raise unavailable(exc) from exc
            raise


def _metadata(session: Session) -> MetaData | None:
    manager = getattr(session, "manager", None)
    return None if manager is None else manager.Base.metadata


def translate(exc: StatementError, metadata: MetaData | None) -> DatabaseError | None:
    """Return our error for *exc*, or None if it has no counterpart."""
    if not isinstance(exc, DBAPIError):
        # The value did not even reach the driver.
        cause = exc.orig
        if isinstance(cause, _UNREADABLE):
            return InvalidValue(UNNAMED, "value for its column")
        return None
    if (state := sqlstate(exc)) is not None:
        return _from_sqlstate(state, exc, metadata)
    # SQLAlchemy found the connection dead, whatever the driver calls the error.
    if exc.connection_invalidated:
        return unavailable(exc)
    if isinstance(exc, DataError):
        # The driver refused it before the server could name the error.
        return InvalidValue(UNNAMED, "value for its column")
    return _from_sqlite(str(exc.orig), metadata) or _unreachable(exc)


def unavailable(exc: BaseException) -> Unavailable:
    """Return our error for a server that cannot be reached, with the cause of it."""
    return Unavailable(f"The database cannot be reached ({cause_of(exc)}).")


def raw_errors() -> tuple[type[Exception], ...]:
    """Return the roots of what a session raises by itself: see `as_unavailable`."""
    try:
        from asyncpg import PostgresError
    except ImportError:
        return (SQLAlchemyError, OSError)
    # Bare where the server refuses a connection.
    return (SQLAlchemyError, OSError, PostgresError)


def as_unavailable(exc: BaseException) -> Unavailable | None:
    """Return the error that *exc* is if the database is away, busy or too slow.

    For what a session raised by itself, outside of `Orm` and `transaction`. Anything
    else gives None, also an `OSError` that has nothing to do with the database.
    """
    if isinstance(exc, PoolTimeout):
        return Unavailable("No connection of the pool became free.")
    if isinstance(exc, DBAPIError):
        ours = translate(exc, None)
        return ours if isinstance(ours, Unavailable) else None
    if isinstance(exc, OSError):
        return unavailable(exc) if _from_driver(exc) else None
    return unavailable(exc) if _is_down(exc) else None


def _from_driver(exc: BaseException) -> bool:
    # An OSError says nothing of whom it was about: what raised it does.
    frames = (frame for frame, _ in walk_tb(exc.__traceback__))
    return any(frame.f_globals.get("__name__") in _DRIVING for frame in frames)


def _is_down(exc: BaseException) -> bool:
    state = getattr(exc, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_DOWN)


def cause_of(exc: BaseException) -> str:
    """Say what *exc* is about, for a log: without what could be a secret."""
    if (orig := getattr(exc, "orig", None)) is not None:
        # SQLAlchemy's errors for asyncpg have its own as their cause.
        exc = orig.__cause__ or orig
    if getattr(exc, "severity_en", None) == "FATAL":
        # asyncpg leaves out the word by which psycopg shows that the server said it.
        return str(exc).partition("\n")[0]
    if (said := _SAID.search(str(exc))) is not None:
        return said["server"] or said[0]
    return type(exc).__name__


def sqlstate(exc: DBAPIError) -> str | None:
    """Return the five characters by which PostgreSQL names the error."""
    state = getattr(exc.orig, "sqlstate", None) or getattr(exc.orig, "pgcode", None)
    return state if isinstance(state, str) else None


def is_retryable(exc: BaseException) -> bool:
    """Tell whether the same transaction may succeed when it runs again."""
    if isinstance(exc, SerializationFailure):
        return True
    if not isinstance(exc, DBAPIError):
        return False
    return sqlstate(exc) in _RETRYABLE or _is_locked(str(exc.orig))


def _is_locked(message: str) -> bool:
    return "database is locked" in message or "database table is locked" in message


def _from_sqlstate(
    state: str, exc: DBAPIError, metadata: MetaData | None
) -> DatabaseError | None:
    if state in _RETRYABLE:
        return SerializationFailure()
    if state == "57014":
        return StatementTimeout()
    if state.startswith("23"):
        return _violation(state, exc, metadata)
    if state.startswith(_BAD_VALUES):
        return InvalidValue(UNNAMED, "value for its column")
    if state.startswith(_DOWN):
        return unavailable(exc)
    return None


_VIOLATIONS: dict[str, tuple[type[ConstraintViolation], str]] = {
    "23505": (Conflict, "unique"),
    "23P01": (Conflict, "exclusion"),
    "23503": (ForeignKeyConflict, "foreign key"),
    "23001": (ForeignKeyConflict, "foreign key"),
    "23502": (ConstraintViolation, "NOT NULL"),
    "23514": (ConstraintViolation, "CHECK"),
}


def _violation(
    state: str, exc: DBAPIError, metadata: MetaData | None
) -> ConstraintViolation:
    cls, kind = _VIOLATIONS.get(state, (ConstraintViolation, "integrity"))
    info = _diagnostics(exc.orig)
    table, name = info.get("table_name"), info.get("constraint_name")
    columns: tuple[str, ...] = ()
    if column := info.get("column_name"):
        columns = (column,)
    elif match := _DETAIL_KEY.search(info.get("detail") or ""):
        columns = tuple(part.strip().strip('"') for part in match[1].split(","))
    elif metadata is not None and name and table and table in metadata.tables:
        columns = _columns_of(metadata.tables[table], name)
    return cls(name, table=table, columns=columns, kind=kind)


def _diagnostics(orig: Any) -> dict[str, str | None]:
    """Read what the drivers tell: asyncpg in its own error, psycopg in `diag`."""
    source = getattr(orig, "diag", None) or orig.__cause__ or orig
    return {
        "table_name": getattr(source, "table_name", None),
        "constraint_name": getattr(source, "constraint_name", None),
        "column_name": getattr(source, "column_name", None),
        "detail": getattr(source, "message_detail", None)
        or getattr(source, "detail", None),
    }


def _from_sqlite(message: str, metadata: MetaData | None) -> DatabaseError | None:
    if _is_locked(message):
        return SerializationFailure()
    if message.startswith("Error binding parameter"):
        # A list for a text, for example, which is a programming error to SQLite.
        return InvalidValue(UNNAMED, "value for its column")
    match = _SQLITE_FAILED.search(message)
    return _sqlite_violation(match[1], match[2] or "", metadata) if match else None


def _sqlite_violation(
    kind: str, subject: str, metadata: MetaData | None
) -> ConstraintViolation:
    if kind == "FOREIGN KEY":
        return ForeignKeyConflict(None, kind="foreign key")
    if kind == "CHECK":
        return ConstraintViolation(subject or None, kind=kind)
    if subject.startswith("index "):
        return Conflict(subject.removeprefix("index ").strip("'"), kind="unique")
    names = [part.strip() for part in subject.split(",")]
    table = names[0].rpartition(".")[0] or None
    columns = [name.rpartition(".")[2] for name in names]
    if kind == "NOT NULL":
        return ConstraintViolation(None, table=table, columns=columns, kind=kind)
    name = _unique_name(metadata, table, columns)
    return Conflict(name, table=table, columns=columns, kind="unique")


def _unique_name(
    metadata: MetaData | None, table: str | None, columns: list[str]
) -> str | None:
    """Find the constraint that SQLite only describes by its columns."""
    if metadata is None or table is None or table not in metadata.tables:
        return None
    found = metadata.tables[table]
    for constraint in _uniques(found):
        if [column.name for column in constraint.columns] == columns:
            return str(constraint.name) if constraint.name else None
    return None


def _uniques(table: Table) -> Iterator[Any]:
    yield table.primary_key
    yield from (c for c in table.constraints if isinstance(c, UniqueConstraint))
    yield from (index for index in table.indexes if index.unique)


def _columns_of(table: Table, name: str) -> tuple[str, ...]:
    constraints: list[Any] = [*table.constraints, *table.indexes]
    for constraint in constraints:
        if constraint.name == name:
            columns: Any = constraint.columns
            return tuple(column.name for column in columns)
    return ()


def _unreachable(exc: DBAPIError) -> DatabaseError | None:
    """Recognise failed connections, which have no state: there was no server to ask."""
    # Others are mistakes in the statement, and stay as they are.
    if not isinstance(exc, (OperationalError, InterfaceError)):
        return None
    if type(exc.orig).__module__ != "sqlite3":
        return unavailable(exc)
    # To SQLite a typo in a statement is an operational error, too.
    message = str(exc.orig)
    return unavailable(exc) if message.startswith(_SQLITE_DOWN) else None
