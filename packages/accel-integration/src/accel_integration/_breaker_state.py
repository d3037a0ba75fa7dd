"""One circuit: what it counts, and when it opens and closes."""

import functools
import threading
from collections.abc import Awaitable, Collection
from dataclasses import dataclass

from accel_integration._context import Clock, Scope
from accel_integration._done import DONE
from accel_integration._errors import CircuitBreakerError
from accel_integration._events import BreakerChanged, CallRejected, Herald, Hub
from accel_integration._outcome import is_about_us, status_of_error, status_of_result
from accel_integration._sync_timeout import SYNC_CALL
from accel_integration._window import RateWindow

__all__ = ["BreakerOptions", "BreakerState", "Lease"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """What all circuits of one breaker have in common; times are in seconds."""

    fail_threshold: int
    reset_timeout: float
    failure_rate: float | None
    window: float
    min_calls: int
    slow_call: float | None
    probes: int
    statuses: Collection[int]

    def counts(self, exc: Exception) -> bool:
        """Tell whether *exc* says something bad about the other side."""
        status = status_of_error(exc) if self.statuses else None
        if status is not None:
            return status in self.statuses
        return not is_about_us(exc)

    def is_failure(self, result: object, duration: float) -> bool:
        """Tell whether a *result* is a failure, too late or by its status."""
        if self.slow_call is not None and duration > self.slow_call:
            return True
        return bool(self.statuses) and status_of_result(result) in self.statuses


class Lease:
    """The right to make one call that is looked at closely.

    It is a probe, or a call in a thread that may be abandoned. It ends by a result, by
    release, or by itself when it *expires*.
    """

    __slots__ = ("__weakref__", "expires", "is_over", "is_probe")

    def __init__(self, *, is_probe: bool, expires: float) -> None:
        self.is_probe = is_probe
        self.expires = expires
        self.is_over = False


class BreakerState:
    """One circuit. Its epoch grows with every change, so that late results are known.

    Only the slow paths take the lock: a closed circuit without failures is read.
    """

    def __init__(
        self, options: BreakerOptions, clock: Clock, scope: Scope, hub: Hub
    ) -> None:
        self.options = options
        self.clock = clock
        self.closed = True
        self.epoch = 0
        self.failures = 0
        self._scope = scope
        self._hub = hub
        self._herald = Herald(hub)
        self._lock = threading.RLock()
        self._isolated = False
        self._half_open = False
        self._open_until = 0.0
        self._probes: list[Lease] = []
        self._successes = 0
        self.window: RateWindow | None = None
        if options.failure_rate is not None:
            self.window = RateWindow(options.window, clock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._scope}: {self.state}>"

    @property
    def state(self) -> str:
        """One of: isolated, open, half_open, closed."""
        if self._isolated:
            return "isolated"
        if self.closed:
            return "closed"
        due = self._half_open or self.clock() >= self._open_until
        return "half_open" if due else "open"

    def isolate(self) -> Awaitable[None]:
        """Open this circuit, until `close` is called."""
        with self._lock:
            old, self._isolated = self.state, True
            self._change(old, closed=False)
        self._herald.tell()
        return DONE

    def close(self) -> Awaitable[None]:
        """Close this circuit, and forget the failures."""
        with self._lock:
            old, self._isolated = self.state, False
            self._change(old, closed=True)
        self._herald.tell()
        return DONE

    def admit(self) -> Lease:
        """Return the lease for a probe, or refuse the call."""
        return self._admit()[0]

    def admit_abandonable(self) -> Lease:
        """Return a lease that counts as failed as soon as its thread is abandoned."""
        lease, epoch = self._admit()
        if (call := SYNC_CALL.get()) is not None:
            call.when_abandoned(lease, functools.partial(self.expired, epoch))
        return lease

    def _admit(self) -> tuple[Lease, int]:
        with self._lock:
            lease, epoch = self._lease_or_wait(), self.epoch
        # Outside of the lock, since a listener may make calls of its own.
        self._herald.tell()
        if isinstance(lease, Lease):
            return lease, epoch
        raise self._refusal(lease)

    def _lease_or_wait(self) -> Lease | float | None:
        """Return a lease, or after how many seconds there may be one, if ever."""
        now = self.clock()
        if self._isolated:
            return None
        if self.closed:  # Another thread may have closed it in the meantime.
            return Lease(is_probe=False, expires=now)
        if not self._half_open:
            if now < self._open_until:
                return self._open_until - now
            self._half_open = True
            self._change("open", closed=False)
        self._probes = [lease for lease in self._probes if now < lease.expires]
        # Those that have succeeded count too: the rest must not be more than asked.
        if len(self._probes) + self._successes >= self.options.probes:
            free = min((lease.expires for lease in self._probes), default=now)
            return free - now
        lease = Lease(is_probe=True, expires=now + self.options.reset_timeout)
        self._probes.append(lease)
        return lease

    def finished(
        self, result: object, epoch: int, lease: Lease | None, duration: float
    ) -> None:
        """Note a result, which is a failure if it came too late or says so itself."""
        if self.options.is_failure(result, duration):
            self.expired(epoch, lease)
        else:
            self.succeeded(epoch, lease)

    def succeeded(self, epoch: int, lease: Lease | None) -> None:
        """Note a success, which ends a row of failures."""
        with self._lock:
            if not self._settle(epoch, lease):
                return
            # One success ends a row; the window forgets by time alone.
            self.failures = 0
            if self.window is not None:
                self.window.count_success()
            if lease is None or not lease.is_probe:
                return
            self._successes += 1
            if self._successes >= self.options.probes:
                self._change("half_open", closed=True)
        self._herald.tell()

    def failed(self, exc: Exception, epoch: int, lease: Lease | None) -> None:
        """Note that *exc* was raised."""
        if self.options.counts(exc):
            self.expired(epoch, lease)
        else:
            self.release(epoch, lease)

    def expired(self, epoch: int, lease: Lease | None) -> None:
        """Note a failure, such as a call that took too long."""
        with self._lock:
            if not self._settle(epoch, lease):
                return
            self.failures += 1
            if self.window is not None:
                self.window.count_failure()
            if lease is not None and lease.is_probe:
                self._open("half_open")
            elif self._has_failed_enough():
                self._open("closed")
        self._herald.tell()

    def release(self, epoch: int, lease: Lease | None) -> None:
        """Give the place of a probe back, because it came to nothing."""
        with self._lock:
            self._settle(epoch, lease)

    def _settle(self, epoch: int, lease: Lease | None) -> bool:
        """End *lease*; tell whether its result still counts."""
        # The call began before the circuit changed, and says nothing about it now.
        if epoch != self.epoch:
            return False
        if lease is None:
            return True
        # It has ended already, or its place was given to somebody else.
        if lease.is_over or (lease.is_probe and lease not in self._probes):
            return False
        lease.is_over = True
        if lease.is_probe:
            self._probes.remove(lease)
        return True

    def _has_failed_enough(self) -> bool:
        options = self.options
        if self.window is None or options.failure_rate is None:
            return self.failures >= options.fail_threshold
        # One failure of one call is a share of all, so that a share needs many.
        failed, total = self.window.counts()
        return total >= options.min_calls and failed >= options.failure_rate * total

    def _open(self, old: str) -> None:
        # From now, not from the first failure: the other side gets all of this time.
        self._open_until = self.clock() + self.options.reset_timeout
        self._half_open = False
        self._change(old, closed=False)

    def _change(self, old: str, *, closed: bool) -> None:
        """Begin a new epoch, and note what the listeners are to be told."""
        self.closed = closed
        self.epoch += 1
        self.failures = self._successes = 0
        self._probes = []
        if closed and self.window is not None:
            self.window.clear()
        new = self.state
        if new != old:
            self._herald.note(BreakerChanged, self._scope, old=old, new=new)

    def _refusal(self, retry_after: float | None) -> CircuitBreakerError:
        scope = self._scope
        self._hub.tell(CallRejected, scope, reason="open")
        return CircuitBreakerError(
            str(scope), retry_after, isolated=retry_after is None
        )
