"""What a stability pattern costs per call, in multiples of a bare await.

Run it with `python benchmarks/overhead.py [--rounds N]`. Each case is measured right
after the bare call, in thread time, and in random order, so that a busy machine does
not favour any. The figures are medians.
"""

import argparse
import asyncio
import gc
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from accel_integration import sp

Case = Callable[[], Awaitable[int]]

ENDLESS = 1e9
BATCH = 5_000


async def bare() -> int:
    return 1


async def waits_once() -> int:
    await asyncio.sleep(0)
    return 1


def cases(func: Case) -> dict[str, Case]:
    """Return *func* in everything that is measured."""

    async def passed_on(*args: object, **kwargs: object) -> int:
        return await func(*args, **kwargs)

    everything = sp.pipeline(
        sp.Timeout(), sp.RetryPattern(), sp.CircuitBreaker(), sp.Throttling(ENDLESS)
    )
    return {
        "pass-through": passed_on,
        "retry": sp.RetryPattern()(func),
        "timeout": sp.Timeout()(func),
        "breaker": sp.CircuitBreaker()(func),
        "breaker, failure rate": sp.CircuitBreaker(failure_rate=0.5)(func),
        "throttle": sp.Throttling(ENDLESS)(func),
        "all four": everything(func),
    }


async def time_of(func: Case) -> float:
    """Return the seconds that one call takes."""
    start = time.thread_time()
    for _ in range(BATCH):
        await func()
    return (time.thread_time() - start) / BATCH


async def measure(func: Case, rounds: int) -> dict[str, float]:
    """Return how many times longer than *func* each case takes."""
    measured = cases(func)
    ratios: dict[str, list[float]] = {name: [] for name in measured}
    names = list(measured)
    for _ in range(rounds):
        random.shuffle(names)
        for name in names:
            base = await time_of(func)
            ratios[name].append(await time_of(measured[name]) / base)
        gc.collect()
    return {name: statistics.median(ratios[name]) for name in measured}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    print(f"Python {sys.version.split()[0]}, {rounds} rounds")
    for label, func in {"no suspension": bare, "one suspension": waits_once}.items():
        print(f"{label}:")
        for name, ratio in asyncio.run(measure(func, rounds)).items():
            print(f"  {name:24}{ratio:6.2f} x bare")


if __name__ == "__main__":
    main()
