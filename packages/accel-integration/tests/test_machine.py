"""Whatever happens in whatever order, breaker, throttle and bulkhead keep their word."""

import asyncio

from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from accel_integration import (
    BulkheadFullError,
    CircuitBreakerError,
    ThrottlingError,
    sp,
)
from accel_integration.testing import FakeClock

THRESHOLD, RESET, PROBES, PLACES, RATE, BURST = 3, 10.0, 2, 4, 2.0, 6


class Stability(RuleBasedStateMachine):
    """Calls that begin, succeed, fail and are cancelled, in any order.

    The model is simple-minded on purpose: it remembers every admission.
    """

    calls = Bundle("calls")

    @initialize()
    def begin(self):
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.breaker = sp.CircuitBreaker(
            THRESHOLD, RESET, probes=PROBES, clock=self.clock
        )
        self.running = {}
        self.admitted = []
        self.results = []
        self.number = 0

        @self.breaker
        @sp.Throttling(RATE, burst=BURST, clock=self.clock)
        @sp.Bulkhead(PLACES)
        async def call(number):
            self.admitted.append(self.clock())
            future = self.running[number] = self.loop.create_future()
            try:
                return await future
            finally:
                del self.running[number]

        self.call = call
        self.circuit = self.breaker.at(call)

    def teardown(self):
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.settle()
        self.loop.close()

    def settle(self):
        async def turn():
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    @rule(target=calls)
    def start(self):
        was, free = self.breaker.state, PLACES - len(self.running)
        self.number += 1
        task = self.loop.create_task(self.call(self.number))
        self.settle()
        if not task.done():
            assert was != "open"
            assert free > 0
            return task, self.number
        error = task.exception()
        if isinstance(error, CircuitBreakerError):
            assert was != "closed"
        elif isinstance(error, BulkheadFullError):
            assert free == 0
        else:
            assert isinstance(error, ThrottlingError)
        return multiple()

    @rule(call=consumes(calls))
    def succeed(self, call):
        task, number = call
        self.running[number].set_result("ok")
        self.settle()
        assert task.result() == "ok"

    @rule(call=consumes(calls))
    def fail(self, call):
        task, number = call
        self.running[number].set_exception(ConnectionError())
        self.settle()
        assert isinstance(task.exception(), ConnectionError)

    @rule(call=consumes(calls))
    def mistake(self, call):
        epoch = self.circuit.epoch
        task, number = call
        self.running[number].set_exception(TypeError())
        self.settle()
        assert isinstance(task.exception(), TypeError)
        assert self.circuit.epoch == epoch

    @rule(call=consumes(calls))
    def cancel(self, call):
        epoch, failures = self.circuit.epoch, self.circuit.failures
        task, _ = call
        task.cancel()
        self.settle()
        assert task.cancelled()
        assert (self.circuit.epoch, self.circuit.failures) == (epoch, failures)

    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0, RESET]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def close(self):
        self.breaker.close()
        assert self.breaker.state == "closed"

    @invariant()
    def places_are_neither_lost_nor_invented(self):
        assert len(self.running) <= PLACES

    @invariant()
    def no_interval_sees_more_than_the_rate_allows(self):
        for position, start in enumerate(self.admitted):
            calls = len(self.admitted) - position
            assert calls <= BURST + (self.clock() - start) * RATE + 0.01

    @invariant()
    def probes_are_never_more_than_allowed(self):
        assert len(self.circuit._probes) <= PROBES

    @invariant()
    def a_closed_circuit_has_few_failures(self):
        if self.circuit.closed:
            assert self.circuit.failures < THRESHOLD


Stability.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestStability = Stability.TestCase
