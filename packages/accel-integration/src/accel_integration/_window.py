"""How many calls of the last seconds have failed."""

from accel_integration._context import Clock

__all__ = ["RateWindow"]

BUCKETS = 10


class RateWindow:
    """Failures and calls of the last *seconds*, in ten buckets that are reused.

    Counting takes the same short time however many calls there are; the window moves in
    steps of a tenth of its length.
    """

    __slots__ = (
        "_clock",
        "_failed",
        "_index",
        "_per_second",
        "_slot",
        "_total",
        "_until",
    )

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._per_second = BUCKETS / seconds
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._failed = [0] * BUCKETS
        self._total = [0] * BUCKETS
        self._begin(int(self._clock() * self._per_second))

    def count_success(self) -> None:
        """Count a call that went well."""
        if (now := self._clock()) >= self._until:
            self._move_to(int(now * self._per_second))
        self._total[self._index] += 1

    def count_failure(self) -> None:
        """Count a call that failed."""
        self.count_success()
        self._failed[self._index] += 1

    def counts(self) -> tuple[int, int]:
        """Return how many calls have failed, and how many there were."""
        if (now := self._clock()) >= self._until:
            self._move_to(int(now * self._per_second))
        return sum(self._failed), sum(self._total)

    def _move_to(self, slot: int) -> None:
        for passed in range(min(BUCKETS, slot - self._slot)):
            index = (self._slot + 1 + passed) % BUCKETS
            self._failed[index] = self._total[index] = 0
        self._begin(slot)

    def _begin(self, slot: int) -> None:
        self._slot = slot
        self._index = slot % BUCKETS
        # A little early, so that rounding never hides the end of the slot.
        self._until = (slot + 1 - 1e-6) / self._per_second
