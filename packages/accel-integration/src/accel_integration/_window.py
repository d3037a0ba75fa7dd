"""How many calls of the last seconds have failed."""

from accel_integration._context import Clock

__all__ = ["RateWindow"]

BUCKETS = 10


class RateWindow:
    """Failures and calls of the last *seconds*, in ten buckets that are reused.

    Adding takes the same short time however many calls there are; the window moves in
    steps of a tenth of its length.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._per_second = BUCKETS / seconds
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._failed = [0] * BUCKETS
        self._total = [0] * BUCKETS
        self._slot = int(self._clock() * self._per_second)

    def add(self, *, failed: bool) -> None:
        """Count one call."""
        index = self._move()
        self._total[index] += 1
        self._failed[index] += failed

    def counts(self) -> tuple[int, int]:
        """Return how many calls have failed, and how many there were."""
        self._move()
        return sum(self._failed), sum(self._total)

    def _move(self) -> int:
        slot = int(self._clock() * self._per_second)
        for passed in range(min(BUCKETS, slot - self._slot)):
            index = (self._slot + 1 + passed) % BUCKETS
            self._failed[index] = self._total[index] = 0
        self._slot = max(self._slot, slot)
        return self._slot % BUCKETS
