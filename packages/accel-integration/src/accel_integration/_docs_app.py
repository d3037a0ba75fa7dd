"""The documentation of integrations as a web application."""

import html
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from accel_integration._describe import Integrations, entries_of, state_of

__all__ = ["docintegration"]

Scope = MutableMapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


def docintegration(integrations: Integrations, *, title: str = "Integrations") -> Any:
    """Return an ASGI application that documents *integrations* and shows their state."""
    entries = entries_of(integrations)

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        if path == "state.json":
            body, kind = json.dumps(state_of(entries)), "application/json"
        else:
            items = "".join(
                f"<li>{html.escape(entry.integration.name)}</li>" for entry in entries
            )
            body = f"<!doctype html><title>{html.escape(title)}</title><ul>{items}</ul>"
            kind = "text/html; charset=utf-8"
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})

    return app
