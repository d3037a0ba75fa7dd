"""One timer ends each of many calls at its own time, in whatever order they come."""

import asyncio
import gc
import selectors
import weakref

import pytest
from hypothesis import example, given, strategies as st

from accel_integration import StabilityTimeoutError, sp
from accel_integration._timeout import AsyncLimit, Entry, Lane


class Patience(selectors.DefaultSelector):
    """Lets no time pass but that for which the loop has nothing to do."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        self.now += timeout or 0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """A loop on a clock of its own, which counts the timers of Timeouts."""

    def __init__(self):
        self._patience = Patience()
        self.timers = 0
        super().__init__(self._patience)

    def time(self):
        return self._patience.now

    def block(self, seconds):
        self._patience.now += seconds

    def call_at(self, when, callback, *args, **kwargs):
        self.timers += getattr(callback, "__func__", None) is Lane.fire
        return super().call_at(when, callback, *args, **kwargs)


def run(main):
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
        return runner.get_loop().timers


async def hold(limit, due, patience, ended):
    """Stay in the queue of *limit* until *due*, or not for so long."""
    task, entry = asyncio.current_task(), Entry(due)
    entry.task, entry.fired = task, False
    lane = limit.enter(entry, task, None)
    try:
        await asyncio.sleep(patience)
    except asyncio.CancelledError:
        task.uncancel()
    finally:
        lane.leave(entry)
    ended.append(round(task.get_loop().time(), 2))
    # Nothing that is over waits at the front, to be kept for as long as a limit.
    assert not lane.queue or lane.queue[0].task is not None
    # From now on, it is left alone.
    await asyncio.sleep(60)
    return lane


def new_limit():
    return AsyncLimit(1, "it", lambda: None)


# After which pause one comes, how soon it is due, and when it would go by itself.
arrivals = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 9), st.sampled_from((2, 5, 99))),
    min_size=1,
    max_size=8,
)


@example([(0, 6, 99), (0, 2, 99), (0, 4, 99), (0, 8, 99)])
@example([(0, 2, 99), (0, 5, 99), (0, 8, 99), (0, 3, 99), (0, 6, 99)])
@example([(0, seconds, 99) for seconds in (9, 8, 7, 6, 5, 4)])
@given(arrivals)
def test_each_call_ends_at_its_own_time_in_whatever_order_they_come(arrivals):
    expected, ended = [], []

    async def main():
        loop = asyncio.get_running_loop()
        limit, tasks = new_limit(), []
        for pause, seconds, patience in arrivals:
            await asyncio.sleep(pause)
            now = loop.time()
            expected.append(round(now + min(seconds, patience), 2))
            work = hold(limit, now + seconds, patience, ended)
            tasks.append(asyncio.create_task(work))
        lane, *_ = await asyncio.gather(*tasks)
        assert not lane.queue
        assert not lane.expiring

    timers = run(main)

    assert ended == sorted(expected)
    assert timers <= 2 * len(arrivals)


def test_all_that_are_overdue_end_when_the_loop_goes_on():
    ended = []

    async def main():
        limit = new_limit()
        holds = [(2, 99), (3, 1), (4, 99), (20, 99)]
        tasks = [asyncio.create_task(hold(limit, *times, ended)) for times in holds]
        await asyncio.sleep(1.5)
        asyncio.get_running_loop().block(10)
        await asyncio.gather(*tasks)

    run(main)

    assert ended == [1, 11.5, 11.5, 20]


def test_calls_that_come_one_after_another_share_one_timer():
    async def main():
        free = asyncio.get_running_loop().create_future()

        @sp.Timeout(60)
        async def wait():
            await free

        tasks = [asyncio.create_task(wait()) for _ in range(50)]
        await asyncio.sleep(0)
        free.set_result(None)
        await asyncio.gather(*tasks)

    assert run(main) == 1


@pytest.mark.parametrize(("outside", "timers"), [(5, 1), (60, 2)])
def test_call_inside_of_a_sooner_one_has_no_timer(outside, timers):
    @sp.Timeout(50)
    async def inner():
        await asyncio.sleep(0)

    @sp.Timeout(outside)
    async def outer(api):
        for _ in range(3):
            await inner()

    assert run(lambda: outer(None)) == timers


@pytest.mark.anyio
async def test_nothing_is_kept_of_a_hedged_call_whose_time_is_over():
    tasks = []

    @sp.Timeout(0.01)
    @sp.Hedge(60)
    async def hang():
        tasks.append(weakref.ref(asyncio.current_task()))
        await asyncio.sleep(60)

    with pytest.raises(StabilityTimeoutError):
        await hang()
    await asyncio.sleep(0)
    gc.collect()

    assert [task() for task in tasks] == [None]
