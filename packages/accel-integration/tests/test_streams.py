"""Long downloads and uploads: in pieces, stopped early, broken off, and sent again."""

import asyncio
import gc
import io
import itertools
import pickle
import socket
import struct
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any, BinaryIO

import httpx
import httpx2
import pytest

from accel_integration import (
    ApiHTTP,
    BodySpentError,
    CircuitBreakerError,
    EndpointsDeclaration,
    IntegrationHTTP,
    MaxRetriesExceededError,
    ResponseError,
    ResponseIncompleteError,
    StabilityTimeoutError,
    sp,
)
from accel_integration.testing import (
    Fault,
    MockRules,
    fault_server,
    patch_integration,
    respond,
)

pytestmark = pytest.mark.anyio

MEBIBYTE = 2**20
BIG = 50 * MEBIBYTE
PIECE = b"x" * 2**16

AnyResponse = httpx.Response | httpx2.Response


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request):
    return request.param


class Download:
    """A server's side of a long download, and how much of it has left."""

    def __init__(self, total: int, *, promised: int | None = None, end: str = "keep"):
        self.sent = 0
        self.total = total
        self.promised = total if promised is None else promised
        self.end = end

    def fault(self) -> Fault:
        async def play(writer: asyncio.StreamWriter) -> bool:
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {self.promised}\r\n\r\n"
            if self.end == "unfinished chunks":
                head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000\r\n"
            writer.write(head.encode())
            while self.sent < self.total:
                piece = PIECE[: self.total - self.sent]
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
            if self.end == "hang":
                await asyncio.get_running_loop().create_future()
            if self.end == "reset":
                await asyncio.sleep(0.2)  # What was sent shall arrive before.
                connection = writer.get_extra_info("socket")
                no_linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
                writer.transport.abort()
            return self.end == "keep"

        return Fault("download", play)


def drip(pieces: int, pause: float) -> Fault:
    """Send one byte at a time, with pauses."""

    async def play(writer: asyncio.StreamWriter) -> bool:
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {pieces}\r\n\r\n".encode())
        for _ in range(pieces):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(pause)
        return True

    return Fault("drip", play)


async def pieces_of(response: Any) -> AsyncIterator[bytes]:
    try:
        async for piece in response.aiter_bytes():
            yield piece
    finally:
        await response.aclose()


def sync_pieces_of(response: Any) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    finally:
        response.close()


class Films(EndpointsDeclaration):
    integration = IntegrationHTTP("Films")

    @integration.endpoint("get", "/size")
    async def size(api: ApiHTTP) -> int:
        total = 0
        async with api.client.stream("GET", str(api.url)) as response:
            async for piece in response.aiter_bytes():
                total += len(piece)
        return total

    @integration.endpoint("get", "/start")
    async def start(api: ApiHTTP) -> int:
        async with api.client.stream("GET", str(api.url)) as response:
            async for piece in response.aiter_bytes():
                return len(piece)
        return 0

    @integration.endpoint("get", "/wrong")
    async def wrong(api: ApiHTTP) -> int:
        async with api.client.stream("GET", str(api.url)) as response:
            async for _ in response.aiter_bytes():
                raise LookupError

    @integration.endpoint("get", "/opened")
    async def opened(api: ApiHTTP) -> AnyResponse:
        request = api.client.build_request("GET", str(api.url))
        return await api.client.send(request, stream=True)

    @integration.endpoint("get", "/pieces")
    async def pieces(api: ApiHTTP) -> AsyncIterator[bytes]:
        request = api.client.build_request("GET", str(api.url))
        return pieces_of(await api.client.send(request, stream=True))

    @integration.endpoint("get", "/timed")
    @sp.Timeout(1)
    async def timed(api: ApiHTTP) -> int:
        async with api.client.stream("GET", str(api.url)) as response:
            return sum([len(piece) async for piece in response.aiter_bytes()])

    @integration.endpoint("get", "/opened/timed")
    @sp.Timeout(1)
    async def opened_timed(api: ApiHTTP) -> AnyResponse:
        request = api.client.build_request("GET", str(api.url))
        return await api.client.send(request, stream=True)

    @integration.endpoint("get", "/guarded")
    @sp.CircuitBreaker(2, 60)
    async def guarded(api: ApiHTTP) -> int:
        async with api.client.stream("GET", str(api.url)) as response:
            return sum([len(piece) async for piece in response.aiter_bytes()])

    @integration.endpoint("get", "/opened/guarded")
    @sp.CircuitBreaker(2, 60)
    async def opened_guarded(api: ApiHTTP) -> AnyResponse:
        request = api.client.build_request("GET", str(api.url))
        return await api.client.send(request, stream=True)

    @integration.endpoint("get", "/retried")
    @sp.RetryPattern(3, 0, statuses={503})
    async def retried(api: ApiHTTP) -> int:
        async with api.client.stream("GET", str(api.url)) as response:
            return sum([len(piece) async for piece in response.aiter_bytes()])

    @integration.endpoint("get", "/sync/size")
    def sync_size(api: ApiHTTP) -> int:
        with api.client.stream("GET", str(api.url)) as response:
            return sum(len(piece) for piece in response.iter_bytes())

    @integration.endpoint("get", "/sync/start")
    def sync_start(api: ApiHTTP) -> int:
        with api.client.stream("GET", str(api.url)) as response:
            return len(next(response.iter_bytes()))

    @integration.endpoint("get", "/sync/opened")
    def sync_opened(api: ApiHTTP) -> AnyResponse:
        request = api.client.build_request("GET", str(api.url))
        return api.client.send(request, stream=True)

    @integration.endpoint("get", "/sync/pieces")
    def sync_pieces(api: ApiHTTP) -> Iterator[bytes]:
        request = api.client.build_request("GET", str(api.url))
        return sync_pieces_of(api.client.send(request, stream=True))

    @integration.endpoint("get", "/sync/timed")
    @sp.Timeout(1)
    def sync_timed(api: ApiHTTP) -> int:
        with api.client.stream("GET", str(api.url)) as response:
            return sum(len(piece) for piece in response.iter_bytes())


@pytest.fixture(autouse=True)
def _fresh_circuits():
    """Forget circuits of earlier tests, whose ports may come again."""
    for endpoint in Films.endpoints().values():
        endpoint.plan.reset()


@pytest.fixture
def films(library):
    """Declarations whose pool has one connection, and waits 5 s for it at most."""

    def connect(url: str, credentials: Any = None) -> Films:
        options = {
            "limits": library.Limits(max_connections=1),
            "timeout": library.Timeout(5),
        }
        return Films(url, credentials, lambda: library.AsyncClient(**options))

    return connect


@pytest.fixture
def sync_films(library):
    made = []

    def connect(url: str, credentials: Any = None) -> Films:
        client = library.Client(
            limits=library.Limits(max_connections=1), timeout=library.Timeout(5)
        )
        made.append(client)
        return Films(url, credentials, client)

    yield connect
    for client in made:
        client.close()


# Downloads -----------------------------------------------------------------------


async def test_a_long_download_needs_little_memory(films):
    download = Download(BIG)
    with fault_server(download.fault()) as server:
        async with films(server.url) as there:
            tracemalloc.start()
            try:
                size = await there.size()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()

    assert size == BIG
    assert peak < 4 * MEBIBYTE


def test_a_long_sync_download_needs_little_memory(sync_films):
    download = Download(BIG)
    with fault_server(download.fault()) as server:
        there = sync_films(server.url)
        tracemalloc.start()
        try:
            size = there.sync_size()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert size == BIG
    assert peak < 4 * MEBIBYTE


async def test_the_other_side_waits_for_who_reads(films):
    download = Download(BIG)
    with fault_server(download.fault()) as server:
        async with films(server.url) as there:
            response = await there.opened()
            pieces = response.aiter_bytes()
            size = len(await anext(pieces))
            await asyncio.sleep(0.2)
            ahead = download.sent
            size += sum([len(piece) async for piece in pieces])
            await response.aclose()

    assert ahead < BIG / 2  # No more than the buffers of the system.
    assert size == BIG


def test_the_other_side_waits_for_who_reads_in_a_thread(sync_films):
    download = Download(BIG)
    with fault_server(download.fault()) as server:
        pieces = sync_films(server.url).sync_pieces()
        size = len(next(pieces))
        ahead = download.sent
        size += sum(map(len, pieces))

    assert ahead < BIG / 2
    assert size == BIG


@pytest.mark.parametrize("end", ["keep", "hang"])
async def test_a_download_stopped_in_the_endpoint_gives_its_place_back(films, end):
    download = Download(3 * len(PIECE), promised=BIG, end=end)
    with fault_server(download.fault(), Download(3).fault()) as server:
        async with films(server.url) as there:
            assert await there.start() > 0

            assert await there.size() == 3


async def test_an_error_while_reading_gives_the_place_back(films):
    with fault_server(Download(BIG).fault(), Download(3).fault()) as server:
        async with films(server.url) as there:
            with pytest.raises(LookupError):
                await there.wrong()

            assert await there.size() == 3


async def test_a_cancelled_download_gives_its_place_back(films):
    hanging = Download(5, promised=10, end="hang")
    with fault_server(hanging.fault(), Download(3).fault()) as server:
        async with films(server.url) as there:
            task = asyncio.create_task(there.size())
            while not hanging.sent:  # noqa: ASYNC110 - it is sent by another thread
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            assert await there.size() == 3


async def test_a_response_that_is_closed_early_gives_its_place_back(films):
    with fault_server(Download(BIG).fault(), Download(3).fault()) as server:
        async with films(server.url) as there:
            response = await there.opened()
            async for _ in response.aiter_bytes():
                break
            await response.aclose()

            assert await there.size() == 3


async def test_a_dropped_generator_gives_its_place_back(films):
    with fault_server(Download(BIG).fault(), Download(3).fault()) as server:
        async with films(server.url) as there:
            async for _ in await there.pieces():
                break
            gc.collect()

            assert await there.size() == 3


async def test_a_stream_closed_early_closes_what_it_reads(films):
    left: list[Any] = []
    with fault_server(Download(BIG).fault()) as server:
        async with films(server.url) as there:
            response = await there.opened()
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(finalizer=left.append)
            try:
                pieces = aiter(response.stream)
                await anext(pieces)
                await pieces.aclose()
            finally:
                sys.set_asyncgen_hooks(*hooks)
            await response.aclose()

    # Ours, and the one below it; what that reads, some clients leave to the garbage
    # collector.
    assert {generator.__qualname__ for generator in left}.isdisjoint(
        {"AsyncGuard.__aiter__", "BoundAsyncStream.__aiter__"}
    )


def test_a_sync_response_closed_unread_gives_its_place_back(sync_films):
    with fault_server(Download(BIG).fault(), Download(3).fault()) as server:
        there = sync_films(server.url)
        there.sync_opened().close()

        assert there.sync_size() == 3


def test_a_server_stops_although_nobody_reads(sync_films):
    with fault_server(Download(BIG).fault()) as server:
        response = sync_films(server.url).sync_opened()

    response.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))


def test_a_sync_download_stopped_early_gives_its_place_back(sync_films):
    endless = Download(BIG).fault()
    with fault_server(endless, endless, endless, Download(3).fault()) as server:
        there = sync_films(server.url)
        assert there.sync_start() > 0
        response = there.sync_opened()
        next(response.iter_bytes())
        response.close()
        next(there.sync_pieces())  # Dropped at once.
        gc.collect()

        assert there.sync_size() == 3


@pytest.mark.parametrize("end", ["close", "unfinished chunks", "reset"])
async def test_a_download_that_breaks_off_is_an_error_of_ours(films, library, end):
    broken = [Download(4, promised=10, end=end).fault() for _ in range(2)]
    with fault_server(*broken, Download(3).fault()) as server:
        url = f"{server.url}/?place=s3cr3t"
        async with films(url, {"KEY": "s3cr3t"}) as there:
            with pytest.raises(ResponseIncompleteError) as inside:
                await there.size()
            response = await there.opened()
            with pytest.raises(ResponseIncompleteError, match="broke off") as outside:
                await response.aread()

            assert await there.size() == 3

    for error in (inside.value, outside.value):
        assert isinstance(error, ResponseError)
        assert isinstance(error, library.TransportError)
        assert isinstance(error.__cause__, library.TransportError)
        assert error.request.url.host == "127.0.0.1"
        assert (error.http_status, error.status) == (502, None)
        assert str(error).startswith("Films: ")
        assert "status 200 from http://127.0.0.1" in str(error)
        assert "s3cr3t" not in f"{error} {error!r} {error.url}"


def test_a_sync_download_that_breaks_off_is_an_error_of_ours(sync_films, library):
    broken = [Download(4, promised=10, end="close").fault() for _ in range(3)]
    with fault_server(*broken, Download(3).fault()) as server:
        there = sync_films(server.url)
        with pytest.raises(ResponseIncompleteError, match="Films: sync_size"):
            there.sync_size()
        with pytest.raises(ResponseIncompleteError, match="Films: sync_opened"):
            there.sync_opened().read()
        with pytest.raises(library.RemoteProtocolError):
            list(there.sync_pieces())

        assert there.sync_size() == 3


async def test_an_error_of_a_broken_download_can_be_pickled(films):
    with fault_server(Download(4, promised=10, end="close").fault()) as server:
        async with films(server.url) as there:
            with pytest.raises(ResponseIncompleteError) as caught:
                await there.size()

    copy = pickle.loads(pickle.dumps(caught.value))

    assert type(copy) is ResponseIncompleteError
    assert str(copy) == str(caught.value)
    assert copy.url == caught.value.url
    assert not hasattr(copy, "_request")


async def test_a_download_that_broke_off_is_retried(films):
    broken = Download(4, promised=10, end="close").fault()
    with fault_server(broken, Download(3).fault()) as server:
        async with films(server.url) as there:
            assert await there.retried() == 3

    assert len(server.requests) == 2


async def test_a_client_used_outside_of_endpoints_keeps_its_errors(films, library):
    with fault_server(Download(4, promised=10, end="close").fault()) as server:
        async with films(server.url) as there:
            with pytest.raises(library.RemoteProtocolError) as caught:
                await there.client.get(server.url)

    assert not isinstance(caught.value, ResponseError)


async def test_a_response_still_knows_how_long_it_took(films):
    with fault_server(Download(3).fault()) as server:
        async with films(server.url) as there:
            response = await there.opened()
            await response.aread()

    assert response.elapsed.total_seconds() > 0


async def test_a_timeout_ends_what_is_read_in_the_endpoint(films):
    with fault_server(drip(100, 0.05), Download(3).fault()) as server:
        async with films(server.url) as there:
            with pytest.raises(StabilityTimeoutError):
                await there.timed()

            assert await there.size() == 3


def test_a_timeout_ends_what_is_read_in_a_sync_endpoint(sync_films):
    stalled = Download(5, promised=10, end="hang")
    with fault_server(stalled.fault(), Download(3).fault()) as server:
        there = sync_films(server.url)
        with pytest.raises(StabilityTimeoutError):
            there.sync_timed()

        assert there.sync_size() == 3


def test_a_timeout_ends_a_sync_endpoint_whose_server_drips(sync_films):
    pieces = itertools.count()

    async def play(writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n")
        while next(pieces) < 200:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
        return True

    with fault_server(Fault("drip", play), Download(3).fault()) as server:
        there = sync_films(server.url)
        with pytest.raises(StabilityTimeoutError):
            there.sync_timed()

        assert next(pieces) < 200
        assert there.sync_size() == 3


async def test_a_timeout_ends_with_the_endpoint(films):
    with fault_server(drip(7, 0.2)) as server:
        async with films(server.url) as there:
            response = await there.opened_timed()

            assert await response.aread() == b"x" * 7  # It took longer than 1 s.


async def test_a_stall_is_no_answer_that_broke_off(films, library):
    with fault_server(Download(5, promised=10, end="hang").fault()) as server:
        async with films(server.url) as there:
            response = await there.opened_timed()

            with pytest.raises(library.ReadTimeout) as caught:
                await response.aread()

    assert not isinstance(caught.value, ResponseError)


async def test_a_circuit_opens_by_what_is_read_in_the_endpoint(films):
    with fault_server(Download(4, promised=10, end="close").fault()) as server:
        async with films(server.url) as there:
            for _ in range(2):
                with pytest.raises(ResponseIncompleteError):
                    await there.guarded()

            with pytest.raises(CircuitBreakerError):
                await there.guarded()


async def test_a_circuit_sees_nothing_of_what_is_read_later(films):
    download = Download(4, promised=10, end="close")
    with fault_server(*[download.fault()] * 2, Download(3).fault()) as server:
        async with films(server.url) as there:
            for _ in range(2):
                response = await there.opened_guarded()
                with pytest.raises(ResponseIncompleteError):
                    await response.aread()

            assert await (await there.opened_guarded()).aread() == b"xxx"


# Uploads -------------------------------------------------------------------------

BODY = b"one two three"
BUSY = Fault.unavailable(retry_after=0)


class Shop(EndpointsDeclaration):
    integration = IntegrationHTTP(
        "Shop", strategies=[sp.RetryPattern(3, 0, statuses={503})]
    )

    @integration.endpoint("post", "/send")
    async def send(api: ApiHTTP, body: Any) -> dict:
        return await api.client.post(str(api.url), content=body)

    @integration.endpoint("post", "/form")
    async def form(api: ApiHTTP, file: Any) -> dict:
        return await api.client.post(
            str(api.url), files={"file": ("a.txt", file)}, data={"name": "A"}
        )

    @integration.endpoint("post", "/forms")
    async def forms(api: ApiHTTP, files: dict[str, Any]) -> dict:
        return await api.client.post(str(api.url), files=files)

    @integration.endpoint("post", "/read")
    async def read(api: ApiHTTP, file: BinaryIO) -> dict:
        return await api.client.post(str(api.url), content=file.read())

    @integration.endpoint("post", "/join")
    async def join(api: ApiHTTP, pieces: Iterator[bytes]) -> dict:
        return await api.client.post(str(api.url), content=b"".join(pieces))

    @integration.endpoint("post", "/upper")
    async def upper(api: ApiHTTP, pieces: AsyncIterator[bytes]) -> dict:
        changed = (piece.upper() async for piece in pieces)
        return await api.client.post(str(api.url), content=changed)

    @integration.endpoint("post", "/hidden")
    async def hidden(api: ApiHTTP, job: dict[str, Any]) -> dict:
        return await api.client.post(str(api.url), content=job["body"])

    @integration.endpoint("post", "/fresh")
    async def fresh(api: ApiHTTP) -> dict:
        return await api.client.post(str(api.url), content=async_pieces())

    @integration.endpoint("post", "/late")
    async def late(api: ApiHTTP, body: Any, failures: list) -> dict:
        if failures:
            raise failures.pop()
        return await api.client.post(str(api.url), content=body)

    @integration.endpoint("get", "/log")
    async def log(api: ApiHTTP, target: BinaryIO) -> dict:
        target.write(b".")
        return await api.client.get(str(api.url))

    @integration.endpoint("post", "/once", strategies=())
    async def once(api: ApiHTTP, body: Any) -> dict:
        return await api.client.post(str(api.url), content=body)

    @integration.endpoint("post", "/hedged", strategies=[sp.Hedge(0.05)])
    async def hedged(api: ApiHTTP, file: Any) -> dict:
        return await api.client.post(str(api.url), files={"file": file})

    @integration.endpoint("post", "/hedged", strategies=[sp.Hedge(0.05)])
    async def hedged_hidden(api: ApiHTTP, files: dict[str, Any]) -> dict:
        return await api.client.post(str(api.url), files=files)

    @integration.endpoint("post", "/guarded")
    @sp.CircuitBreaker(2, 60)
    async def guarded(api: ApiHTTP, body: Any) -> dict:
        return await api.client.post(str(api.url), content=body)

    @integration.endpoint("post", "/sync")
    def sync_send(api: ApiHTTP, body: Any) -> dict:
        return api.client.post(str(api.url), content=body)

    @integration.endpoint("post", "/sync/form")
    def sync_form(api: ApiHTTP, file: Any) -> dict:
        return api.client.post(str(api.url), files={"file": file})

    @integration.endpoint("post", "/sync/hedged", strategies=[sp.Hedge(0.05)])
    def sync_hedged(api: ApiHTTP, file: BinaryIO) -> dict:
        return api.client.post(str(api.url), content=file)


@pytest.fixture
def shop(library):
    return lambda url: Shop(url, client=library.AsyncClient)


@pytest.fixture
def sync_shop(library):
    with library.Client() as client:
        yield lambda url: Shop(url, client=client)


async def async_pieces() -> AsyncIterator[bytes]:
    for piece in (b"one ", b"two ", b"three"):
        yield piece


def sync_pieces() -> Iterator[bytes]:
    yield from (b"one ", b"two ", b"three")


class AsyncPieces:
    """What can be iterated again and again."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return async_pieces()


class Pieces:
    """The same without await."""

    def __iter__(self) -> Iterator[bytes]:
        return sync_pieces()


class Pipe(io.RawIOBase):
    """A file that goes forward only, as a pipe does."""

    def __init__(self) -> None:
        self._inner = io.BytesIO(BODY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(buffer)


def form_file(body: bytes) -> bytes:
    """Return the file in a form of one file, or of a name and a file."""
    *_, last = body.rpartition(b"\r\n\r\n")
    return last.partition(b"\r\n--")[0]


@pytest.fixture(params=[BUSY, Fault.reset()], ids=["503", "reset"])
def failure(request):
    return request.param


async def test_whole_bodies_are_sent_whole_again(shop, failure):
    with fault_server(failure, Fault.ok({})) as server:
        async with shop(server.url) as there:
            assert await there.send(BODY) == {}
            server.play(failure, Fault.ok({}))
            assert await there.send(AsyncPieces()) == {}
            server.play(failure, Fault.ok({}))
            assert await there.fresh() == {}
            server.play(failure, Fault.ok({}))
            assert await there.read(io.BytesIO(BODY)) == {}

    assert [request.body for request in server.requests] == [BODY] * 8
    by_length = [r.headers.get("content-length") for r in server.requests]
    chunked = [r.headers.get("transfer-encoding") for r in server.requests]
    assert by_length == ["13"] * 2 + [None] * 4 + ["13"] * 2
    assert chunked == [None] * 2 + ["chunked"] * 4 + [None] * 2


def test_files_are_sent_whole_again(sync_shop, failure, tmp_path):
    path = tmp_path / "body"
    path.write_bytes(BODY)
    with fault_server() as server, path.open("rb") as file:
        there = sync_shop(server.url)
        for body in (BODY, io.BytesIO(BODY), file, Pieces(), [b"one two", b" three"]):
            server.play(failure, failure, Fault.ok({}))
            assert there.sync_send(body) == {}

    assert [request.body for request in server.requests] == [BODY] * 15
    by_length = [r.headers.get("content-length") for r in server.requests]
    assert by_length == ["13"] * 9 + [None] * 6


async def test_files_in_forms_are_sent_whole_again(shop, failure, tmp_path):
    path = tmp_path / "body"
    path.write_bytes(BODY)
    with fault_server() as server, path.open("rb") as file:
        async with shop(server.url) as there:
            for body in (BODY, io.BytesIO(BODY), file):
                server.play(failure, Fault.ok({}))
                assert await there.form(body) == {}
            server.play(failure, Fault.ok({}))
            await there.forms({"file": io.BytesIO(BODY)})

    assert [form_file(request.body) for request in server.requests] == [BODY] * 8
    for request in server.requests:
        assert int(request.headers["content-length"]) == len(request.body)


async def test_a_file_goes_back_to_where_it_stood(shop):
    file = io.BytesIO(b"skipped " + BODY)
    file.seek(8)
    with fault_server(BUSY, BUSY, Fault.ok({})) as server:
        async with shop(server.url) as there:
            assert await there.read(file) == {}

    assert [request.body for request in server.requests] == [BODY] * 3


async def test_an_upload_of_a_web_framework_goes_back_too(shop):
    class Upload:
        def __init__(self) -> None:
            self.file = io.BytesIO(BODY)

        def read(self) -> bytes:
            return self.file.read()

    with fault_server(BUSY, Fault.ok({})) as server:
        async with shop(server.url) as there:
            assert await there.read(Upload()) == {}

    assert [request.body for request in server.requests] == [BODY] * 2


async def test_a_file_that_is_only_written_to_is_left_alone(shop, tmp_path):
    path = tmp_path / "log"
    with fault_server(BUSY, BUSY, Fault.ok({})) as server, path.open("wb") as target:
        async with shop(server.url) as there:
            assert await there.log(target) == {}

    assert path.read_bytes() == b"..."


@pytest.mark.parametrize(
    ("method", "make", "kind"),
    [
        ("send", async_pieces, "async_generator"),
        ("upper", async_pieces, "async_generator"),
        ("join", sync_pieces, "generator"),
        ("join", lambda: iter([b"one two", b" three"]), "list_iterator"),
        ("read", Pipe, "Pipe"),
        ("form", Pipe, "Pipe"),
        ("hidden", lambda: {"body": async_pieces()}, "async_generator"),
        ("forms", lambda: {"file": Pipe()}, "Pipe"),
    ],
)
async def test_what_can_be_read_once_is_sent_once(shop, failure, method, make, kind):
    with fault_server(failure, Fault.ok({})) as server:
        async with shop(server.url) as there:
            with pytest.raises(BodySpentError) as caught:
                await getattr(there, method)(make())

    (request,) = server.requests
    assert BODY in (request.body, request.body.lower(), form_file(request.body))
    message = str(caught.value)
    outcome = "status 503" if failure is BUSY else "Re"
    assert message.startswith(f"Shop: {method} was not called again after {outcome}")
    assert f"its body, {kind!r}, " in message
    assert message.endswith("put the retry around what makes the body.")
    assert caught.value.http_status == 502


MOVED = Fault.ok(status=307, location="/elsewhere")


async def test_what_can_be_read_once_does_not_follow_a_redirection_empty(library):
    with fault_server(MOVED, Fault.ok({})) as server:
        async with library.AsyncClient(follow_redirects=True) as client:
            with pytest.raises(BodySpentError):
                await Shop(server.url, client=client).send(async_pieces())

    (request,) = server.requests
    assert request.body == BODY


def test_what_can_be_read_once_follows_no_redirection_in_a_thread(library):
    client = library.Client(follow_redirects=True)
    with fault_server(MOVED, Fault.ok({})) as server, client:
        with pytest.raises(BodySpentError):
            Shop(server.url, client=client).sync_send(sync_pieces())
        server.play(MOVED, Fault.ok({}))
        assert Shop(server.url, client=client).sync_send(BODY) == {}

    assert [request.body for request in server.requests] == [BODY] * 3


@pytest.mark.parametrize("make", [sync_pieces, Pipe])
def test_what_can_be_read_once_is_sent_once_in_a_thread(sync_shop, failure, make):
    with fault_server(failure, Fault.ok({})) as server:
        there = sync_shop(server.url)
        with pytest.raises(BodySpentError):
            there.sync_send(make())
        server.play(failure, Fault.ok({}))
        with pytest.raises(BodySpentError):
            there.sync_form(Pipe())

    first, second = server.requests
    assert first.body == form_file(second.body) == BODY
    assert first.headers["transfer-encoding"] == "chunked"


async def test_the_failure_before_is_the_cause(shop, library):
    with fault_server(Fault.reset()) as server:
        async with shop(server.url) as there:
            with pytest.raises(BodySpentError) as caught:
                await there.send(async_pieces())

    assert isinstance(caught.value.__cause__, library.TransportError)


async def test_an_upload_that_fails_in_the_middle_is_not_completed(shop):
    async def failing() -> AsyncIterator[bytes]:
        yield b"one "
        raise OSError

    with fault_server(Fault.ok({})) as server:
        async with shop(server.url) as there:
            with pytest.raises(BodySpentError) as caught:
                await there.send(failing())

    assert isinstance(caught.value.__cause__, OSError)
    assert server.requests == []


async def test_a_body_that_nobody_has_begun_to_send_is_sent(shop):
    with fault_server(Fault.ok({})) as server:
        async with shop(server.url) as there:
            failures = [OSError("no route"), OSError("no route")]

            assert await there.late(async_pieces(), failures) == {}

    assert [request.body for request in server.requests] == [BODY]


async def test_no_connection_is_retried_with_the_body(shop):
    with socket.socket() as closed:  # Bound, but it does not listen.
        closed.bind(("127.0.0.1", 0))
        async with shop(f"http://127.0.0.1:{closed.getsockname()[1]}") as there:
            with pytest.raises(MaxRetriesExceededError, match="after 3 attempts"):
                await there.send(async_pieces())


async def test_a_closed_file_is_not_sent_again(shop):
    file = io.BytesIO(BODY)

    def closing(_: Any) -> None:
        file.close()

    unsubscribe = Shop.integration.subscribe(closing)
    with fault_server(BUSY, Fault.ok({})) as server:
        async with shop(server.url) as there:
            with pytest.raises(BodySpentError, match="cannot be read from its start"):
                await there.read(file)
    unsubscribe()

    assert [request.body for request in server.requests] == [BODY]


async def test_a_call_that_is_made_once_may_take_anything(shop):
    with fault_server(Fault.ok({})) as server:
        async with shop(server.url) as there:
            pieces = async_pieces()
            assert await there.once(pieces) == {}

    assert server.requests[0].body == BODY


async def test_a_refusal_is_not_counted_by_a_circuit(shop):
    with fault_server(Fault.reset(), Fault.ok({})) as server:
        async with shop(server.url) as there:
            with pytest.raises(BodySpentError):
                await there.guarded(async_pieces())

            assert await there.guarded(BODY) == {}


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("hedged", lambda: io.BytesIO(BODY)),
        ("hedged_hidden", lambda: {"file": io.BytesIO(BODY)}),
    ],
)
async def test_two_attempts_never_share_a_file(shop, method, argument):
    with fault_server(Fault.slow(0.3, {"a": 1}), Fault.ok({"a": 2})) as server:
        async with shop(server.url) as there:
            assert await getattr(there, method)(argument()) == {"a": 1}

    assert [form_file(request.body) for request in server.requests] == [BODY]


def test_two_threads_never_share_a_file(sync_shop):
    with fault_server(Fault.slow(0.3, {"a": 1}), Fault.ok({"a": 2})) as server:
        assert sync_shop(server.url).sync_hedged(io.BytesIO(BODY)) == {"a": 1}

    assert [request.body for request in server.requests] == [BODY]


async def test_mocks_see_a_spent_body_too(shop):
    answers = {Shop.send: respond(503)}

    with patch_integration(mock_rules=MockRules(answers)) as rules:
        async with shop("http://shop.test") as there:
            with pytest.raises(BodySpentError):
                await there.send(async_pieces())

    assert rules.count(Shop.send) == 2
