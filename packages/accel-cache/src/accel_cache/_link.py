"""One multiplexed connection to Redis, with a time budget and a breaker."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Protocol as TypingProtocol, cast

from redis.exceptions import RedisError

from accel_cache._errors import CacheUnavailable
from accel_cache._resp import NOT_ENOUGH, ReplyError, new_reader, pack

Command = Sequence[bytes]
Replies = list[Any]
OnReply = Callable[[Replies], None]
OnInvalidate = Callable[[list[bytes] | None], None]

_PAUSE = 0.5


class _Batch:
    """Commands sent together, waiting for their replies."""

    __slots__ = ("deadline", "done", "missing", "on_reply", "replies")

    def __init__(
        self,
        size: int,
        done: "asyncio.Future[Replies]",
        on_reply: OnReply | None,
        deadline: float,
    ) -> None:
        self.missing = size
        self.deadline = deadline
        self.replies: Replies = []
        self.done = done
        self.on_reply = on_reply

    def add(self, reply: object) -> bool:
        """Take one reply; the last one finishes the batch."""
        self.replies.append(reply)
        self.missing -= 1
        if self.missing:
            return False
        # Even when the caller has gone: what a reply says about keys must be
        # noted before the next message is parsed, which may revoke it.
        if self.on_reply is not None:
            self.on_reply(self.replies)
        if not self.done.done():
            self.done.set_result(self.replies)
        return True


class Exchange(TypingProtocol):
    """A way to send commands and to get their replies."""

    tracks: bool
    alive: bool

    async def send(
        self, commands: Sequence[Command], on_reply: OnReply | None, deadline: float
    ) -> Replies: ...

    def close(self) -> None: ...


class MultiplexedExchange(asyncio.Protocol):
    """Many requests share one socket: replies come in the order of the commands.

    Writes of one turn of the loop leave together.
    Replies and invalidations are handled inside of the protocol's callback, in
    the order the server sent them: after an `await` a stale reply could be kept
    although its invalidation has been read already.
    """

    tracks = True

    def __init__(
        self, on_invalidate: OnInvalidate, on_lost: Callable[[], None]
    ) -> None:
        self._reader, self._push = new_reader()
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Batch] = deque()
        self._outbox: list[bytes] = []
        self._on_invalidate = on_invalidate
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._watched_until = 0.0
        self.alive = False

    def attach(self, transport: asyncio.Transport) -> None:
        """Take over a transport on which the handshake is finished."""
        self._transport = transport
        transport.set_protocol(self)
        self.alive = not transport.is_closing()

    async def send(
        self, commands: Sequence[Command], on_reply: OnReply | None, deadline: float
    ) -> Replies:
        """Send *commands* and return their replies.

        Without all of them by *deadline*, on the loop's clock, the connection is lost.
        """
        if not self.alive:
            raise ConnectionError("the connection is closed")
        batch = _Batch(len(commands), self._loop.create_future(), on_reply, deadline)
        self._waiting.append(batch)
        # One timer for all: one for each call is a good part of what a call costs.
        if self._watch is None or deadline < self._watched_until:
            self._watch_until(deadline)
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.extend(map(pack, commands))
        return await batch.done

    def _watch_until(self, deadline: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watched_until = deadline
        self._watch = self._loop.call_at(deadline, self._check)

    def _check(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        deadline = min(batch.deadline for batch in self._waiting)
        if deadline <= self._watched_until:
            self._abort(TimeoutError)
        else:
            self._watch_until(deadline)

    def _flush(self) -> None:
        if self._transport is not None and self.alive:
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()

    def data_received(self, data: bytes) -> None:
        """Hand every complete message to whom it belongs."""
        self._reader.feed(data)
        try:
            while (message := self._reader.gets()) is not NOT_ENOUGH:
                self._receive(message)
        except Exception:  # noqa: BLE001 - garbage on the wire: this connection is lost
            self.close()

    def _receive(self, message: object) -> None:
        if isinstance(message, self._push):
            pushed = cast("list[Any]", message)
            if pushed[0] == b"invalidate":
                self._on_invalidate(pushed[1])
        elif self._waiting[0].add(message):
            self._waiting.popleft()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the shape of a Protocol
        """Fail whoever still waits."""
        self._lose()

    def close(self) -> None:
        """Drop the connection without waiting for the server."""
        self._abort()

    def _abort(self, error: type[OSError] = ConnectionError) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._lose(error)

    def _lose(self, error: type[OSError] = ConnectionError) -> None:
        if not self.alive:
            return
        self.alive = False
        if self._watch is not None:
            self._watch.cancel()
        for batch in self._waiting:
            if not batch.done.done():
                batch.done.set_exception(error("the connection was lost"))
                # A caller that was cancelled never reads its future.
                batch.done.exception()
        self._waiting.clear()
        self._on_lost()


class SerialExchange:
    """One request at a time, by the public interface of redis-py alone.

    Used when redis-py does not show its transport; it cannot hear invalidations.
    """

    tracks = False

    def __init__(self, connection: Any, on_lost: Callable[[], None]) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._on_lost = on_lost
        self.alive = True

    async def send(
        self, commands: Sequence[Command], on_reply: OnReply | None, deadline: float
    ) -> Replies:
        """Send *commands* and return their replies."""
        async with asyncio.timeout_at(deadline), self._lock:
            packed = [pack(command) for command in commands]
            await self._connection.send_packed_command(packed)
            replies = [await self._read() for _ in commands]
        if on_reply is not None:
            on_reply(replies)
        return replies

    async def _read(self) -> object:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except RedisError as exc:
            if not self._connection.is_connected:
                raise
            return ReplyError(str(exc))

    def close(self) -> None:
        """Forget the connection; the link disconnects it."""
        if self.alive:
            self.alive = False
            self._on_lost()


class Link:
    """The connection of one event loop: opened on demand, given up in time.

    A call may take *timeout* seconds, connecting included.
    A failure opens the breaker: calls fail at once, until a probe in the background
    succeeds. Probes wait for no caller; half a second lies between two of them.
    """

    def __init__(
        self,
        pool: Any,
        *,
        timeout: float,
        tracking: bool,
        on_invalidate: OnInvalidate,
        on_open: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._timeout = timeout
        self._tracking = tracking
        self._on_invalidate = on_invalidate
        self._on_open = on_open
        self._exchange: Exchange | None = None
        self._connection: Any = None
        self._opening: asyncio.Task[Exchange] | None = None
        self._down = ""
        self._probe: asyncio.TimerHandle | None = None
        self._guard: AsyncGenerator[None, None] | None = None

    @property
    def tracks(self) -> bool:
        """Whether the server tells this connection about changed keys."""
        return self._exchange is not None and self._exchange.tracks and self._tracking

    async def call(
        self, *commands: Command, on_reply: OnReply | None = None
    ) -> Replies:
        """Send *commands* in one go; an error reply raises.

        Raises:
            CacheUnavailable: no complete answer within the budget.
        """
        exchange = self._exchange
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            if exchange is None:
                async with asyncio.timeout_at(deadline):
                    exchange = await self._open()
            replies = await exchange.send(commands, on_reply, deadline)
        except TimeoutError as exc:
            why = f"no answer within {self._timeout:g} s"
            raise self._fail(why, exchange) from exc
        except (OSError, RedisError, ReplyError) as exc:
            raise self._fail(_reason(exc), exchange) from exc
        for reply in replies:
            if isinstance(reply, Exception):
                raise CacheUnavailable(str(reply), retry_after=_PAUSE)
        return replies

    async def _open(self) -> Exchange:
        if self._down:
            raise CacheUnavailable(self._down, retry_after=self._wait())
        return await asyncio.shield(self._opening or self._start())

    def _start(self) -> "asyncio.Task[Exchange]":
        self._probe = None
        self._opening = asyncio.create_task(self._connect())
        self._opening.add_done_callback(self._opened)
        return self._opening

    def _opened(self, task: "asyncio.Task[Exchange]") -> None:
        self._opening = None
        if task.cancelled():
            return
        exc = task.exception()
        if exc is None and not task.result().alive:
            exc = ConnectionError("the connection was lost")
        if exc is not None:
            self._fail(_reason(exc), None)
            return
        self._exchange = task.result()
        self._down = ""
        self._on_open()

    async def _connect(self) -> Exchange:
        await self._disconnect()
        await self._watch_loop()
        # A stopped server accepts connections and stays mute: the budget of a
        # probe is its own, nobody waits for it longer than for a call.
        deadline = asyncio.get_running_loop().time() + max(self._timeout, 1.0)
        async with asyncio.timeout_at(deadline):
            return await self._handshake(deadline)

    async def _handshake(self, deadline: float) -> Exchange:
        options = dict(self._pool.connection_kwargs)
        options.update(
            protocol=3, decode_responses=False, retry=None, retry_on_error=[]
        )
        self._connection = connection = self._pool.connection_class(**options)
        await connection.connect()
        transport = _transport_of(connection)
        if transport is None:
            return SerialExchange(connection, self._lost)
        exchange = MultiplexedExchange(self._on_invalidate, self._lost)
        exchange.attach(transport)
        if self._tracking:
            track = (b"CLIENT", b"TRACKING", b"ON")
            (reply,) = await exchange.send([track], None, deadline)
            if isinstance(reply, Exception):
                raise reply
        return exchange

    async def _watch_loop(self) -> None:
        # A loop that ends closes its asynchronous generators: this one takes
        # the connection along, so that nobody has to remember it.
        if self._guard is None:
            self._guard = _until_loop_ends(self)
            await anext(self._guard)

    def _lost(self) -> None:
        # Without the connection nobody tells about changes any more.
        self._exchange = None
        self._on_invalidate(None)

    def _fail(self, why: str, exchange: Exchange | None) -> CacheUnavailable:
        if exchange is not None:
            exchange.close()
        # A newer connection is not to blame, and one closed on purpose not missed.
        if self._exchange is not None or self._guard is None:
            return CacheUnavailable(why, retry_after=0.0)
        self._down = why
        if self._opening is None and self._probe is None:
            loop = asyncio.get_running_loop()
            self._probe = loop.call_later(_PAUSE, self._start)
        return CacheUnavailable(why, retry_after=self._wait())

    def _wait(self) -> float:
        if self._probe is None:
            return _PAUSE
        return max(self._probe.when() - asyncio.get_running_loop().time(), 0.0)

    async def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(OSError, RedisError):
                await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        """Close the connection; the next call opens another one."""
        # First, so that nobody probes because of what fails from here on.
        guard, self._guard = self._guard, None
        if self._probe is not None:
            self._probe.cancel()
        self._probe, self._down = None, ""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._exchange is not None:
            self._exchange.close()
        await self._disconnect()
        if guard is not None:
            await guard.aclose()


async def _until_loop_ends(link: Link) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        # Finalized by the loop, or by `aclose`, which has closed it already.
        link._guard = None  # noqa: SLF001 - this function is a part of Link
        await link.aclose()


def _transport_of(connection: Any) -> asyncio.Transport | None:
    # The only private attribute of redis-py in use: a test pins it, and without
    # it the slower exchange takes over.
    writer = getattr(connection, "_writer", None)
    transport = getattr(writer, "transport", None)
    return cast("asyncio.Transport | None", transport)


def _reason(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "connecting took too long"
    return str(exc) or type(exc).__name__
