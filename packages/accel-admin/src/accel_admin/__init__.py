"""A Flask-Admin panel with a real login, for SQLAlchemy models."""

from accel_admin._accounts import Account
from accel_admin._asgi import mount_admin
from accel_admin._audit import AuditEvent
from accel_admin._errors import (
    AdminError,
    ConfigurationError,
    LoginThrottled,
    MissingExtra,
    UnknownRole,
    WeakPassword,
    WeakSecretKey,
)
from accel_admin._panel import Panel, admin_pattern
from accel_admin._stores import MemoryStore, RedisStore
from accel_admin._views import ModelView

__all__ = [
    "Account",
    "AdminError",
    "AuditEvent",
    "ConfigurationError",
    "LoginThrottled",
    "MemoryStore",
    "MissingExtra",
    "ModelView",
    "Panel",
    "RedisStore",
    "UnknownRole",
    "WeakPassword",
    "WeakSecretKey",
    "admin_pattern",
    "mount_admin",
]
