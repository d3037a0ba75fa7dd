"""Counted queries."""

from accel_pattern.testing import track_queries

__all__ = ["track_queries"]
