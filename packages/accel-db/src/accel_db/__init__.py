"""One manager for sync and async SQLAlchemy, with deep reads and writes."""

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

__all__ = [
    "AuditMixin",
    "Change",
    "ConfigurationError",
    "Conflict",
    "ConstraintViolation",
    "CursorPage",
    "DatabaseError",
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
]
