"""Grants: a password, or a refresh token, for a pair of tokens."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from accel_auth import _base64
from accel_auth._app import ACCESS_TYPE, REFRESH_TYPE, AppAuth
from accel_auth._claims import Claims, split_scopes
from accel_auth._errors import (
    InvalidCredentialsError,
    InvalidGrantError,
    InvalidScopeError,
    InvalidTokenError,
    LoginThrottledError,
    TokenTooLargeError,
)
from accel_auth._settings import seconds
from accel_auth._stores import Rotation, Session, Turn
from accel_auth._verify import MAX_TOKEN_BYTES


@dataclass(frozen=True, slots=True, repr=False)
class TokenPair:
    """An access token and the refresh token that renews it."""

    access: str
    refresh: str
    expires_in: int
    refresh_expires_in: int
    scope: str | None
    csrf: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What all tokens of a session have in common."""

    session: Session
    began: int
    scope: str | None


async def grant_password(
    auth: AppAuth, username: str, password: str, *, scope: str, client: str
) -> TokenPair:
    """Begin a session for a name and its password.

    Raises:
        LoginThrottledError: if the attempt comes too early.
        InvalidCredentialsError: if they do not match; it does not say which is wrong.
        InvalidScopeError: if scopes are asked for, and none is the user's.
        TokenTooLargeError: if the hook adds more claims than any request could carry.
    """
    if auth.throttle is not None:
        try:
            await auth.throttle.attempt(username, client)
        except LoginThrottledError:
            auth.events.emit("login_throttled", username=username, client=client)
            raise
    if not await auth.check_auth(username, password):
        auth.events.emit("login_failed", username=username, client=client)
        raise InvalidCredentialsError
    # Before the claims: what fails from here on is not the user's failure.
    if auth.throttle is not None:
        await auth.throttle.succeed(username, client)
    body = _narrow(await auth.add_jwt_body(username), scope)
    session, refresh, now = Session(username, _new_id()), _new_id(), auth.now()
    # What was granted, not what was asked for: no refresh may add to it (RFC 6749,
    # section 6), though the user may own more by then.
    granted = body["scope"] if scope else None
    grant = _Grant(session=session, began=now, scope=granted)
    pair = _pair(auth, grant, body, refresh, now)
    await auth.store.open(session, refresh, pair.refresh_expires_in)
    auth.events.emit(
        "login_succeeded", username=username, client=client, session=session.id
    )
    return pair


async def grant_refresh(auth: AppAuth, token: str, *, scope: str = "") -> TokenPair:
    """Exchange a refresh token, once, for the next pair of its session.

    Raises:
        InvalidGrantError: if it is not valid, or was used before: then the whole
            session ends, because one of the two users of the token stole it.
    """
    try:
        claims = auth.verify(token, REFRESH_TYPE)
    except InvalidTokenError as exc:
        auth.events.emit("refresh_rejected", reason=exc.reason)
        raise InvalidGrantError from exc
    grant = _Grant(
        session=Session(claims["sub"], claims["sid"]),
        began=claims["auth_time"],
        scope=claims.get("scope"),
    )
    # Before the token is spent: a hook that fails must not cost the session.
    body = _narrow(await auth.add_jwt_body(grant.session.subject), grant.scope or "")
    body = _narrow(body, scope)
    now = auth.now()
    successor = Rotation(Turn.ROTATED, _new_id(), now)
    rotation = await auth.store.rotate(
        grant.session,
        claims["jti"],
        successor,
        ttl=_refresh_ttl(auth, grant.began, now),
        grace=seconds(auth.settings.refresh_grace),
    )
    await _judge(auth, grant, rotation.turn)
    return _pair(auth, grant, body, rotation.token_id, rotation.issued_at)


async def _judge(auth: AppAuth, grant: _Grant, turn: Turn) -> None:
    username, session = grant.session
    # Thief and owner look alike, so both have to log in (RFC 9700, section 4.14.2).
    if turn is Turn.REUSED:
        auth.events.emit("refresh_reused", username=username, session=session)
        await auth.revoke_session(grant.session)
    if turn in (Turn.REUSED, Turn.UNKNOWN):
        raise InvalidGrantError
    auth.events.emit("token_refreshed", username=username, session=session)


def _new_id() -> str:
    return secrets.token_urlsafe(16)


def _narrow(body: Claims, wanted: str) -> Claims:
    """Keep of the user's scopes those that are *wanted* (RFC 6749, section 3.3)."""
    if not wanted:
        return body
    owned = set(split_scopes(body.get("scope")))
    granted = [scope for scope in dict.fromkeys(wanted.split()) if scope in owned]
    if not granted:
        raise InvalidScopeError
    return {**body, "scope": " ".join(granted)}


def _refresh_ttl(auth: AppAuth, began: int, now: int) -> int:
    """Return the time until a session ends: idle, or old (ASVS 5, 7.3)."""
    left = began + int(seconds(auth.settings.session_ttl)) - now
    return min(int(seconds(auth.settings.refresh_ttl)), left)


def _pair(
    auth: AppAuth, grant: _Grant, body: Claims, refresh_id: str, at: int
) -> TokenPair:
    # Derived, not drawn: whoever refreshes twice within the grace gets equal tokens.
    username, session = grant.session
    access_id = _derive(refresh_id, "access")
    access = auth.access_claims(username, body, jti=access_id, at=at)
    access["sid"] = session
    refresh = auth.access_claims(username, {}, jti=refresh_id, at=at)
    ttl = _refresh_ttl(auth, grant.began, at)
    refresh |= {"sid": session, "auth_time": grant.began, "exp": at + ttl}
    if grant.scope is not None:
        refresh["scope"] = grant.scope
    csrf = _derive(refresh_id, "csrf") if auth.settings.cookies else ""
    if csrf:
        access["csrf"] = refresh["csrf"] = csrf
    return TokenPair(
        access=_sign(auth, access, ACCESS_TYPE),
        refresh=_sign(auth, refresh, REFRESH_TYPE),
        expires_in=access["exp"] - auth.now(),
        refresh_expires_in=ttl,
        scope=access.get("scope"),
        csrf=csrf,
    )


def _sign(auth: AppAuth, claims: Claims, typ: str) -> str:
    token = auth.sign(claims, typ)
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenTooLargeError(len(token), MAX_TOKEN_BYTES)
    return token


def _derive(token_id: str, purpose: str) -> str:
    digest = hmac.digest(token_id.encode(), purpose.encode(), hashlib.sha256)
    return _base64.encode(digest[:16]).decode()
