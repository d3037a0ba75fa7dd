"""A server that misbehaves on purpose, on a real socket."""

import asyncio
import contextlib
import itertools
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Fault", "FaultServer", "ReceivedRequest", "fault_server"]

TLS_HANDSHAKE = b"\x16"
# Close with a reset instead of in order: linger, for no time.
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request that a fault server has seen."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to answer a request, or not to.

    *play* gets the writer, and returns whether the connection may be used again.
    """

    name: str
    play: Callable[[asyncio.StreamWriter], Awaitable[bool]]

    def __repr__(self) -> str:
        return f"<Fault {self.name}>"

    @classmethod
    def ok(cls, data: Any = None, *, status: int = 200, **headers: str) -> "Fault":
        """Answer with *data* as JSON; `_` in names of headers stands for `-`."""

        async def play(writer: asyncio.StreamWriter) -> bool:
            writer.write(response_bytes(data, status, headers))
            await writer.drain()
            return True

        return cls(f"ok {status}", play)

    @classmethod
    def unavailable(cls, status: int = 503, *, retry_after: float | str = 1) -> "Fault":
        """Answer that there is too much to do, and when to come again."""
        return cls.ok({"error": "busy"}, status=status, retry_after=str(retry_after))

    @classmethod
    def hang(cls) -> "Fault":
        """Accept the request, and never answer."""

        async def play(_: asyncio.StreamWriter) -> bool:
            await asyncio.get_running_loop().create_future()
            return False

        return cls("hang", play)

    @classmethod
    def slow(cls, seconds: float, data: Any = None) -> "Fault":
        """Send the first line at once, and the rest only after *seconds*."""

        async def play(writer: asyncio.StreamWriter) -> bool:
            first, _, rest = response_bytes(data, 200, {}).partition(b"\r\n")
            writer.write(first + b"\r\n")
            await writer.drain()
            await asyncio.sleep(seconds)
            writer.write(rest)
            return True

        return cls(f"slow headers, {seconds:g} s", play)

    @classmethod
    def reset(cls) -> "Fault":
        """Reset the connection (RST) instead of answering."""

        async def play(writer: asyncio.StreamWriter) -> bool:
            await asyncio.sleep(0)
            connection = writer.get_extra_info("socket")
            # Closing without lingering sends RST in the place of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
            return False

        return cls("reset", play)

    @classmethod
    def truncated(cls, data: Any = "truncated") -> "Fault":
        """Promise a whole body, and send half of it."""

        async def play(writer: asyncio.StreamWriter) -> bool:
            whole = response_bytes(data, 200, {})
            writer.write(whole[: -len(json.dumps(data)) // 2])
            await writer.drain()
            return False

        return cls("truncated", play)

    @classmethod
    def malformed(cls) -> "Fault":
        """Answer with something that is not HTTP."""

        async def play(writer: asyncio.StreamWriter) -> bool:
            writer.write(b"\x00\xffNONSENSE\r\n\r\n")
            await writer.drain()
            return False

        return cls("malformed", play)


def response_bytes(data: Any, status: int, headers: Mapping[str, str]) -> bytes:
    """Return a whole response with *data* as JSON."""
    body = json.dumps(data).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    # Without a reason in words, which there is not for every status (RFC 9112, 4).
    lines = [f"HTTP/1.1 {status} "]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class FaultServer:
    """A running server; `fault_server` starts one.

    Attributes:
        url: Where it is.
        requests: What it was asked so far.
    """

    def __init__(self, *faults: Fault, cycle: bool = False) -> None:
        self.requests: list[ReceivedRequest] = []
        self.url = ""
        self._faults: Iterator[Fault] = iter(())
        self.play(*faults or [Fault.ok()], cycle=cycle)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def tls_url(self) -> str:
        """An address at which every TLS handshake fails."""
        return self.url.replace("http://", "https://")

    def play(self, *faults: Fault, cycle: bool = False) -> None:
        """From now on, answer with *faults*: the last one again and again, or in turn.

        Two of them in a *cycle* make a server that flaps.
        """
        again = itertools.cycle(faults) if cycle else itertools.repeat(faults[-1])
        self._faults = again if cycle else itertools.chain(faults, again)

    def start(self) -> None:
        """Start to listen, in a thread."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Drop all connections, and stop to listen."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(
            asyncio.start_server(self._connect, "127.0.0.1", 0)
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        loop.run_forever()
        loop.run_until_complete(self._hang_up(server))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    async def _hang_up(self, server: asyncio.Server) -> None:
        """Drop every connection, those included that are being accepted right now."""
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for connection, writer in self._connections.items():
                # What nobody reads would keep one that is closed in order.
                writer.transport.abort()
                connection.cancel()
            await asyncio.wait(tasks)
        # Not before: a connection that was accepted must find the server open.
        server.close()

    def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # Not a coroutine, which might never begin, and so never close what it got.
        connection = self._loop.create_task(self._serve(reader, writer))
        self._connections[connection] = writer
        connection.add_done_callback(self._connections.pop)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while await self._answer(reader, writer):
                pass
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()  # The client has left.

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; return whether there may be another."""
        first = await reader.readexactly(1)
        if first == TLS_HANDSHAKE:
            # Plain HTTP in answer to a handshake fails it at once.
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return False
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.rstrip().split("\r\n")
        method, path, _ = start.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await read_body(reader, headers)
        self.requests.append(ReceivedRequest(method, path, headers, body))
        return await next(self._faults).play(writer)


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """Return the whole body of a request, in one piece or in chunks (RFC 9112, 7.1)."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readuntil(b"\r\n")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # Trailers.
    return bytes(body)


@contextlib.contextmanager
def fault_server(*faults: Fault, cycle: bool = False) -> Iterator[FaultServer]:
    """Run a server that answers with *faults*, on a free port of this machine.

    It runs in a thread, so that sync and async tests can use it alike.
    """
    server = FaultServer(*faults, cycle=cycle)
    server.start()
    try:
        yield server
    finally:
        server.stop()
