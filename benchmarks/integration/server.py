"""A server on a local socket that always gives the same answer at once."""

import asyncio

BODY = b'{"id": 1, "text": "hello"}'
RESPONSE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
END_OF_HEAD = b"\r\n\r\n"


class Answers(asyncio.Protocol):
    """One connection; a request is a head without a body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        *heads, self.received = (self.received + data).split(END_OF_HEAD)
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(RESPONSE * len(heads))


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answers, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
