"""One manager for sync and async SQLAlchemy, with deep reads and writes."""

from typing import TYPE_CHECKING

from accel_db._changes import Change
from accel_db._errors import (
    ConfigurationError,
    Conflict,
    ConstraintViolation,
    DatabaseError,
    ForeignChild,
    ForeignKeyConflict,
    InvalidCursor,
    InvalidPayload,
    InvalidValue,
    ManagerConflict,
    MissingDriver,
    NotDevelopment,
    NotFound,
    NotLoaded,
    SerializationFailure,
    StaleVersion,
    StatementTimeout,
    Unavailable,
    UnknownReference,
    UnsafeStatement,
)
from accel_db._events import Event, QueryExecuted, SlowQuery
from accel_db._manager import MainDatabaseManager
from accel_db._mixins import (
    AuditMixin,
    SoftDeleteMixin,
    TimestampMixin,
    UtcDateTime,
    acting_as,
)
from accel_db._orm import Orm
from accel_db._orm_async import OrmAsync
from accel_db._pages import CursorPage, Page
from accel_db._plan import Deep
from accel_db._retry import retry_serialization
from accel_db._translation import as_unavailable, raw_errors

if TYPE_CHECKING:
    from accel_db._alembic import AlembicEnv as AlembicEnv
else:
    # Alembic is an extra, and slow to import.
    def __getattr__(name: str) -> object:
        if name != "AlembicEnv":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from accel_db._alembic import AlembicEnv
        except ModuleNotFoundError as exc:
            if exc.name != "alembic":
                raise
            raise ImportError(
                "`AlembicEnv` needs Alembic. Install it with: "
                'pip install "accel-db[alembic]"'
            ) from exc
        globals()[name] = AlembicEnv
        return AlembicEnv

    def __dir__() -> list[str]:
        return sorted({*globals(), "AlembicEnv"})


__all__ = [
    "AlembicEnv",
    "AuditMixin",
    "Change",
    "ConfigurationError",
    "Conflict",
    "ConstraintViolation",
    "CursorPage",
    "DatabaseError",
    "Deep",
    "Event",
    "ForeignChild",
    "ForeignKeyConflict",
    "InvalidCursor",
    "InvalidPayload",
    "InvalidValue",
    "MainDatabaseManager",
    "ManagerConflict",
    "MissingDriver",
    "NotDevelopment",
    "NotFound",
    "NotLoaded",
    "Orm",
    "OrmAsync",
    "Page",
    "QueryExecuted",
    "SerializationFailure",
    "SlowQuery",
    "SoftDeleteMixin",
    "StaleVersion",
    "StatementTimeout",
    "TimestampMixin",
    "Unavailable",
    "UnknownReference",
    "UnsafeStatement",
    "UtcDateTime",
    "acting_as",
    "as_unavailable",
    "raw_errors",
    "retry_serialization",
]
