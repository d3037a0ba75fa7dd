"""Sessions and revoked tokens."""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Turn(Enum):
    """How a refresh token fared."""

    ROTATED = "rotated"
    REPEATED = "repeated"
    REUSED = "reused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rotation:
    """The answer of a store: the refresh token that is valid now, and since when."""

    turn: Turn
    token_id: str = ""
    issued_at: int = 0


class TokenStore(Protocol):
    """What sessions need; every method is atomic, and fails rather than guesses.

    A session is one login: the family of its refresh tokens. Times to live are in
    seconds. An implementation raises `AuthUnavailableError` while it can not answer.
    """

    async def open(self, session: str, subject: str, token_id: str, ttl: float) -> None:
        """Begin *session* of *subject* with its first refresh token."""
        ...

    async def rotate(
        self,
        session: str,
        used: str,
        successor: Rotation,
        *,
        ttl: float,
        grace: float,
    ) -> Rotation:
        """Exchange the refresh token *used* for *successor*, once.

        Whoever comes again within *grace* seconds gets the same successor; later, the
        token was stolen, and the session is over.
        """
        ...

    async def current(self, session: str) -> str | None:
        """Return the refresh token of *session* that is valid now."""
        ...

    async def close(self, session: str, deny_for: float) -> None:
        """End *session*, and deny its access tokens for *deny_for* seconds."""
        ...

    async def sessions(self, subject: str) -> list[str]:
        """Return the open sessions of *subject*."""
        ...

    async def deny(self, token_id: str, ttl: float) -> None:
        """Refuse a token, or a whole session's tokens, for *ttl* seconds."""
        ...

    async def is_denied(self, *token_ids: str) -> bool:
        """Tell whether any of *token_ids* was denied."""
        ...


@dataclass(slots=True)
class _Session:
    subject: str
    current: Rotation
    expires: float
    used: str = ""
    rotated: float = field(default=0.0)


class MemoryStore:
    """Keeps sessions in this process: for one worker, and for tests.

    They end with the process, and other workers do not see them; several workers need
    `RedisStore`. A method without an `await` inside is atomic on its loop.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, _Session] = {}
        self._by_subject: dict[str, set[str]] = {}
        self._denied: dict[str, float] = {}
        self._deadlines: list[tuple[float, str]] = []

    async def open(self, session: str, subject: str, token_id: str, ttl: float) -> None:
        """Begin *session* of *subject* with its first refresh token."""
        self._forget_expired()
        expires = self._clock() + ttl
        first = Rotation(Turn.ROTATED, token_id)
        self._sessions[session] = _Session(subject, first, expires)
        self._by_subject.setdefault(subject, set()).add(session)
        heapq.heappush(self._deadlines, (expires, session))

    async def rotate(
        self,
        session: str,
        used: str,
        successor: Rotation,
        *,
        ttl: float,
        grace: float,
    ) -> Rotation:
        """Exchange the refresh token *used* for *successor*, once."""
        now = self._clock()
        found = self._live(session)
        if found is None:
            return Rotation(Turn.UNKNOWN)
        if found.current.token_id == used:
            found.used, found.current, found.rotated = used, successor, now
            found.expires = now + ttl
            heapq.heappush(self._deadlines, (found.expires, session))
            return successor
        if found.used == used and now - found.rotated < grace:
            current = found.current
            return Rotation(Turn.REPEATED, current.token_id, current.issued_at)
        self._drop(session)
        return Rotation(Turn.REUSED)

    async def current(self, session: str) -> str | None:
        """Return the refresh token of *session* that is valid now."""
        found = self._live(session)
        return found.current.token_id if found else None

    async def close(self, session: str, deny_for: float) -> None:
        """End *session*, and deny its access tokens for *deny_for* seconds."""
        self._drop(session)
        await self.deny(session, deny_for)

    async def sessions(self, subject: str) -> list[str]:
        """Return the open sessions of *subject*."""
        ids = self._by_subject.get(subject, set())
        return sorted(session for session in ids if self._live(session))

    async def deny(self, token_id: str, ttl: float) -> None:
        """Refuse a token, or a whole session's tokens, for *ttl* seconds."""
        self._forget_expired()
        expires = max(self._denied.get(token_id, 0.0), self._clock() + ttl)
        self._denied[token_id] = expires
        heapq.heappush(self._deadlines, (expires, token_id))

    async def is_denied(self, *token_ids: str) -> bool:
        """Tell whether any of *token_ids* was denied."""
        if not self._denied:
            return False
        now = self._clock()
        return any(self._denied.get(token_id, now) > now for token_id in token_ids)

    def _live(self, session: str) -> _Session | None:
        found = self._sessions.get(session)
        return found if found and found.expires > self._clock() else None

    def _drop(self, session: str) -> None:
        if found := self._sessions.pop(session, None):
            siblings = self._by_subject[found.subject]
            siblings.discard(session)
            if not siblings:
                del self._by_subject[found.subject]

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key = heapq.heappop(self._deadlines)
            if key in self._sessions and self._sessions[key].expires <= now:
                self._drop(key)
            if self._denied.get(key, now + 1) <= now:
                del self._denied[key]
