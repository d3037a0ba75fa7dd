"""The same request by a bare client and by endpoints, to a server in a process apart."""

import atexit
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
    sp,
)

ENDLESS = 1e9


class Measured(EndpointsDeclaration):
    integration = IntegrationHTTP("Measured")

    class Schema:
        class Message(BaseModel):
            id: int
            text: str

    @integration.endpoint(HTTPMethod.get, "/message")
    async def plain(api: ApiHTTP) -> Schema.Message:
        return (await api.client.get(api.url.geturl())).json()

    @integration.endpoint(HTTPMethod.get, "/message")
    @sp.Timeout(5)
    @sp.RetryPattern()
    @sp.CircuitBreaker()
    @sp.Throttling(ENDLESS)
    async def guarded(api: ApiHTTP) -> Schema.Message:
        return (await api.client.get(api.url.geturl())).json()


def prepare() -> tuple[Callable[[], Any], dict[str, Callable[[], Any]]]:
    """Start the server; return the bare call, and those of the endpoints by name."""
    script = Path(__file__).with_name("server.py")
    # It lives as long as the process that measures.
    server = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    atexit.register(server.kill)
    assert server.stdout is not None
    base_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    client = httpx.AsyncClient()
    api = Measured(base_url)

    async def bare() -> Any:
        response = await client.get(f"{base_url}/message")
        return response.json()

    return bare, {"endpoint": api.plain, "endpoint, all four": api.guarded}
