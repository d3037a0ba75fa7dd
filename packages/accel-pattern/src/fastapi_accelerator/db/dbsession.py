"""Database manager."""

from accel_db import MainDatabaseManager, OrmAsync

__all__ = ["MainDatabaseManager", "OrmAsync"]
