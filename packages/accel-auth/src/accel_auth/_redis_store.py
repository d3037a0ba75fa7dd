"""Sessions and revoked tokens in Redis or Valkey."""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from accel_auth._errors import AuthUnavailableError
from accel_auth._flight import SingleFlight
from accel_auth._stores import Rotation, Session, Turn

T = TypeVar("T")

_log = logging.getLogger("accel_auth")

# One slot per user. KEYS: session, index of the user. Time is the server's: the clocks
# of the workers may differ. `GT` takes a key without an expiry for one that lives for
# ever, so the first expiry needs `NX`.
_OPEN = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'current', ARGV[2], 'issued', 0, 'used', '', 'rotated', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3], 'NX')
redis.call('PEXPIRE', KEYS[2], ARGV[3], 'GT')
"""
# One script, for two workers may exchange one token at the same moment. A session that
# was abused stays, with an empty current token, so that nothing opens it again.
_ROTATE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local s = redis.call('HMGET', KEYS[1], 'current', 'issued', 'used', 'rotated')
if not s[1] then return {'unknown', '', 0} end
if s[1] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'current', ARGV[3], 'issued', ARGV[4],
             'used', ARGV[2], 'rotated', now)
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('ZADD', KEYS[2], now + ARGV[5], ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[5], 'GT')
  return {'rotated', ARGV[3], tonumber(ARGV[4])}
end
if s[1] ~= '' and s[3] == ARGV[2] and now - s[4] < tonumber(ARGV[6]) then
  return {'repeated', s[1], tonumber(s[2])}
end
redis.call('HSET', KEYS[1], 'current', '')
return {'reused', '', 0}
"""
_CLOSE = """
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
"""
# KEYS: expiry by id, sequence by id, counters. An epoch tells that Redis lost its data.
_DENY = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  redis.call('ZREM', KEYS[2], unpack(old))
end
redis.call('HSETNX', KEYS[3], 'epoch', ARGV[3])
redis.call('ZADD', KEYS[1], 'GT', now + ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[3], 'sequence', 1), ARGV[1])
"""
# What is newer than the copy's sequence, a page at a time. A copy of another epoch
# starts over; its own entries stay, for Redis may have lost them.
_SYNC = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local epoch = redis.call('HGET', KEYS[3], 'epoch') or ''
local since = epoch == ARGV[1] and ARGV[2] or '0'
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. since, '+inf',
                         'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[3]))
local answer = {epoch, since}
for i = 1, #found, 2 do
  answer[2] = found[i + 1]
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = (redis.call('ZSCORE', KEYS[1], found[i]) or now) - now
end
return answer
"""
_PAGE = 1000


class RedisStore:
    """Keeps sessions where all workers see them; take `noeviction` for its database.

    It fails closed: while Redis can not answer within *timeout*, tokens are refused
    with 503 and `Retry-After`, because a revoked one might be among them.

    Args:
        client: An asyncio client of `redis` or `valkey`, for one server or for a
            cluster; close it yourself.
        prefix: Begins every key.
        timeout: Budget for one look-up, in seconds.
        staleness: Seconds for which revocations are read from this process's copy.
            0 asks Redis for each request; with 1.0 one worker asks once a second for
            what is new, and a token revoked elsewhere dies up to a second later. A copy
            older than that is never used: the copy fails closed too.
        clock: Where the age of the copy comes from.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str = "accel-auth",
        timeout: float = 0.5,
        staleness: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._timeout = timeout
        self._staleness = staleness
        self._clock = clock
        self._copy = _DenyCopy()
        self._flight = SingleFlight()
        # Braces put all three into one slot of a cluster, as their scripts need.
        self._deny_keys = [
            f"{prefix}:{{deny}}:{name}" for name in ("expiry", "log", "meta")
        ]

    def __repr__(self) -> str:
        return f"<RedisStore prefix={self._prefix!r} staleness={self._staleness:g}>"

    async def open(self, session: Session, token_id: str, ttl: float) -> None:
        """Begin *session* with its first refresh token."""
        await self._run(_OPEN, self._keys(session), session.id, token_id, _ms(ttl))

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
        new = (successor.token_id, successor.issued_at)
        args = (session.id, used, *new, _ms(ttl), _ms(grace))
        turn, token_id, issued_at = await self._run(_ROTATE, self._keys(session), *args)
        return Rotation(Turn(_text(turn)), _text(token_id), int(issued_at))

    async def current(self, session: Session) -> str | None:
        """Return the refresh token of *session* that is valid now."""
        key = self._keys(session)[0]
        return _text(await self._ask(self._client.hget(key, "current"))) or None

    async def close(self, session: Session, deny_for: float) -> None:
        """End *session*, and deny its access tokens for *deny_for* seconds."""
        # First what protects: should the second half fail, nothing is open.
        await self.deny(session.id, deny_for)
        await self._run(_CLOSE, self._keys(session), session.id)

    async def sessions(self, subject: str) -> list[Session]:
        """Return the open sessions of *subject*."""
        index = self._keys(Session(subject, ""))[1]
        seconds, micros = await self._ask(self._client.time())
        now = seconds * 1000 + micros // 1000
        ids = await self._ask(self._client.zrangebyscore(index, now, "+inf"))
        return sorted(Session(subject, _text(session)) for session in ids)

    async def deny(self, token_id: str, ttl: float) -> None:
        """Refuse a token, or a whole session's tokens, for *ttl* seconds."""
        # Here at once, and even if Redis does not answer: it was meant to die.
        self._copy.add(token_id, self._clock() + ttl)
        epoch = secrets.token_hex(8)
        await self._run(_DENY, self._deny_keys, token_id, _ms(ttl), epoch)

    async def is_denied(self, *token_ids: str) -> bool:
        """Tell whether any of *token_ids* was denied."""
        ids = [token_id for token_id in token_ids if token_id]
        if not self._staleness:
            expiry = self._deny_keys[0]
            found = await self._ask(self._client.zmscore(expiry, ids))
            return any(score is not None for score in found)
        if self._clock() - self._copy.synced_at > self._staleness:
            await self._flight.run(self._sync)
        return self._copy.holds(ids)

    async def _sync(self) -> None:
        # The copy is as old as the question, not as the answer.
        asked_at = self._clock()
        copy, more = self._copy, True
        while more:
            args = (copy.epoch, copy.sequence, _PAGE)
            epoch, sequence, *found = await self._run(_SYNC, self._deny_keys, *args)
            copy.epoch, copy.sequence = _text(epoch), _text(sequence)
            for token_id, left in zip(found[::2], found[1::2], strict=True):
                copy.add(_text(token_id), asked_at + int(left) / 1000)
            more = len(found) == 2 * _PAGE
        copy.forget_expired(asked_at)
        copy.synced_at = asked_at

    def _keys(self, session: Session) -> list[str]:
        # A digest: a hostile name can not choose the slot, and no name is stored.
        user = hashlib.sha256(session.subject.encode()).hexdigest()[:32]
        slot = f"{self._prefix}:{{{user}}}"
        return [f"{slot}:session:{session.id}", f"{slot}:sessions"]

    async def _run(self, script: str, keys: list[str], *args: object) -> Any:
        # It sends the digest, and the script itself only where Redis does not know it.
        registered = self._client.register_script(script)
        return await self._ask(registered(keys=keys, args=args))

    async def _ask(self, command: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await command
        except Exception as exc:
            # Any client's own errors; none of them may let a token through.
            _log.warning("The token store did not answer: %s.", type(exc).__name__)
            raise AuthUnavailableError from exc


class _DenyCopy:
    """What this process knows of the revoked tokens; it forgets only what expired."""

    def __init__(self) -> None:
        self.epoch = ""
        self.sequence = "0"
        self.synced_at = float("-inf")
        self._expiry: dict[str, float] = {}

    def add(self, token_id: str, expires: float) -> None:
        """Remember that *token_id* is denied until *expires*."""
        self._expiry[token_id] = max(expires, self._expiry.get(token_id, expires))

    def holds(self, token_ids: list[str]) -> bool:
        """Tell whether any of *token_ids* is denied."""
        return any(token_id in self._expiry for token_id in token_ids)

    def forget_expired(self, now: float) -> None:
        """Drop what no living token can need."""
        gone = [token_id for token_id, expires in self._expiry.items() if expires < now]
        for token_id in gone:
            del self._expiry[token_id]


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _text(value: Any) -> str:
    """Return *value* as text, from a client that decodes answers or not."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
