"""Stores: where circuit breakers and throttles share their state."""

import asyncio
import contextvars
import functools
import inspect
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import quote

from accel_integration._context import Clock, Seconds
from accel_integration._parameters import not_negative, one_of, positive
from accel_integration._scripts import Answer, Script, Table
from accel_integration._sync_timeout import SyncCall
from accel_integration._threads import run_in_thread
from accel_integration._weaver import Weaver

__all__ = [
    "FailureMode",
    "MemoryStore",
    "RedisStore",
    "Store",
    "StoreDownError",
    "check_store",
]

FailureMode: TypeAlias = Literal["open", "local", "closed"]

# How many entities a store in memory knows; the one not used for longest is forgotten.
MOST_ENTITIES = 10_000

logger = logging.getLogger("accel_integration")


class StoreDownError(Exception):
    """Raised when a store cannot be asked; it never leaves this package."""


class Store(Protocol):
    """A place for the state of many processes, or of many strategies in one.

    Attributes:
        fail: What to do when it cannot be reached: let calls pass ("open"), go on with
            a state of one's own ("local"), or refuse them ("closed").
        refresh: For how many seconds a process relies on what it knows.
        is_async: Whether answers must be awaited, or None if it does not matter.
    """

    fail: FailureMode
    refresh: float
    is_async: bool | None

    def run(
        self, script: Script, name: str, *args: float | str
    ) -> Answer | Awaitable[Answer]:
        """Do one step on the entity called *name*."""


def check_store(store: Store, weaver: Weaver) -> None:
    """Refuse a client that would block the event loop, or could not be awaited.

    Raises:
        TypeError: An async function has a sync client, or the other way round.
    """
    if store.is_async not in (None, weaver.is_async):
        kind = "an async" if weaver.is_async else "a sync"
        msg = f"{weaver.scope.endpoint!r} is {kind} function: give its store {kind} client."
        raise TypeError(msg)


class MemoryStore:
    """A store inside of this process, for several strategies with one `key`."""

    fail: FailureMode = "local"
    refresh = 0.0
    is_async: bool | None = None

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, script: Script, name: str, *args: float | str) -> Answer:
        """Do one step on the entity called *name*."""
        with self._lock:
            table = self._tables.setdefault(name, {})
            self._tables.move_to_end(name)
            # Keys may come from outside, and must not fill the memory.
            if len(self._tables) > MOST_ENTITIES:
                self._tables.popitem(last=False)
            return script.python(table, self._clock(), *args)


class RedisStore:
    """A store in Redis or Valkey, for many processes.

    Every step is one script on the server, by the clock of the server, and all keys of
    an entity have one hash tag, so that it runs on a cluster.

    Args:
        client: A client of redis-py or valkey-py, for one server or for a cluster: of
            `redis.asyncio` for async functions, of `redis` for sync ones. It stays
            yours to close. One of `redis.asyncio` has connections of one event loop:
            before that ends, close it (`await client.aclose()`), and the next loop may
            use it again.
        prefix: What all keys begin with.
        fail: What to do while the server cannot be reached: let calls pass ("open"), go
            on with a state of this process alone ("local"), or refuse them ("closed").
        timeout: How long the server may take. A sync client goes by its own settings,
            and may try for a minute: it is asked in another thread, and not again
            before it has given up. One with `socket_timeout=0.25`,
            `socket_connect_timeout=0.25` and `retry=Retry(NoBackoff(), 0)` needs no
            thread, and answers twice as fast.
        refresh: For how long a process relies on what it knows of a circuit: this is
            how late it may notice that another one has opened it.
        pause: After an error, for how long not to ask again.
    """

    def __init__(  # noqa: PLR0913 - they are independent, and all have defaults
        self,
        client: Any,
        *,
        prefix: str = "accel",
        fail: FailureMode = "local",
        timeout: Seconds = 0.25,
        refresh: Seconds = 0.25,
        pause: Seconds = 1,
        clock: Clock = time.monotonic,
    ) -> None:
        one_of(("open", "local", "closed"), "fail", fail)
        self.fail: FailureMode = fail
        self.timeout = positive("timeout", timeout)
        self.refresh = not_negative("refresh", refresh)
        self.is_async: bool | None = inspect.iscoroutinefunction(client.execute_command)
        self._client = client
        self._is_quick = is_quick(client, self.timeout)
        self._prefix = prefix
        self._pause = not_negative("pause", pause)
        self._clock = clock
        self._down_until = float("-inf")
        # What a sync client was asked last and did not answer in time, in which process.
        self._unanswered: tuple[SyncCall, int] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._prefix!r} fail={self.fail!r}>"

    def run(
        self, script: Script, name: str, *args: float | str
    ) -> Answer | Awaitable[Answer]:
        """Do one step on the entity called *name*.

        Raises:
            StoreDownError: The server does not answer, or did not a moment ago.
        """
        if self._clock() < self._down_until or self._is_waiting():
            raise StoreDownError
        call = (script.lua, 3, *self._keys(name), *args)
        return self._ask_async(call) if self.is_async else self._ask(call)

    def _keys(self, name: str) -> list[str]:
        # Braces mark what decides the slot; quoting keeps those of a name out.
        entity = (
            f"{self._prefix}:{{{quote(name, safe=':/.@', errors='surrogatepass')}}}"
        )
        return [entity, f"{entity}:probes", f"{entity}:window"]

    def _is_waiting(self) -> bool:
        """Tell whether a thread still waits for what nobody wants to know any more."""
        if self._unanswered is None:
            return False
        question, process = self._unanswered
        # A process that was forked meanwhile does not have the thread.
        return question.pending.locked() and process == os.getpid()

    def _ask(self, call: tuple[Any, ...]) -> Answer:
        try:
            ask = functools.partial(self._client.eval, *call)
            return self._read(ask() if self._is_quick else self._ask_in_thread(ask))
        except Exception as exc:
            raise self._down(exc) from exc

    def _ask_in_thread(self, ask: Callable[[], Any]) -> Any:
        question = SyncCall(None)
        context = contextvars.copy_context()
        run_in_thread(functools.partial(context.run, question.work, ask))
        if not question.pending.acquire(timeout=self.timeout):
            self._unanswered = question, os.getpid()
            raise TimeoutError
        if question.error is not None:
            raise question.error
        return question.result

    async def _ask_async(self, call: tuple[Any, ...]) -> Answer:
        try:
            async with asyncio.timeout(self.timeout):
                return self._read(await self._client.eval(*call))
        except Exception as exc:
            raise self._down(exc) from exc

    def _read(self, reply: Any) -> Answer:
        verdict, epoch, wait, failures = map(float, reply)
        return verdict, epoch, wait, failures

    def _down(self, exc: Exception) -> StoreDownError:
        now = self._clock()
        # Said once, however many calls have been waiting for it.
        if now >= self._down_until:
            logger.warning(
                "The store of stability patterns does not answer (%s); they fail %s "
                "for %g s.",
                reason_of(exc),
                self.fail,
                self._pause,
            )
        self._down_until = now + self._pause
        return StoreDownError(str(exc))


def is_quick(client: Any, timeout: float) -> bool:
    """Tell whether *client* gives up by itself within about *timeout* seconds."""
    options: dict[str, Any] = getattr(client, "get_connection_kwargs", dict)()
    limits = options.get("socket_timeout"), options.get("socket_connect_timeout")
    if any(limit is None or limit > timeout for limit in limits):
        return False
    retries = getattr(options.get("retry"), "get_retries", None)
    return retries is not None and retries() == 0


def reason_of(exc: Exception) -> str:
    """Say in the log why a store did not answer, and the cure if it is not the server."""
    name = type(exc).__name__
    # The message could tell the address of the server; this one comes from asyncio.
    if isinstance(exc, RuntimeError) and "loop" in str(exc):
        return (
            f"{name}: its client has connections of an event loop that is over; close "
            "it before its loop ends, with `await client.aclose()`"
        )
    return name
