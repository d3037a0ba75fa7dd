"""Circuits whose state is in a store.

What has to be asked is written once, as generators that yield steps; `_steps` drives
them with and without await.
"""

import asyncio
import functools
import uuid
from collections.abc import Awaitable

from accel_integration._breaker_state import BreakerState, Lease
from accel_integration._context import Scope
from accel_integration._done import DONE
from accel_integration._errors import CircuitBreakerError
from accel_integration._events import BreakerChanged, CallRejected, Herald, Hub
from accel_integration._scripts import (
    ADMIT,
    CLOSED,
    FAILURE,
    FORCE,
    ISOLATED,
    PROBE,
    RELEASE,
    SETTLE,
    SUCCESS,
    Answer,
)
from accel_integration._steps import Steps, drive, drive_async
from accel_integration._stores import Store, StoreDownError
from accel_integration._sync_timeout import SYNC_CALL

__all__ = ["SharedCircuit"]

UNKNOWN = float("-inf")
NAMES = {CLOSED: "closed", PROBE: "half_open", ISOLATED: "isolated"}


class Ticket:
    """The right to make one call, and where to report how it ended.

    *epoch* is None if nobody wants to know, and *local* is set while the store is down.
    """

    __slots__ = ("__weakref__", "epoch", "is_over", "lease", "local")

    def __init__(
        self,
        epoch: float | None = None,
        lease: str = "",
        local: tuple[int, Lease | None] | None = None,
    ) -> None:
        self.epoch = epoch
        self.lease = lease
        self.local = local
        self.is_over = False


class SharedCircuit:
    """One circuit in a store, and what this process knows of it.

    A closed circuit costs a question per `refresh`, a failure costs one at once.
    """

    def __init__(
        self, local: BreakerState, store: Store, scope: Scope, hub: Hub
    ) -> None:
        self.clock = local.clock
        self._options = local.options
        # What counts while the store is down.
        self._local = local
        self._store = store
        self._scope = scope
        self._hub = hub
        self._herald = Herald(hub)
        self._name = f"breaker:{scope.endpoint}:{scope.origin}"
        self._verdict: float = CLOSED
        self._epoch: float | None = None
        self._failures = 0.0
        self._open_until = UNKNOWN
        # Until when a call need not ask. Once the store is lost, every call does, or
        # what it said last would let them all pass; it refuses at once by then.
        self._fresh_until = UNKNOWN
        # Successes that the window in the store has not heard of yet, all after the
        # last answer of the store.
        self._unreported = 0
        self._learned_at = UNKNOWN
        self._is_alone = False
        # What the listeners know.
        self._told = self.state
        self._background: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._scope}: {self.state}>"

    @property
    def state(self) -> str:
        """The last known state: isolated, open, half_open or closed."""
        if self._is_alone or self._local.state == "isolated":
            return self._local.state
        if self._verdict in NAMES:
            return NAMES[int(self._verdict)]
        return "open" if self.clock() < self._open_until else "half_open"

    @property
    def failures(self) -> int:
        """How many calls have failed in a row, as far as this process knows."""
        return self._local.failures if self._is_alone else int(self._failures)

    # Called by the woven function ----------------------------------------------

    async def enter(self) -> Ticket:
        """Return a ticket, or refuse the call."""
        return await drive_async(self._store, self._name, self._enter())

    def enter_sync(self) -> Ticket:
        """Return a ticket, or refuse the call."""
        ticket = drive(self._store, self._name, self._enter())
        if (call := SYNC_CALL.get()) is not None:
            interrupted = functools.partial(self.interrupted_sync, expired=True)
            call.when_abandoned(ticket, interrupted)
        return ticket

    async def failed(self, exc: Exception, ticket: Ticket) -> None:
        """Report that *exc* was raised."""
        await self._report(ticket, FAILURE if self._options.counts(exc) else RELEASE)

    def failed_sync(self, exc: Exception, ticket: Ticket) -> None:
        """Report that *exc* was raised."""
        ended = FAILURE if self._options.counts(exc) else RELEASE
        drive(self._store, self._name, self._finish(ticket, ended))

    async def finished(self, result: object, ticket: Ticket, duration: float) -> None:
        """Report a result."""
        is_failure = self._options.is_failure(result, duration)
        await self._report(ticket, FAILURE if is_failure else SUCCESS)

    def finished_sync(self, result: object, ticket: Ticket, duration: float) -> None:
        """Report a result."""
        is_failure = self._options.is_failure(result, duration)
        steps = self._finish(ticket, FAILURE if is_failure else SUCCESS)
        drive(self._store, self._name, steps)

    def interrupted(self, ticket: Ticket, expired: bool) -> None:
        """Report a cancellation, in the background, since nobody can wait for it."""
        self._finish_in_background(ticket, FAILURE if expired else RELEASE)

    def _finish_in_background(self, ticket: Ticket, ended: int) -> None:
        steps = self._finish(ticket, ended)
        if ticket.epoch is None or self._is_unremarkable(ticket, ended):
            drive(self._store, self._name, steps)  # It asks nobody.
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # It was dropped after the end of its loop; a lease ends by itself.
            return
        task = loop.create_task(drive_async(self._store, self._name, steps))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def interrupted_sync(self, ticket: Ticket, expired: bool) -> None:
        """Report that a thread was interrupted or abandoned."""
        steps = self._finish(ticket, FAILURE if expired else RELEASE)
        drive(self._store, self._name, steps)

    async def _report(self, ticket: Ticket, ended: int) -> None:
        try:
            await drive_async(self._store, self._name, self._finish(ticket, ended))
        except asyncio.CancelledError:
            # Nobody knows whether the store has heard of it. A lease ends only once, so
            # that it may hear twice.
            if ticket.lease:
                ticket.is_over = False
                self._finish_in_background(ticket, ended)
            raise

    # Called by people ----------------------------------------------------------

    def isolate(self) -> Awaitable[None]:
        """Open this circuit everywhere, until `close` is called."""
        # First here, so that it holds even if the store cannot be reached.
        self._local.isolate()
        return self._force(isolated=True)

    def close(self) -> Awaitable[None]:
        """Close this circuit everywhere, and forget the failures."""
        self._local.close()
        return self._force(isolated=False)

    def _force(self, *, isolated: bool) -> Awaitable[None]:
        steps = self._ask_force(int(isolated))
        if self._store.is_async:
            return drive_async(self._store, self._name, steps)
        drive(self._store, self._name, steps)
        return DONE

    # What to ask, and what to make of the answer -------------------------------

    def _enter(self) -> Steps[Ticket]:
        now = self.clock()
        if self._local.state == "isolated":
            raise self._refusal(None)
        if now < self._fresh_until and self._epoch is not None:
            if self._verdict == CLOSED:
                return Ticket(self._epoch)
            if self._verdict == ISOLATED:
                raise self._refusal(None)
            if now < self._open_until:
                raise self._refusal(self._open_until - now)
        # While one call asks, the others go by what is known.
        self._fresh_until = now + self._store.refresh
        options = self._options
        # Unique among all processes, so that nobody ends the probe of another.
        lease = uuid.uuid4().hex
        reported = self._take_unreported()
        window = options.window if options.failure_rate else 0
        arguments = (options.reset_timeout, options.probes, lease, reported, window)
        known = self._epoch
        try:
            answer = yield ADMIT, arguments
        except StoreDownError:
            self._unreported += reported
            self._fresh_until = UNKNOWN
            return self._enter_alone()
        except GeneratorExit:
            # Cancelled. The store may have given a lease that nobody would use.
            self._unreported += reported
            self._finish_in_background(Ticket(0, lease), RELEASE)
            raise
        verdict, epoch, wait, _ = self._learn(answer, known)
        if verdict in (CLOSED, PROBE):
            return Ticket(epoch, lease if verdict == PROBE else "")
        raise self._refusal(None if verdict == ISOLATED else wait)

    def _enter_alone(self) -> Ticket:
        """Go on without the store."""
        # What people did by hand holds in every mode.
        if self._verdict == ISOLATED:
            raise self._refusal(None)
        if self._store.fail == "open":
            return Ticket()
        if self._store.fail == "closed":
            raise self._refusal(self._store.refresh, store_is_down=True)
        # What was known to be open when the store was lost stays so.
        if self.clock() < self._open_until:
            raise self._refusal(self._open_until - self.clock())
        self._is_alone = True
        local = self._local
        try:
            lease = local.admit()
        except CircuitBreakerError as exc:
            raise self._refusal(exc.retry_after) from None
        finally:
            self._tell_change()
        return Ticket(local=(local.epoch, lease))

    def _finish(self, ticket: Ticket, ended: int) -> Steps[None]:
        # A thread that was abandoned reports a second time when it ends.
        if ticket.is_over:
            return
        ticket.is_over = True
        if ticket.local is not None:
            self._finish_alone(ended, *ticket.local)
            return
        if ticket.epoch is None or self._is_unremarkable(ticket, ended):
            return
        # Nothing is counted with a place that is given back.
        reported = 0 if ended == RELEASE else self._take_unreported()
        known = self._epoch
        try:
            answer = yield SETTLE, self._settle_arguments(ticket, ended, reported)
        except StoreDownError:
            self._unreported += reported
            self._fresh_until = UNKNOWN
            self._finish_alone(ended, self._local.epoch, None)
        else:
            self._learn(answer, known)

    def _is_unremarkable(self, ticket: Ticket, ended: int) -> bool:
        """Tell whether the store need not hear of it, at least not now."""
        # Probes and failures change the state for everybody, and cannot wait.
        if ticket.lease or ended == FAILURE:
            return False
        if ended == RELEASE:
            return True
        if self._options.failure_rate is not None:
            # What began before the circuit changed says nothing about it now.
            self._unreported += ticket.epoch == self._epoch
            return True
        return not self._failures

    def _take_unreported(self) -> int:
        """Return the successes to tell the store of, unless they are too old to count."""
        reported, self._unreported = self._unreported, 0
        age = self.clock() - self._learned_at
        return reported if age <= self._options.window else 0

    def _settle_arguments(
        self, ticket: Ticket, ended: int, reported: int
    ) -> tuple[float | str, ...]:
        options = self._options
        rate = options.failure_rate or 0
        return (
            ticket.epoch or 0,
            ticket.lease,
            ended,
            options.reset_timeout,
            options.fail_threshold,
            options.probes,
            rate,
            options.window if rate else 0,
            options.min_calls,
            reported,
        )

    def _finish_alone(self, ended: int, epoch: int, lease: Lease | None) -> None:
        local = self._local
        note = {
            SUCCESS: local.succeeded,
            FAILURE: local.expired,
            RELEASE: local.release,
        }
        note[ended](epoch, lease)
        self._tell_change()

    def _ask_force(self, isolated: int) -> Steps[None]:
        try:
            answer = yield FORCE, (isolated,)
        except StoreDownError:
            # What people did by hand holds here, whatever was known before.
            self._verdict, self._open_until = CLOSED, UNKNOWN
            self._tell_change()
        else:
            # The store knows now, so that any process may close the circuit again.
            self._local.close()
            self._learn(answer, self._epoch)

    def _learn(self, answer: Answer, known: float | None) -> Answer:
        """Remember what the store says, and tell the listeners what has changed.

        *known* is the epoch that was known when it was asked.
        """
        verdict, epoch, wait, failures = answer
        # Another answer, to what was asked later, has come before this one.
        if self._epoch is not None and epoch < self._epoch != known:
            return answer
        now, local = self.clock(), self._local
        self._is_alone = False
        # What counted while the store was lost says nothing about the next time.
        if (local.failures or not local.closed) and local.state != "isolated":
            local.close()
        self._verdict, self._epoch, self._failures = verdict, epoch, failures
        self._open_until = now + wait
        self._fresh_until = now + self._store.refresh
        self._learned_at = now
        self._tell_change()
        return answer

    def _tell_change(self) -> None:
        """Tell the listeners once of what this process or another has changed."""
        old, self._told = self._told, self.state
        if self._told != old:
            self._herald.note(BreakerChanged, self._scope, old=old, new=self._told)
            self._herald.tell()

    def _refusal(
        self, retry_after: float | None, *, store_is_down: bool = False
    ) -> CircuitBreakerError:
        self._hub.tell(CallRejected, self._scope, reason="open")
        return CircuitBreakerError(
            str(self._scope),
            retry_after,
            isolated=retry_after is None,
            store_is_down=store_is_down,
        )
