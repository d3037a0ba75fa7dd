"""Measures one library, in the environment it is installed in, round by round.

It is started by `run.py`, which sends one request per line and gets one answer for it.
"""

import asyncio
import gc
import importlib.metadata
import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import subjects
from service import Database, row
from subjects import Ask

FEW = 5
BATCH_SECONDS = 0.06
CREATED = 201
PAYLOAD = row(7) | {"created_at": row(7)["created_at"].isoformat()}


class Worker:
    """One library on one database, beside the service written by hand."""

    def __init__(self, library: str, url: str, folder: str) -> None:
        self.runner = asyncio.Runner()
        inline = url == "inline"
        if inline or url == "sqlite":
            url = f"sqlite+aiosqlite:///{Path(folder) / 'users.db'}"
        self.database = Database(url, inline=inline)
        self.runner.run(self.database.fill())
        self.hand = subjects.hand_written(self.database)
        self.asks: subjects.Asks = getattr(subjects, library)(self.database)
        for name, ask in self.asks.items():
            self.runner.run(self._check(name, ask))

    async def _check(self, name: str, ask: Ask) -> None:
        """See that it answers what the service by hand answers."""
        status, body = await send(ask)
        wanted_status, wanted = await send(self.hand[name])
        if name == "POST":
            assert status in {CREATED, 200}, (status, body)
        else:
            assert status == wanted_status, (name, status, body)
            assert items(body) == items(wanted), (name, body[:200], wanted[:200])
        await self.database.forget_new()

    def times(self, name: str) -> tuple[float, float]:
        """Return the seconds of a request, of the service by hand and of the library."""
        found = self.runner.run(self._times(name))
        self.runner.run(self.database.forget_new())
        return found

    async def _times(self, name: str) -> tuple[float, float]:
        ours = self.asks[name]
        base = self.hand[name.partition(",")[0]]
        if "," in name:
            # What more routes cost is told by the same library with fewer of them.
            base = self.asks[name.partition(",")[0]]
        return await measured(base), await measured(ours)

    def versions(self, *names: str) -> dict[str, str]:
        """Return what is installed."""
        return {name: importlib.metadata.version(name) for name in names}

    def close(self) -> None:
        self.runner.run(self.database.close())


def items(body: bytes) -> Any:
    """Return the rows in a response, whatever each library puts around them."""
    found = json.loads(body)
    for wrapper in ("items", "data"):
        if isinstance(found, dict) and wrapper in found:
            return found[wrapper]
    return found


async def measured(ask: Ask) -> float:
    """Return the CPU time of one request, that of the driver's thread included."""

    async def measure(count: int) -> float:
        start = time.process_time()
        for _ in range(count):
            await send(ask)
        return (time.process_time() - start) / count

    rough = await measure(FEW)
    return await measure(max(FEW, int(BATCH_SECONDS / rough)))


async def send(ask: Ask) -> tuple[int, bytes]:
    """Send a request as a server would, without a socket."""
    path, _, query = ask.path.partition("?")
    body = json.dumps(PAYLOAD).encode() if ask.method == "POST" else b""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": ask.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "state": {},
    }
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    status, parts = 0, []

    async def receive() -> dict[str, Any]:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def reply(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await ask.app(scope, receive, reply)
    return status, b"".join(parts)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    library, url = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(library, url, folder)
        gc.collect()
        gc.freeze()
        print(json.dumps(list(worker.asks)), flush=True)
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            print(json.dumps(getattr(worker, name)(*arguments)), flush=True)
            gc.collect()
        worker.close()


if __name__ == "__main__":
    main()
