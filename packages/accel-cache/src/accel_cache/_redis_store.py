"""The store on Redis, with a coherent copy of hot entries in memory."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from accel_cache._entry import Entry, decode, encode
from accel_cache._errors import CacheUnavailable
from accel_cache._link import Command, Link, OnReply, Replies
from accel_cache._loops import PerLoop
from accel_cache._store import EVERYTHING, Claim, Shelf

_TAG_LIFETIME_MS = 30 * 24 * 3600 * 1000
_MAX_DEFERRED = 10_000
_LONGEST_TAG = 200
_RECHECK = 0.5
_POLL = 0.05
_QUIET = 1.0

# Take the lease of a key if it is free; read the entry and its tags' tokens. A tag
# without a token gets one: an entry must never depend on the absence of a key,
# for eviction would bring it back.
_CLAIM = b"""
local out = {0, redis.call('GET', KEYS[2])}
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then out[1] = 1 end
for i = 3, #KEYS do
  local token = redis.call('GET', KEYS[i])
  if not token then
    token = ARGV[4]
    redis.call('SET', KEYS[i], token, 'PX', ARGV[3])
  end
  out[i] = token
end
return out
"""

# Store an entry if every tag still has the token of the claim and none is held
# back by a write in progress ('!'), then release the lease if it is still ours. A tag outlives every entry that carries it.
_WRITE = b"""
local live = 1
for i = 3, #KEYS do
  local token = ARGV[i + 1]
  if redis.call('GET', KEYS[i]) ~= token or string.sub(token, 1, 1) == '!' then
    live = 0
  end
end
if live == 1 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  for i = 3, #KEYS do
    if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then
      redis.call('PEXPIRE', KEYS[i], 2 * tonumber(ARGV[2]))
    end
  end
end
if redis.call('GET', KEYS[2]) == ARGV[3] then redis.call('DEL', KEYS[2]) end
return live
"""

# Forget tags at once. While a write is in progress its tags hold a mark, which
# neither a shorter mark nor the end of another write may lift.
_FORGET = b"""
local hold = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  local token = redis.call('GET', key)
  local held = token and string.sub(token, 1, 1) == '!'
  if hold > 0 then
    if not held or redis.call('PTTL', key) < hold then
      redis.call('SET', key, ARGV[2], 'PX', hold)
    end
  elseif token and not held then
    redis.call('DEL', key)
  end
end
return 1
"""

_RELEASE = b"""
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i] then redis.call('DEL', key) end
end
return 1
"""


def _digits(number: float) -> bytes:
    return b"%d" % number


def _evaluate(script: bytes, keys: Sequence[bytes], *args: bytes) -> list[bytes]:
    return [b"EVAL", script, _digits(len(keys)), *keys, *args]


class _Local:
    """What one event loop holds: a link, hot entries, and who waits for what."""

    def __init__(self, l1_bytes: int) -> None:
        self.link: Link | None = None
        self.shelf = Shelf(l1_bytes)
        # Each of these is held twice: as it came, and decoded.
        self._decoded = Shelf(l1_bytes // 2)
        self.heard = 0.0
        """When the last command left that the server has answered."""
        self.asking: asyncio.Task[None] | None = None
        self._dependents: dict[bytes, set[str]] = {}
        self._depends_on: dict[str, tuple[bytes, ...]] = {}
        self._waiters: dict[bytes, list[asyncio.Event]] = {}

    def keep(self, key: str, entry: Entry, redis_keys: Sequence[bytes]) -> None:
        """Hold *entry* until the server reports a change of one of *redis_keys*."""
        self._detach(key)
        self._depends_on[key] = tuple(redis_keys)
        for redis_key in redis_keys:
            self._dependents.setdefault(redis_key, set()).add(key)
        for gone in self.shelf.put(key, entry):
            self._detach(gone)

    def decoded(self, key: str, data: bytes) -> Entry | None:
        """Return what *data* stands for; if it is the same as last time, that entry.

        Comparing is far cheaper than to decompress and to parse, and an entry that
        is known has its headers.
        """
        known = self._decoded.get(key)
        if known is not None and known.sent["data"] == data:
            return known
        if (entry := decode(data)) is not None:
            entry.sent["data"] = data
            self._decoded.put(key, entry)
        return entry

    def changed(self, redis_keys: list[bytes] | None) -> None:
        """Drop what depended on *redis_keys* (`None`: on anything), wake waiters."""
        if redis_keys is None:
            self.shelf.clear()
            self._dependents.clear()
            self._depends_on.clear()
            redis_keys = list(self._waiters)
        for redis_key in redis_keys:
            for key in tuple(self._dependents.get(redis_key, ())):
                self.shelf.drop(key)
                self._detach(key)
            for event in self._waiters.get(redis_key, ()):
                event.set()

    def _detach(self, key: str) -> None:
        for redis_key in self._depends_on.pop(key, ()):
            keys = self._dependents[redis_key]
            keys.discard(key)
            if not keys:
                del self._dependents[redis_key]

    @contextlib.contextmanager
    def waiting_for(self, redis_keys: Sequence[bytes]) -> Iterator[asyncio.Event]:
        """Set the yielded event as soon as one of *redis_keys* changes."""
        event = asyncio.Event()
        for redis_key in redis_keys:
            self._waiters.setdefault(redis_key, []).append(event)
        try:
            yield event
        finally:
            for redis_key in redis_keys:
                events = self._waiters[redis_key]
                events.remove(event)
                if not events:
                    del self._waiters[redis_key]


class RedisStore:
    """A store on a Redis or Valkey server, shared by processes.

    All keys carry the hash tag `{namespace:version}`.
    Every loop has a connection and a memory of its own.
    """

    def __init__(  # noqa: PLR0913 - what a cache knows about its server
        self,
        client: Any,
        prefix: str,
        *,
        l1_bytes: int,
        tracking: bool,
        timeout: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # The pool alone: whoever holds caches by client must not keep it alive.
        self._pool = client.connection_pool
        self._prefix = prefix.encode()
        self._tracking = tracking
        self._timeout = timeout
        self._wall = clock
        self._local = PerLoop(lambda: _Local(l1_bytes))
        self._deferred: dict[str, float] = {}
        self._orphans: set[tuple[bytes, bytes]] = set()

    # --- names of keys -----------------------------------------------------

    def _name(self, kind: bytes, key: str) -> bytes:
        return b"{%b}:%b:%b" % (self._prefix, kind, _bytes(key))

    def _tag_names(self, tags: Iterable[str]) -> list[bytes]:
        return [self._name(b"t", _short(tag)) for tag in tags]

    # --- what belongs to a loop ----------------------------------------------

    def _link(self) -> Link:
        local = self._local.get()
        if local.link is None:
            local.link = Link(
                self._pool,
                timeout=self._timeout,
                tracking=self._tracking,
                on_invalidate=local.changed,
                on_open=lambda: self._opened(local),
            )
        return local.link

    def _opened(self, local: _Local) -> None:
        # At once: until then other processes may read what is invalid.
        if self._deferred or self._orphans:
            self._ask_later(local)

    def _ask_later(self, local: _Local) -> None:
        if local.asking is None:
            local.asking = asyncio.create_task(self._ask(local))

    async def _ask(self, local: _Local) -> None:
        try:
            # Without an answer the link is lost, and what is held goes with it.
            with contextlib.suppress(CacheUnavailable):
                await self.ping()
        finally:
            local.asking = None

    # --- the store -------------------------------------------------------------

    def peek(self, key: str) -> Entry | None:
        """Return the entry this loop holds, unless it has died of age.

        A server that hangs reports no changes: after a second of silence it is asked
        in the background, and without an answer in time nothing is returned.
        """
        local = self._local.get()
        entry = local.shelf.get(key)
        if entry is None:
            return None
        now = self._wall()
        if not 0 <= (quiet := now - local.heard) < _QUIET:
            self._ask_later(local)
            if not 0 <= quiet < _QUIET + self._timeout:
                return None
        return entry if now < entry.fresh_until or now < entry.dead_at else None

    async def read(self, key: str, tags: Sequence[str]) -> Entry | None:
        """Ask the server for the entry and its tags in one round trip."""
        names = [self._name(b"e", key), *self._tag_names(tags)]
        found: list[Entry | None] = []
        local, link = self._local.get(), self._link()

        def note(replies: Replies) -> None:
            data = _live(replies[0])
            if not link.tracks:
                found.append(local.decoded(key, data))
                return
            found.append(entry := decode(data))
            if entry is not None:
                local.keep(key, entry, names)

        await self._call([b"MGET", *names], on_reply=note)
        return found[0]

    async def claim(self, key: str, tags: Sequence[str], lease_for: float) -> Claim:
        """Try to take the lease; only one process holds it at a time."""
        lease = _random()
        keys = [self._name(b"l", key), self._name(b"e", key), *self._tag_names(tags)]
        claiming = _evaluate(
            _CLAIM,
            keys,
            lease,
            _digits(lease_for * 1000),
            _digits(_TAG_LIFETIME_MS),
            _token(),
        )
        async with self._answerable(keys[0], lease):
            (reply,) = await self._call(claiming)
        entry = decode(_live(reply[1:]))
        return Claim(bool(reply[0]), lease, tuple(reply[2:]), entry)

    async def wait(self, key: str, limit: float) -> None:
        """Sleep until the server reports that the entry or its lease changed."""
        names = [self._name(b"e", key), self._name(b"l", key)]
        link = self._link()
        with self._local.get().waiting_for(names) as event:
            # Reading makes the server watch both keys for us. The event exists
            # before: a change between the reply and the wait is not missed.
            (reply,) = await self._call([b"MGET", *names])
            if reply[1] is None:
                return
            pause = min(limit, _RECHECK if link.tracks else _POLL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await event.wait()

    async def write(
        self, key: str, tags: Sequence[str], entry: Entry, claim: Claim
    ) -> bool:
        """Store unless a tag was invalidated after the claim; release the lease."""
        name, lease = self._name(b"e", key), self._name(b"l", key)
        local = self._local.get()
        writing = _evaluate(
            _WRITE,
            [name, lease, *self._tag_names(tags)],
            _with_tokens(encode(entry), claim.tokens),
            _digits(max((entry.dead_at - entry.created) * 1000, 1)),
            claim.lease,
            *claim.tokens,
        )
        async with self._answerable(lease, claim.lease):
            (live,) = await self._call(
                writing, on_reply=lambda _: local.changed([name])
            )
        return bool(live)

    async def release(self, key: str, claim: Claim) -> None:
        """Give the lease back, if it is still ours."""
        if claim.won:
            lease = self._name(b"l", key)
            async with self._answerable(lease, claim.lease):
                await self._call(_evaluate(_RELEASE, [lease], claim.lease))

    @contextlib.asynccontextmanager
    async def _answerable(self, name: bytes, lease: bytes) -> AsyncIterator[None]:
        """Give the lease back later, if nobody hears whether the server has granted it.

        All who ask for its key would wait for it to end.
        """
        try:
            yield
        except BaseException as exc:
            if len(self._orphans) < _MAX_DEFERRED:
                self._orphans.add((name, lease))
            if isinstance(exc, asyncio.CancelledError):
                # The server is there: why should others wait?
                with contextlib.suppress(CacheUnavailable):
                    await asyncio.shield(self._make_up(self._link()))
            raise

    async def invalidate(self, tags: Sequence[str], hold: float) -> None:
        """Remove the tokens of *tags*, all at one moment.

        When the server is away the tags are remembered, and invalidated before
        anything is read from the server again.
        """
        local, names = self._local.get(), self._tag_names(tags)
        # Ours are gone at once, whatever becomes of the server.
        local.changed(names)
        try:
            await self._link().call(
                _forget(names, hold), on_reply=lambda _: local.changed(names)
            )
        except BaseException:
            self._defer(tags, hold)
            raise

    def _defer(self, tags: Sequence[str], hold: float) -> None:
        for tag in tags:
            self._deferred[tag] = max(hold, self._deferred.get(tag, 0.0))
        if len(self._deferred) > _MAX_DEFERRED:
            # Too many to remember: forget everything instead of something wrong.
            self._deferred = {EVERYTHING: max(self._deferred.values())}

    async def _make_up(self, link: Link) -> None:
        """Send what could not be sent: invalidations, and leases to give back."""
        if tags := dict(self._deferred):
            # Held as long as ever: the write may still be in progress.
            await link.call(_forget(self._tag_names(tags), max(tags.values())))
            for tag in tags:
                self._deferred.pop(tag, None)
        if orphans := tuple(self._orphans):
            names, leases = zip(*orphans, strict=True)
            await link.call(_evaluate(_RELEASE, names, *leases))
            self._orphans.difference_update(orphans)

    async def _call(
        self, *commands: Command, on_reply: OnReply | None = None
    ) -> Replies:
        link = self._link()
        if self._deferred or self._orphans:
            await self._make_up(link)
        sent = self._wall()
        replies = await link.call(*commands, on_reply=on_reply)
        # What had changed by then, the server has reported ahead of its replies.
        self._local.get().heard = sent
        return replies

    async def ping(self) -> None:
        """Return if the server answers within the budget."""
        await self._call([b"PING"])

    async def evaluate(self, script: bytes, kind: str, key: str, *args: bytes) -> Any:
        """Run *script* on one key, for a limiter that shares the connection."""
        name = self._name(kind.encode(), key)
        (reply,) = await self._call(_evaluate(script, [name], *args))
        return reply

    async def aclose(self) -> None:
        """Close this loop's connection."""
        local = self._local.pop()
        if local is None or local.link is None:
            return
        if local.asking is not None:
            local.asking.cancel()
        await local.link.aclose()


def _short(tag: str) -> str:
    if len(tag) <= _LONGEST_TAG:
        return tag
    return hashlib.blake2b(_bytes(tag), digest_size=20).hexdigest()


def _bytes(text: str) -> bytes:
    # A tag may hold what a client has sent: half of a surrogate pair, too.
    return text.encode("utf-8", "surrogatepass")


def _random() -> bytes:
    # Text, so that the tokens do not upset a client that decodes what it reads.
    return secrets.token_hex(8).encode()


def _token() -> bytes:
    # Never starts with the mark of a tag that is held.
    return b"." + _random()


def _forget(names: Sequence[bytes], hold: float) -> list[bytes]:
    return _evaluate(_FORGET, names, _digits(hold * 1000), b"!" + _random())


def _with_tokens(data: bytes, tokens: Sequence[bytes]) -> bytes:
    return b"%d " % sum(map(len, tokens)) + b"".join(tokens) + data


def _live(values: list[bytes | None]) -> bytes:
    """Return what was stored, if the tokens it was stored with are still current.

    Nothing else is an entry, and an empty string least of all.
    """
    data, *tokens = values
    if data is None or None in tokens:
        return b""
    size, _, rest = data.partition(b" ")
    current = b"".join(cast("list[bytes]", tokens))
    if size != _digits(len(current)) or not rest.startswith(current):
        return b""
    return rest[len(current) :]
