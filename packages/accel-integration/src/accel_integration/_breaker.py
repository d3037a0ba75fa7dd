"""Circuit breakers: stop calling what keeps failing, and try again carefully."""

import time
from collections.abc import Awaitable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from accel_integration._breaker_state import BreakerOptions, BreakerState
from accel_integration._context import Clock, Scope, Seconds
from accel_integration._done import all_of
from accel_integration._events import Hub
from accel_integration._outcome import note_status, statuses_of
from accel_integration._parameters import at_least, positive, share
from accel_integration._retry import doubt_fallback
from accel_integration._shared_circuit import SharedCircuit
from accel_integration._stores import Store, check_store
from accel_integration._strategy import StatefulStrategy, Strategy
from accel_integration._weaver import Body, Weaver

__all__ = ["Circuit", "CircuitBreaker"]

Circuit: TypeAlias = BreakerState | SharedCircuit

# From the most to the least severe, for the state of many circuits at once.
SEVERITY = ("isolated", "open", "half_open", "closed")


class CircuitBreaker(StatefulStrategy[Circuit]):
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
        key: A name for the endpoint; functions with the same one share circuits.
        store: Where the state is, to share it with other processes.

    Raises:
        CircuitBreakerError: The circuit is open; `retry_after` says for how long.
    """

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
        key: str | None = None,
        store: Store | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock, key)
        if failure_rate is not None:
            failure_rate = share("failure_rate", failure_rate)
        if slow_call is not None:
            slow_call = positive("slow_call", slow_call)
        self.options = BreakerOptions(
            fail_threshold=at_least(1, "fail_threshold", fail_threshold),
            reset_timeout=positive("reset_timeout", reset_timeout),
            failure_rate=failure_rate,
            window=positive("window", window),
            min_calls=at_least(1, "min_calls", min_calls),
            slow_call=slow_call,
            probes=at_least(1, "probes", probes),
            statuses=statuses_of(statuses),
        )
        self.store = store
        self._isolated = False

    def describe(self) -> str:
        options = self.options
        if options.failure_rate is None:
            when = f"after {options.fail_threshold} failures in a row"
        else:
            share = f"{options.failure_rate:.0%}"
            when = f"when {share} of the calls of {options.window:g} s fail"
        text = f"opens for {options.reset_timeout:g} s {when}"
        if options.slow_call is not None:
            text += f", calls over {options.slow_call:g} s included"
        if options.statuses:
            statuses = ", ".join(map(str, sorted(options.statuses)))
            text += f", also on status {statuses}"
        return text + (", in all processes together" if self.store else "")

    @property
    def state(self) -> str:
        """The state of the worst circuit: isolated, open, half_open or closed."""
        states = [circuit.state for circuit in list(self._states.values())]
        return min(states, key=SEVERITY.index, default="closed")

    def isolate(self) -> Awaitable[None]:
        """Open every circuit, until `close` is called.

        It is done at once; only with an asyncio store the result must be awaited.
        """
        self._isolated = True
        return all_of([circuit.isolate() for circuit in list(self._states.values())])

    def close(self) -> Awaitable[None]:
        """Close every circuit, and forget the failures.

        It is done at once; only with an asyncio store the result must be awaited.
        """
        self._isolated = False
        return all_of([circuit.close() for circuit in list(self._states.values())])

    def new_state(self, scope: Scope, hub: Hub) -> Circuit:
        # A circuit in a store tells the listeners itself, also while it is alone.
        heard = hub if self.store is None else Hub()
        local = BreakerState(self.options, self.clock, scope, heard)
        if self._isolated:
            local.isolate()
        if self.store is None:
            return local
        return SharedCircuit(local, self.store, scope, hub)

    def forget_state(self, scope: Scope) -> None:
        # What somebody isolated stays so; if that is all, new circuits begin so, too.
        is_isolated = self._state_of(scope)[0].state == "isolated"
        if self._isolated or not is_isolated:
            super().forget_state(scope)

    def doubts(self, inner: Strategy) -> str | None:
        return doubt_fallback(self, inner)

    def weave(self, weaver: Weaver, body: Body) -> None:
        if self.options.statuses:
            weaver.line(f"{weaver.bind('note_status', note_status)}()")
        if self.store is None:
            self._weave_local(weaver, body)
        else:
            check_store(self.store, weaver)
            self._weave_shared(weaver, body)

    def _weave_local(self, weaver: Weaver, body: Body) -> None:
        circuit = self.bind(weaver, "circuit")
        lease, epoch = weaver.local("lease"), weaver.local("epoch")
        is_abandonable = bool(weaver.timeouts) and not weaver.is_async
        if is_abandonable:
            weaver.line(f"{lease} = {circuit}.admit_abandonable()")
        else:
            weaver.line(f"{lease} = None if {circuit}.closed else {circuit}.admit()")
        weaver.line(f"{epoch} = {circuit}.epoch")
        start = self._weave_start(weaver, circuit)
        weaver.forget_late()
        with weaver.block("try:"):
            body()
        with weaver.block("except Exception as exc:"):
            weaver.line(f"{circuit}.failed(exc, {epoch}, {lease})")
            weaver.line("raise")
        # A cancellation by a Timeout around here is a failure, any other is not.
        with weaver.block("except BaseException:"):
            with weaver.block(f"if {weaver.has_expired()}:"):
                weaver.line(f"{circuit}.expired({epoch}, {lease})")
            weaver.line(f"{circuit}.release({epoch}, {lease})")
            weaver.line("raise")
        with self._unless_late(weaver, f"{circuit}.expired({epoch}, {lease})"):
            if self._looks_at_results or is_abandonable:
                duration = f"{circuit}.clock() - {start}" if start else "0.0"
                weaver.line(f"{circuit}.finished(r, {epoch}, {lease}, {duration})")
            else:
                self._weave_success(weaver, circuit, epoch, lease)

    def _weave_success(
        self, weaver: Weaver, circuit: str, epoch: str, lease: str
    ) -> None:
        # The usual call ends with one comparison, and takes no lock.
        if self.options.failure_rate is None:
            unremarkable = f"{lease} is None and not {circuit}.failures"
            note = "pass"
        else:
            unremarkable = f"{lease} is None and {epoch} == {circuit}.epoch"
            note = f"{circuit}.window.count_success()"
        with weaver.block(f"if {unremarkable}:"):
            weaver.line(note)
        with weaver.block("else:"):
            weaver.line(f"{circuit}.succeeded({epoch}, {lease})")

    @staticmethod
    @contextmanager
    def _unless_late(weaver: Weaver, expire: str) -> Iterator[None]:
        """Write *expire* for what comes too late for a sync Timeout around here."""
        if not (late := weaver.is_late()):
            yield
            return
        with weaver.block(f"if {late}:"):
            weaver.line(expire)
        with weaver.block("else:"):
            yield

    def _weave_shared(self, weaver: Weaver, body: Body) -> None:
        circuit, ticket = self.bind(weaver, "circuit"), weaver.local("ticket")
        wait, suffix = weaver.wait, "" if weaver.is_async else "_sync"
        weaver.line(f"{ticket} = {wait}{circuit}.enter{suffix}()")
        weaver.began = None
        start = self._weave_start(weaver, circuit)
        weaver.forget_late()
        with weaver.block("try:"):
            body()
        with weaver.block("except Exception as exc:"):
            weaver.line(f"{wait}{circuit}.failed{suffix}(exc, {ticket})")
            weaver.line("raise")
        with weaver.block("except BaseException:"):
            expired = weaver.has_expired()
            weaver.line(f"{circuit}.interrupted{suffix}({ticket}, {expired})")
            weaver.line("raise")
        duration = f"{circuit}.clock() - {start}" if start else "0.0"
        with self._unless_late(weaver, f"{circuit}.interrupted_sync({ticket}, True)"):
            weaver.line(f"{wait}{circuit}.finished{suffix}(r, {ticket}, {duration})")

    @property
    def _looks_at_results(self) -> bool:
        return bool(self.options.statuses) or self.options.slow_call is not None

    def _weave_start(self, weaver: Weaver, circuit: str) -> str | None:
        if self.options.slow_call is None:
            return None
        start = weaver.local("start")
        weaver.line(f"{start} = {circuit}.clock()")
        return start
