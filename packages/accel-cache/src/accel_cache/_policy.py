"""How long a value lives, and for whom."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from accel_cache._entry import Draft, Entry, detached
from accel_cache._errors import CacheConfigurationError

Duration = float | timedelta


def seconds(duration: Duration) -> float:
    """Return *duration* in seconds."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    return float(duration)


def _positive(name: str, duration: Duration) -> float:
    value = seconds(duration)
    if not value >= 0 or math.isinf(value):
        raise CacheConfigurationError(f"`{name}` must be >= 0 and finite: {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Policy:
    """The dates of an entry; every number is in seconds.

    *jitter* shortens each life by up to this share, so that entries stored
    together do not expire together. *early* is the beta of XFetch (Vattani,
    Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention,
    2015): 0 never refreshes early, 1 is the optimum for exponential cost.
    """

    ttl: float
    stale: float = 0.0
    stale_if_error: float = 0.0
    early: float = 0.0
    jitter: float = 0.0
    negative: float = 0.0
    max_size: int = 1 << 20
    lease: float = 30.0

    @classmethod
    def of(  # noqa: PLR0913 - the knobs of the decorator, by name
        cls,
        *,
        ttl: Duration,
        stale: Duration = 0.0,
        stale_if_error: Duration = 0.0,
        early: float = 0.0,
        jitter: float = 0.0,
        negative: Duration = 0.0,
        max_size: int = 1 << 20,
    ) -> "Policy":
        """Check the knobs and convert the durations."""
        life = _positive("ttl", ttl)
        if life == 0:
            raise CacheConfigurationError("`ttl` must be > 0: leave the decorator out")
        if not 0 <= jitter < 1:
            raise CacheConfigurationError(f"`jitter` must be in [0, 1): {jitter!r}")
        if early < 0:
            raise CacheConfigurationError(f"`early` must be >= 0: {early!r}")
        return cls(
            ttl=life,
            stale=_positive("stale", stale),
            stale_if_error=_positive("stale_if_error", stale_if_error),
            early=early,
            jitter=jitter,
            negative=_positive("negative", negative),
            max_size=max_size,
        )

    def date(
        self,
        draft: Draft,
        now: float,
        cost: float,
        draw: Callable[[], float] = random.random,
    ) -> Entry:
        """Give *draft* its dates."""
        life = self.ttl if draft.ttl is None else min(self.ttl, draft.ttl)
        life *= 1 - self.jitter * draw()
        created = now - draft.age
        fresh = created + life
        stale = self.stale if draft.stale is None else draft.stale
        error = self.stale_if_error
        if draft.stale_if_error is not None:
            error = draft.stale_if_error
        return Entry(
            draft=detached(draft),
            created=created,
            fresh_until=fresh,
            stale_until=fresh + stale,
            error_until=fresh + error,
            keep_until=fresh + draft.keep,
            cost=cost,
        )

    def may_be_due(self, entry: Entry, now: float) -> bool:
        """Tell whether `is_due` could say yes, but for one time in 10**8."""
        return now + 20 * entry.cost * self.early >= entry.fresh_until

    def is_due(
        self, entry: Entry, now: float, draw: Callable[[], float] = random.random
    ) -> bool:
        """Decide by lot whether a fresh entry is refreshed before it expires."""
        if not self.early:
            return False
        # 1 - draw() is in (0, 1]: the logarithm exists.
        lead = entry.cost * self.early * -math.log(1 - draw())
        return now + lead >= entry.fresh_until
