"""JSON Web Token authentication for FastAPI, per application and without globals."""

from accel_auth._app import AppAuth
from accel_auth._auth import BaseAuthJWT
from accel_auth._cookies import CookieTransport
from accel_auth._dependency import JwtAuth, jwt_auth
from accel_auth._keys import Key, Keyring
from accel_auth._stores import MemoryStore, TokenStore
from accel_auth._throttle import Limiter, LoginThrottle

__all__ = [
    "AppAuth",
    "BaseAuthJWT",
    "CookieTransport",
    "JwtAuth",
    "Key",
    "Keyring",
    "Limiter",
    "LoginThrottle",
    "MemoryStore",
    "TokenStore",
    "jwt_auth",
]
