"""A Flask-Admin panel with a real login, for SQLAlchemy models."""

from accel_admin._accounts import Account
from accel_admin._asgi import mount_admin
from accel_admin._audit import AuditEvent
from accel_admin._errors import (
    AdminError,
    AsyncClient,
    ConfigurationError,
    DuplicateAccount,
    InvalidPath,
    MissingExtra,
    StoreUnavailable,
    UnknownRole,
    WeakPassword,
    WeakSecretKey,
)
from accel_admin._panel import Panel
from accel_admin._pattern import admin_pattern
from accel_admin._stores import MemoryStore, RedisStore
from accel_admin._views import ModelView

__all__ = [
    "Account",
    "AdminError",
    "AsyncClient",
    "AuditEvent",
    "ConfigurationError",
    "DuplicateAccount",
    "InvalidPath",
    "MemoryStore",
    "MissingExtra",
    "ModelView",
    "Panel",
    "RedisStore",
    "StoreUnavailable",
    "UnknownRole",
    "WeakPassword",
    "WeakSecretKey",
    "admin_pattern",
    "mount_admin",
]
