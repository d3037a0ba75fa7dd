"""Threads for calls that may be given up, since no thread can be stopped."""

import os
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["run_in_thread"]

# How many seconds a thread waits for another call before it ends.
IDLE_SECONDS = 10

# Starting a thread takes longer than most calls it would make. The last one to become
# idle is taken first, so that those there are too many of end.
idle: list["Helper"] = []

if hasattr(os, "register_at_fork"):
    # The child has the list, but not the threads.
    os.register_at_fork(after_in_child=idle.clear)


class Helper:
    """A thread that makes one call after another, each while somebody waits for it."""

    __slots__ = ("_given", "_work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work: Callable[[], Any] | None = work
        self._given = threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    def give(self, work: Callable[[], Any]) -> None:
        """Let this thread, which is idle, call *work*."""
        self._work = work
        self._given.release()

    def _run(self) -> None:
        self._given.acquire()
        while self._work is not None:
            self._work()
            self._work = None  # It holds on to arguments and results.
            idle.append(self)
            if not self._given.acquire(timeout=IDLE_SECONDS):
                self._retire()

    def _retire(self) -> None:
        """Leave the list, unless somebody has just taken this thread from it."""
        try:
            idle.remove(self)
        except ValueError:
            self._given.acquire()


def run_in_thread(work: Callable[[], Any]) -> None:
    """Call *work*, which raises nothing, in another thread, and do not wait for it."""
    try:
        helper = idle.pop()
    except IndexError:
        Helper(work)
    else:
        helper.give(work)
