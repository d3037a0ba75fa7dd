"""Pooled clients: one for each loop and process, which keep nothing of a caller."""

import asyncio
import gc
import subprocess
import sys
import warnings
import weakref

import httpx
import pytest

from accel_integration import ApiHTTP, EndpointsDeclaration, IntegrationHTTP
from accel_integration.testing import Fault, fault_server

LOGIN = Fault.ok("hello", set_cookie="session=alice; Path=/")


class It(EndpointsDeclaration):
    integration = IntegrationHTTP("It")

    @integration.endpoint("get", "/")
    async def get(api: ApiHTTP) -> str:
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint("get", "/")
    def sync(api: ApiHTTP) -> str:
        return api.client.get(str(api.url)).json()

    @integration.endpoint("get", "/")
    async def close_it(api: ApiHTTP) -> str:
        async with api.client as client:
            return (await client.get(str(api.url))).json()

    @integration.endpoint("get", "/")
    def close_it_sync(api: ApiHTTP) -> str:
        with api.client as client:
            return client.get(str(api.url)).json()


@pytest.mark.anyio
async def test_no_caller_sends_the_cookies_that_another_one_got():
    with fault_server(LOGIN) as server:
        async with It(server.url) as it:
            await it.get()
            await it.get()
            it.sync()
            it.sync()

    assert ["cookie" in request.headers for request in server.requests] == [False] * 4


@pytest.mark.anyio
async def test_a_client_of_ones_own_keeps_cookies():
    with fault_server(LOGIN) as server:
        async with It(server.url, client=httpx.AsyncClient) as it:
            await it.get()
            await it.get()

    assert server.requests[1].headers["cookie"] == "session=alice"


@pytest.mark.anyio
async def test_an_endpoint_may_close_what_it_got():
    with fault_server(Fault.ok("hello")) as server:
        async with It(server.url) as it:
            answers = [await it.close_it(), await it.close_it(), await it.get()]
            answers += [it.close_it_sync(), it.close_it_sync(), it.sync()]

    assert answers == ["hello"] * 6


def test_clients_of_loops_that_are_over_are_not_kept():
    clients = []

    def client():
        made = httpx.AsyncClient()
        clients.append(weakref.ref(made))
        return made

    with fault_server(Fault.ok("hello")) as server, warnings.catch_warnings():
        # Their connections were never closed, of which Python tells.
        warnings.simplefilter("ignore", ResourceWarning)
        it = It(server.url, client=client)
        for _ in range(5):
            asyncio.run(it.get())
        gc.collect()
        alive = [ref for ref in clients if ref() is not None]
        del it
        gc.collect()

    assert len(clients) == 5
    assert len(alive) <= 1


FORK = """
import os
from accel_integration import EndpointsDeclaration, ApiHTTP, IntegrationHTTP

class It(EndpointsDeclaration):
    integration = IntegrationHTTP("It")

    @integration.endpoint("get", "/")
    def client_of(api: ApiHTTP) -> object:
        return api.client

it = It("http://it")
ours = it.client_of()
assert it.client_of() is ours
if (child := os.fork()) == 0:
    theirs = it.client_of()
    os._exit(0 if theirs is not ours and it.client_of() is theirs else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_has_connections_of_its_own():
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "0"
