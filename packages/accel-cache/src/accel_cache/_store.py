"""What every store can do, and the store in memory."""

import asyncio
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from accel_cache._entry import Entry

Tokens = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A permit to compute: whether this caller leads, and the tags' tokens.

    The tokens are read before the value is computed. Invalidation replaces
    them, so a value computed from older data is refused when it comes to be
    stored, however late that is.
    """

    won: bool
    lease: bytes
    tokens: Tokens
    entry: Entry | None = None
    """What was stored between the look-up and the claim."""


class Store(Protocol):
    """Where entries live. *tags* are always given in the same order."""

    def peek(self, key: str) -> Entry | None:
        """Return what this process holds and knows to be valid."""

    async def read(self, key: str, tags: Sequence[str]) -> Entry | None:
        """Return the entry if none of its tags was invalidated since."""

    async def claim(self, key: str, tags: Sequence[str], lease_for: float) -> Claim:
        """Try to become the one who computes *key*."""

    async def wait(self, key: str, limit: float) -> None:
        """Return when *key* may have changed, or after *limit* seconds."""

    async def write(
        self, key: str, tags: Sequence[str], entry: Entry, claim: Claim
    ) -> bool:
        """Store unless a tag was invalidated after the claim; release the lease."""

    async def release(self, key: str, claim: Claim) -> None:
        """Give the lease back without storing."""

    async def invalidate(self, tags: Sequence[str], hold: float) -> None:
        """Forget every entry with one of *tags*, and what is being computed.

        For *hold* seconds nothing with these tags is stored.
        """

    async def ping(self) -> None:
        """Return if the store answers."""

    async def aclose(self) -> None:
        """Release what belongs to the running loop."""


# What Python and the tables about an entry take beside its body.
_OVERHEAD = 1024


def _weight(entry: Entry) -> int:
    return entry.size + _OVERHEAD


class Shelf:
    """A bounded map of entries that forgets what was used least recently."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def get(self, key: str) -> Entry | None:
        """Return the entry and mark it as used."""
        if (entry := self._entries.get(key)) is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: str, entry: Entry) -> list[str]:
        """Keep *entry*; return the keys that had to go for it."""
        # Dropped first, or the bytes of the old one would count for ever.
        self.drop(key)
        self._entries[key] = entry
        self._bytes += _weight(entry)
        evicted = []
        while self._bytes > self._max_bytes:
            oldest, gone = self._entries.popitem(last=False)
            self._bytes -= _weight(gone)
            evicted.append(oldest)
        return evicted

    def drop(self, key: str) -> None:
        """Forget *key*."""
        if (entry := self._entries.pop(key, None)) is not None:
            self._bytes -= _weight(entry)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0


_MAX_TAGS = 100_000

EVERYTHING = "*"
"""The tag every entry carries, so that a namespace can be cleared."""


class MemoryStore:
    """A store inside of this process, with the semantics of the one on Redis."""

    def __init__(
        self, max_bytes: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._shelf = Shelf(max_bytes)
        self._tokens_of: dict[str, Tokens] = {}
        self._tags: OrderedDict[str, bytes] = OrderedDict()
        self._held: dict[str, float] = {}
        self._lock = threading.RLock()
        self._clock = clock
        self._tag_names: dict[str, tuple[str, ...]] = {}

    def peek(self, key: str) -> Entry | None:
        """Return the entry if its tags still hold."""
        with self._lock:
            entry = self._shelf.get(key)
            if entry is None:
                return None
            if entry.dead_at <= self._clock() or not self._holds(key):
                self._forget(key)
                return None
            return entry

    def _holds(self, key: str) -> bool:
        names, tokens = self._tag_names[key], self._tokens_of[key]
        # The tokens it was stored with: an invalidation has taken or replaced one.
        return all(
            self._tags.get(name) == token
            for name, token in zip(names, tokens, strict=True)
        )

    def _forget(self, key: str) -> None:
        self._shelf.drop(key)
        self._tokens_of.pop(key, None)
        self._tag_names.pop(key, None)

    async def read(self, key: str, tags: Sequence[str]) -> Entry | None:  # noqa: ARG002 - the shape of a Store
        """Return what `peek` returns: there is no other place to look."""
        return self.peek(key)

    async def claim(self, key: str, tags: Sequence[str], lease_for: float) -> Claim:  # noqa: ARG002 - the shape of a Store
        """Always lead: within one process the cache itself elects a leader."""
        with self._lock:
            tokens = tuple(map(self._token, tags))
            return Claim(True, b"", tokens, self.peek(key))

    def _token(self, tag: str) -> bytes:
        token = self._tags.setdefault(tag, secrets.token_bytes(8))
        self._tags.move_to_end(tag)
        while len(self._tags) > _MAX_TAGS:
            # An entry whose tag has no token is dead: eviction errs on the safe side.
            self._tags.popitem(last=False)
        return token

    def _is_held(self, tag: str) -> bool:
        if self._clock() < self._held.get(tag, 0.0):
            return True
        self._held.pop(tag, None)
        return False

    async def wait(self, key: str, limit: float) -> None:  # noqa: ARG002 - the shape of a Store
        """Yield to the loop: nobody else computes."""
        await asyncio.sleep(0)

    async def write(
        self, key: str, tags: Sequence[str], entry: Entry, claim: Claim
    ) -> bool:
        """Store unless a tag was invalidated after the claim."""
        with self._lock:
            # A write is in progress: what we have read may be from before it.
            if any(map(self._is_held, tags)):
                return False
            if tuple(self._tags.get(tag) for tag in tags) != claim.tokens:
                return False
            self._tokens_of[key] = claim.tokens
            self._tag_names[key] = tuple(tags)
            for gone in self._shelf.put(key, entry):
                self._forget(gone)
            return True

    async def release(self, key: str, claim: Claim) -> None:
        """Do nothing: there is no lease."""

    async def invalidate(self, tags: Sequence[str], hold: float) -> None:
        """Drop the tokens of *tags*; entries that carry them are dead."""
        with self._lock:
            for tag in tags:
                self._tags.pop(tag, None)
                if hold:
                    until = self._clock() + hold
                    self._held[tag] = max(self._held.get(tag, 0.0), until)
            if len(self._held) > _MAX_TAGS:
                self._held = {t: x for t, x in self._held.items() if x > self._clock()}

    async def ping(self) -> None:
        """Do nothing: memory is always there."""

    async def aclose(self) -> None:
        """Do nothing: memory belongs to no loop."""
