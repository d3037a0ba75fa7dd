"""Every way in which a server can fail ends in time, as an error that says so."""

import asyncio
import ssl
import time

import httpx
import httpx2
import pytest
import trustme
from pydantic import BaseModel

from accel_integration import (
    ApiHTTP,
    CircuitBreakerError,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
    MaxRetriesExceededError,
    ResponseStatusError,
    StabilityTimeoutError,
    sp,
)
from accel_integration.testing import FakeClock, Fault, fault_server

pytestmark = pytest.mark.anyio


class Upstream(EndpointsDeclaration):
    integration = IntegrationHTTP("Upstream")

    @integration.endpoint(HTTPMethod.get, "/plain")
    async def plain(api: ApiHTTP) -> dict:
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint(HTTPMethod.get, "/timed")
    @sp.Timeout(0.5)
    async def timed(api: ApiHTTP) -> dict:
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint(HTTPMethod.get, "/retried")
    @sp.RetryPattern(3, 0.5, statuses={429, 503})
    async def retried(api: ApiHTTP) -> dict:
        return await api.client.get(str(api.url))

    class Schema:
        class Answer(BaseModel):
            a: int

    @integration.endpoint(HTTPMethod.get, "/declared")
    @sp.RetryPattern(3, 0.5, statuses={503})
    async def declared(api: ApiHTTP) -> Schema.Answer:
        return await api.client.get(str(api.url))

    @integration.endpoint(HTTPMethod.get, "/guarded")
    @sp.CircuitBreaker(3, 60)
    async def guarded(api: ApiHTTP) -> dict:
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint(HTTPMethod.get, "/sync")
    @sp.Timeout(2)  # A first client has certificates to read.
    @sp.RetryPattern(2, 0)
    def sync(api: ApiHTTP) -> dict:
        return api.client.get(str(api.url)).json()


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request):
    return request.param


@pytest.fixture(autouse=True)
def _fresh_circuits():
    """Forget circuits of earlier tests, whose ports may come again."""
    for endpoint in Upstream.endpoints().values():
        endpoint.plan.reset()


@pytest.fixture
def connect(library):
    return lambda url: Upstream(url, client=library.AsyncClient)


async def test_a_good_server_answers(connect):
    with fault_server(Fault.ok({"a": 1})) as server:
        async with connect(server.url) as upstream:
            assert await upstream.plain() == {"a": 1}
            assert await upstream.plain() == {"a": 1}

    assert [r.path for r in server.requests] == ["/plain", "/plain"]


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.slow(30)], ids=repr)
async def test_a_server_that_takes_forever_is_given_up(connect, fault):
    with fault_server(fault) as server:
        async with connect(server.url) as upstream:
            start = time.monotonic()
            with pytest.raises(StabilityTimeoutError):
                await upstream.timed()

    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "fault", [Fault.reset(), Fault.truncated(), Fault.malformed()], ids=repr
)
async def test_broken_connections_are_errors_of_the_client(connect, library, fault):
    with fault_server(fault) as server:
        async with connect(server.url) as upstream:
            with pytest.raises(library.RequestError):
                await upstream.plain()


@pytest.mark.parametrize(
    "fault", [Fault.reset(), Fault.truncated(), Fault.malformed()], ids=repr
)
async def test_broken_connections_are_retried(connect, fault):
    with fault_server(fault, fault, Fault.ok({"a": 1})) as server:
        async with connect(server.url) as upstream:
            with FakeClock().drive(Upstream.retried):
                assert await upstream.retried() == {"a": 1}

    assert len(server.requests) == 3


async def test_a_failed_handshake_is_an_error_of_the_client(connect, library):
    with fault_server() as server:
        async with connect(server.tls_url) as upstream:
            with pytest.raises(library.ConnectError):
                await upstream.plain()


async def test_a_closed_port_is_an_error_of_the_client(connect, library):
    with fault_server() as server:
        url = server.url
    async with connect(url) as upstream:
        with pytest.raises(library.ConnectError):
            await upstream.plain()


async def test_busy_server_is_asked_again_when_it_says(connect):
    clock = FakeClock()
    busy = Fault.unavailable(retry_after=7), Fault.unavailable(429, retry_after=9)
    with fault_server(*busy, Fault.ok({"a": 1})) as server:
        async with connect(server.url) as upstream:
            with clock.drive(Upstream.retried):
                assert await upstream.retried() == {"a": 1}

    assert clock.sleeps == [7.0, 9.0]


async def test_busy_for_too_long_is_an_error_with_its_status(connect):
    with fault_server(Fault.unavailable(retry_after=3)) as server:
        async with connect(server.url) as upstream:
            with (
                FakeClock().drive(Upstream.declared),
                pytest.raises(ResponseStatusError) as caught,
            ):
                await upstream.declared()

    assert caught.value.status == 503
    assert caught.value.retry_after == 3.0
    assert caught.value.http_status == 502
    assert caught.value.body == '{"error": "busy"}'


async def test_flapping_server_does_not_open_the_circuit(connect, library):
    with fault_server(Fault.reset(), Fault.ok({}), cycle=True) as server:
        async with connect(server.url) as upstream:
            for _ in range(10):
                with pytest.raises(library.RequestError):
                    await upstream.guarded()
                await upstream.guarded()

    assert len(server.requests) == 20


async def test_down_server_opens_its_circuit_and_no_other(connect, library):
    with fault_server(Fault.reset()) as bad, fault_server(Fault.ok({})) as good:
        async with connect(bad.url) as one, connect(good.url) as other:
            for _ in range(3):
                with pytest.raises(library.RequestError):
                    await one.guarded()
            with pytest.raises(CircuitBreakerError):
                await one.guarded()
            assert await other.guarded() == {}

    assert len(bad.requests) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.reset(), MaxRetriesExceededError), (Fault.hang(), StabilityTimeoutError)],
    ids=["reset", "hang"],
)
def test_sync_endpoints_end_in_time_too(fault, error):
    with fault_server(fault) as server:
        upstream = Upstream(server.url)
        start = time.monotonic()
        with pytest.raises(error):
            upstream.sync()
        upstream.close()

    assert time.monotonic() - start < 10


async def test_deadline_caps_every_phase_of_a_request():
    seen = []

    def handler(request):
        seen.append(request.extensions["timeout"])
        return httpx.Response(200, json={})

    client = httpx.AsyncClient(transport=httpx.MockTransport(handler), timeout=0.1)
    patient = httpx.AsyncClient(transport=httpx.MockTransport(handler), timeout=None)
    async with client, patient:
        await Upstream("http://x", client=client).timed()
        await Upstream("http://x", client=patient).timed()
        await Upstream("http://x", client=patient).plain()

    short, long, unlimited = seen
    assert set(short.values()) == {0.1}
    assert all(0.1 < phase <= 0.6 for phase in long.values())
    assert set(unlimited.values()) == {None}


async def test_a_certificate_that_nobody_vouches_for_is_refused(connect, library):
    certificate = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    requests = []

    async def serve(reader, writer):
        requests.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server, connect(f"https://127.0.0.1:{port}") as upstream:
        with pytest.raises(library.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await upstream.plain()

    assert requests == []
