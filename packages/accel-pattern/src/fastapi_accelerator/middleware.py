"""Middleware."""

from accel_pattern import ServiceLayer

__all__ = ["ServiceLayer"]
