"""Authentication of one app."""

import logging
import secrets
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.requests import HTTPConnection

from accel_auth._claims import (
    CLOCK_SKEW,
    RESERVED,
    Claims,
    ClaimsPolicy,
    split_scopes,
)
from accel_auth._errors import (
    AuthUnavailableError,
    CsrfError,
    InvalidTokenError,
    TokenRevokedError,
    WeakSecretError,
)
from accel_auth._events import Subscriber, Subscribers
from accel_auth._hooks import bind_hook
from accel_auth._keys import Key, Keyring
from accel_auth._settings import AuthSettings, as_list, seconds
from accel_auth._stores import Session
from accel_auth._verify import Verifier

ACCESS_TYPE = "at+jwt"
REFRESH_TYPE = "refresh+jwt"

_log = logging.getLogger("accel_auth")


class AppAuth:
    """The authentication of one app: its keys, store, hooks and listeners.

    `mount_auth` makes it and keeps it as `app.state.auth_jwt`. Two apps never share one.
    """

    def __init__(self, target: object, app: FastAPI, prefix: str = "") -> None:
        self.target = target
        self.prefix = prefix
        self.settings = AuthSettings.of(target)
        self.store = self.settings.token_store()
        self.throttle = self.settings.throttle
        self.events = Subscribers(self.settings.clock)
        self._app = app
        self._check_auth = bind_hook(target, "check_auth", "(username, password)")
        self._add_jwt_body = bind_hook(target, "add_jwt_body", "(username)")
        self._configured = self.settings.keyring()
        self._secret: object = None
        self._keyring: Keyring | None = None
        self._verifiers: dict[str, Verifier] = {}

    def __repr__(self) -> str:
        return f"<AppAuth app={self._app.title!r} prefix={self.prefix!r}>"

    @property
    def keyring(self) -> Keyring:
        """Return the keys; without any configured, the app's secret, read lazily.

        Raises:
            WeakSecretError: if a secret can be guessed, outside debug.
        """
        # Asked for each time: the secret may be set after `mount_auth`, and the tokens
        # of one that was replaced must die at once.
        secret = getattr(self._app.state, "SECRET_KEY", None)
        if self._keyring is None or secret is not self._secret:
            self._keyring = self._build_keyring(secret)
            self._secret = secret
            self._verifiers = {
                typ: self._verifier(self._keyring, typ)
                for typ in (ACCESS_TYPE, REFRESH_TYPE)
            }
        return self._keyring

    def check(self) -> None:
        """Refuse to start with a secret that can be guessed.

        Raises:
            WeakSecretError: outside debug.
            KeyMaterialError: if the secret is a public key, always.
        """
        _ = self.keyring

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call *callback* with every `AuthEvent`; return what undoes it."""
        return self.events.add(callback)

    async def check_auth(self, username: str, password: str) -> bool:
        """Ask the hook whether name and password match."""
        return bool(await self._check_auth(username, password))

    async def add_jwt_body(self, username: str) -> Claims:
        """Ask the hook for more claims; it never overrides a registered one."""
        body: Claims = dict(await self._add_jwt_body(username) or {})
        if taken := RESERVED & body.keys():
            names = ", ".join(sorted(taken))
            _log.warning("`add_jwt_body` can not set %s: dropped.", names)
        return {name: value for name, value in body.items() if name not in RESERVED}

    def now(self) -> int:
        """Return the time as a NumericDate."""
        return int(self.settings.clock())

    def sign(self, claims: Claims, typ: str = ACCESS_TYPE) -> str:
        """Sign *claims* as they are."""
        return self.keyring.sign(claims, typ)

    def access_claims(
        self,
        username: str,
        body: Claims,
        *,
        jti: str | None = None,
        at: int | None = None,
    ) -> Claims:
        """Return the claims of an access token: *body*, below the registered ones."""
        now = self.now() if at is None else at
        claims = {
            **body,
            "sub": username,
            "iat": now,
            "exp": now + int(seconds(self.settings.access_ttl)),
            "jti": jti or secrets.token_urlsafe(16),
        }
        # One string with spaces (RFC 8693, section 4.2), though a hook may give a list.
        if "scope" in body:
            claims["scope"] = " ".join(split_scopes(body["scope"]))
        if self.settings.issuer is not None:
            claims["iss"] = self.settings.issuer
        if audiences := self.settings.audiences():
            claims["aud"] = audiences if len(audiences) > 1 else audiences[0]
        return claims

    def verify(self, token: str, typ: str = ACCESS_TYPE) -> Claims:
        """Return the claims of *token*; revocation is not looked up here.

        Raises:
            InvalidTokenError: if anything about it is wrong.
        """
        _ = self.keyring  # makes the verifiers, anew if the secret was replaced
        return self._verifiers[typ].verify(token)

    async def authenticate(self, token: str) -> Claims:
        """Return the claims of an access token that is valid and not revoked.

        Raises:
            InvalidTokenError: if it is not.
            AuthUnavailableError: if the store can not tell.
        """
        try:
            # The signature first: nobody makes the store work with a forged token.
            claims = self.verify(token)
            if await self.store.is_denied(claims["jti"], claims.get("sid", "")):
                raise TokenRevokedError
        except InvalidTokenError as exc:
            self.events.emit("token_rejected", reason=exc.reason)
            raise
        except AuthUnavailableError:
            self.events.emit("store_unavailable")
            raise
        return claims

    async def authenticate_cookie(self, conn: HTTPConnection) -> Claims | None:
        """Return the claims of the access cookie, or None where there is none.

        Raises:
            CsrfError: if an unsafe request does not prove where it comes from.
        """
        cookies = self.settings.cookies
        token = conn.cookies.get(cookies.access) if cookies else None
        if token is None:
            return None
        # The token first: the proof to compare with is a claim that it signs.
        claims = await self.authenticate(token)
        self.check_csrf(conn, claims)
        return claims

    def check_csrf(self, conn: HTTPConnection, claims: Claims | None = None) -> None:
        """Refuse a request that another site's page sent with our cookies.

        Without the *claims* of a cookie, it is a login or a logout that is judged.

        Raises:
            CsrfError: if it does not prove where it comes from.
        """
        if (cookies := self.settings.cookies) is None:
            return
        try:
            if claims is None:
                cookies.check_login(conn)
            else:
                cookies.check(conn, claims)
        except CsrfError:
            self.events.emit("csrf_rejected", username=(claims or {}).get("sub"))
            raise

    async def revoke_session(self, session: Session) -> None:
        """End a session: its refresh token, and its access tokens in use."""
        await self.store.close(session, self._deny_for())
        self.events.emit(
            "session_revoked", username=session.subject, session=session.id
        )

    async def revoke_token(self, claims: Claims) -> None:
        """End the session of a token; one without a session is denied alone."""
        if session := claims.get("sid"):
            await self.revoke_session(Session(claims["sub"], session))
        else:
            await self.store.deny(claims["jti"], self._deny_for())

    async def revoke_user(self, username: str) -> int:
        """End every session of *username*, and return how many there were.

        Call it when a password changes or an account is closed (ASVS 5, 7.4).
        """
        sessions = await self.store.sessions(username)
        for session in sessions:
            await self.revoke_session(session)
        return len(sessions)

    def _deny_for(self) -> float:
        # Until the youngest token is dead, on whatever clock it was made; a second more,
        # as dates are whole seconds.
        tolerance = seconds(self.settings.leeway) + CLOCK_SKEW
        return seconds(self.settings.access_ttl) + tolerance + 1

    def _verifier(self, keyring: Keyring, typ: str) -> Verifier:
        required = ("exp", "iat", "sub", "jti", *as_list(self.settings.required))
        # A refresh token is for us alone: it has no body that could hold more claims.
        policy = ClaimsPolicy(
            required=required if typ == ACCESS_TYPE else (*required[:4], "sid"),
            issuer=self.settings.issuer,
            audience=frozenset(self.settings.audiences()),
            leeway=seconds(self.settings.leeway),
        )
        return Verifier(keyring, policy, types=[typ], clock=self.settings.clock)

    def _build_keyring(self, secret: Any) -> Keyring:
        keyring = self._configured
        debug = self._app.debug or bool(getattr(self._app.state, "DEBUG", False))
        if keyring is None and not secret:
            if not debug:
                raise WeakSecretError(0, 32, "HS256")
            _log.warning(
                "No SECRET_KEY: tokens of this debug app end with its process."
            )
            secret = secrets.token_bytes(32)
        keyring = keyring or Keyring([Key(secret)])
        try:
            keyring.check_strength()
        except WeakSecretError:
            if not debug:
                raise
            _log.warning("The SECRET_KEY is weak: only a debug app starts with it.")
        return keyring
