"""Test database."""

from accel_pattern.testing import (
    aengine,
    client,
    db_manager,
    db_session,
    engine,
    test_app,
)

__all__ = ["aengine", "client", "db_manager", "db_session", "engine", "test_app"]
