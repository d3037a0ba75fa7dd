"""Errors of accel-auth.

The tree:

- AuthError
  - AuthConfigError: the service is set up wrongly; the developer reads it
    - WeakSecretError
    - KeyMaterialError
    - HookError
    - MissingExtraError
    - InsecureIssuerError
    - NotMountedError
    - TokenTooLargeError
  - AuthRequestError: a request is refused; the client reads it (an HTTPException)
    - NotAuthenticatedError (401)
    - InvalidTokenError (401)
      - TokenExpiredError
      - TokenRevokedError
    - InvalidCredentialsError (401)
    - InsufficientScopeError (403)
    - CsrfError (403)
    - InvalidGrantError (400)
    - InvalidScopeError (400)
    - UnsupportedGrantError (400)
    - InvalidFormError (422)
      - PasswordTooLongError
    - LoginThrottledError (429)
    - AuthUnavailableError (503)
"""

import math
from collections.abc import Iterable
from typing import ClassVar

from fastapi import HTTPException


class AuthError(Exception):
    """Base of every error of this package."""

    http_status: ClassVar[int] = 500
    retry_after: float | None = None


class AuthConfigError(AuthError):
    """Raised when the service is set up in a way that can not be served safely."""


class WeakSecretError(AuthConfigError):
    """Raised when a secret is missing, empty, or too short to sign with."""

    def __init__(self, size: int, minimum: int, algorithm: str) -> None:
        found = f"{size} bytes long" if size else "missing or empty"
        super().__init__(
            f"The secret for {algorithm} is {found}; it needs at least {minimum} bytes. "
            "Set `app.state.SECRET_KEY` (or `keys=`) to the output of: "
            'python -c "import secrets; print(secrets.token_urlsafe(48))". '
            "Only an app in debug mode starts without."
        )


class KeyMaterialError(AuthConfigError):
    """Raised when a key can not serve the algorithm it is meant for."""

    def __init__(self, algorithm: str, why: str, cure: str) -> None:
        super().__init__(f"This key does not fit {algorithm!r}: {why}. {cure}")


class HookError(AuthConfigError, TypeError):
    """Raised when a hook is missing or takes the wrong number of arguments."""

    def __init__(self, owner: str, hook: str, why: str, shape: str) -> None:
        super().__init__(
            f"`{owner}.{hook}` {why}. Write it as `def {hook}{shape}`, "
            "with or without `self` or `cls`, sync or async."
        )


class MissingExtraError(AuthConfigError, ImportError):
    """Raised when a feature needs an extra that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs more packages. "
            f'Install them with: pip install "accel-auth[{extra}]"'
        )


class InsecureIssuerError(AuthConfigError):
    """Raised when the keys of an issuer would come over a line anybody may change."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"Keys must come over https, but `jwks_url` is {url!r}: whoever sits on the "
            "line could sign tokens. Use the issuer's https address."
        )


class NotMountedError(AuthConfigError):
    """Raised when an endpoint asks for a login that its app does not offer."""

    def __init__(self, app: str) -> None:
        super().__init__(
            f"The app {app!r} has no authentication, but a route depends on `jwt_auth`. "
            "Call `AuthJWT.mount_auth(app)` on the very app that holds the route; "
            "a mounted sub-application needs its own."
        )


class TokenTooLargeError(AuthConfigError):
    """Raised when a token would be signed that no request is let in with."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The token would have {size} bytes, but at most {limit} are accepted. "
            "Let `add_jwt_body` add fewer or shorter claims, and look up the rest."
        )


class AuthRequestError(AuthError, HTTPException):
    """Base of what a client may read; FastAPI answers it as it is."""

    http_status: ClassVar[int] = 400
    oauth_error: ClassVar[str] = "invalid_request"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        headers = self.challenge() or {}
        if retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        self.retry_after = retry_after
        HTTPException.__init__(self, self.http_status, message, headers or None)

    def challenge(self) -> dict[str, str]:
        """Return the headers that tell the client how to authenticate."""
        return {}

    def __str__(self) -> str:
        return str(self.detail)


def bearer(**params: str) -> dict[str, str]:
    """Write a challenge of RFC 6750, section 3."""
    quoted = [f'{name}="{value}"' for name, value in params.items() if value]
    return {"WWW-Authenticate": ", ".join(['Bearer realm="api"', *quoted])}


class NotAuthenticatedError(AuthRequestError):
    """Raised when a request carries no token at all."""

    http_status = 401

    def __init__(self, scopes: Iterable[str] = ()) -> None:
        self.scopes = " ".join(scopes)
        super().__init__(
            "Not authenticated: send `Authorization: Bearer <token>`; "
            "`POST /token` gives one."
        )

    def challenge(self) -> dict[str, str]:
        """Leave out the error code, as RFC 6750 asks where no token was sent."""
        return bearer(scope=self.scopes)


class InvalidTokenError(AuthRequestError):
    """Raised when a token is refused; *reason* is for the log, not for the client."""

    http_status = 401
    oauth_error = "invalid_token"
    message = "The token is not valid. Log in again."

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(self.message)

    def challenge(self) -> dict[str, str]:
        """Name the error, in general words: details would help an attacker."""
        return bearer(error=self.oauth_error, error_description=self.message)


class TokenExpiredError(InvalidTokenError):
    """Raised when a token was good once; a refresh gives a new one."""

    message = "The token expired. Refresh it, or log in again."

    def __init__(self) -> None:
        super().__init__("expired")


class TokenRevokedError(InvalidTokenError):
    """Raised when a token was revoked, alone or with its session."""

    message = "The token was revoked. Log in again."

    def __init__(self) -> None:
        super().__init__("revoked")


class InvalidCredentialsError(AuthRequestError):
    """Raised when a name and its password do not match.

    401 as in the seed's system, not the 400 of RFC 6749, which is kept for refreshing.
    """

    http_status = 401
    oauth_error = "invalid_grant"

    def __init__(self) -> None:
        super().__init__("Invalid credentials")

    def challenge(self) -> dict[str, str]:
        """Add the header that RFC 9110 requires on every 401."""
        return bearer()


class InsufficientScopeError(AuthRequestError):
    """Raised when a good token lacks a scope that the endpoint requires."""

    http_status = 403
    oauth_error = "insufficient_scope"

    def __init__(self, scopes: Iterable[str]) -> None:
        self.scopes = " ".join(scopes)
        super().__init__(f"The token lacks a required scope: {self.scopes}.")

    def challenge(self) -> dict[str, str]:
        """Name the scopes that would do."""
        return bearer(error=self.oauth_error, scope=self.scopes)


class CsrfError(AuthRequestError):
    """Raised when a cookie came along without proof that our own page sent it."""

    http_status = 403

    def __init__(self, header: str, cookie: str) -> None:
        super().__init__(
            f"Cross-site request refused: send the value of the cookie `{cookie}` "
            f"in the header `{header}`, from a page of the same site."
        )


class InvalidGrantError(AuthRequestError):
    """Raised when a refresh token is unknown, used, expired, or revoked."""

    oauth_error = "invalid_grant"

    def __init__(self) -> None:
        super().__init__("The refresh token is not valid. Log in again.")


class InvalidScopeError(AuthRequestError):
    """Raised when a login asks for scopes that the user does not have."""

    oauth_error = "invalid_scope"

    def __init__(self) -> None:
        super().__init__("None of the requested scopes can be granted.")


class UnsupportedGrantError(AuthRequestError):
    """Raised for a grant type other than password and refresh_token."""

    oauth_error = "unsupported_grant_type"

    def __init__(self) -> None:
        super().__init__("`grant_type` must be `password` or `refresh_token`.")


class InvalidFormError(AuthRequestError):
    """Raised when a form lacks a field or is too large; it never echoes a value."""

    http_status = 422


class PasswordTooLongError(InvalidFormError):
    """Raised before a giant password costs a hash."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The password is longer than {limit} bytes.")


class LoginThrottledError(AuthRequestError):
    """Raised when logins fail too fast; the wait doubles, and never locks."""

    http_status = 429
    oauth_error = "slow_down"

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            f"Too many login attempts. Try again in {max(1, math.ceil(retry_after))} s.",
            retry_after=retry_after,
        )


class AuthUnavailableError(AuthRequestError):
    """Raised when a token can not be judged now: it is refused, never waved through."""

    http_status = 503
    oauth_error = "temporarily_unavailable"

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__(
            "Authentication is temporarily unavailable. Try again soon.",
            retry_after=retry_after,
        )
