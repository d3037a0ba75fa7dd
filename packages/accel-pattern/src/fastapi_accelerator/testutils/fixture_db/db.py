"""Test database."""

from accel_pattern.testing import (
    aengine,
    client,
    common_client,
    db_manager,
    db_session,
    empty_tables,
    engine,
    isolation,
    test_app,
    test_database,
)

__all__ = [
    "aengine",
    "client",
    "common_client",
    "db_manager",
    "db_session",
    "empty_tables",
    "engine",
    "isolation",
    "test_app",
    "test_database",
]
