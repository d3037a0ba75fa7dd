"""FastAPI service."""

from accel_pattern import base_pattern

__all__ = ["base_pattern"]
