"""Load on a server on this machine: as much as it takes, or a little while it fails."""

import asyncio
import re
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

CONNECTIONS = 32
HEADERS = {"Accept": "application/json", "User-Agent": "benchmark/1"}

PATIENT, GIVES_UP = 4, 15.0
"""How many ask while the cache's server is away, and how long each waits."""


def requests_per_second(port: int, path: str, seconds: int) -> float:
    """Return what `wrk` gets from a server, over connections that are kept."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for name, value in HEADERS.items():
        command += ["-H", f"{name}: {value}"]
    command.append(f"http://127.0.0.1:{port}{path}")
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # A server that fails is fast: its figure must not get into a table.
    if wrong := re.search(r"Non-2xx.*|Socket errors.*", found):
        raise RuntimeError(f"{path}: {wrong[0]}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", found)
    assert rate is not None, found
    return float(rate[1])


@dataclass
class Seen:
    """What clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    def note(self, status: str, seconds: float) -> None:
        self.statuses[status] += 1
        self.slowest = max(self.slowest, seconds)


async def watch(
    port: int, seconds: float, act: Callable[[], Awaitable[None]] | None = None
) -> Seen:
    """Ask for *seconds*, and tell what became of all that was asked.

    Each client asks for what is stored and for what is not, in turn. *act* happens
    at the start, while they ask.
    """
    seen, until = Seen(), time.perf_counter() + seconds

    async def client(number: int) -> None:
        turn = 0
        while (start := time.perf_counter()) < until:
            turn += 1
            path = "/hit?page=0" if turn % 2 else f"/miss?page={number * 10**6 + turn}"
            status = await _status(port, path)
            seen.note(status, time.perf_counter() - start)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for number in range(PATIENT):
            group.create_task(client(number))
        if act is not None:
            await act()
    return seen


async def _status(port: int, path: str) -> str:
    try:
        async with asyncio.timeout(GIVES_UP):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                head = (
                    f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                )
                writer.write(f"{head}\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
    except TimeoutError:
        return f"nothing in {GIVES_UP:.0f} s"
    except OSError:
        return "no connection"
    return answer[9:12].decode() or "nothing"
