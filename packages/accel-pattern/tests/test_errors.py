"""What a client reads when something goes wrong."""

import asyncio
import json
import logging

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import make_url, text

import accel_pattern
from accel_db import DatabaseError, MainDatabaseManager, NotFound
from accel_db.testing import postgres_server
from accel_integration import CircuitBreakerError
from accel_pattern import (
    HTTPException401,
    HTTPException403,
    HTTPException404,
    MissingStateError,
    base_pattern,
)

MEMBERS = {
    *("type", "title", "status", "detail", "instance"),
    *("context", "error_id", "datetime", "http_method", "request_path"),
}
DEBUG_MEMBERS = {"host", "query_params", "user-agent", "traceback"}


class Login(BaseModel):
    name: str
    password: int


@pytest.fixture
def client(app, browse):
    base_pattern(app)

    @app.get("/forbidden")
    async def forbidden() -> None:
        raise HTTPException403

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, {"kind": "oolong"}, {"X-Tea": "yes"})

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("secret: hunter2")

    @app.get("/gone")
    async def gone() -> None:
        raise HTTPException(304)

    @app.post("/login")
    async def login(login: Login) -> str:
        return login.name

    return browse(raise_server_exceptions=False)


def test_every_error_has_one_shape(client):
    answers = [
        client.get("/forbidden"),
        client.get("/nowhere"),
        client.put("/login"),
        client.post("/login", json={}),
        client.get("/teapot"),
        client.get("/crash"),
    ]

    assert [a.status_code for a in answers] == [403, 404, 405, 422, 418, 500]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"]
        assert set(answer.json()) == MEMBERS
        assert answer.json()["status"] == answer.status_code


def test_says_what_the_handler_said(client):
    assert client.get("/forbidden").json()["detail"] == HTTPException403.detail
    teapot = client.get("/teapot")
    assert teapot.json()["detail"] == {"kind": "oolong"}
    assert teapot.headers["x-tea"] == "yes"


def test_repeats_nothing_that_may_be_secret(client):
    crash = client.get("/crash?token=hunter2", headers={"User-Agent": "hunter2"})
    invalid = client.post("/login", json={"name": "me", "password": "hunter2"})

    assert "hunter2" not in crash.text
    assert "hunter2" not in invalid.text
    assert invalid.json()["detail"][0]["loc"] == ["body", "password"]


def test_debug_shows_the_query_and_the_traceback(app, browse):
    base_pattern(app, debug=True)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("boom")

    client = browse(raise_server_exceptions=False)
    answer = client.get("/crash?a=1").json()

    assert set(answer) == MEMBERS | DEBUG_MEMBERS
    assert answer["query_params"] == {"a": "1"}
    assert "RuntimeError: boom" in answer["traceback"]


def test_error_id_is_in_the_log(client, caplog):
    caplog.set_level(logging.INFO, "accel_pattern.errors")

    error_id = client.get("/nowhere").json()["error_id"]

    assert any(error_id in record.getMessage() for record in caplog.records)


def test_status_without_a_body_has_none(client):
    response = client.get("/gone")

    assert response.status_code == 304
    assert response.content == b""


def test_missing_host_header_is_no_crash(app):
    """An HTTP/1.0 client sends none."""
    base_pattern(app, debug=True)

    status, _ = ask(app, http_version="1.0", headers=[], client=None)

    assert status == 404


def ask(app, **changes):
    """Call *app* as a server does that lets pass what a client library would not."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "http_version": "1.1",
        "scheme": "http",
        "path": "/nowhere",
        "raw_path": b"/nowhere",
        "query_string": b"",
        "headers": [(b"host", b"x")],
        "root_path": "",
        "client": ("192.0.2.1", 9),
        "server": ("127.0.0.1", 80),
        **changes,
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "hostile",
    [
        {"query_string": b"q=\xff"},
        {"path": "/caf\udce9"},
        {"headers": [(b"host", b"[")]},
        {"headers": [(b"host", b"\xff"), (b"user-agent", b"\xff")]},
    ],
)
def test_what_is_no_utf_8_is_no_crash(app, debug, hostile):
    base_pattern(app, debug=debug)

    status, answer = ask(app, **hostile)

    assert (status, answer["status"]) == (404, 404)


def test_a_path_forges_no_line_of_the_log(app, caplog):
    base_pattern(app)
    caplog.set_level(logging.INFO, "accel_pattern.errors")

    _, answer = ask(app, path='/a\r\n\x1b[31m" - 200\x00\u2028жя?c')

    shown = "/a%0D%0A%1B[31m%22 - 200%00%E2%80%A8жя%3Fc"
    assert answer["context"] == f'192.0.2.1:9 - "GET {shown}" - 404'
    assert caplog.messages[0].startswith(answer["context"])


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"name": NaN, "password": NaN}', "application/json"),
        (b'{"name": "\\ud800", "password": "\\ud800"}', "application/json"),
        (b'{"\\ud800": 1}', "application/json"),
        (b"\xff\xfe", "text/plain"),
    ],
)
def test_input_that_json_can_not_repeat_is_no_crash(app, browse, debug, body, kind):
    base_pattern(app, debug=debug)

    @app.post("/login")
    async def login(login: Login) -> str:
        return login.name

    answer = browse().post("/login", content=body, headers={"Content-Type": kind})

    assert answer.status_code == 422
    assert answer.json()["status"] == 422


@pytest.mark.parametrize("detail", ["half \ud800", {"ratio": float("nan")}, b"\xff"])
def test_detail_that_json_can_not_say_is_no_crash(app, browse, detail):
    base_pattern(app)

    @app.get("/odd")
    async def odd() -> None:
        raise HTTPException(404, detail)

    assert browse().get("/odd").status_code == 404


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_http_exceptions_go_by_their_name(status):
    error = getattr(accel_pattern, f"HTTPException{status}")()

    assert error.status_code == status
    assert error.detail
    assert getattr(accel_pattern, f"HTTPException{status}")("why").detail == "why"


def test_401_carries_a_challenge():
    assert HTTPException401().headers == {"WWW-Authenticate": "Bearer"}
    assert HTTPException401(headers={"WWW-Authenticate": "Basic"}).headers == {
        "WWW-Authenticate": "Basic"
    }
    lower = {"www-authenticate": "Basic"}
    assert HTTPException401(headers=lower).headers == lower
    assert HTTPException404().headers is None


class TestErrorsOfTheOtherPackages:
    def test_missing_row_is_404(self, app, browse):
        base_pattern(app)

        @app.get("/")
        async def read() -> None:
            raise NotFound("User", 7)

        answer = browse().get("/")

        assert answer.status_code == 404
        assert "User" in answer.json()["detail"]

    def test_open_breaker_is_503_with_retry_after(self, app, browse):
        base_pattern(app)
        error = CircuitBreakerError.__new__(CircuitBreakerError)
        error.retry_after = 2.3

        @app.get("/")
        async def call() -> None:
            raise error

        answer = browse().get("/")

        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "3"


def test_state_that_is_missing_says_where_to_set_it():
    with pytest.raises(MissingStateError, match=r"`app\.state\.TIMEZONE` is not set"):
        accel_pattern.TIMEZONE(FastAPI())


def test_handlers_of_the_application_stay(app, browse):
    @app.exception_handler(HTTPException)
    async def plain(request, exc):
        return JSONResponse({"mine": exc.detail}, exc.status_code)

    @app.exception_handler(RequestValidationError)
    async def invalid(request, exc):
        return JSONResponse({"mine": "invalid"}, 400)

    @app.exception_handler(DatabaseError)
    async def database(request, exc):
        return JSONResponse({"mine": str(exc)}, exc.http_status)

    base_pattern(app)

    @app.get("/teapot")
    async def teapot(cups: int = 1) -> None:
        raise HTTPException(418, "tea")

    @app.get("/row")
    async def row() -> None:
        raise NotFound("Row", 9)

    client = browse()

    assert client.get("/teapot").json() == {"mine": "tea"}
    assert client.get("/teapot?cups=x").json() == {"mine": "invalid"}
    assert "9" in client.get("/row").json()["mine"]


class TestRawSessions:
    """What a session raises outside of `Orm`: the same 503 as inside."""

    @pytest.fixture
    def answer(self):
        def ask(endpoint, manager):
            app = base_pattern(FastAPI(), database_manager=manager)
            app.get("/raw")(endpoint)
            with TestClient(app, raise_server_exceptions=False) as client:
                return client.get("/raw")

        return ask

    @pytest.mark.parametrize("half", ["session", "asession"])
    def test_database_that_is_away(self, answer, half, caplog):
        url = "postgresql://me:hunter2@127.0.0.1:1/shop"
        manager = MainDatabaseManager(url, name=f"away {half}")

        async def raw():
            if half == "session":
                with manager.session() as session:
                    session.scalar(text("SELECT 1"))
            async with manager.asession() as session:
                await session.scalar(text("SELECT 1"))

        response = answer(raw, manager)

        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert "refused" in caplog.text.lower()
        assert "hunter2" not in caplog.text + response.text

    def test_database_that_the_server_does_not_know(self, answer, caplog):
        with postgres_server() as server:
            url = make_url(server).set(password="hunter2", database="nowhere")
            manager = MainDatabaseManager(url, name="unknown to its server")

            async def raw():
                async with manager.asession() as session:
                    await session.scalar(text("SELECT 1"))

            response = answer(raw, manager)

        assert response.status_code == 503
        assert 'database "nowhere" does not exist' in caplog.text
        assert "nowhere" not in response.text
        assert "hunter2" not in caplog.text + response.text

    def test_pool_that_is_exhausted(self, answer, tmp_path):
        manager = MainDatabaseManager(
            f"sqlite:///{tmp_path}/small.db",
            name="small pool",
            pool_size=1,
            max_overflow=0,
            pool_timeout=0.01,
        )

        def raw():
            with manager.engine.connect(), manager.session() as session:
                session.scalar(text("SELECT 1"))

        response = answer(raw, manager)

        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"

    def test_statement_that_exceeds_its_budget(self, answer):
        with postgres_server() as url:
            manager = MainDatabaseManager(url, name="slow", statement_timeout=0.05)

            async def raw():
                async with manager.asession() as session:
                    await session.execute(text("SELECT pg_sleep(5)"))

            response = answer(raw, manager)

        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"

    def test_mistakes_stay_crashes(self, answer):
        manager = MainDatabaseManager("sqlite://", name="mistaken")

        def wrong_statement():
            with manager.session() as session:
                session.execute(text("SELEKT"))

        def other_system():
            raise ConnectionRefusedError

        statuses = [
            answer(endpoint, manager).status_code
            for endpoint in (wrong_statement, other_system)
        ]

        assert statuses == [500, 500]
