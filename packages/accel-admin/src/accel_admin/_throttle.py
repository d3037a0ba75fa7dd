"""A brake on guessing passwords."""

import hashlib
import ipaddress
import time
from collections.abc import Callable

from accel_admin._stores import Store


class LoginThrottle:
    """Makes each failed login more expensive than the last.

    Nobody is locked out for good: the wait doubles up to a limit, and ends. A name that
    is attacked from many addresses waits briefly, so that its owner still gets in.

    Args:
        store: counts the failures.
        free: failures per name and address that cost nothing.
        longest: seconds that one wait lasts at most.
        memory: seconds after which failures are forgotten.
        clock: tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        *,
        free: int = 5,
        longest: float = 900.0,
        memory: float = 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._free = free
        self._longest = longest
        self._memory = memory
        self._clock = clock

    def wait(self, username: str, address: str) -> float:
        """Return the seconds until the next try, 0 if it may come now."""
        now = self._clock()
        waits = (
            float(self._store.load(f"wait:{name}") or b"0") - now
            for name, _, _ in self._rules(username, address)
        )
        return max(0.0, *waits)

    def failed(self, username: str, address: str) -> None:
        """Count a failure."""
        for name, free, longest in self._rules(username, address):
            failures = self._store.count(f"failures:{name}", self._memory)
            # Stored for the wait alone, so that a wait that is over leaves nothing behind.
            if failures >= free:
                pause = min(2.0 ** min(failures - free, 30), longest)
                until = repr(self._clock() + pause).encode()
                self._store.save(f"wait:{name}", until, pause, create=True)

    def succeeded(self, username: str, address: str) -> None:
        """Forget the failures of *username* at *address*."""
        name, _, _ = self._rules(username, address)[0]
        self._store.delete(f"failures:{name}")
        self._store.delete(f"wait:{name}")

    def _rules(self, username: str, address: str) -> list[tuple[str, int, float]]:
        network = _network(address)
        return [
            (_digest("both", username, network), self._free, self._longest),
            (_digest("address", network), self._free * 4, self._longest),
            (_digest("name", username), self._free * 10, 5.0),
        ]


def _network(address: str) -> str:
    """Return what one visitor controls: an address of IPv4, or a /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()
