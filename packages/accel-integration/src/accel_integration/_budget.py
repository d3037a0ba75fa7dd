"""Retry budgets: how many calls may be made again, in one process or in many."""

import threading
import time

from accel_integration._context import Clock
from accel_integration._parameters import name_or_none, not_negative
from accel_integration._scripts import WITHDRAW
from accel_integration._steps import Steps
from accel_integration._stores import Store, StoreDownError

__all__ = ["RetryBudget"]


class RetryBudget:
    """Bound retries to a share of all calls, so that they cannot add up to a storm.

    Each call earns *ratio* of a retry, and *reserve* retries are there to begin with.
    Give one budget to several retries to bound them together.

    With a *store* the processes that use it have one balance. A call that succeeds
    asks nobody: what it has earned is counted here, and goes to the store with the next
    retry that this process wants. A refusal holds for the `refresh` of the store, so
    that an outage does not become one question per call. While the store is down,
    retries are allowed ("open"), refused ("closed"), or taken out of what was last
    known of the balance ("local"), for which the store is told when it is back.

    Args:
        ratio: What share of a retry each call earns.
        reserve: How many retries there are at most, and at first.
        store: Where the balance is, to share it with other processes.
        key: What it is called there; budgets with the same one have one balance.
    """

    def __init__(
        self,
        ratio: float = 0.2,
        reserve: float = 10,
        *,
        store: Store | None = None,
        key: str | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.ratio = not_negative("ratio", ratio)
        self.reserve = not_negative("reserve", reserve)
        if reserve < 1:
            msg = f'"reserve" must be >= 1, or no retry is ever allowed: {reserve!r}'
            raise ValueError(msg)
        name_or_none("key", key)
        if store is not None and not key:
            msg = "A budget in a store needs a name there: give it a `key`."
            raise ValueError(msg)
        self.store = store
        self.key = key
        # What is left, as far as this process knows.
        self.balance = float(reserve)
        self._clock = clock
        # What the store has not been told of; negative for retries made without it.
        self._unsent = 0.0
        self._empty_until = float("-inf")
        self._lock = threading.Lock()

    def for_origin(self, origin: str) -> "RetryBudget":
        """Return a fresh budget like this one, for the calls to *origin* alone."""
        key = None if self.key is None else f"{self.key}:{origin}"
        return RetryBudget(
            self.ratio, self.reserve, store=self.store, key=key, clock=self._clock
        )

    @property
    def name(self) -> str:
        """What it is called in the store."""
        return f"budget:{self.key}"

    def deposit(self) -> None:
        """Note that a call was made."""
        with self._lock:
            self.balance = min(self.reserve, self.balance + self.ratio)
            if self.store is not None:
                self._unsent = min(self.reserve, self._unsent + self.ratio)

    def withdraw(self) -> bool:
        """Take one retry out of what this process knows of, if there is one."""
        with self._lock:
            if self.balance < 1:
                return False
            self.balance -= 1
            if self.store is not None:
                self._unsent -= 1
            return True

    def withdrawing(self) -> Steps[bool]:
        """Take one retry out of the budget, wherever that is, if there is one."""
        if self.store is None:
            return self.withdraw()
        if self._clock() < self._empty_until:
            return False
        with self._lock:
            earned, self._unsent = self._unsent, 0.0
        try:
            is_granted, _, _, left = yield WITHDRAW, (earned, self.reserve)
        except StoreDownError:
            self._take_back(earned)
            return self._withdraw_alone(self.store)
        except BaseException:
            # Cancelled: rather earned twice than never, since both have the same bound.
            self._take_back(earned)
            raise
        with self._lock:
            self.balance = min(self.reserve, left + max(0.0, self._unsent))
        if not is_granted:
            self._empty_until = self._clock() + self.store.refresh
        return bool(is_granted)

    def _take_back(self, earned: float) -> None:
        with self._lock:
            self._unsent = min(self.reserve, self._unsent + earned)

    def _withdraw_alone(self, store: Store) -> bool:
        """Go on without the store."""
        return self.withdraw() if store.fail == "local" else store.fail == "open"
