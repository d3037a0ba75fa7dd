"""Authenticated clients."""

from accel_pattern.testing import client_auth_jwt

__all__ = ["client_auth_jwt"]
