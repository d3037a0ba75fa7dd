"""Admin panel."""

from accel_admin import admin_pattern as base_pattern

__all__ = ["base_pattern"]
