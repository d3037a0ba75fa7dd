"""One timer ends each of many calls at its own time, in whatever order they come."""

import asyncio
import selectors

from hypothesis import example, given, strategies as st

from accel_integration import sp
from accel_integration._timeout import Entry, Lane


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


async def hold(lane, due, patience, ended):
    """Stay in *lane* until *due*, or not for so long."""
    loop, entry = asyncio.get_running_loop(), Entry(due)
    entry.task, entry.fired = asyncio.current_task(), False
    entry.outer = entry.token = None
    lane.add(entry, loop)
    try:
        await asyncio.sleep(patience)
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
    finally:
        lane.leave(entry)
    ended.append(round(loop.time(), 2))


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
        lane, tasks = Lane(loop), []
        for pause, seconds, patience in arrivals:
            await asyncio.sleep(pause)
            now = loop.time()
            expected.append(round(now + min(seconds, patience), 2))
            work = hold(lane, now + seconds, patience, ended)
            tasks.append(asyncio.create_task(work))
        await asyncio.gather(*tasks)
        assert not lane.queue
        assert not lane.expiring

    timers = run(main)

    assert ended == sorted(expected)
    assert timers <= 2 * len(arrivals)


def test_all_that_are_overdue_end_when_the_loop_goes_on():
    ended = []

    async def main():
        loop = asyncio.get_running_loop()
        lane = Lane(loop)
        holds = [(2, 99), (3, 1), (4, 99), (20, 99)]
        tasks = [asyncio.create_task(hold(lane, *times, ended)) for times in holds]
        await asyncio.sleep(1.5)
        loop.block(10)
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
