"""Work that many wait for and one does."""

import asyncio
from collections.abc import Callable, Coroutine
from weakref import WeakKeyDictionary


class SingleFlight:
    """Runs one piece of work at a time per event loop, for all who ask meanwhile.

    A caller that is cancelled leaves the work to the others. Loops are held weakly.
    """

    def __init__(self) -> None:
        self._tasks: WeakKeyDictionary[
            asyncio.AbstractEventLoop, asyncio.Task[None]
        ] = WeakKeyDictionary()

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Wait for the work under way, or begin *work* where there is none."""
        await asyncio.shield(self.start(work))

    def start(
        self, work: Callable[[], Coroutine[None, None, None]]
    ) -> asyncio.Task[None]:
        """Begin *work* unless it is under way, and return its task."""
        loop = asyncio.get_running_loop()
        if (task := self._tasks.get(loop)) is None:
            task = self._tasks[loop] = loop.create_task(work())
            task.add_done_callback(self._land)
        return task

    @property
    def busy(self) -> bool:
        """Tell whether work is under way on this loop."""
        return asyncio.get_running_loop() in self._tasks

    def _land(self, task: asyncio.Task[None]) -> None:
        # The task refers to its loop: left here, it would keep the loop alive.
        self._tasks.pop(task.get_loop(), None)
        if not task.cancelled():
            task.exception()  # those who still wait get it; nobody else needs a log
