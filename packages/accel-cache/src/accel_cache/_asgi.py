"""The shapes of ASGI, and a request that nobody listens to."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def is_caching_on(scope: MutableMapping[str, Any]) -> bool:
    """Tell whether the application lets anything be cached: `app.state.CACHE_STATUS`."""
    state: Any = getattr(scope.get("app"), "state", None)
    try:
        # Starlette's state first raises for each attribute that it is asked for.
        return bool(state["CACHE_STATUS"])
    except KeyError:
        return True
    except TypeError:
        # No application, or a state without items: of another framework, or older.
        return bool(getattr(state, "CACHE_STATUS", True))


async def empty() -> Message:
    """Receive a body without a byte."""
    # Who asks again, waiting for a disconnect, must not stop the loop.
    await asyncio.sleep(0)
    return {"type": "http.request", "body": b"", "more_body": False}


async def nowhere(message: Message) -> None:
    """Drop what a request in the background answers."""
