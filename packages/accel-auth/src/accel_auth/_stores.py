"""Sessions and revoked tokens."""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol


class Session(NamedTuple):
    """One login of one user: the family of its refresh tokens."""

    subject: str
    id: str


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

    Times to live are in seconds. An implementation raises `AuthUnavailableError` while
    it can not answer.
    """

    async def open(self, session: Session, token_id: str, ttl: float) -> None:
        """Begin *session* with its first refresh token."""
        ...

    async def rotate(
        self,
        session: Session,
        used: str,
        successor: Rotation,
        *,
        ttl: float,
        grace: float,
    ) -> Rotation:
        """Exchange the refresh token *used* for *successor*, once.

        Whoever comes again within *grace* seconds gets the same successor; later, the
        token was stolen: no token of the session is exchanged any more.
        """
        ...

    async def current(self, session: Session) -> str | None:
        """Return the refresh token of *session* that is valid now."""
        ...

    async def close(self, session: Session, deny_for: float) -> None:
        """End *session*, and deny its access tokens for *deny_for* seconds."""
        ...

    async def sessions(self, subject: str) -> list[Session]:
        """Return the open sessions of *subject*."""
        ...

    async def deny(self, token_id: str, ttl: float) -> None:
        """Refuse a token, or a whole session's tokens, for *ttl* seconds."""
        ...

    async def is_denied(self, *token_ids: str) -> bool:
        """Tell whether any of *token_ids* was denied."""
        ...


@dataclass(slots=True)
class _Record:
    current: Rotation
    expires: float
    used: str = ""
    rotated: float = 0.0


class MemoryStore:
    """Keeps sessions in this process: for one worker, and for tests.

    They end with the process, and other workers do not see them; several workers need
    `RedisStore`. A method without an `await` inside is atomic on its loop.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: dict[Session, _Record] = {}
        self._by_subject: dict[str, set[Session]] = {}
        self._denied: dict[str, float] = {}
        self._deadlines: list[tuple[float, Session | tuple[str]]] = []

    async def open(self, session: Session, token_id: str, ttl: float) -> None:
        """Begin *session* with its first refresh token."""
        self._forget_expired()
        expires = self._clock() + ttl
        self._records[session] = _Record(Rotation(Turn.ROTATED, token_id), expires)
        self._by_subject.setdefault(session.subject, set()).add(session)
        heapq.heappush(self._deadlines, (expires, session))

    async def rotate(
        self,
        session: Session,
        used: str,
        successor: Rotation,
        *,
        ttl: float,
        grace: float,
    ) -> Rotation:
        """Exchange the refresh token *used* for *successor*, once."""
        now = self._clock()
        record = self._live(session)
        if record is None:
            return Rotation(Turn.UNKNOWN)
        current = record.current
        if current.token_id == used:
            record.used, record.current, record.rotated = used, successor, now
            record.expires = now + ttl
            return successor
        # An empty current token means that the session was abused: no grace is left.
        if current.token_id and record.used == used and now - record.rotated < grace:
            return Rotation(Turn.REPEATED, current.token_id, current.issued_at)
        # Kept, without a token: every further use is told what it is.
        record.current = Rotation(Turn.REUSED)
        return record.current

    async def current(self, session: Session) -> str | None:
        """Return the refresh token of *session* that is valid now."""
        record = self._live(session)
        return record.current.token_id or None if record else None

    async def close(self, session: Session, deny_for: float) -> None:
        """End *session*, and deny its access tokens for *deny_for* seconds."""
        # Its access tokens are not listed anywhere; all of them name the session.
        await self.deny(session.id, deny_for)
        self._drop(session)

    async def sessions(self, subject: str) -> list[Session]:
        """Return the open sessions of *subject*."""
        return sorted(filter(self._live, self._by_subject.get(subject, ())))

    async def deny(self, token_id: str, ttl: float) -> None:
        """Refuse a token, or a whole session's tokens, for *ttl* seconds."""
        self._forget_expired()
        known = self._denied.get(token_id, 0.0)
        self._denied[token_id] = max(known, self._clock() + ttl)
        if not known:
            heapq.heappush(self._deadlines, (self._denied[token_id], (token_id,)))

    async def is_denied(self, *token_ids: str) -> bool:
        """Tell whether any of *token_ids* was denied."""
        if not self._denied:
            return False
        now = self._clock()
        return any(self._denied.get(token_id, now) > now for token_id in token_ids)

    def _live(self, session: Session) -> _Record | None:
        record = self._records.get(session)
        return record if record and record.expires > self._clock() else None

    def _drop(self, session: Session) -> None:
        if self._records.pop(session, None) is None:
            return
        siblings = self._by_subject[session.subject]
        siblings.discard(session)
        if not siblings:
            del self._by_subject[session.subject]

    def _forget_expired(self) -> None:
        # One deadline each, as it was at first: whoever refreshes in a loop costs no
        # memory. What lives longer by now is put back until then.
        now = self._clock()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key = heapq.heappop(self._deadlines)
            if (expires := self._expiry(key)) > now:
                heapq.heappush(self._deadlines, (expires, key))
            elif isinstance(key, Session):
                self._drop(key)
            else:
                del self._denied[key[0]]

    def _expiry(self, key: Session | tuple[str]) -> float:
        if isinstance(key, Session):
            record = self._records.get(key)
            return record.expires if record else 0.0
        return self._denied[key[0]]
