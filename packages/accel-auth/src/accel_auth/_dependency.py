"""The dependency that protects an endpoint."""

from functools import cached_property
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from accel_auth._claims import Claims, scopes_of
from accel_auth._errors import (
    InsufficientScopeError,
    NotAuthenticatedError,
    NotMountedError,
)


class Authenticator(Protocol):
    """What judges tokens: the app's own issuer, or an external one."""

    async def authenticate(self, token: str) -> Claims:
        """Return the claims of an access token."""
        ...

    async def authenticate_cookie(self, conn: HTTPConnection) -> Claims | None:
        """Return the claims of a token that came as a cookie."""
        ...


class JwtAuth(SecurityBase):
    """Yields the claims of the caller's token, judged by the app that was called.

    `Depends(jwt_auth)` requires a valid token, `Security(jwt_auth, scopes=["a"])` also
    its scopes. Nothing is kept here: one instance serves every app of a process.
    """

    def __init__(
        self,
        *,
        required: bool = True,
        owner: object = None,
        authenticator: Authenticator | None = None,
    ) -> None:
        flow = OAuthFlowPassword(tokenUrl="token", scopes={})
        self.model = OAuth2(flows=OAuthFlows(password=flow))
        self.scheme_name = "JwtAuth"
        self._required = required
        self._owner = owner
        self._fixed = authenticator

    @cached_property
    def optional(self) -> "JwtAuth":
        """Return the dependency that yields None to who sends no token.

        A token that is sent must be valid nevertheless.
        """
        return JwtAuth(required=False, owner=self._owner, authenticator=self._fixed)

    async def __call__(
        self, conn: HTTPConnection, scopes: SecurityScopes
    ) -> Any:  # dict[str, Any], or None where it is optional
        """Return the claims of the caller, and keep them as `request.state.jwt`.

        There they are for what is no dependency, such as a view set's `scope_query`.

        Raises:
            NotAuthenticatedError: if there is no token.
            InvalidTokenError: if the token is refused.
            InsufficientScopeError: if it lacks a scope.
            AuthUnavailableError: if it can not be judged now.
        """
        claims = await self._claims(conn)
        conn.state.jwt = claims
        if claims is None:
            if self._required:
                raise NotAuthenticatedError(scopes.scopes)
            return None
        if scopes.scopes and not scopes_of(claims).issuperset(scopes.scopes):
            raise InsufficientScopeError(scopes.scopes)
        return claims

    async def _claims(self, conn: HTTPConnection) -> Claims | None:
        # A mounted sub-application puts itself here: it judges by its own keys.
        auth = self._authenticator(conn.scope["app"])
        scheme, _, token = conn.headers.get("authorization", "").partition(" ")
        # A header is sent on purpose and a cookie by itself, so only the latter needs a
        # proof. The scheme has no case (RFC 9110, section 11.1).
        if scheme.lower() == "bearer":
            return await auth.authenticate(token.strip())
        return await auth.authenticate_cookie(conn)

    def _authenticator(self, app: FastAPI) -> Authenticator:
        if self._fixed is not None:
            return self._fixed
        auth: Authenticator | None = getattr(app.state, "auth_jwt", None)
        if self._owner is not None:
            mounts = getattr(app.state, "auth_jwt_mounts", {})
            auth = mounts.get(id(self._owner))
        if auth is None:
            raise NotMountedError(app.title)
        return auth


jwt_auth = JwtAuth()
"""The claims of the caller, whatever app is called: `Depends(jwt_auth)`."""
