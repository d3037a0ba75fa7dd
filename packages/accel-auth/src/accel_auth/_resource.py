"""Acceptance of tokens from an external issuer."""

import ssl
import time
from collections.abc import Callable
from functools import cached_property
from typing import TypedDict, Unpack
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.requests import HTTPConnection

from accel_auth._claims import Claims, ClaimsPolicy
from accel_auth._dependency import JwtAuth
from accel_auth._errors import InsecureIssuerError
from accel_auth._jwks import Fetch, RemoteKeys, https_fetch
from accel_auth._settings import Duration, Names, as_list, seconds
from accel_auth._verify import Verifier

# Never HS*: a public key would then serve as a secret (RFC 8725, section 3.1).
_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_ASYMMETRIC = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    | {"ES256", "ES384", "ES512", "EdDSA"}
)


class ResourceOptions(TypedDict, total=False):
    """What `ResourceServer` takes besides issuer, audience and address."""

    algorithms: Names
    types: Names
    required: Names
    leeway: Duration
    max_age: Duration
    cooldown: Duration
    stale_if_error: Duration
    timeout: Duration
    ssl_context: ssl.SSLContext | None
    fetch: Fetch | None
    clock: Callable[[], float]
    monotonic: Callable[[], float]


class ResourceServer:
    """Accepts the access tokens of one external issuer, such as Keycloak or Auth0.

    Mount it, and `jwt_auth` asks it; or depend on `server.jwt_auth` next to an issuer of
    the app's own. Where keys come from is configured, never read from a token.

    Args:
        issuer: The `iss` that tokens must carry, exactly.
        audience: The `aud` that must be among theirs: this very service.
        jwks_url: Where the issuer publishes its keys, over https.
        algorithms: What it signs with; never HS*. RS256, PS256, ES256, EdDSA by default.
        types: The `typ` of its access tokens: `at+jwt` (RFC 9068). Many issuers write
            `JWT`, which their id tokens carry too; allow it only with an audience that
            no id token has.
        required: More claims that must be there, besides exp, iat and sub.
        leeway: Tolerance for clocks that differ, in seconds; 0 by default.
        max_age: Age at which keys are fetched again; 10 minutes by default.
        cooldown: Shortest time between two fetches; 30 s by default.
        stale_if_error: How much older keys may get while the issuer is down; 1 hour.
        timeout: Budget of one fetch; 5 s by default.
        ssl_context: Trust for an issuer with a certificate of your own.
        fetch: Gets an address and returns the JWKS as bytes; httpx by default (extra
            `jwks`).
        clock: Where the time comes from, as seconds since 1970.
        monotonic: Where the age of keys comes from.
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: Names,
        jwks_url: str,
        **options: Unpack[ResourceOptions],
    ) -> None:
        if urlsplit(jwks_url).scheme != "https":
            raise InsecureIssuerError(jwks_url)
        if not (audiences := [name for name in as_list(audience) if name]):
            # RFC 9068, section 4: without it, a token for any other service would do.
            raise ValueError("`audience` must name this service; it is empty")
        algorithms = as_list(options.get("algorithms", _ALGORITHMS))
        if not _ASYMMETRIC.issuperset(algorithms):
            raise ValueError(f"`algorithms` must be asymmetric: {sorted(algorithms)}")
        self.issuer = issuer
        self._keys = _remote_keys(jwks_url, algorithms, options)
        policy = ClaimsPolicy(
            required=("exp", "iat", "sub", *as_list(options.get("required", ()))),
            issuer=issuer,
            audience=frozenset(audiences),
            leeway=seconds(options.get("leeway", 0)),
        )
        self._verifier = Verifier(
            self._keys,
            policy,
            types=as_list(options.get("types", "at+jwt")),
            clock=options.get("clock", time.time),
        )

    def __repr__(self) -> str:
        return f"<ResourceServer issuer={self.issuer!r}>"

    @cached_property
    def jwt_auth(self) -> JwtAuth:
        """Return the dependency that accepts this issuer's tokens, on any app."""
        return JwtAuth(authenticator=self)

    def mount_auth(self, app: FastAPI) -> None:
        """Let `jwt_auth` on *app* accept this issuer's tokens; no route is added.

        Where the app has an authentication already, that one stays what `jwt_auth` asks.
        """
        if getattr(app.state, "auth_jwt", None) is None:
            app.state.auth_jwt = self

    async def authenticate(self, token: str) -> Claims:
        """Return the claims of an access token of this issuer.

        Raises:
            InvalidTokenError: if it is not one, or not valid.
            AuthUnavailableError: if there are no keys to judge it by.
        """
        await self._keys.prepare(*self._verifier.header(token))
        return self._verifier.verify(token)

    async def authenticate_cookie(self, conn: HTTPConnection) -> None:
        """Accept no cookie: an external issuer sets none here."""


def _remote_keys(
    url: str, algorithms: list[str], options: ResourceOptions
) -> RemoteKeys:
    timeout = seconds(options.get("timeout", 5))
    fetch = options.get("fetch") or https_fetch(timeout, options.get("ssl_context"))
    return RemoteKeys(
        url,
        fetch,
        algorithms=algorithms,
        max_age=seconds(options.get("max_age", 600)),
        cooldown=seconds(options.get("cooldown", 30)),
        stale_if_error=seconds(options.get("stale_if_error", 3600)),
        clock=options.get("monotonic", time.monotonic),
    )
