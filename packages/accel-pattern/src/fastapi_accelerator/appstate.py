"""What an application knows about itself."""

from accel_pattern import AUTH_JWT, CACHE_STATUS, DATABASE_MANAGER, DEBUG, TIMEZONE

__all__ = ["AUTH_JWT", "CACHE_STATUS", "DATABASE_MANAGER", "DEBUG", "TIMEZONE"]
