"""ORM."""

from accel_db import OrmAsync

__all__ = ["OrmAsync"]
