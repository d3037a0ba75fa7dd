"""Test database."""

from accel_pattern.testing import (
    aengine,
    apply_fixture_db,
    client,
    db_manager,
    db_session,
    engine,
    fixtures,
    test_app,
    track_queries,
)

__all__ = [
    "aengine",
    "apply_fixture_db",
    "client",
    "db_manager",
    "db_session",
    "engine",
    "fixtures",
    "test_app",
    "track_queries",
]
