"""Measure our panel beside a stock Flask-Admin: `python run.py [--rounds N] [--write]`."""

import argparse
import gc
import importlib.metadata
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import panels
import sqlalchemy as sa

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"

PAGES = {
    "list, 20 rows": "/admin/item/?page_size=20",
    "list, 100 rows": "/admin/item/?page_size=100",
    "list, searched": "/admin/item/?page_size=20&search=Item+99",
    "create": "/admin/item/new/",
    "edit": "/admin/item/edit/?id=77",
}
OURS = "accel-admin"

Figures = dict[tuple[str, str], list[float]]


def measure(clients: dict[str, Any], rounds: int) -> Figures:
    """Get every page of both panels once per round, in random order."""
    jobs = [(panel, name) for panel in clients for name in PAGES]
    figures: Figures = {job: [] for job in jobs}
    for panel, name in jobs * 3:
        panels.page(clients[panel], PAGES[name])
    gc.disable()
    for number in range(rounds):
        random.shuffle(jobs)
        for panel, name in jobs:
            gc.collect()
            start = time.process_time()
            panels.page(clients[panel], PAGES[name])
            figures[panel, name].append(time.process_time() - start)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    gc.enable()
    return figures


def statements(client: Any, path: str) -> int:
    """Return how many statements a page needs."""
    seen: list[str] = []

    def count(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(panels.db.engine, "before_cursor_execute", count)
    try:
        panels.page(client, path)
    finally:
        sa.event.remove(panels.db.engine, "before_cursor_execute", count)
    return len(seen)


def table(clients: dict[str, Any], figures: Figures) -> str:
    """Return the medians, one row per page, with what ours costs of each stock one."""
    stocks = [panel for panel in clients if panel != OURS]
    head = ["", f"{OURS}, ms", *(f"{panel}, ms | ratio" for panel in stocks)]
    rows = [[*head, "statements", "KiB"], ["---", *["---:"] * 7]]
    for name, path in PAGES.items():
        cells = [f"{statistics.median(figures[OURS, name]) * 1000:.1f}"]
        for panel in stocks:
            found = figures[panel, name]
            # The figures of one round met the same load of the machine.
            pairs = zip(figures[OURS, name], found, strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            cells += [f"{statistics.median(found) * 1000:.1f}", f"{ratio:.2f}"]
        needed = [str(statements(client, path)) for client in clients.values()]
        sizes = [str(len(panels.page(c, path)) // 1024) for c in clients.values()]
        rows.append([name, *cells, " / ".join(needed), " / ".join(sizes)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def report(rounds: int) -> str:
    """Measure everything, and return it as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        clients = panels.clients(folder)
        figures = measure(clients, rounds)
        found = table(clients, figures)
        panels.db.dispose()
    names = ("flask-admin", "flask", "sqlalchemy", "wtforms", "jinja2")
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)
    where = (
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    return f"\n{where}, medians of {rounds} rounds; {versions}.\n\n{found}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    options = parser.parse_args()
    text = report(options.rounds)
    print(text)
    if options.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(before + BEGIN + text + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
