"""The session of a request: shared, replaceable, and closed whatever happens."""

import asyncio
import inspect
import re

import fastapi.routing
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from sqlalchemy import select

from accel_db import MainDatabaseManager, OrmAsync
from accel_db._fastapi import AFTER_RESPONSE, BEFORE_RESPONSE
from accel_viewset import AppOrm, FullViewSet

from .models import Note
from .schemas import NoteOut

pytestmark = pytest.mark.anyio
ORM = Depends(AppOrm.aget_orm)


class Notes(FullViewSet):
    db_model = Note
    pydantic_model = NoteOut


@pytest.fixture
def app(db):
    made = FastAPI()
    made.state.DATABASE_MANAGER = db
    return made


def checked_out(db):
    return db.aengine.pool.checkedout()


async def test_what_is_not_committed_is_rolled_back(app, browse, db):
    @app.post("/")
    async def forget(aorm: OrmAsync = ORM) -> int:
        aorm.session.add(Note(text="lost"))
        await aorm.session.flush()
        return checked_out(db)

    async with browse(app) as web:
        during = (await web.post("/")).json()

    assert (during, checked_out(db)) == (1, 0)
    async with db.asession() as session:
        assert await OrmAsync(session).count(select(Note)) == 0


async def test_a_failing_endpoint_gives_its_connection_back(app, browse, db):
    @app.post("/")
    async def fail(aorm: OrmAsync = ORM) -> None:
        await aorm.session.execute(select(Note))
        raise RuntimeError

    async with browse(app) as web:
        answer = await web.post("/")

    assert (answer.status_code, checked_out(db)) == (500, 0)


async def test_a_streaming_response_may_read_again(app, browse, db):
    seen = []

    @app.get("/")
    async def stream(aorm: OrmAsync = ORM) -> StreamingResponse:
        await aorm.session.execute(select(Note))

        async def body():
            seen.append(checked_out(db))
            await aorm.session.execute(select(Note))
            seen.append(checked_out(db))
            yield b"x"

        return StreamingResponse(body())

    async with browse(app) as web:
        await web.get("/")

    assert (seen, checked_out(db)) == ([0, 1], 0)


async def test_a_cancelled_request_gives_its_connection_back(app, browse, db):
    reached = asyncio.Event()

    @app.get("/")
    async def wait(aorm: OrmAsync = ORM) -> None:
        await aorm.session.execute(select(Note))
        reached.set()
        await asyncio.Event().wait()

    async with browse(app) as web:
        task = asyncio.create_task(web.get("/"))
        await reached.wait()
        held = checked_out(db)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert (held, checked_out(db)) == (1, 0)


async def test_dependencies_and_endpoint_share_it(serve, sqlite):
    seen = []

    async def look(aorm: OrmAsync = ORM) -> None:
        seen.append(aorm)

    class Shared(Notes):
        dependencies = (Depends(look),)

        async def db_create(self, item, aorm):
            seen.append(aorm)
            return await super().db_create(item, aorm)

    async with serve(Shared) as web:
        await web.post("/x", json={"text": "a"})

    assert len(seen) == 2
    assert seen[0] is seen[1]


async def test_a_test_may_override_it(app, browse, db):
    async def other(request: Request):
        async with db.asession.begin() as session:
            session.add(Note(text=f"by {request.method}"))
            await session.flush()
            yield OrmAsync(session)

    router = fastapi.APIRouter()
    Notes().as_view(router, "/note")
    app.include_router(router)
    app.dependency_overrides[AppOrm.aget_orm] = other
    async with browse(app) as web:
        notes = (await web.get("/note")).json()

    assert [note["text"] for note in notes] == ["by GET"]


async def test_a_manager_may_provide_it_in_its_own_way(app, browse, db, monkeypatch):
    states = []

    async def aget_orm(self, request=None):
        async with self.asession() as session:
            states.append("open")
            yield OrmAsync(session)
        states.append("closed")

    monkeypatch.setattr(MainDatabaseManager, "aget_orm", aget_orm)

    @app.get("/")
    async def read(aorm: OrmAsync = ORM) -> int:
        return await aorm.count(select(Note))

    async with browse(app) as web:
        answer = await web.get("/")

    assert (answer.json(), states) == (0, ["open", "closed"])


@pytest.mark.parametrize("key", ["BEFORE_RESPONSE", "AFTER_RESPONSE"])
async def test_without_fastapis_keys_calls_still_commit(
    serve, sqlite, monkeypatch, key
):
    monkeypatch.setattr(f"accel_db._fastapi.{key}", "gone")

    async with serve(Notes) as web:
        created = await web.post("/x", json={"text": "a"})
        read = await web.get(created.headers["location"])

    assert (read.json(), checked_out(sqlite)) == ({"id": 1, "text": "a"}, 0)


async def test_websockets_have_one_too(app, db):
    @app.websocket("/")
    async def socket(websocket: WebSocket, aorm: OrmAsync = ORM) -> None:
        await websocket.accept()
        await aorm.session.execute(select(Note))
        await websocket.send_text(f"{checked_out(db)}")

    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message.get("text"))

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    await app(scope, receive, send)

    assert "1" in sent
    assert checked_out(db) == 0


def test_fastapi_still_keeps_both_stacks_under_our_keys():
    source = inspect.getsource(fastapi.routing.request_response)

    assert re.search(
        rf'scope\["{AFTER_RESPONSE}"\] = request_stack.+'
        rf'scope\["{BEFORE_RESPONSE}"\] = function_stack\s+'
        r"response = await f\(request\)\s+await response\(scope, receive, send\)",
        source,
        re.DOTALL,
    )
