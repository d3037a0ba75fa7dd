"""Slowing down of password guessing."""

import hashlib
import ipaddress
import math
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from accel_auth._errors import LoginThrottledError

# Some MB at most. It takes thousands of logins to push an entry out, and each address
# is slowed down long before.
_MAX_ENTRIES = 20_000
_IPV4 = 4
# Key, limit and period, as a limiter takes them.
_Window = tuple[str, int, float]


class LimitResult(Protocol):
    """What a limiter answers (see the seam "limits")."""

    @property
    def allowed(self) -> bool:
        """Tell whether the hit was within the limit."""
        ...

    @property
    def retry_after(self) -> float:
        """Return the seconds until the next hit may be allowed."""
        ...


class Limiter(Protocol):
    """A limiter of any package: one coroutine, *period* in seconds."""

    async def hit(self, key: str, limit: int, period: float) -> LimitResult:
        """Count one hit on *key*."""
        ...


@dataclass(slots=True)
class _Failures:
    count: int
    next_at: float
    last: float


@dataclass(slots=True)
class _Prepaid:
    hits: int
    last: float


class LoginThrottle:
    """Makes each failed login wait longer than the one before, without a hard lock.

    An attempt counts as failed until it succeeds, so parallel guesses gain nothing.
    It counts for the pair of name and address (*free* attempts, then the wait doubles
    from *base* up to *longest* seconds), for the address alone (ten times *free*), and
    for the name alone (twenty times, SP 800-63B-4). The last one spares an address from
    which the name logged in before, so strangers never slow down the owner there.

    Args:
        limiter: An object with `hit(key, limit, period)`, shared by all processes. Its
            windows then grow instead: for a pair, *free* in *longest* seconds, twice as
            many in four times as long, four times in sixteen, eight in sixty-four.
            What a correct login cost pays for the next one in its process, and the first
            attempt in a process, or after *forget* seconds, is judged in any case: so
            correct logins refuse each other in no process, and a guesser gains one
            attempt per process. Without a limiter, this process counts for itself.
        free: Attempts without a wait.
        base: The first wait, in seconds.
        longest: The longest wait, in seconds.
        forget: Seconds without an attempt after which failures are forgotten.
        clock: Where time comes from.
    """

    def __init__(  # noqa: PLR0913 -- one number each, all with a default
        self,
        limiter: Limiter | None = None,
        *,
        free: int = 5,
        base: float = 1.0,
        longest: float = 60.0,
        forget: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if free < 1:
            raise ValueError(f"`free` must be >= 1: {free}")
        if not 0 < base <= longest:
            raise ValueError(f"`base` must be > 0 and <= `longest`: {base}, {longest}")
        self._limiter = limiter
        self._free = free
        self._base = base
        self._longest = longest
        self._forget = forget
        self._clock = clock
        self._entries: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._prepaid: OrderedDict[str, _Prepaid] = OrderedDict()

    async def attempt(self, username: str, client: str) -> None:
        """Count an attempt before it is judged.

        Raises:
            LoginThrottledError: if it comes too early; it then was not judged at all.
        """
        if self._limiter is not None:
            windows = self._windows(self._tiers(username, client))
            await self._pay_all(self._limiter, windows)
            return
        # No await between look and count: parallel guesses can not slip in between.
        now = self._clock()
        tiers = self._tiers(username, client)
        if (wait := max(self._wait(key, now) for key, _ in tiers)) > 0:
            raise LoginThrottledError(wait)
        for key, free in tiers:
            self._count(key, free, now)

    async def succeed(self, username: str, client: str) -> None:
        """Forget the failures of *username* from *client*, and take back the attempt."""
        tiers = self._tiers(username, client)
        if self._limiter is not None:
            self._give_back(self._windows(tiers))
        pair, *others = tiers
        self._entries.pop(pair[0], None)
        self._known[pair[0]] = None
        self._known.move_to_end(pair[0])
        _bound(self._known)
        # Their other failures stay: one's own login must not excuse guesses at others.
        for key, _ in others:
            if (entry := self._entries.get(key)) is not None:
                entry.count -= 1
                entry.next_at = 0.0

    def _tiers(self, username: str, client: str) -> list[tuple[str, int]]:
        # Keys are digests: a hostile name costs no memory, and no name is stored.
        network = _network(client)
        pair = _digest("pair", username, network)
        tiers = [(pair, self._free), (_digest("client", network), self._free * 10)]
        if pair not in self._known:
            # Many a database finds "Anna" as "anna": one account, one count. The pair
            # above keeps the spelling, or one's own login would reset another's wait.
            account = unicodedata.normalize("NFKC", username).casefold()
            tiers.append((_digest("name", account), self._free * 20))
        return tiers

    def _wait(self, key: str, now: float) -> float:
        entry = self._entries.get(key)
        return entry.next_at - now if entry else 0.0

    def _count(self, key: str, free: int, now: float) -> None:
        entry = self._entries.get(key)
        if entry is None or now - entry.last > self._forget:
            entry = self._entries[key] = _Failures(0, now, now)
        entry.count += 1
        entry.last = now
        if (over := entry.count - free) >= 0:
            doublings = min(over, math.ceil(math.log2(self._longest / self._base)))
            entry.next_at = now + min(self._longest, self._base * 2**doublings)
        self._entries.move_to_end(key)
        _bound(self._entries)

    def _windows(self, tiers: list[tuple[str, int]]) -> list[_Window]:
        pair, *others = tiers
        # Small windows first: a refused attempt does not use up the larger ones.
        return [
            (f"login:{key}:{step}", free * 2**step, self._longest * 4**step)
            for key, free, step in (
                *((*pair, step) for step in range(4)),
                *((*tier, 0) for tier in others),
            )
        ]

    async def _pay_all(self, limiter: Limiter, windows: list[_Window]) -> None:
        paid: list[_Window] = []
        try:
            for window in windows:
                await self._pay(limiter, window)
                paid.append(window)
        except BaseException:
            # What is not judged is no guess.
            self._give_back(paid)
            raise

    async def _pay(self, limiter: Limiter, window: _Window) -> None:
        key, limit, period = window
        entry, is_new = self._prepaid_of(key)
        if entry.hits:
            entry.hits -= 1
            return
        result = await limiter.hit(key, limit, period)
        # The windows may be full of correct logins that other processes keep prepaid.
        # A guesser gains one attempt per process, and none by parallel ones.
        if not (result.allowed or is_new):
            raise LoginThrottledError(result.retry_after or self._base)

    def _prepaid_of(self, key: str) -> tuple[_Prepaid, bool]:
        now = self._clock()
        entry = self._prepaid.get(key)
        is_new = entry is None or now - entry.last > self._forget
        if entry is None or is_new:
            entry = self._prepaid[key] = _Prepaid(0, now)
        entry.last = now
        self._prepaid.move_to_end(key)
        _bound(self._prepaid)
        return entry, is_new

    def _give_back(self, windows: list[_Window]) -> None:
        # A limiter can not take a hit back, so the next attempt here need not pay it.
        for key, limit, _ in windows:
            if (entry := self._prepaid.get(key)) is not None:
                entry.hits = min(entry.hits + 1, limit)


def _bound(entries: OrderedDict[str, Any]) -> None:
    if len(entries) > _MAX_ENTRIES:
        entries.popitem(last=False)


def _network(client: str) -> str:
    """Return the address, or the /64 of an IPv6 one: a single host has all of it.

    A socket for both families shows `::ffff:192.0.2.1`. All of those lie in one /64, so
    one guesser would slow down every client of IPv4; the IPv4 address is what counts.
    """
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None or address.version == _IPV4:
        return str(mapped or address)
    return str(ipaddress.ip_network((int(address), 64), strict=False))


def _digest(*parts: str) -> str:
    # With a separator, or "ab" and "c" would share the count of "a" and "bc".
    text = "\0".join(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
