"""Settings of one authentication."""

import inspect
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Self, TypedDict

from accel_auth._cookies import CookieTransport
from accel_auth._keys import Key, Keyring
from accel_auth._stores import MemoryStore, TokenStore
from accel_auth._throttle import LoginThrottle

# Within it, a stolen token passes for a second tab: long enough for a slow network.
MAX_GRACE = 10.0
# RFC 6749, 10.10: what nobody types must have 128 bits. Nothing slows down who guesses.
MIN_CLIENT_SECRET = 16

Duration = float | timedelta
Names = str | Collection[str]
Keys = Keyring | Sequence[Key | str | bytes] | Key | str | bytes


class AuthOptions(TypedDict, total=False):
    """What `BaseAuthJWT` takes, as arguments or as attributes of the class."""

    keys: Keys | None
    issuer: str | None
    audience: Names
    required: Names
    leeway: Duration
    access_ttl: Duration
    refresh_ttl: Duration
    session_ttl: Duration
    refresh_grace: Duration
    scopes: Mapping[str, str]
    store: TokenStore | None
    throttle: LoginThrottle | None
    cookies: CookieTransport | None
    introspection_clients: Mapping[str, str]
    clock: Callable[[], float]


@dataclass(frozen=True, kw_only=True, repr=False)
class AuthSettings:
    """Settings with their defaults; durations are in seconds or a timedelta."""

    keys: Keys | None = None
    issuer: str | None = None
    audience: Names = ()
    required: Names = ()
    leeway: Duration = 0
    access_ttl: Duration = 30 * 60
    refresh_ttl: Duration = timedelta(days=14)
    session_ttl: Duration = timedelta(days=30)
    refresh_grace: Duration = MAX_GRACE
    scopes: Mapping[str, str] = field(default_factory=dict)
    store: TokenStore | None = None
    throttle: LoginThrottle | None = field(default_factory=LoginThrottle)
    cookies: CookieTransport | None = None
    introspection_clients: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        grace = seconds(self.refresh_grace)
        if not 0 <= grace <= MAX_GRACE:
            raise ValueError(f"`refresh_grace` must be 0 to {MAX_GRACE:g} s: {grace:g}")
        if (leeway := seconds(self.leeway)) < 0:
            raise ValueError(f"`leeway` must not be negative: {leeway:g}")
        for name in ("access_ttl", "refresh_ttl", "session_ttl"):
            if (ttl := seconds(getattr(self, name))) < 1:
                raise ValueError(f"`{name}` must be at least 1 s: {ttl:g}")
        _check_clients(self.introspection_clients)

    @classmethod
    def of(cls, target: object) -> Self:
        """Read the settings from the attributes of *target*, a class or an instance."""
        found = {f.name: _read(target, f.name) for f in fields(cls)}
        # As fastapi-accelerator calls it.
        if minutes := getattr(target, "ACCESS_TOKEN_EXPIRE_MINUTES", None):
            found["access_ttl"] = timedelta(minutes=minutes)
        return cls(**{name: v for name, v in found.items() if v is not _ABSENT})

    def keyring(self) -> Keyring | None:
        """Return the configured keys, or None where the app's secret is meant."""
        if self.keys is None or isinstance(self.keys, Keyring):
            return self.keys
        if isinstance(self.keys, Key | str | bytes):
            return Keyring([self.keys])
        return Keyring(self.keys)

    def token_store(self) -> TokenStore:
        """Return the configured store, or one of this app's own."""
        return MemoryStore(clock=self.clock) if self.store is None else self.store

    def audiences(self) -> list[str]:
        """Return the audience as a list."""
        return as_list(self.audience)


_ABSENT: Any = object()


def _read(target: object, name: str) -> Any:
    # A function in the class body (a clock) must not be bound to the instance.
    raw = inspect.getattr_static(target, name, _ABSENT)
    return raw if inspect.isfunction(raw) else getattr(target, name, _ABSENT)


def seconds(duration: Duration) -> float:
    """Return *duration* as seconds."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    return float(duration)


def as_list(names: Names) -> list[str]:
    """Return *names* as a list; a string is one name, not a collection of letters."""
    return [names] if isinstance(names, str) else list(names)


def _check_clients(clients: Mapping[str, str]) -> None:
    for name, secret in clients.items():
        if (size := len(secret.encode())) < MIN_CLIENT_SECRET:
            raise ValueError(
                f"The secret of {name!r} in `introspection_clients` is {size} bytes long; "
                f"it needs at least {MIN_CLIENT_SECRET}. Take the output of: "
                'python -c "import secrets; print(secrets.token_urlsafe())"'
            )
