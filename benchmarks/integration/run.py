"""Measure every library in one run, round by round in turn, and print the tables.

Each library lives in an environment of its own, in which one process is kept for the
whole run: `python run.py [--rounds N] [--environments DIR] [--write]`.
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGE = HERE.parent.parent / "packages" / "accel-integration"
README = HERE / "README.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"

OURS = "accel-integration"


@dataclass
class Library:
    """What is installed into an environment, and the function with its subjects."""

    name: str
    function: str
    requirements: list[str]
    process: "subprocess.Popen[str] | None" = None
    subjects: list[str] = field(default_factory=list)
    problem: str = ""

    def start(self, environments: Path) -> None:
        """Install it, unless it is there already, and start its process."""
        root = environments / self.function
        python = root / "bin" / "python"
        try:
            if not (root / "installed").exists():
                venv.create(root, with_pip=True, clear=True)
                if self.requirements:
                    self._install(python)
                (root / "installed").touch()
            self.process = subprocess.Popen(
                [python, HERE / "worker.py", self.function],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.subjects = self._read()
        except (OSError, subprocess.SubprocessError, ValueError) as exc:
            self.problem = f"not measured, since it did not start: {exc}"

    def _install(self, python: Path) -> None:
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *self.requirements], check=True)

    def ask(self, *request: object) -> Any:
        """Send one request to its process, and return the answer."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self.process is not None
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def stop(self) -> None:
        """End its process."""
        if self.process is not None:
            self.process.communicate()


def libraries() -> list[Library]:
    """Return what is compared: the newest versions as of 2026-11-24."""
    return [
        Library(OURS, "accel_integration", ["--editable", str(PACKAGE)]),
        Library("tenacity 9.2.1", "tenacity", ["tenacity==9.2.1"]),
        Library("stamina 26.1.0", "stamina", ["stamina==26.1.0", "tenacity==9.2.1"]),
        Library("hyx 0.0.2", "hyx", ["hyx==0.0.2"]),
        Library("purgatory 3.0.1", "purgatory", ["purgatory==3.0.1"]),
        Library("aiobreaker 1.2.0", "aiobreaker", ["aiobreaker==1.2.0"]),
        Library("pyresilience 0.4.1", "pyresilience", ["pyresilience==0.4.1"]),
        Library(
            "interlock-cb 2.8.2 (no throttle)",
            "interlock",
            ["interlock-cb==2.8.2", "tenacity==9.2.1"],
        ),
        Library("aiolimiter 1.3.0", "aiolimiter", ["aiolimiter==1.3.0"]),
        Library(
            "tenacity, aiobreaker, aiolimiter, asyncio.timeout",
            "tenacity_stack",
            ["tenacity==9.2.1", "aiobreaker==1.2.0", "aiolimiter==1.3.0"],
        ),
        Library(
            "stamina, purgatory, aiolimiter, asyncio.timeout",
            "stamina_stack",
            [
                *("stamina==26.1.0", "tenacity==9.2.1"),
                *("purgatory==3.0.1", "aiolimiter==1.3.0"),
            ],
        ),
        Library(
            "fastapi-accelerator 0.0.5",
            "upstream",
            [
                "fastapi-accelerator==0.0.5",
                "greenlet",
                "httpx",
                "pytest",
                "sqlalchemy-utils",
            ],
        ),
        Library("the standard library", "standard_library", []),
    ]


Figures = dict[tuple[str, str, str], list[float]]

ASYNC = [
    *("pass-through", "retry", "timeout", "breaker", "breaker, failure rate"),
    *("throttle", "all four"),
]
SYNC = ["sync: retry", "sync: retry, breaker, throttle", "sync: all four"]
CALLS = ["endpoint", "endpoint, all four"]


def measure(measured: list[Library], rounds: int) -> Figures:
    """Measure all subjects of all libraries once per round, in random order."""
    jobs = [
        (library, mode, subject)
        for library in measured
        for subject in library.subjects
        for mode in modes_of(subject)
    ]
    jobs += [
        (library, "socket", call)
        for library in measured
        if library.name == OURS
        for call in CALLS
    ]
    figures: Figures = {}
    for number in range(rounds):
        random.shuffle(jobs)
        for library, mode, subject in jobs:
            request = (
                ("socket", subject) if mode == "socket" else ("ratio", subject, mode)
            )
            ratio = library.ask(*request)
            figures.setdefault((library.name, subject, mode), []).append(ratio)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return figures


def modes_of(subject: str) -> tuple[str, ...]:
    return ("sync",) if subject.startswith("sync: ") else ("async", "suspended")


def table_of(figures: Figures, measured: list[Library], mode: str) -> str:
    """Return the medians of one mode as a table, one row per library."""
    subjects = {"sync": SYNC, "socket": CALLS}.get(mode, ASYNC)
    head = [name.removeprefix("sync: ") for name in subjects]
    rows = [["", *head], ["---", *["---:"] * len(head)]]
    for library in measured:
        found = [figures.get((library.name, name, mode)) for name in subjects]
        if library.problem:
            rows.append([library.name, library.problem])
        elif any(found):
            cells = [f"{statistics.median(f):.3g}" if f else "" for f in found]
            rows.append([library.name, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def memory_table(measured: list[Library]) -> str:
    """Return what each wrapped function takes, in bytes."""
    subjects = ["retry", "timeout", "breaker", "throttle", "all four"]
    rows = [["", *subjects], ["---", *["---:"] * len(subjects)]]
    for library in measured:
        cells = [
            f"{library.ask('memory', name):,.0f}" if name in library.subjects else ""
            for name in subjects
        ]
        if any(cells):
            rows.append([library.name, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def report(measured: list[Library], rounds: int) -> str:
    """Measure everything, and return it as Markdown."""
    running = [library for library in measured if not library.problem]
    ours = next(library for library in running if library.name == OURS)
    timers = ours.ask("timers", "timeout")
    assert timers == 1, timers
    memory = memory_table(running)
    figures = measure(running, rounds)
    retry = statistics.median(figures["tenacity 9.2.1", "sync: retry", "sync"])
    three, four = (
        statistics.median(figures[OURS, subject, "sync"]) for subject in SYNC[1:]
    )
    return f"""
Python {platform.python_version()}, {platform.system()} {platform.machine()}, medians of {rounds} rounds.

### Async, no suspension: multiples of a bare await

{table_of(figures, measured, "async")}
### Async, one suspension: multiples of the bare await that suspends once

{table_of(figures, measured, "suspended")}
### Sync: multiples of a bare call

{table_of(figures, measured, "sync")}
In sync functions, our retry, breaker and throttle together cost {retry / three:.3g} times less than tenacity's retry alone.
With the timeout, which goes by its deadline in the thread of the caller, all four cost {retry / four:.3g} times less than it.

### An endpoint's call over a local socket: multiples of the bare client's call

{table_of(figures, measured, "socket")}
### Memory per wrapped function, in bytes

{memory}
### Timers

100,000 concurrent calls under one `sp.Timeout` held {timers} timer of the event loop.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    default = Path(tempfile.gettempdir()) / "accel-benchmarks"
    parser.add_argument("--environments", type=Path, default=default)
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    options = parser.parse_args()
    measured = libraries()
    try:
        for library in measured:
            library.start(options.environments)
        text = report(measured, options.rounds)
    finally:
        for library in measured:
            library.stop()
    print(text)
    if options.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(before + BEGIN + text + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
