"""What a decorator was told."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from accel_cache._keys import KeyMaker, TagMaker
from accel_cache._policy import Policy

Scope = str | Callable[[Any], str | None]


@dataclass(frozen=True, slots=True)
class Options:
    """The knobs of one cached function."""

    policy: Policy
    tags: TagMaker = ()
    key: KeyMaker | None = None
    scope: Scope = "auto"
    vary: Iterable[str] = ()
    identity_cookies: frozenset[str] | None = None
