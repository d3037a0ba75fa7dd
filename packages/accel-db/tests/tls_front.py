"""TLS before a PostgreSQL that has none, as its own protocol begins it."""

import asyncio
import contextlib
import ssl
import struct
import threading
from typing import Self

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class TlsFront:
    """Passes what it hears on to the server at *port*, in TLS where a client asks for it.

    Use as a context manager; `encrypted` tells of each connection whether it is.
    """

    def __init__(self, context: ssl.SSLContext | None, port: int) -> None:
        self.context, self.port = context, port
        self.encrypted: list[bool] = []
        self.own_port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.own_port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            # A client that does not like our certificate hangs up.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self._tasks.discard(task)
            await _close(writer)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        begin = await reader.readexactly(8)
        asked = begin == _SSL_REQUEST
        if asked:
            writer.write(b"S" if self.context else b"N")
            await writer.drain()
            begin = b""
        encrypted = asked and self.context is not None
        if encrypted:
            await writer.start_tls(self.context)
        inner, outer = await asyncio.open_connection("127.0.0.1", self.port)
        self.encrypted.append(encrypted)
        outer.write(begin)
        try:
            await asyncio.gather(_pass_on(reader, outer), _pass_on(inner, writer))
        finally:
            await _close(outer)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    # The other direction must end, too.
    raise ConnectionAbortedError


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
