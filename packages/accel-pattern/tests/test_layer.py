"""The ASGI layer around a service."""

import logging

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient

from accel_pattern import RequestIdFilter, base_pattern, request_id


@pytest.fixture
def client(app):
    base_pattern(app)

    @app.get("/id")
    async def current() -> str:
        return request_id.get()

    with TestClient(app) as client:
        yield client


def test_measures_each_request(client):
    value = client.get("/id").headers["x-process-time"]

    number, unit = value.split()
    assert float(number) >= 0
    assert unit == "ms"


def test_takes_the_name_that_the_client_gave(client):
    response = client.get("/id", headers={"X-Request-ID": "web-1:42"})

    assert response.json() == "web-1:42"
    assert response.headers["x-request-id"] == "web-1:42"


@pytest.mark.parametrize("name", ["a b", "x" * 129, "a\tb", "", "é"])
def test_refuses_a_name_that_does_not_belong_into_a_log(client, name):
    response = client.get("/id", headers={"X-Request-ID": name.encode()})

    assert response.json() == response.headers["x-request-id"]
    assert len(response.json()) == 32


def test_name_is_known_to_the_log(client):
    record = logging.LogRecord("x", 20, "x", 1, "x", (), None)

    RequestIdFilter().filter(record)

    assert record.request_id == "-"
    assert request_id.get() == "-"


def test_debug_logs_one_line_per_request(app, caplog):
    base_pattern(app, debug=True)
    caplog.set_level(logging.INFO, "accel_pattern.requests")

    with TestClient(app) as client:
        client.get("/livez?a=1")

    assert '"GET /livez?a=1" - 200 - [' in caplog.text


def test_websocket_passes(app):
    base_pattern(app)

    @app.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    with TestClient(app).websocket_connect("/ws") as socket:
        socket.send_text("hi")

        assert socket.receive_text() == "hi"


def test_crash_reaches_the_server_as_well(app):
    """The client gets a document, the server's log gets the traceback."""
    base_pattern(app)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        TestClient(app).get("/crash")


def test_app_without_the_pattern_is_untouched():
    plain = FastAPI()

    @plain.get("/")
    async def index() -> str:
        return request_id.get()

    assert TestClient(plain).get("/").json() == "-"


def test_crash_tells_the_client_not_to_use_the_connection_again(app):
    """The server closes it, and a request that is on its way would fail."""
    base_pattern(app)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("boom")

    client = TestClient(app, raise_server_exceptions=False)

    assert client.get("/crash").headers["connection"] == "close"
    assert "connection" not in client.get("/livez").headers
