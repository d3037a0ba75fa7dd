"""JSON Web Token authentication for FastAPI, per application and without globals."""

from accel_auth._app import (
    AppAuth,
)
from accel_auth._auth import (
    BaseAuthJWT,
)
from accel_auth._cookies import (
    CookieTransport,
)
from accel_auth._dependency import (
    JwtAuth,
    jwt_auth,
)
from accel_auth._errors import (
    AuthConfigError,
    AuthError,
    AuthRequestError,
    AuthUnavailableError,
    CsrfError,
    HookError,
    InsecureIssuerError,
    InsufficientScopeError,
    InvalidCredentialsError,
    InvalidFormError,
    InvalidGrantError,
    InvalidScopeError,
    InvalidTokenError,
    KeyMaterialError,
    LoginThrottledError,
    MissingExtraError,
    NotAuthenticatedError,
    NotMountedError,
    PasswordTooLongError,
    TokenExpiredError,
    TokenRevokedError,
    TokenTooLargeError,
    UnsupportedGrantError,
    WeakSecretError,
)
from accel_auth._events import (
    AuthEvent,
)
from accel_auth._keys import (
    Key,
    Keyring,
)
from accel_auth._passwords import (
    PasswordHasher,
)
from accel_auth._redis_store import (
    RedisStore,
)
from accel_auth._resource import (
    ResourceServer,
)
from accel_auth._stores import (
    MemoryStore,
    Rotation,
    Session,
    TokenStore,
    Turn,
)
from accel_auth._throttle import (
    Limiter,
    LoginThrottle,
)

__all__ = [
    "AppAuth",
    "AuthConfigError",
    "AuthError",
    "AuthEvent",
    "AuthRequestError",
    "AuthUnavailableError",
    "BaseAuthJWT",
    "CookieTransport",
    "CsrfError",
    "HookError",
    "InsecureIssuerError",
    "InsufficientScopeError",
    "InvalidCredentialsError",
    "InvalidFormError",
    "InvalidGrantError",
    "InvalidScopeError",
    "InvalidTokenError",
    "JwtAuth",
    "Key",
    "KeyMaterialError",
    "Keyring",
    "Limiter",
    "LoginThrottle",
    "LoginThrottledError",
    "MemoryStore",
    "MissingExtraError",
    "NotAuthenticatedError",
    "NotMountedError",
    "PasswordHasher",
    "PasswordTooLongError",
    "RedisStore",
    "ResourceServer",
    "Rotation",
    "Session",
    "TokenExpiredError",
    "TokenRevokedError",
    "TokenStore",
    "TokenTooLargeError",
    "Turn",
    "UnsupportedGrantError",
    "WeakSecretError",
    "jwt_auth",
]
