"""Sessions whose data stays on the server."""

import datetime as dt
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response, request
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from accel_admin._errors import StoreUnavailable
from accel_admin._stores import Store

_SID = re.compile(r"[A-Za-z0-9_-]{43}")
_NO_TOKEN = re.compile(r"[^A-Za-z0-9._-]")
_CREATED = "_created"
_SEEN = "_seen"
_BOOKKEEPING = {_CREATED, _SEEN}


class ServerSession(CallbackDict[str, Any], SessionMixin):
    """The data of one visitor; the cookie carries its random name only."""

    def __init__(self, sid: str, data: dict[str, Any], *, known: bool) -> None:
        def on_update(session: Any) -> None:
            session.modified = True
            session.accessed = True

        super().__init__(data, on_update)
        self.sid = sid
        self.known = known
        self.wanted = False
        self.unavailable = False
        self.former: list[str] = []
        self.modified = False
        self.accessed = False

    def restart(self) -> None:
        """Forget everything and take a new name: what was fixed before is worthless."""
        self.former.append(self.sid)
        self.clear()
        self.sid = secrets.token_urlsafe(32)
        self.known = False


class ServerSessions(SessionInterface):
    """Opens and saves sessions in a store.

    Args:
        store: where they live.
        secret_key: binds CSRF tokens to this installation.
        path: where the panel is in its app; the cookie is named after it, and after
            where the app is, unless the app is configured to use another name.
        idle: seconds without a request after which a session ends.
        lifetime: seconds after which a session ends in any case.
        clock: tells the time in seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913  # each is an option of its own
        self,
        store: Store,
        secret_key: str,
        *,
        path: str = "/admin",
        idle: float,
        lifetime: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._secret_key = secret_key.encode()
        self._path = path
        self._idle = idle
        self._lifetime = lifetime
        self._clock = clock
        self._serializer = TaggedJSONSerializer()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} idle={self._idle} lifetime={self._lifetime}>"

    def get_cookie_name(self, app: Flask) -> str:
        """Return a name that is not Flask's, nor Starlette's: they share it."""
        name = super().get_cookie_name(app)
        if name != "session":
            return name
        # Ports and prefixes of one host share their cookies, so the whole path counts.
        return "accel" + _NO_TOKEN.sub("_", request.script_root + self._path)

    def get_cookie_path(self, app: Flask) -> str:
        """Return where the app is: other apps on the host do not see its cookie."""
        path = super().get_cookie_path(app)
        # Browsers refuse a `__Host-` cookie with any other path.
        if path != "/" or self.get_cookie_name(app).startswith("__Host-"):
            return path
        return request.script_root or path

    def csrf_token(self, session: ServerSession) -> str:
        """Return the token that a form of *session* must carry."""
        session.wanted = True
        return hmac.digest(
            self._secret_key, b"csrf:" + session.sid.encode(), "sha256"
        ).hex()

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        """Return the session that the cookie names, or an empty one."""
        sid = request.cookies.get(self.get_cookie_name(app), "")
        # A name that we never gave is not even looked up.
        if not _SID.fullmatch(sid):
            return ServerSession(secrets.token_urlsafe(32), {}, known=False)
        try:
            data = self._load(sid)
        except StoreUnavailable:
            session = ServerSession(sid, {}, known=False)
            session.unavailable = True
            return session
        return ServerSession(sid, data or {}, known=data is not None)

    def _load(self, sid: str) -> dict[str, Any] | None:
        if (value := self.store.load(_key(sid))) is None:
            return None
        data: dict[str, Any] = self._serializer.loads(value.decode())
        if self._clock() - data[_CREATED] < self._lifetime:
            return data
        self.store.delete(_key(sid))
        return None

    def save_session(
        self,
        app: Flask,
        session: SessionMixin,
        response: Response,
    ) -> None:
        """Store what changed, and send the cookie to whom needs one."""
        if not isinstance(session, ServerSession) or session.unavailable:
            return
        for sid in session.former:
            self.store.delete(_key(sid))
        if session.keys() - _BOOKKEEPING:
            self._save(session)
        elif session.known:
            self.store.delete(_key(session.sid))
        if session.keys() - _BOOKKEEPING or session.wanted:
            self._send(app, session, response)

    def _save(self, session: ServerSession) -> None:
        now = self._clock()
        created = session.setdefault(_CREATED, now)
        # A record that only says "still here" need not be written at every request.
        stale = now - session.get(_SEEN, 0.0) > self._idle / 20
        if not (session.modified or stale):
            return
        session[_SEEN] = now
        value = self._serializer.dumps(dict(session)).encode()
        # The end of the lifetime may be nearer than the end of the idle time.
        ttl = max(min(self._idle, created + self._lifetime - now), 0.001)
        # A request that overlaps with a logout must not bring the session back.
        self.store.save(_key(session.sid), value, ttl, create=not session.known)

    def _send(self, app: Flask, session: ServerSession, response: Response) -> None:
        response.vary.add("Cookie")
        response.set_cookie(
            self.get_cookie_name(app),
            session.sid,
            max_age=dt.timedelta(seconds=self._lifetime),
            domain=self.get_cookie_domain(app),
            path=self.get_cookie_path(app),
            secure=request.is_secure or self.get_cookie_secure(app),
            httponly=True,
            samesite=self.get_cookie_samesite(app) or "Lax",
        )


def _key(sid: str) -> str:
    # Whoever reads the store must not be able to use what they find as a cookie.
    return "session:" + hashlib.sha256(sid.encode()).hexdigest()
