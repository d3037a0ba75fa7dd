"""Measure every cache in one run, round by round in turn, and print the tables.

Each library lives in an environment of its own, each application in a process of its
own, for the whole run: `python run.py [--rounds N] [--environments DIR] [--write]`.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import load

from accel_cache.testing import ValkeyAddress, valkey_server

HERE = Path(__file__).parent
PACKAGE = HERE.parent.parent / "packages" / "accel-cache"
README = HERE / "README.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"

SERVER = ["fastapi==0.165.0", "uvicorn[standard]==0.54.0"]
SHARED = ["fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "redis", "hiredis"]
HIT = "/hit?page=0&size=100"
CPU_SECONDS, HTTP_SECONDS = 0.25, 1
CROWD, STAMPEDES = 200, 5
STOPPED_FOR, KILLED_FOR = 12.0, 3.0


@dataclass(frozen=True)
class Library:
    """What is installed into an environment."""

    name: str
    requirements: tuple[str, ...]

    def python(self, environments: Path) -> Path:
        """Return the interpreter of its environment, made unless it is there."""
        root = environments / self.name
        python = root / "bin" / "python"
        if not (root / "installed").exists():
            venv.create(root, with_pip=True, clear=True)
            command = [str(python), "-m", "pip", "install", "--quiet", *SERVER]
            subprocess.run([*command, *self.requirements], check=True)
            (root / "installed").touch()
        return python


@dataclass(frozen=True)
class Subject:
    """One application: a function of `apps.py`, in a library's environment."""

    name: str
    function: str
    library: Library
    speed_only: bool = False
    """Has no cache, or the one of another application in the same way."""


OURS = Library("accel_cache", ("--editable", f"{PACKAGE}[hiredis]"))
UPSTREAM_LIBRARY = Library(
    "upstream",
    (
        *("fastapi-accelerator==0.0.5", "greenlet", "httpx", "pytest"),
        *("sqlalchemy-utils", "hiredis"),
    ),
)
CASHEWS = Library("cashews", ("cashews[redis]==7.6.0", "hiredis"))
UPSTREAM = Subject("fastapi-accelerator 0.0.5", "upstream", UPSTREAM_LIBRARY)
PREBUILT = Subject("a prebuilt `Response`, no cache", "prebuilt", OURS, speed_only=True)

SUBJECTS = [
    PREBUILT,
    Subject("the endpoint, no cache", "rendered", OURS, speed_only=True),
    UPSTREAM,
    Subject("accel-cache, without L1", "accel_cache_without_l1", OURS),
    Subject("accel-cache", "accel_cache", OURS),
    Subject("accel-cache, `early_lookup`", "accel_cache_early", OURS, speed_only=True),
    Subject("accel-cache, a session", "accel_cache_session", OURS, speed_only=True),
    Subject(
        "accel-cache, a session, `early_lookup(session)`",
        "accel_cache_session_early",
        OURS,
        speed_only=True,
    ),
    Subject(
        "fastapi-cache2 0.2.2",
        "fastapi_cache2",
        Library(
            "fastapi_cache2", ("fastapi-cache2[redis]==0.2.2", "hiredis", "jinja2")
        ),
    ),
    Subject(
        "aiocache 0.12.3",
        "aiocache",
        Library("aiocache", ("aiocache[redis]==0.12.3", "hiredis")),
    ),
    Subject("cashews 7.6.0", "cashews", CASHEWS),
    Subject("cashews 7.6.0, client side", "cashews_client_side", CASHEWS),
    Subject(
        "fastapi-redis-sdk 0.9.1",
        "redis_sdk",
        Library("redis_sdk", ("fastapi-redis-sdk==0.9.1", "hiredis")),
    ),
    Subject(
        "fastapi-alcazaba 0.2.0",
        "alcazaba",
        Library("alcazaba", ("fastapi-alcazaba[redis]==0.2.0", "hiredis")),
    ),
]


class Process:
    """A running application; it serves HTTP, and answers requests of ours."""

    def __init__(self, subject: Subject, environments: Path, url: str) -> None:
        self.subject = subject
        python = subject.library.python(environments)
        self._process = subprocess.Popen(
            [python, HERE / "worker.py", subject.function, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port: int = self.hear()

    def tell(self, *request: object) -> None:
        """Send one request."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the answer to the oldest request."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"{self.subject.name} has ended")
        return json.loads(line)

    def ask(self, *request: object) -> Any:
        """Send one request, and return the answer."""
        self.tell(*request)
        return self.hear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # It ends with its input.
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


Figures = dict[tuple[str, str], list[float]]

KINDS = ["HTTP, hit", "CPU, hit", "CPU, miss"]


def measure(processes: list[Process], rounds: int) -> Figures:
    """Measure every kind of every application once per round, in random order."""
    jobs = [
        (process, kind)
        for process in processes
        for kind in KINDS
        if kind != "CPU, miss" or process.subject is not PREBUILT
    ]
    figures: Figures = {}
    for number in range(rounds):
        random.shuffle(jobs)
        for process, kind in jobs:
            figures.setdefault((process.subject.name, kind), []).append(
                figure(process, kind)
            )
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return figures


def figure(process: Process, kind: str) -> float:
    """Return requests per second: of time, or of CPU time."""
    if kind == "HTTP, hit":
        return load.requests_per_second(process.port, HIT, HTTP_SECONDS)
    path = "/hit" if kind == "CPU, hit" else "/miss"
    return 1 / float(process.ask("cpu", path, CPU_SECONDS))


def speed_table(figures: Figures) -> str:
    """Return the medians as a table: multiples of what upstream does."""
    head = ["", *KINDS, "µs of CPU, hit", "µs of CPU, miss"]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for subject in SUBJECTS:
        cells = [multiple(figures, subject, kind) for kind in KINDS]
        cells += [microseconds(figures, subject, kind) for kind in KINDS[1:]]
        rows.append([subject.name, *cells])
    return markdown(rows)


def multiple(figures: Figures, subject: Subject, kind: str) -> str:
    if (found := figures.get((subject.name, kind))) is None:
        return ""
    # The figures of one round met the same load of the machine.
    pairs = zip(found, figures[UPSTREAM.name, kind], strict=True)
    return f"{statistics.median(ours / theirs for ours, theirs in pairs):.2f}"


def microseconds(figures: Figures, subject: Subject, kind: str) -> str:
    found = figures.get((subject.name, kind))
    return f"{1e6 / statistics.median(found):.0f}" if found else ""


def stampedes(subject: Subject, environments: Path, url: str) -> list[str]:
    """Return how often the endpoint ran for 200 who asked: in 1, 2, 4 processes."""
    processes = [Process(subject, environments, url) for _ in range(4)]
    try:
        return [stampede(processes[:count]) for count in (1, 2, 4)]
    finally:
        for process in processes:
            process.__exit__()


def stampede(processes: list[Process]) -> str:
    """Let the crowd ask at once, several times; return what was typical."""
    found = []
    for _ in range(STAMPEDES):
        page, at = random.getrandbits(40), time.time() + 0.3
        for process in processes:
            process.tell("stampede", page, CROWD // len(processes), at)
        answers = [process.hear() for process in processes]
        found.append(
            {
                "runs": sum(answer["runs"] for answer in answers),
                "failed": sum(answer["failed"] for answer in answers),
                "seconds": max(answer["seconds"] for answer in answers),
            }
        )
    runs, failed, seconds = (
        statistics.median(answer[name] for answer in found)
        for name in ("runs", "failed", "seconds")
    )
    errors = f", {failed:.0f} answers of 500" if failed else ""
    return f"{runs:.0f}{errors} ({seconds * 1000:.0f} ms)"


def stampede_table(environments: Path, url: str) -> str:
    rows = [["", "1 process", "2 processes", "4 processes"], ["---", *["---:"] * 3]]
    for subject in SUBJECTS:
        if not subject.speed_only:
            rows.append([subject.name, *stampedes(subject, environments, url)])
            print(f"stampedes: {subject.name}", file=sys.stderr)
    return markdown(rows)


def faults(subject: Subject, environments: Path) -> list[str]:
    """Return what clients see while the server is stopped, and after it is killed."""
    with (
        valkey_server() as server,
        Process(subject, environments, server.url) as process,
    ):
        return asyncio.run(_faults(server, process.port))


async def _faults(server: ValkeyAddress, port: int) -> list[str]:
    warm = await load.watch(port, 1.0)
    assert set(warm.statuses) == {"200"}, warm

    async def send(what: signal.Signals) -> None:
        await asyncio.sleep(0.2)
        os.kill(server.pid, what)

    stopped = await load.watch(port, STOPPED_FOR, lambda: send(signal.SIGSTOP))
    os.kill(server.pid, signal.SIGCONT)
    # Long enough for every breaker to close again.
    await load.watch(port, KILLED_FOR)
    killed = await load.watch(port, KILLED_FOR, lambda: send(signal.SIGKILL))
    return [seen_by(stopped), seen_by(killed)]


def seen_by(clients: load.Seen) -> str:
    statuses = ", ".join(
        f"{status}: {count}" for status, count in clients.statuses.most_common()
    )
    return f"{statuses}; slowest {clients.slowest:.2f} s"


def fault_table(environments: Path) -> str:
    rows = [["", "stopped (SIGSTOP)", "killed"], ["---", "---", "---"]]
    for subject in SUBJECTS:
        if not subject.speed_only:
            rows.append([subject.name, *faults(subject, environments)])
            print(f"faults: {subject.name}", file=sys.stderr)
    return markdown(rows)


def markdown(rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def speeds(environments: Path, url: str, rounds: int) -> tuple[str, str]:
    """Return the table of speeds and the versions it was measured with."""
    processes: list[Process] = []
    try:
        processes += (Process(subject, environments, url) for subject in SUBJECTS)
        figures = measure(processes, rounds)
        ours = next(p for p in processes if p.subject.library is OURS)
        versions = ours.ask("versions", SHARED)
    finally:
        for process in processes:
            process.__exit__()
    return speed_table(figures), ", ".join(f"{n} {v}" for n, v in versions.items())


def report(environments: Path, rounds: int) -> str:
    """Measure everything, and return it as Markdown."""
    with valkey_server() as server:
        speed, versions = speeds(environments, server.url, rounds)
        crowds = stampede_table(environments, server.url)
    return f"""
Python {platform.python_version()}, {platform.system()} {platform.machine()}, medians of {rounds} rounds; {versions}.

### Speed: multiples of upstream's

{speed}
### Stampede: how often an endpoint of 100 ms runs for 200 who ask at once

{crowds}
### The cache's server is away: what clients see

{fault_table(environments)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    default = Path(tempfile.gettempdir()) / "accel-cache-benchmarks"
    parser.add_argument("--environments", type=Path, default=default)
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    options = parser.parse_args()
    text = report(options.environments, options.rounds)
    print(text)
    if options.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(before + BEGIN + text + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
