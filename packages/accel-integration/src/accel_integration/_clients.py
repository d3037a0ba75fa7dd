"""Clients: one pool of connections per declaration and event loop."""

import asyncio
import inspect
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from accel_integration._context import EXCHANGE, Request, time_left
from accel_integration._request_bodies import BODIES
from accel_integration._response_bodies import guard_body

__all__ = ["ClientPool", "watch_client"]

# So much later than a Timeout does a request end, which is then the reason to give. A
# sync one ends by the request alone, which need not be early by the rounding of a clock.
GRACE = 0.1
SYNC_GRACE = 0.005
TIMEOUTS = ("connect", "read", "write", "pool")


class Unasked(float):
    """A limit of a client that nobody has asked for: any deadline replaces it."""


# The default of httpx, in seconds.
USUAL_LIMIT = Unasked(5)


OTHER_KIND = (
    "Cannot call {0} endpoint by the client that was passed, {1} one, whose settings it "
    "would miss: make another instance of the declaration with {0} client for it."
)


class ClientPool:
    """The clients of one declaration.

    *source* is a client, which stays its owner's to close, or something that returns
    a client when it is called. Without one, httpx serves.

    A client that an endpoint has closed is replaced, and so is one that belongs to
    another process: two processes on one connection would read each other's answers.
    """

    def __init__(self, source: Any = None) -> None:
        if not (source is None or callable(source) or hasattr(source, "request")):
            # Not shown: it may be a secret that is in the wrong place.
            kind = type(source).__name__
            msg = f'"client" must be a client, or what returns one: {kind}'
            raise TypeError(msg)
        self._source = source
        self._given = source is not None and not _is_factory(source)
        self._lock = threading.Lock()
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = (
            weakref.WeakKeyDictionary()
        )
        # By the process, since a fork leaves all of its parent's connections open.
        self._sync: dict[int, Any] = {}
        self._given_async = self._given and is_async_client(source)
        if self._given:
            watch_client(source)

    def for_loop(self) -> Any:
        """Return the client of the running loop."""
        if self._given_async:
            return self._source
        loop = asyncio.get_running_loop()
        if not is_open(client := self._async.get(loop)):
            with self._lock:
                self._forget_finished_loops()
                client = self._async[loop] = self._new("AsyncClient", wants_async=True)
        return client

    def _forget_finished_loops(self) -> None:
        # Open connections know their loop, so that it would never be collected.
        for loop in [loop for loop in self._async if loop.is_closed()]:
            self._async.pop(loop, None)

    def open(self) -> None:
        """Make the client of the running loop, which takes its time, if it is ours."""
        if self._source is None:
            self.for_loop()

    def for_threads(self) -> Any:
        """Return the client of sync endpoints, which threads may share."""
        if self._given and not self._given_async:
            return self._source
        process = os.getpid()
        with self._lock:
            if not is_open(client := self._sync.get(process)):
                client = self._new("Client", wants_async=False)
                self._sync = {process: client}
            return client

    async def aclose(self) -> None:
        """Close the clients that are ours: that of the running loop, and the sync one.

        Those of other loops can only be closed there.
        """
        with self._lock:
            client = self._async.pop(asyncio.get_running_loop(), None)
        self.close()
        if client is not None:
            await client.aclose()

    def close(self) -> None:
        """Close the client of sync endpoints, if it is ours."""
        # Closed outside of the lock, because that may take a while.
        with self._lock:
            client = self._sync.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _new(self, kind: str, *, wants_async: bool) -> Any:
        if self._source is not None:
            client = self._source if self._given else self._source()
            if is_async_client(client) is wants_async:
                return watch_client(client)
            if wants_async:
                raise TypeError(OTHER_KIND.format("an async", "a sync"))
            raise TypeError(OTHER_KIND.format("a sync", "an async"))
        # Imported late, so that stability patterns alone never pay for it.
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        # What one caller was sent is not for the next one to send back.
        nothing_kept = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        client = getattr(httpx, kind)(timeout=USUAL_LIMIT, cookies=nothing_kept)
        return watch_client(client)


def _is_factory(source: Any) -> bool:
    return isinstance(source, type) or not hasattr(source, "request")


def is_open(client: Any) -> bool:
    """Tell whether *client*, or None, can make requests."""
    return client is not None and getattr(client, "is_closed", False) is not True


def is_async_client(client: Any) -> bool:
    """Tell whether the requests of *client* must be awaited."""
    return inspect.iscoroutinefunction(getattr(client, "request", None))


def watch_client(client: Any) -> Any:
    """Let *client* note statuses and respect deadlines; return it."""
    # A client without hooks serves as well; only statuses remain unknown.
    hooks = getattr(client, "event_hooks", None)
    if hooks is None:
        return client
    is_async = is_async_client(client)
    _add_once(hooks["request"], prepare_async if is_async else prepare_sync)
    _add_once(hooks["response"], note_async if is_async else note_sync)
    return client


def _add_once(hooks: list[Callable[..., Any]], hook: Callable[..., Any]) -> None:
    if hook not in hooks:
        hooks.append(hook)


def note_sync(response: Any) -> None:
    """Note the status of *response* for the call in progress."""
    if (exchange := EXCHANGE.get()) is not None:
        exchange.status = response.status_code
        exchange.retry_after = response.headers.get("retry-after")
        request = response.request
        exchange.request = Request(request.url, request.headers)
    if (bodies := BODIES.get()) is not None:
        guard_body(response, bodies.place)


async def note_async(response: Any) -> None:
    """Note the status of *response* for the call in progress."""
    note_sync(response)


def prepare_sync(request: Any) -> None:
    """Add what is declared; let no phase take longer than the time that is left."""
    add_extras(request)
    limit_request(request, SYNC_GRACE)


async def prepare_async(request: Any) -> None:
    """Add what is declared; let no phase take longer than the time that is left."""
    if (pending := add_extras(request)) is not None:
        await pending
    limit_request(request, GRACE)


def add_extras(request: Any) -> Any:
    """Add what the endpoint of the call in progress declares to *request*."""
    exchange = EXCHANGE.get()
    if exchange is None or exchange.prepare is None:
        return None
    return exchange.prepare(request)


def limit_request(request: Any, grace: float) -> None:
    """Let no phase of *request* take longer than the time that is left."""
    if (bodies := BODIES.get()) is not None:
        bodies.check(request)
    if (left := time_left()) is None:
        return
    left += grace
    limits = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {
        phase: nearer(limits.get(phase), left) for phase in TIMEOUTS
    }


def nearer(limit: float | None, left: float) -> float:
    """Return the limit of a phase of a request, if *left* seconds are left for it."""
    if limit is None or isinstance(limit, Unasked):
        return left
    return min(left, limit)
