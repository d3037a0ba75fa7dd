"""The logic of the cache: look up, compute once, store, invalidate."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from accel_cache._entry import Draft, Entry
from accel_cache._errors import CacheUnavailable
from accel_cache._events import CacheEvent, Subscribers, logger
from accel_cache._flights import Flights
from accel_cache._loops import PerLoop
from accel_cache._policy import Policy
from accel_cache._store import Claim, Store

Compute = Callable[[], Awaitable[Draft]]

_SERVER_ERROR = 500


@dataclass(slots=True)  # not frozen: every hit makes one, at twice the price
class Outcome:
    """A value for one caller and how it came about.

    *state* is `HIT`, `MISS`, `STALE` or `BYPASS`; *why* is the `fwd` or `detail`
    of RFC 9211.
    """

    draft: Draft
    state: str
    entry: Entry | None = None
    stored: bool = False
    collapsed: bool = False
    why: str = ""
    refused: bool = False
    """The store found that a tag was invalidated while this was computed."""
    since: int = 0
    """How many invalidations this process had seen when computing started."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question to the cache."""

    key: str
    tags: tuple[str, ...]
    policy: Policy
    compute: Compute
    matches: Callable[[Entry], bool] = lambda _: True
    refresh: Compute | None = None
    """Computes in the background, when the asker is gone; default *compute*."""
    revalidate: bool = False
    """Do not accept a stored value: compute a new one."""


def is_answer(exc: Exception) -> bool:
    """Tell whether *exc* is an answer to the client: an HTTP error below 500."""
    status = getattr(exc, "status_code", _SERVER_ERROR)
    return isinstance(status, int) and status < _SERVER_ERROR


class _Here:
    """Flights and background tasks of one event loop."""

    def __init__(self) -> None:
        self.flights: Flights[Outcome] = Flights()
        self.refreshing: dict[str, asyncio.Task[None]] = {}
        self.claims: dict[str, Claim] = {}


class Engine:
    """The logic between a store and whoever asks; one implementation for all faces."""

    def __init__(self, store: Store, namespace: str, wall: Callable[[], float]) -> None:
        self.store = store
        self.namespace = namespace
        self.wall = wall
        self.subscribers = Subscribers()
        self._invalidations = 0
        self._here = PerLoop(_Here)

    def tell(
        self, name: str, key: str = "", detail: str = "", tags: Iterable[str] = ()
    ) -> None:
        """Emit an event if somebody listens."""
        if self.subscribers:
            self.subscribers.emit(
                CacheEvent(name, self.namespace, key, frozenset(tags), detail)
            )

    async def ask(self, query: Query) -> Outcome:
        """Answer from the cache, or compute, once for all who ask at the same time."""
        if not query.revalidate:
            entry = self.store.peek(query.key)
            if entry is not None and (known := self._usable(query, entry)) is not None:
                return known
        return await self._ask_store(query)

    def peek(
        self,
        key: str,
        policy: Policy,
        matches: Callable[[Entry], bool],
        how: str = "",
    ) -> Outcome | None:
        """Return what is fresh and held by this process; never waits."""
        entry, now = self.store.peek(key), self.wall()
        if entry is None or now >= entry.fresh_until or not matches(entry):
            return None
        # `ask` draws the lot: drawn here as well, it would have to be won twice.
        if policy.early and policy.may_be_due(entry, now):
            return None
        if self.subscribers:
            self.tell("cache.hit", key, how)
        return Outcome(entry.draft, "HIT", entry)

    async def look(self, query: Query) -> Entry | None:
        """Return what is stored for *query*, fresh or not."""
        try:
            entry = await self.store.read(query.key, query.tags)
        except CacheUnavailable as exc:
            self.tell("cache.unavailable", query.key, str(exc))
            return None
        # Of another variant: for this caller it is as good as not there.
        if entry is None or not query.matches(entry):
            return None
        return entry

    async def _ask_store(self, query: Query) -> Outcome:
        entry = await self.look(query)
        if entry is not None and not query.revalidate:
            known = self._usable(query, entry)
            if known is not None:
                return known
        return await self._miss(query, entry)

    def _usable(self, query: Query, entry: Entry) -> Outcome | None:
        if not query.matches(entry):
            return None
        now = self.wall()
        if now < entry.fresh_until:
            if query.policy.is_due(entry, now):
                self._refresh_later(query)
            self.tell("cache.hit", query.key)
            return Outcome(entry.draft, "HIT", entry)
        # Stale: everybody is served at once, and one refreshes for all.
        if now < entry.stale_until:
            self._refresh_later(query)
            self.tell("cache.stale", query.key)
            return Outcome(entry.draft, "STALE", entry, why="stale-while-revalidate")
        return None

    async def _miss(self, query: Query, old: Entry | None) -> Outcome:
        flights, asked_at = self._here.get().flights, self._invalidations
        outcome, led = await flights.run(query.key, lambda: self._compute(query, old))
        outdated = outcome.refused or outcome.since != asked_at
        if not led and outcome.entry is not None and outdated:
            # The leader started before an invalidation that we asked after. The next
            # one starts after us, so that its value will do whatever happens to it.
            outcome, led = await flights.run(
                query.key, lambda: self._compute(query, old)
            )
        if led:
            return outcome
        if outcome.entry is None or not query.matches(outcome.entry):
            # What the leader got is for the leader alone.
            return Outcome(await query.compute(), "MISS", why="uri-miss")
        self.tell("cache.hit", query.key, "collapsed")
        return Outcome(outcome.entry.draft, "HIT", outcome.entry, collapsed=True)

    async def _compute(self, query: Query, old: Entry | None) -> Outcome:
        since = self._invalidations
        claim, outcome = await self._claim(query)
        if outcome is None:
            claims = self._here.get().claims
            if claim is not None:
                claims[query.key] = claim
            try:
                outcome = await self._lead(query, old, claim)
            finally:
                claims.pop(query.key, None)
        outcome.since = since
        return outcome

    async def let_go(self, key: str) -> None:
        """Let nobody wait for *key*: what its leader gets is for the leader alone."""
        here = self._here.get()
        here.flights.let_go(key, Outcome(Draft(b"", storable=False), "MISS"))
        await self._give_up(key, here.claims.pop(key, None))

    async def _lead(
        self, query: Query, old: Entry | None, claim: Claim | None
    ) -> Outcome:
        """Compute; where that fails, fall back to *old* if it may be."""
        self.tell("cache.miss", query.key)
        started = time.perf_counter()
        try:
            draft = await query.compute()
        except BaseException as exc:
            await self._give_up(query.key, claim)
            # A 404 is an answer: an old value would hide that the thing is gone.
            if old is None or not isinstance(exc, Exception) or is_answer(exc):
                raise
            if (spare := await self._spare(query)) is None:
                raise
            return spare
        if old is not None and draft.status >= _SERVER_ERROR:
            spare = await self._spare(query)
            if spare is not None:
                await self._give_up(query.key, claim)
                return spare
        entry = query.policy.date(draft, self.wall(), time.perf_counter() - started)
        stored = await self._keep(query, entry, draft, claim)
        return Outcome(
            draft,
            "MISS",
            entry if draft.storable else None,
            stored=stored is True,
            refused=stored is False,
            why="stale" if old is not None else "uri-miss",
        )

    async def _claim(self, query: Query) -> tuple[Claim | None, Outcome | None]:
        """Become the one who computes, or wait for the one who does."""
        # A leader that died cannot say so: its lease ends, and then we compute anyhow.
        deadline = time.monotonic() + query.policy.lease
        try:
            while True:
                claim = await self.store.claim(
                    query.key, query.tags, query.policy.lease
                )
                if query.revalidate:
                    return claim, None
                if (known := self._stored_meanwhile(query, claim.entry)) is not None:
                    await self._give_up(query.key, claim)
                    return None, known
                left = deadline - time.monotonic()
                if claim.won or left <= 0:
                    return claim, None
                await self.store.wait(query.key, left)
        except CacheUnavailable as exc:
            self.tell("cache.unavailable", query.key, str(exc))
            return None, None

    def _stored_meanwhile(self, query: Query, entry: Entry | None) -> Outcome | None:
        if entry is None or not query.matches(entry):
            return None
        if self.wall() >= entry.fresh_until:
            return None
        return Outcome(entry.draft, "HIT", entry, collapsed=True)

    async def _spare(self, query: Query) -> Outcome | None:
        # Read again: the old value may have been invalidated while we failed.
        entry = await self.look(query)
        if entry is None or self.wall() >= entry.error_until:
            return None
        self.tell("cache.stale", query.key, "stale-if-error")
        return Outcome(entry.draft, "STALE", entry, why="stale-if-error")

    async def _keep(
        self, query: Query, entry: Entry, draft: Draft, claim: Claim | None
    ) -> bool | None:
        """Return whether the store took the entry; `None`: it was not asked."""
        if claim is None:
            return None
        # The lease must go even so, or the others would wait for it to end.
        if not draft.storable or entry.size > query.policy.max_size:
            await self._give_up(query.key, claim)
            return None
        try:
            stored = await self.store.write(query.key, query.tags, entry, claim)
        except CacheUnavailable as exc:
            self.tell("cache.unavailable", query.key, str(exc))
            return None
        self.tell("cache.stored" if stored else "cache.refused", query.key)
        return stored

    async def invalidate(self, tags: Iterable[str], hold: float = 0.0) -> None:
        """Forget every entry with one of *tags*; see `Cache.invalidate`."""
        names = tuple(dict.fromkeys(tags))
        if not names:
            return
        # Counted before and after: who computes in between is told apart from both.
        self._invalidations += 1
        try:
            await self.store.invalidate(names, hold)
        except CacheUnavailable as exc:
            logger.warning("An invalidation is put off: %s", exc)
            self.tell("cache.deferred", detail=str(exc), tags=names)
        else:
            self.tell("cache.invalidated", tags=names)
        finally:
            self._invalidations += 1

    async def _give_up(self, key: str, claim: Claim | None) -> None:
        if claim is None:
            return
        with suppress(CacheUnavailable):
            # Shielded: a cancelled leader must not leave its lease behind.
            await asyncio.shield(self.store.release(key, claim))

    def _refresh_later(self, query: Query) -> None:
        here = self._here.get()
        if query.key in here.flights or query.key in here.refreshing:
            return
        task = asyncio.create_task(self._refresh(query))
        here.refreshing[query.key] = task
        task.add_done_callback(lambda _: here.refreshing.pop(query.key, None))

    async def _refresh(self, query: Query) -> None:
        try:
            claim = await self.store.claim(query.key, query.tags, query.policy.lease)
        except CacheUnavailable:
            return
        if not claim.won:
            # Another process refreshes already.
            return
        started = time.perf_counter()
        try:
            draft = await (query.refresh or query.compute)()
        except BaseException as exc:
            await self._give_up(query.key, claim)
            if not isinstance(exc, Exception):
                raise
            logger.warning("A refresh in the background failed: %r", exc)
            self.tell("cache.refresh_failed", query.key, type(exc).__name__)
            return
        if draft.status >= _SERVER_ERROR:
            await self._give_up(query.key, claim)
            return
        entry = query.policy.date(draft, self.wall(), time.perf_counter() - started)
        await self._keep(query, entry, draft, claim)

    async def settle(self) -> None:
        """Wait for the refreshes this loop has in the background."""
        if tasks := list(self._here.get().refreshing.values()):
            await asyncio.wait(tasks)

    async def aclose(self) -> None:
        """Stop the refreshes of this loop and close its connection."""
        tasks = list(self._here.get().refreshing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.store.aclose()
