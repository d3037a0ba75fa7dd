"""Serves one application, and measures it from inside, as `run.py` asks for it.

`run.py` sends one request per line and gets one answer for it.
"""

import asyncio
import gc
import itertools
import json
import logging
import os
import sys
import time
import warnings
from collections import Counter
from importlib.metadata import version
from typing import Any

import apps
import uvicorn
import uvloop

CLIENTS = 16
FEW = 40
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"benchmark/1"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
]


class Worker:
    """One application, served by uvicorn and called from inside."""

    def __init__(self, app: Any) -> None:
        self.app = app
        # Processes of one application must not hit what another one stored.
        self.pages = itertools.count(os.getpid() * 1_000_000)

    async def _get(self, path: str, page: int) -> int:
        """Return the status of one request; 500 for an error that gets out."""
        started = asyncio.Event()
        answer: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if started.is_set():
                await asyncio.Event().wait()
            started.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            answer.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"page=%d&size=100" % page,
            "root_path": "",
            "headers": HEADERS,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        try:
            await self.app(scope, receive, send)
        except Exception:  # noqa: BLE001 - a server would answer 500, as this does
            return 500
        return int(answer[0]["status"])

    async def _many(self, path: str, count: int, *, new: bool) -> None:
        async def client() -> None:
            for _ in range(count // CLIENTS):
                page = next(self.pages) if new else 0
                status = await self._get(path, page)
                assert status == 200, status

        await asyncio.gather(*(client() for _ in range(CLIENTS)))

    async def cpu(self, path: str, seconds: float) -> float:
        """Return the CPU time of one request, without a server around it."""
        new = path == "/miss"
        await self._many(path, CLIENTS, new=new)

        async def measure(count: int) -> float:
            count -= count % CLIENTS
            start = time.process_time()
            await self._many(path, count, new=new)
            return (time.process_time() - start) / count

        gc.collect()
        rough = await measure(FEW)
        return await measure(max(FEW, int(seconds / rough)))

    async def stampede(self, page: int, count: int, at: float) -> dict[str, Any]:
        """Ask *count* times at once for what nobody has; tell what became of it."""
        apps.runs.clear()
        await asyncio.sleep(max(0.0, at - time.time()))
        start = time.perf_counter()
        statuses = await asyncio.gather(
            *(self._get("/slow", page) for _ in range(count))
        )
        return {
            "runs": apps.runs["slow"],
            "failed": count - Counter(statuses)[200],
            "seconds": time.perf_counter() - start,
        }

    async def versions(self, names: list[str]) -> dict[str, str]:
        return {name: version(name) for name in names}


async def serve(name: str, url: str) -> None:
    app = getattr(apps, name)(url)
    config = uvicorn.Config(app, port=0, log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(json.dumps(server.servers[0].sockets[0].getsockname()[1]), flush=True)
    worker = Worker(app)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *arguments = json.loads(line)
        answer = await getattr(worker, command)(*arguments)
        print(json.dumps(answer), flush=True)
    server.should_exit = server.force_exit = True
    await serving


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    uvloop.run(serve(sys.argv[1], sys.argv[2]))
