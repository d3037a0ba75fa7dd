"""Alembic environment."""

from accel_db import AlembicEnv

__all__ = ["AlembicEnv"]
