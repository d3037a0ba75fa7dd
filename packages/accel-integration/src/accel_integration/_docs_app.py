"""The documentation of integrations as a web application."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from accel_integration._describe import Integrations, entries_of, state_of
from accel_integration._openapi import openapi_of
from accel_integration._page import Links, asset, render_page

__all__ = ["docintegration"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

HTML, JSON, TEXT = (
    f"{kind}; charset=utf-8" for kind in ("text/html", "application/json", "text/plain")
)
ASSETS = {"docintegration.css": "text/css", "docintegration.js": "text/javascript"}

# Nothing comes from elsewhere, nothing runs inline, nothing is kept.
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def docintegration(integrations: Integrations, *, title: str = "Integrations") -> App:
    """Return an ASGI application that documents *integrations* and shows their state.

    Mount it at `/docintegration`, or serve it alone. It needs no JavaScript and nothing
    from other hosts, and shows no secrets. Whoever can reach it sees which systems you
    use, so put it behind a login in production. Next to the page it has `state.json`,
    and `openapi/NAME.json` for each integration.
    """
    entries = entries_of(integrations)
    documents = {f"openapi/{entry.slug}.json": entry for entry in entries}

    def answer(path: str, root: str, query: str) -> tuple[HTTPStatus, str, str]:
        if path == "":
            page = render_page(entries, title=title, links=Links(root), query=query)
            return HTTPStatus.OK, HTML, page
        if path == "state.json":
            return HTTPStatus.OK, JSON, json.dumps(state_of(entries))
        if path in documents:
            document = openapi_of(documents[path])
            return HTTPStatus.OK, JSON, json.dumps(document, indent=2)
        if path in ASSETS:
            return HTTPStatus.OK, f"{ASSETS[path]}; charset=utf-8", asset(path)
        return HTTPStatus.NOT_FOUND, TEXT, "Not found."

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        if scope["type"] != "http":
            msg = f"docintegration does not speak {scope['type']!r}."
            raise RuntimeError(msg)
        root = scope.get("root_path", "").rstrip("/")
        path = path_below(root, scope["path"])
        query = parse_qs(scope.get("query_string", b"").decode("latin-1")).get(
            "q", [""]
        )
        if scope["method"] in ("GET", "HEAD"):
            reply = answer(path, root, query[0])
        else:
            reply = HTTPStatus.METHOD_NOT_ALLOWED, TEXT, "Only GET and HEAD."
        await respond(send, *reply, with_body=scope["method"] != "HEAD")

    return app


def path_below(root: str, path: str) -> str:
    """Return what of *path* is below *root*, without slashes around it."""
    # A proxy may have cut off its part, with which the root of a mount begins.
    while root and not f"{path}/".startswith(f"{root}/"):
        _, slash, rest = root[1:].partition("/")
        root = slash + rest
    return path.removeprefix(root).strip("/")


async def respond(
    send: Send, status: HTTPStatus, kind: str, text: str, *, with_body: bool
) -> None:
    """Send a whole response."""
    # Half of a surrogate pair, in the name of a route, must not take the page away.
    body = text.encode(errors="replace")
    headers = {**HEADERS, "content-type": kind, "content-length": str(len(body))}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = "GET, HEAD"
    await send(
        {
            "type": "http.response.start",
            "status": int(status),
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body if with_body else b""})


async def live(receive: Receive, send: Send) -> None:
    """Say yes to the start and the end of the server."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
