"""What FastAPI does with our dependencies, at the version that is installed."""

# ruff: noqa: B008, PLR0913, PLR0917  # dependencies are written as FastAPI reads them

import inspect
import re

import anyio
import fastapi.routing
import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from accel_db import DatabaseError, Orm, OrmAsync
from accel_db._fastapi import BEFORE_RESPONSE

from .models import Thing

pytestmark = pytest.mark.anyio


class World:
    """An application with one model, and what was sent when."""

    def __init__(self, manager):
        self.manager = manager
        self.log = []
        self.app = FastAPI()
        self.Thing = Thing

        @self.app.exception_handler(DatabaseError)
        async def handle(_request, exc):
            return JSONResponse({"detail": str(exc)}, exc.http_status)

    async def __call__(self, scope, receive, send):
        async def logged(message):
            if message["type"] == "http.response.start":
                self.log.append(f"{message['status']} rows={self.rows()}")
            await send(message)

        await self.app(scope, receive, logged)

    def rows(self):
        with self.manager.session() as session:
            return Orm(session).count(select(self.Thing))

    def client(self):
        transport = httpx2.ASGITransport(self, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
async def world(db):
    yield World(db)
    await db.adispose()


async def test_the_commit_comes_before_the_response(world):
    @world.app.post("/async")
    async def create(
        session: AsyncSession = Depends(world.manager.aget_session_transaction),
    ) -> dict:
        session.add(world.Thing(name="a"))
        return {}

    @world.app.post("/sync")
    def create_sync(
        session: Session = Depends(world.manager.get_session_transaction),
    ) -> dict:
        session.add(world.Thing(name="b"))
        return {}

    async with world.client() as client:
        await client.post("/async")
        await client.post("/sync")

    assert world.log == ["200 rows=1", "200 rows=2"]


async def test_a_commit_that_fails_is_no_success(world):
    """A deferred constraint fails at the commit: the client must not read 200."""

    @world.app.post("/async")
    async def create(
        session: AsyncSession = Depends(world.manager.aget_session_transaction),
    ) -> dict:
        session.add(world.Thing(name="a", parent_id=99))
        return {}

    @world.app.post("/sync")
    def create_sync(
        session: Session = Depends(world.manager.get_session_transaction),
    ) -> dict:
        session.add(world.Thing(name="a", parent_id=99))
        return {}

    async with world.client() as client:
        answers = [await client.post("/async"), await client.post("/sync")]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert world.rows() == 0


@pytest.mark.parametrize("half", ["async", "sync"])
async def test_errors_roll_back(world, half):
    @world.app.post("/async/{how}")
    async def create(
        how: str,
        session: AsyncSession = Depends(world.manager.aget_session_transaction),
    ) -> int:
        session.add(world.Thing(name="a"))
        await session.flush()
        return fail(how)

    @world.app.post("/sync/{how}")
    def create_sync(
        how: str, session: Session = Depends(world.manager.get_session_transaction)
    ) -> int:
        session.add(world.Thing(name="a"))
        session.flush()
        return fail(how)

    def fail(how):
        if how == "http":
            raise HTTPException(418)
        if how == "crash":
            raise RuntimeError
        return "no integer"

    async with world.client() as client:
        codes = [
            (await client.post(f"/{half}/{how}")).status_code
            for how in ("http", "crash", "invalid")
        ]

    assert codes == [418, 500, 500]
    assert world.rows() == 0


async def test_orm_calls_commit_by_themselves(world):
    class Out(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        id: int
        name: str

    @world.app.post("/async")
    async def create(aorm: OrmAsync = Depends(world.manager.aget_orm)) -> Out:
        return await aorm.create_item(world.Thing(name="a"))

    @world.app.post("/sync")
    def create_sync(orm: Orm = Depends(world.manager.get_orm)) -> Out:
        return orm.create_item(world.Thing(name="b"))

    async with world.client() as client:
        names = [
            (await client.post(f"/{half}")).json()["name"] for half in ("async", "sync")
        ]

    assert names == ["a", "b"]
    assert world.log == ["200 rows=1", "200 rows=2"]


async def test_the_sync_example_of_the_seed(world):
    class Out(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        name: str

    with world.manager.session.begin() as session:
        session.add_all([world.Thing(name="a"), world.Thing(name="b")])

    @world.app.get("/file-sync")
    async def get_file_sync(
        session: Session = Depends(world.manager.get_session),
    ) -> list[Out]:
        skip = 0
        limit = 100
        return session.query(world.Thing).offset(skip).limit(limit).all()

    async with world.client() as client:
        answer = await client.get("/file-sync")

    assert [row["name"] for row in answer.json()] == ["a", "b"]


@pytest.mark.parametrize(
    "name",
    ["aget_session", "aget_session_transaction", "aget_orm", "get_session", "get_orm"],
)
async def test_a_streaming_response_holds_no_connection(world, name):
    manager = world.manager
    seen = []

    @world.app.get("/")
    async def stream(session=Depends(getattr(manager, name))) -> StreamingResponse:
        if name == "aget_orm":
            await session.get_list(select(world.Thing))
        elif name.startswith("aget"):
            await session.execute(select(world.Thing))
        else:
            getattr(session, "session", session).execute(select(world.Thing))

        async def body():
            seen.append(
                (manager.engine.pool.checkedout(), manager.aengine.pool.checkedout())
            )
            yield b"x"

        return StreamingResponse(body())

    async with world.client() as client:
        await client.get("/")

    assert seen == [(0, 0)]


async def test_a_background_write_is_committed_too(world):
    @world.app.post("/")
    async def create(
        session: AsyncSession = Depends(world.manager.aget_session_transaction),
    ) -> StreamingResponse:
        async def body():
            session.add(world.Thing(name="late"))
            yield b"x"

        return StreamingResponse(body())

    async with world.client() as client:
        await client.post("/")

    assert world.rows() == 1


async def test_openapi_shows_no_parameter(world):
    manager = world.manager

    @world.app.get("/")
    async def everything(
        a=Depends(manager.get_session),
        b=Depends(manager.get_session_transaction),
        c=Depends(manager.get_orm),
        d=Depends(manager.aget_session),
        e=Depends(manager.aget_session_transaction),
        f=Depends(manager.aget_orm),
    ) -> None: ...

    operation = world.app.openapi()["paths"]["/"]["get"]

    assert "parameters" not in operation
    assert "requestBody" not in operation


async def test_dependency_overrides_work(world):
    @world.app.get("/")
    async def read(aorm=Depends(world.manager.aget_orm)) -> str:
        return aorm

    world.app.dependency_overrides[world.manager.aget_orm] = lambda: "overridden"
    async with world.client() as client:
        answer = await client.get("/")

    assert answer.json() == "overridden"


async def test_generators_work_without_fastapi(world):
    manager = world.manager
    async for session in manager.aget_session_transaction():
        session.add(world.Thing(name="a"))
    async for aorm in manager.aget_orm():
        await aorm.create_item(world.Thing(name="b"))
    async for session in manager.aget_session():
        session.add(world.Thing(name="not committed"))
    for session in manager.get_session_transaction():
        session.add(world.Thing(name="c"))
    for orm in manager.get_orm():
        orm.create_item(world.Thing(name="d"))
    for session in manager.get_session():
        session.add(world.Thing(name="not committed"))

    assert world.rows() == 4


async def test_without_fastapis_key_the_teardown_commits(world, monkeypatch):
    monkeypatch.setattr("accel_db._fastapi.BEFORE_RESPONSE", "gone")

    @world.app.post("/")
    async def create(
        session: AsyncSession = Depends(world.manager.aget_session_transaction),
    ) -> None:
        session.add(world.Thing(name="a"))

    async with world.client() as client:
        await client.post("/")

    assert world.log == ["200 rows=0"]
    assert world.rows() == 1


async def test_websockets_commit(world):
    @world.app.websocket("/")
    async def socket(
        websocket: WebSocket,
        session: AsyncSession = Depends(world.manager.aget_session_transaction),
    ) -> None:
        await websocket.accept()
        session.add(world.Thing(name="a"))
        await websocket.send_text("done")

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message.get("text"))

    await world.app(scope, receive, send)

    assert "done" in sent
    assert world.rows() == 1


async def test_parallel_requests_do_not_share_sessions(world):
    @world.app.post("/{number}")
    async def create(
        number: int,
        session: AsyncSession = Depends(world.manager.aget_session_transaction),
    ) -> None:
        session.add(world.Thing(name=f"{number}"))
        await session.flush()
        if number % 3 == 0:
            raise HTTPException(400)

    async with world.client() as client, anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(client.post, f"/{number}")

    assert world.rows() == 20


def test_fastapi_still_keeps_the_stack_under_our_key():
    source = inspect.getsource(fastapi.routing.request_response)

    assert re.search(
        rf"async with AsyncExitStack\(\) as function_stack:\s+"
        rf'scope\["{BEFORE_RESPONSE}"\] = function_stack\s+response = await f\(request\)',
        source,
    )


@pytest.mark.parametrize("known", [True, False])
async def test_a_dependency_that_returns_gives_its_connection_back(
    world, monkeypatch, known
):
    if not known:
        monkeypatch.setattr("accel_db._fastapi.AFTER_RESPONSE", "gone")
    manager = world.manager

    async def provide(request: Request) -> OrmAsync:
        return await manager.orm_of(request)

    @world.app.post("/")
    async def create(aorm: OrmAsync = Depends(provide)) -> None:
        await aorm.create_item(world.Thing(name="a"))
        await aorm.get_list(select(world.Thing))

    async with world.client() as client:
        await client.post("/")

    assert world.rows() == 1
    assert manager.aengine.pool.checkedout() == 0
