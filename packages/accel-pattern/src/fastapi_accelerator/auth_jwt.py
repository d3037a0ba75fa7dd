"""JWT authentication."""

from accel_auth import BaseAuthJWT, jwt_auth

__all__ = ["BaseAuthJWT", "jwt_auth"]
