"""The cache against a reference: no read may be older than it is allowed to be."""

import asyncio

import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accel_cache import Cache, MemoryCache

TTL, STALE = 10.0, 5.0
KEYS = st.sampled_from("ab")


class _Machine(RuleBasedStateMachine):
    """Writes, reads, slow reads and passing time in any order.

    The reference is the history of each key: a read may return what was
    current at some moment since the last invalidation, and not longer ago than
    a value may live.
    """

    def make(self):
        """Return the cache under test."""
        raise NotImplementedError

    @initialize()
    def start(self):
        self.runner = asyncio.Runner()
        self.now = 1000.0
        self.source = {"a": 0, "b": 0}
        self.history = {key: [(self.now, 0)] for key in "ab"}
        self.late = {"a": [], "b": []}
        self.invalidated = dict.fromkeys("ab", 0.0)
        self.slow = []
        self.cache = self.runner.run(self.make())

    def teardown(self):
        if hasattr(self, "runner"):
            self.runner.run(self.finish())
            self.runner.close()

    async def finish(self):
        for go_on, task, _ in self.slow:
            go_on.set()
            await task
        await self.cache.settle()
        await self.cache.aclose()

    def tick(self):
        # Two events never share a moment: the order is part of the reference.
        self.now += 0.001

    @rule(key=KEYS, value=st.integers(1, 99))
    def write(self, key, value):
        self.tick()
        self.source[key] = value
        self.history[key].append((self.now, value))
        self.runner.run(self.cache.invalidate([key]))
        self.tick()
        self.invalidated[key] = self.now

    @rule(key=KEYS, value=st.integers(1, 99))
    def write_behind_our_back(self, key, value):
        self.tick()
        self.source[key] = value
        self.history[key].append((self.now, value))

    @rule()
    def clear(self):
        self.tick()
        self.runner.run(self.cache.clear())
        self.tick()
        self.invalidated = dict.fromkeys("ab", self.now)

    @rule(step=st.sampled_from([0.5, 4.0, 9.0, 11.0, 14.0, 30.0]))
    def wait(self, step):
        self.now += step

    async def _ask(self, key, compute):
        return await self.cache.get_or_set(
            key, compute, ttl=TTL, stale=STALE, tags=[key]
        )

    @rule(key=KEYS)
    def read(self, key):
        self.tick()

        async def compute():
            return self.source[key]

        async def ask():
            # A slow reader of the same key would be waited for.
            for go_on, task, slow_key in self.slow:
                if slow_key == key:
                    go_on.set()
                    await task
            return await self._ask(key, compute)

        value = self.runner.run(ask())
        self.slow = [s for s in self.slow if s[2] != key]
        self.settle()
        assert value in self._allowed(key)

    def settle(self):
        # A slow reader may be what refreshes in the background.
        if not self.slow:
            self.runner.run(asyncio.wait_for(self.cache.settle(), 60))

    def _allowed(self, key):
        since = max(self.invalidated[key], self.now - TTL - STALE)
        history = self.history[key]
        later = {value for moment, value in history if moment >= since}
        before = [value for moment, value in history if moment < since]
        # A value counts from when it was ready; what it is based on may be older.
        late = {
            value
            for read_at, ready, value in self.late[key]
            if read_at >= self.invalidated[key] and ready >= self.now - TTL - STALE
        }
        return later | set(before[-1:]) | late

    @precondition(lambda self: len(self.slow) < 2)
    @rule(key=KEYS)
    def start_a_slow_read(self, key):
        if any(slow_key == key for _, _, slow_key in self.slow):
            return
        self.tick()

        async def begin():
            began, go_on = asyncio.Event(), asyncio.Event()

            async def compute():
                value, read_at = self.source[key], self.now
                began.set()
                await go_on.wait()
                self.late[key].append((read_at, self.now, value))
                return value

            task = asyncio.create_task(self._ask(key, compute))
            begins = asyncio.create_task(began.wait())
            await asyncio.wait({task, begins}, return_when=asyncio.FIRST_COMPLETED)
            begins.cancel()
            return go_on, task, key

        self.slow.append(self.runner.run(begin()))

    @precondition(lambda self: self.slow)
    @rule()
    def end_a_slow_read(self):
        go_on, task, _ = self.slow.pop(0)

        async def end():
            go_on.set()
            await task

        self.runner.run(end())


OPTIONS = settings(
    deadline=None,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_memory_keeps_to_the_reference():
    class Memory(_Machine):
        async def make(self):
            return MemoryCache(clock=lambda: self.now)

    run_state_machine_as_test(Memory, settings=settings(OPTIONS, max_examples=150))


@pytest.mark.parametrize("tracking", [True, False])
def test_redis_keeps_to_the_reference(server, tracking):
    class Redis(_Machine):
        async def make(self):
            client = redis.from_url(server.url)
            await client.flushall()
            await client.aclose()
            return Cache(client, tracking=tracking, timeout=5, clock=lambda: self.now)

    run_state_machine_as_test(Redis, settings=settings(OPTIONS, max_examples=60))
