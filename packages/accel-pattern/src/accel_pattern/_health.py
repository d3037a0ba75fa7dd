"""Whether a service lives, is ready, and which version it is.

`/healthcheck` keeps the shape of fastapi-accelerator. `/livez` says that the process
answers. `/readyz` asks every probe, and follows the format of the Internet draft
"Health Check Response Format for HTTP APIs".
"""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Literal, TypedDict

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.responses import JSONResponse

logger = logging.getLogger("accel_pattern.health")

Probe = Callable[[], Awaitable[object] | object]

PROBE_SECONDS = 2.0
PROBE_THREADS = 4
NO_STORE = {"Cache-Control": "no-store"}


class HealthcheckResponse(BaseModel):
    """The answer of `/healthcheck`."""

    status: bool
    version: str


class HealthResponse(JSONResponse):
    """A response in the health check format."""

    media_type = "application/health+json"


class Check(TypedDict):
    """What one probe saw."""

    status: Literal["pass", "fail"]
    observedValue: float
    observedUnit: Literal["ms"]
    output: str


class ThreadProbe:
    """A plain function as a probe: it may block, so it gets a thread.

    A thread can not be cancelled. While one is stuck, the probe fails at once: asked by
    every load balancer, a dead system would else take all threads of the process.
    """

    def __init__(self, probe: Callable[[], object]) -> None:
        self._probe = probe
        self._pool = ThreadPoolExecutor(PROBE_THREADS, thread_name_prefix="probe")
        self._stuck: Future[object] | None = None

    async def __call__(self) -> object:
        """Call the function, and return what it returns."""
        if self._stuck is not None and not self._stuck.done():
            raise TimeoutError
        future = self._pool.submit(copy_context().run, self._probe)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.running():
                self._stuck = future
            raise


async def run_probe(
    probe: Callable[[], Awaitable[object]], seconds: float = PROBE_SECONDS
) -> Check:
    """Run *probe*, which fails by raising, by answering `False`, or by taking long.

    The check names the class of an exception and never its message, which may hold
    a password.
    """
    started = time.perf_counter()
    output = ""
    try:
        if await _answer(probe, seconds) is False:
            output = "the probe answered False"
    except Exception as exc:  # noqa: BLE001 - whatever breaks is the answer
        output = type(exc).__name__
    if output:
        logger.warning("A readiness probe failed: %s", output)
    return {
        "status": "fail" if output else "pass",
        "observedValue": round((time.perf_counter() - started) * 1000, 2),
        "observedUnit": "ms",
        "output": output,
    }


async def _answer(probe: Callable[[], Awaitable[object]], seconds: float) -> object:
    task = asyncio.ensure_future(_ask(probe))
    # Whatever it still raises when nobody waits any more.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        # Not `asyncio.timeout`, which waits until the probe has cleaned up: a driver says
        # goodbye to a server that hangs, for seconds more.
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()


async def _ask(probe: Callable[[], Awaitable[object]]) -> object:
    result = await probe()
    # A lambda may call a coroutine function, and looks like a plain one.
    return await result if inspect.isawaitable(result) else result


def health_router(app: FastAPI, probes: Mapping[str, Probe]) -> APIRouter:
    """Make the three health endpoints of *app*."""
    router = APIRouter(tags=["common"])
    ready = {
        name: probe if inspect.iscoroutinefunction(probe) else ThreadProbe(probe)
        for name, probe in probes.items()
    }

    @router.get("/healthcheck", summary="Say that the service runs, and its version")
    async def healthcheck() -> HealthcheckResponse:
        return HealthcheckResponse(status=True, version=app.version)

    @router.get("/livez", summary="Say that the process answers")
    async def livez() -> HealthResponse:
        return HealthResponse({"status": "pass"}, headers=NO_STORE)

    @router.get("/readyz", summary="Say whether everything behind the service answers")
    async def readyz() -> HealthResponse:
        checks = await asyncio.gather(*(run_probe(probe) for probe in ready.values()))
        fine = all(check["status"] == "pass" for check in checks)
        content: dict[str, Any] = {
            "status": "pass" if fine else "fail",
            "version": app.version,
            "checks": {
                name: [check] for name, check in zip(ready, checks, strict=True)
            },
        }
        return HealthResponse(content, 200 if fine else 503, NO_STORE)

    return router
