"""Creating once."""

import anyio
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.security import APIKeyHeader
from sqlalchemy import select

from accel_db import OrmAsync
from accel_viewset import FullViewSet, MemoryIdempotency, RedisIdempotency

from .models import Note, User, db as manager
from .schemas import NoteOut, UserOut

pytestmark = pytest.mark.anyio
KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


@pytest.fixture(params=["memory", "valkey"])
def store(request):
    if request.param == "memory":
        return MemoryIdempotency()
    return RedisIdempotency(request.getfixturevalue("redis_client"))


@pytest.fixture
def notes(store):
    class Notes(FullViewSet):
        db_model = Note
        pydantic_model = NoteOut
        idempotent_create = store

    return Notes


async def count():
    async with manager.asession() as session:
        return await OrmAsync(session).count(select(Note))


async def test_repeated_create_creates_once(sqlite, notes, serve):
    async with serve(notes) as web:
        first = await web.post("/x", json={"text": "t"}, headers=KEY)
        again = await web.post("/x", json={"text": "t"}, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await count() == 1


async def test_key_with_another_payload_is_422(sqlite, notes, serve):
    async with serve(notes) as web:
        await web.post("/x", json={"text": "t"}, headers=KEY)
        other = await web.post("/x", json={"text": "u"}, headers=KEY)

    assert other.status_code == 422
    assert "another payload" in other.json()["detail"][0]["msg"]


async def test_key_of_another_client_is_another_key(sqlite, notes, serve):
    async with serve(notes) as web:
        for name in ("ann", "bo"):
            headers = {**KEY, "authorization": name}
            answer = await web.post("/x", json={"text": name}, headers=headers)

            assert answer.json()["text"] == name


async def test_repeated_create_has_the_headers_of_its_dependencies(
    sqlite, notes, serve
):
    calls = []

    async def rate(response: Response):
        calls.append(1)
        response.headers["RateLimit"] = str(len(calls))

    notes.dependencies = (Depends(rate),)
    async with serve(notes) as web:
        answers = [
            await web.post("/x", json={"text": "t"}, headers=KEY) for _ in range(2)
        ]

    assert [a.headers.get_list("ratelimit") for a in answers] == [["1"], ["2"]]


async def test_create_without_a_key_always_creates(sqlite, notes, serve):
    async with serve(notes) as web:
        for _ in range(2):
            await web.post("/x", json={"text": "t"})

    assert await count() == 2


async def test_failed_create_may_be_repeated(sqlite, store, serve, add):
    class Users(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        idempotent_create = store

    user = await add(User(email="a@b"))
    async with serve(Users) as web:
        failed = await web.post("/x", json={"email": "a@b"}, headers=KEY)
        await web.delete(f"/x/{user.id}")
        created = await web.post("/x", json={"email": "a@b"}, headers=KEY)

    assert (failed.status_code, created.status_code) == (409, 201)


async def test_key_in_flight_is_409(sqlite, store, serve):
    started, go_on = anyio.Event(), anyio.Event()

    class Slow(FullViewSet):
        db_model = Note
        pydantic_model = NoteOut
        idempotent_create = store

        async def db_create(self, item, aorm):
            started.set()
            await go_on.wait()
            return await super().db_create(item, aorm)

    answers = []
    async with serve(Slow) as web, anyio.create_task_group() as group:

        async def create():
            answers.append(await web.post("/x", json={"text": "t"}, headers=KEY))

        group.start_soon(create)
        await started.wait()
        second = await web.post("/x", json={"text": "t"}, headers=KEY)
        go_on.set()

    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    assert [answer.status_code for answer in answers] == [201]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "x" * 256}])
async def test_missing_or_unusable_key_is_400(sqlite, serve, headers):
    class Strict(FullViewSet):
        db_model = Note
        pydantic_model = NoteOut
        idempotent_create = MemoryIdempotency(required=True)

    async with serve(Strict) as web:
        answer = await web.post("/x", json={"text": "t"}, headers=headers)

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]


async def test_memory_forgets_old_and_many_keys(sqlite, serve):
    now = 0.0
    store = MemoryIdempotency(ttl=10, size=2, clock=lambda: now)

    class Notes(FullViewSet):
        db_model = Note
        pydantic_model = NoteOut
        idempotent_create = store

    async with serve(Notes) as web:

        async def create(key):
            headers = {"Idempotency-Key": key}
            answer = await web.post("/x", json={"text": "t"}, headers=headers)
            return answer.json()["id"]

        first = [await create("a"), await create("a")]
        now = 11.0
        later = await create("a")
        for key in "bcd":
            await create(key)

    assert first == [1, 1]
    assert later == 2
    assert len(store._records) <= 2


async def test_true_means_this_process(sqlite, serve):
    class Notes(FullViewSet):
        db_model = Note
        pydantic_model = NoteOut
        idempotent_create = True

    async with serve(Notes) as web:
        for _ in range(2):
            await web.post("/x", json={"text": "t"}, headers=KEY)

    assert await count() == 1


@pytest.mark.parametrize("where", ["view set", "router"])
async def test_api_keys_tell_clients_apart(sqlite, notes, browse, where):
    guards = [Depends(APIKeyHeader(name="X-Key"))]
    if where == "view set":
        notes.dependencies = guards
    router = APIRouter()
    notes().as_view(router, "/x")
    app = FastAPI()
    app.state.DATABASE_MANAGER = manager
    app.include_router(router, dependencies=guards if where == "router" else ())

    async with browse(app) as web:
        for name in ("ann", "bo"):
            headers = {**KEY, "x-key": name}
            await web.post("/x", json={"text": "t"}, headers=headers)

    assert await count() == 2


async def test_client_with_a_renewed_token_is_the_same(sqlite, notes, serve):
    async def user(request: Request):
        request.state.jwt = {"sub": request.headers["authorization"][0]}

    notes.dependencies = (Depends(user),)
    async with serve(notes) as web:
        for token in ("ann 1", "ann 2", "bo 1"):
            headers = {**KEY, "authorization": token}
            await web.post("/x", json={"text": "t"}, headers=headers)

    assert await count() == 2


class Away(MemoryIdempotency):
    """A store whose server is away at one step."""

    def __init__(self, step):
        super().__init__()
        setattr(self, step, self.fail)

    async def fail(self, *_):
        raise ConnectionError("the server at 10.0.0.1 is away")


@pytest.mark.parametrize(
    ("step", "statuses"),
    [("begin", [503, 503]), ("finish", [201, 409]), ("abandon", [201, 409])],
)
async def test_store_that_is_away_loses_no_answer(
    sqlite, serve, caplog, step, statuses
):
    class Users(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        idempotent_create = Away(step)

    async with serve(Users) as web:
        answers = [
            await web.post("/x", json={"email": "a@b"}, headers={"Idempotency-Key": k})
            for k in "12"
        ]

    assert [answer.status_code for answer in answers] == statuses
    assert "10.0.0.1" not in answers[0].text + answers[1].text
    assert answers[0].headers.get("retry-after") == ("1" if step == "begin" else None)
    assert "does not answer" in caplog.text
