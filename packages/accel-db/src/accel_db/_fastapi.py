"""What accel-db must know of FastAPI, without importing it.

FastAPI leaves a `yield` dependency after the response was sent, unless its user asks
for another scope. A commit must come earlier, or a response promises what the database
refused. FastAPI keeps the stacks that it unwinds before and after it sends the response
in the request's scope under private keys; this module is the only one that knows them.
Without the keys a dependency works as any generator does, and commits in its own
teardown.
"""

import asyncio
import contextvars
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

R = TypeVar("R")

BEFORE_RESPONSE = "fastapi_function_astack"
AFTER_RESPONSE = "fastapi_inner_astack"


def http_connection() -> Any:
    """Return Starlette's class of a connection, if something has imported Starlette."""
    # Importing it here would make it a dependency.
    starlette = sys.modules.get("starlette.requests")
    return getattr(starlette, "HTTPConnection", Any)


def before_response(request: Any) -> AsyncExitStack | None:
    """Return the stack that is unwound before the response to *request* is sent."""
    return _stack(request, BEFORE_RESPONSE)


def after_response(request: Any) -> AsyncExitStack | None:
    """Return the stack that is unwound when everything about *request* is done."""
    return _stack(request, AFTER_RESPONSE)


def _stack(request: Any, key: str) -> AsyncExitStack | None:
    stack = getattr(request, "scope", {}).get(key)
    # Other versions of FastAPI may keep something else under the key.
    return stack if isinstance(stack, AsyncExitStack) else None


async def in_thread(function: Callable[[], R]) -> R:
    """Call *function* in a thread, and wait for its end even when cancelled.

    The caller closes what *function* uses, so it must never still be running.
    """
    # As `asyncio.to_thread` does: `acting_as` and trackers follow into the thread.
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, context.run, function)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as exc:
            cancelled = exc
        except Exception:  # noqa: BLE001  # result() raises it below
            break
    if cancelled is not None:
        raise cancelled
    return future.result()
