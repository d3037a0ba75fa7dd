"""Circuit breakers: stop calling what keeps failing, and try again carefully."""

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from accel_integration._context import Clock, Scope, Seconds, seconds_of
from accel_integration._errors import (
    REJECTIONS,
    CircuitBreakerError,
    is_programming_error,
)
from accel_integration._events import BreakerChanged, CallRejected, Hub
from accel_integration._outcome import (
    note_status,
    status_of_error,
    status_of_result,
    statuses_of,
)
from accel_integration._retry import doubt_fallback
from accel_integration._strategy import StatefulStrategy, Strategy
from accel_integration._timeout import SYNC_CALL
from accel_integration._weaver import Body, Weaver
from accel_integration._window import RateWindow

__all__ = ["BreakerState", "CircuitBreaker"]

# From the most to the least severe, for the state of many circuits at once.
SEVERITY = ("isolated", "open", "half_open", "closed")


class CircuitBreaker(StatefulStrategy["BreakerState"]):
    """Refuse calls for a while after too many have failed.

    Each (endpoint, origin) has a circuit of its own. After *reset_timeout* an open one
    lets *probes* calls through; if all succeed it closes, if one fails it opens again.
    The result of a call that began before the circuit last changed is ignored.

    Args:
        fail_threshold: How many failures in a row open the circuit.
        reset_timeout: How long it stays open. A probe that has not answered for as
            long is given up, and its place is free again.
        failure_rate: Open at this share of failures instead, between 0 and 1.
        window: Over which time the share is taken.
        min_calls: How many calls the window needs for the share to mean something.
        slow_call: A call that takes longer counts as a failure.
        probes: How many calls a half-open circuit lets through.
        statuses: Responses with these statuses are failures although nothing was
            raised.

    Raises:
        CircuitBreakerError: The circuit is open; `retry_after` says for how long.
    """

    watches_failures = True

    def __init__(  # noqa: PLR0913 - they are independent, and all have defaults
        self,
        fail_threshold: int = 3,
        reset_timeout: Seconds = 10,
        *,
        failure_rate: float | None = None,
        window: Seconds = 10,
        min_calls: int = 10,
        slow_call: Seconds | None = None,
        probes: int = 1,
        statuses: Collection[int] = (),
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock)
        if fail_threshold < 1 or probes < 1 or min_calls < 1:
            msg = (
                '"fail_threshold", "probes" and "min_calls" must be >= 1: '
                f"{fail_threshold!r}, {probes!r}, {min_calls!r}"
            )
            raise ValueError(msg)
        if failure_rate is not None and not 0 < failure_rate <= 1:
            msg = f'"failure_rate" must be > 0 and <= 1: {failure_rate!r}'
            raise ValueError(msg)
        self.fail_threshold = fail_threshold
        self.reset_timeout = seconds_of(reset_timeout)
        self.failure_rate = failure_rate
        self.window = seconds_of(window)
        self.min_calls = min_calls
        self.slow_call = None if slow_call is None else seconds_of(slow_call)
        self.probes = probes
        self.statuses = statuses_of(statuses)
        self._isolated = False

    def describe(self) -> str:
        if self.failure_rate is None:
            when = f"after {self.fail_threshold} failures in a row"
        else:
            share = f"{self.failure_rate:.0%}"
            when = f"when {share} of the calls of {self.window:g} s fail"
        text = f"opens for {self.reset_timeout:g} s {when}"
        if self.slow_call is not None:
            text += f", calls over {self.slow_call:g} s included"
        if self.statuses:
            text += f", also on status {', '.join(map(str, sorted(self.statuses)))}"
        return text

    @property
    def state(self) -> str:
        """The state of the worst circuit: isolated, open, half_open or closed."""
        states = [circuit.state for circuit in list(self._states.values())]
        return min(states, key=SEVERITY.index, default="closed")

    def isolate(self) -> None:
        """Open every circuit, until `close` is called."""
        self._isolated = True
        for circuit in list(self._states.values()):
            circuit.isolate()

    def close(self) -> None:
        """Close every circuit, and forget the failures."""
        self._isolated = False
        for circuit in list(self._states.values()):
            circuit.close()

    def new_state(self, scope: Scope, hub: Hub) -> "BreakerState":
        circuit = BreakerState(self, scope, hub)
        if self._isolated:
            circuit.isolate()
        return circuit

    def doubts(self, inner: Strategy) -> str | None:
        return doubt_fallback(self, inner)

    def counts(self, exc: Exception) -> bool:
        """Tell whether *exc* says something bad about the other side."""
        status = status_of_error(exc) if self.statuses else None
        if status is not None:
            return status in self.statuses
        return not (isinstance(exc, REJECTIONS) or is_programming_error(exc))

    def weave(self, weaver: Weaver, body: Body) -> None:
        circuit = self.bind(weaver, "circuit")
        lease, epoch = weaver.local("lease"), weaver.local("epoch")
        start = weaver.local("start")
        if self.statuses:
            weaver.line(f"{weaver.bind('note_status', note_status)}()")
        abandonable = bool(weaver.timeouts) and not weaver.is_async
        if abandonable:
            weaver.line(f"{lease} = {circuit}.admit_abandonable()")
        else:
            weaver.line(f"{lease} = None if {circuit}.closed else {circuit}.admit()")
        weaver.line(f"{epoch} = {circuit}.epoch")
        if self.slow_call is not None:
            weaver.line(f"{start} = {circuit}.clock()")
        with weaver.block("try:"):
            body()
        with weaver.block("except Exception as exc:"):
            weaver.line(f"{circuit}.failed(exc, {epoch}, {lease})")
            weaver.line("raise")
        with weaver.block("except BaseException:"):
            expired = [f"{limit}.has_expired()" for limit in weaver.timeouts]
            if expired and weaver.is_async:
                with weaver.block(f"if {' or '.join(expired)}:"):
                    weaver.line(f"{circuit}.expired({epoch}, {lease})")
            weaver.line(f"{circuit}.release({epoch}, {lease})")
            weaver.line("raise")
        if self.slow_call is not None:
            weaver.line(
                f"{circuit}.finished(r, {epoch}, {lease}, {circuit}.clock() - {start})"
            )
        elif self.statuses or abandonable:
            weaver.line(f"{circuit}.finished(r, {epoch}, {lease}, 0.0)")
        elif self.failure_rate is not None:
            with weaver.block(f"if {lease} is None and {epoch} == {circuit}.epoch:"):
                weaver.line(f"{circuit}.window.count_success()")
            with weaver.block("else:"):
                weaver.line(f"{circuit}.succeeded({epoch}, {lease})")
        else:
            with weaver.block(f"if {lease} is not None or {circuit}.failures:"):
                weaver.line(f"{circuit}.succeeded({epoch}, {lease})")


class Lease:
    """The right to make one call that is looked at closely.

    It is a probe, or a call in a thread that may be abandoned. It ends by a result, by
    release, or by itself when it *expires*.
    """

    __slots__ = ("expires", "is_over", "is_probe")

    def __init__(self, *, is_probe: bool, expires: float) -> None:
        self.is_probe = is_probe
        self.expires = expires
        self.is_over = False


class BreakerState:
    """One circuit. Its epoch grows with every change, so that late results are known.

    Only the slow paths take the lock: a closed circuit without failures is read.
    """

    def __init__(self, policy: CircuitBreaker, scope: Scope, hub: Hub) -> None:
        self.policy = policy
        self.clock: Callable[[], float] = policy.clock
        self.closed = True
        self.epoch = 0
        self.failures = 0
        self._scope = scope
        self._hub = hub
        self._lock = threading.RLock()
        self._isolated = False
        self._half_open = False
        self._open_until = 0.0
        self._probes: list[Lease] = []
        self._successes = 0
        self.window: RateWindow | None = None
        if policy.failure_rate is not None:
            self.window = RateWindow(policy.window, policy.clock)

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

    def isolate(self) -> None:
        """Open this circuit, until `close` is called."""
        with self._lock:
            old, self._isolated = self.state, True
            self._change(old, closed=False)

    def close(self) -> None:
        """Close this circuit, and forget the failures."""
        with self._lock:
            old, self._isolated = self.state, False
            self._change(old, closed=True)

    def admit(self) -> Lease:
        """Return the lease for a probe, or refuse the call."""
        with self._lock:
            now = self.clock()
            if self._isolated:
                self._reject(None)
            if self.closed:  # Another thread has closed it in the meantime.
                return Lease(is_probe=False, expires=now)
            if not self._half_open:
                if now < self._open_until:
                    self._reject(self._open_until - now)
                self._half_open = True
                self._change("open", closed=False)
            self._probes = [lease for lease in self._probes if now < lease.expires]
            if len(self._probes) + self._successes >= self.policy.probes:
                free = min((lease.expires for lease in self._probes), default=now)
                self._reject(free - now)
            lease = Lease(is_probe=True, expires=now + self.policy.reset_timeout)
            self._probes.append(lease)
            return lease

    def admit_abandonable(self) -> Lease:
        """Return a lease that counts as failed as soon as its thread is abandoned."""
        with self._lock:
            closed = self.closed
            lease = Lease(is_probe=False, expires=0.0) if closed else self.admit()
            epoch = self.epoch
        if (call := SYNC_CALL.get()) is not None:
            call.when_abandoned(lambda: self.expired(epoch, lease))
        return lease

    def finished(
        self, result: object, epoch: int, lease: Lease | None, duration: float
    ) -> None:
        """Note a result, which is a failure if it came too late or says so itself."""
        policy = self.policy
        slow = policy.slow_call is not None and duration > policy.slow_call
        if slow or (policy.statuses and status_of_result(result) in policy.statuses):
            self.expired(epoch, lease)
        else:
            self.succeeded(epoch, lease)

    def succeeded(self, epoch: int, lease: Lease | None) -> None:
        """Note a success, which ends a row of failures."""
        with self._lock:
            if not self._settle(epoch, lease):
                return
            self.failures = 0
            if self.window is not None:
                self.window.count_success()
            if lease is None or not lease.is_probe:
                return
            self._successes += 1
            if self._successes >= self.policy.probes:
                self._change("half_open", closed=True)

    def failed(self, exc: Exception, epoch: int, lease: Lease | None) -> None:
        """Note that *exc* was raised."""
        if self.policy.counts(exc):
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

    def release(self, epoch: int, lease: Lease | None) -> None:
        """Give the place of a probe back, because it came to nothing."""
        with self._lock:
            self._settle(epoch, lease)

    def _settle(self, epoch: int, lease: Lease | None) -> bool:
        """End *lease*; tell whether its result still counts."""
        if epoch != self.epoch:
            return False
        if lease is None:
            return True
        if lease.is_over or (lease.is_probe and lease not in self._probes):
            return False
        lease.is_over = True
        if lease.is_probe:
            self._probes.remove(lease)
        return True

    def _has_failed_enough(self) -> bool:
        policy = self.policy
        if self.window is None or policy.failure_rate is None:
            return self.failures >= policy.fail_threshold
        failed, total = self.window.counts()
        return total >= policy.min_calls and failed >= policy.failure_rate * total

    def _open(self, old: str) -> None:
        self._open_until = self.clock() + self.policy.reset_timeout
        self._half_open = False
        self._change(old, closed=False)

    def _change(self, old: str, *, closed: bool) -> None:
        """Begin a new epoch, and tell the listeners."""
        self.closed = closed
        self.epoch += 1
        self.failures = self._successes = 0
        self._probes = []
        if closed:
            self._half_open = False
            if self.window is not None:
                self.window.clear()
        new = self.state
        if new != old and self._hub:
            scope = self._scope
            self._hub.emit(
                BreakerChanged(
                    endpoint=scope.endpoint, origin=scope.origin, old=old, new=new
                )
            )

    def _reject(self, retry_after: float | None) -> Any:
        scope = self._scope
        self._hub.tell(CallRejected, scope, reason="open")
        raise CircuitBreakerError(str(scope), retry_after, isolated=retry_after is None)
