"""Test database."""

from accel_pattern.testing import (
    aengine,
    apply_fixture_db,
    client,
    common_client,
    db_manager,
    db_session,
    empty_tables,
    engine,
    fixtures,
    isolation,
    test_app,
    test_database,
    track_queries,
)

__all__ = [
    "aengine",
    "apply_fixture_db",
    "client",
    "common_client",
    "db_manager",
    "db_session",
    "empty_tables",
    "engine",
    "fixtures",
    "isolation",
    "test_app",
    "test_database",
    "track_queries",
]
