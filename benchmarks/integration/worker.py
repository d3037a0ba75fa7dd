"""Measures one library, in the environment it is installed in, round by round.

It is started by `run.py`, which sends one request per line and gets one answer for it.
"""

import asyncio
import functools
import gc
import json
import logging
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import subjects

FEW = 50
BATCH_SECONDS = 0.004
SOCKET_SECONDS = 0.06
WRAPPED = 500
CONCURRENT = 100_000


async def bare() -> int:
    return 1


async def waits_once() -> int:
    await asyncio.sleep(0)
    return 1


def sync_bare() -> int:
    return 1


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that counts the timers it was asked for."""

    timers = 0

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **kwargs)


class Worker:
    """The decorators of one library, and what they are measured on."""

    def __init__(self, library: str) -> None:
        self.decorators = getattr(subjects, library)()
        self.runner = asyncio.Runner()
        self.client_calls: Any = None
        self.wrapped = functools.cache(self._wrap)

    def _wrap(self, subject: str, mode: str) -> Callable[[], Any]:
        return self.runner.run(decorated(self.decorators[subject], BASES[mode]))

    def ratio(self, subject: str, mode: str) -> float:
        """Return how many times longer *subject* takes than what it decorates."""
        base, func = BASES[mode], self.wrapped(subject, mode)
        if mode == "sync":
            return sync_time(func) / sync_time(base)
        return self.runner.run(async_ratio(func, base))

    def memory(self, subject: str) -> float:
        """Return the bytes that each decorated function takes in addition."""
        return self.runner.run(memory_of(self.decorators[subject]))

    def timers(self, subject: str) -> int:
        """Return how many timers very many concurrent calls need together."""
        func = self.decorators[subject](wait_for_all)
        with asyncio.Runner(loop_factory=CountingLoop) as runner:
            return runner.run(count_timers(func))

    def socket(self, call: str) -> float:
        """Return how many times longer an integration's call takes than a client's."""
        if self.client_calls is None:
            # Only one library has integrations, and only its environment has a client.
            import client_calls

            self.client_calls = client_calls.prepare()
        bare_call, calls = self.client_calls
        ratio = async_ratio(calls[call], bare_call, seconds=SOCKET_SECONDS)
        return self.runner.run(ratio)


released: asyncio.Event


async def wait_for_all() -> None:
    await released.wait()


async def count_timers(func: Callable[[], Any]) -> int:
    global released  # noqa: PLW0603 - it belongs to the loop of this one run
    released = asyncio.Event()
    tasks = [asyncio.create_task(func()) for _ in range(CONCURRENT)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    timers = loop.timers
    released.set()
    await asyncio.gather(*tasks)
    return timers


async def decorated(
    decorate: subjects.Decorator, func: Callable[[], Any]
) -> Callable[[], Any]:
    """Return *func* decorated, in a running loop, since some want one for that."""
    return decorate(func)


async def memory_of(decorate: subjects.Decorator) -> float:
    """Return the bytes that a function takes in addition when it is decorated."""
    decorate(fresh_function())
    functions = [fresh_function() for _ in range(WRAPPED)]
    gc.collect()
    tracemalloc.start()
    kept = [decorate(function) for function in functions]
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(kept)


def fresh_function() -> Callable[[], Any]:
    async def function() -> int:
        return 1

    return function


async def async_ratio(
    func: Callable[[], Any], base: Callable[[], Any], seconds: float = BATCH_SECONDS
) -> float:
    """Return how many times longer *func* takes than *base*, one right after it."""
    base_time = await async_time(base, seconds)
    return await async_time(func, seconds) / base_time


async def async_time(func: Callable[[], Any], seconds: float) -> float:
    """Return the CPU time of one call; waiting for others is not counted."""

    async def measure(count: int) -> float:
        start = time.thread_time()
        for _ in range(count):
            await func()
        return (time.thread_time() - start) / count

    rough = await measure(FEW)
    return await measure(max(FEW, int(seconds / rough)))


def sync_time(func: Callable[[], Any]) -> float:
    """Return the CPU time of one call, that of the threads it waits for included."""

    def measure(count: int) -> float:
        start = time.process_time()
        for _ in range(count):
            func()
        return (time.process_time() - start) / count

    rough = measure(FEW)
    return measure(max(FEW, int(BATCH_SECONDS / rough)))


BASES = {"async": bare, "suspended": waits_once, "sync": sync_bare}


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    worker = Worker(sys.argv[1])
    gc.disable()
    print(json.dumps(list(worker.decorators)), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(worker, name)(*arguments)), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
