"""Rows for tests."""

from accel_pattern.testing import apply_fixture_db, fixtures

__all__ = ["apply_fixture_db", "fixtures"]
