"""A walk through every capability of the running demonstration, over real HTTP."""

import re
import tempfile
import time
from collections.abc import Callable
from typing import IO

import httpx

from accel_pattern._demo._errors import TourFailedError
from accel_pattern._demo._run import Demo, running_demo, say
from accel_pattern._demo._stops import STOPS, Visitor
from accel_pattern._errors import PatternError

Stop = Callable[[Visitor], str]


def tour(port: int) -> None:
    """Run the demonstration, walk through it, and end it.

    Raises:
        TourFailedError: A stop did not show what it should.
    """
    with tempfile.TemporaryFile() as log:
        try:
            _walk_through(port, log)
        except PatternError:
            log.seek(0)
            say(log.read().decode(errors="replace"))
            raise
    say(f"All {len(STOPS)} stops showed what they should.")


def _walk_through(port: int, log: IO[bytes]) -> None:
    with running_demo(port, log) as demo:
        say(f"The service runs at {demo.url} ({demo.database}, cache {demo.cache}).")
        failed = walk(demo)
    if failed:
        raise TourFailedError(failed)


def walk(demo: Demo) -> int:
    """Visit every stop, say what was seen, and return how many failed."""
    with httpx.Client(base_url=demo.url, timeout=30) as client:
        visitor = Visitor(demo, client)
        return sum(not _visit(stop, visitor) for stop in STOPS)


def _visit(stop: Stop, visitor: Visitor) -> bool:
    title = _title(stop)
    started = time.perf_counter()
    try:
        seen, mark = stop(visitor), "ok"
    except Exception as exc:  # noqa: BLE001 - whatever is off is what we look for
        seen, mark = f"{type(exc).__name__}: {exc}", "FAILED"
    took = (time.perf_counter() - started) * 1000
    say(f"{mark:<6} {title:<22} {seen}  [{took:.0f} ms]")
    return mark == "ok"


def _title(stop: Stop) -> str:
    return re.sub(r"_+", " ", stop.__name__).strip()
