"""Cached reads: never stale after a write, never somebody else's."""

import gc
import sys
from datetime import timedelta

import anyio
import anyio.to_thread
import pytest
from fastapi import APIRouter, Header
from sqlalchemy import delete, update

from accel_cache import Cache, Limiter, MemoryCache
from accel_cache.testing import cache_spy
from accel_db import MainDatabaseManager, OrmAsync
from accel_viewset import (
    ConfigurationError,
    DefaultPaginator,
    FullViewSet,
    MissingExtra,
    Throttle,
    connect,
)

from .models import File, Task, User, Work, db as manager, task_users
from .schemas import FileOut, TaskOut, UserOut

pytestmark = pytest.mark.anyio


@pytest.fixture
async def memory_cache():
    async with MemoryCache() as memory:
        yield memory


@pytest.fixture(params=["memory_cache", "redis_client"])
def cache(request):
    """Give what `cache_class` may be: a cache in memory, and the seed's client."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def users(cache):
    class Users(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        paginator_class = DefaultPaginator
        cache_class = cache
        cache_ttl = timedelta(minutes=10)

    return Users


@pytest.fixture
def tasks(cache):
    class Tasks(FullViewSet):
        db_model = Task
        pydantic_model = TaskOut
        deep_schema = True
        cache_class = cache
        cache_ttl = 600

    return Tasks


async def state(web, path="/x"):
    return (await web.get(path)).headers["x-cache"]


async def test_read_twice_is_read_once(sqlite, users, serve, add):
    await add(User(name="Ann", email="a@b"))

    async with serve(users) as web:
        first = await web.get("/x")
        second = await web.get("/x")
        states = [await state(web, "/x/1") for _ in range(2)]

    assert [x.headers["x-cache"] for x in (first, second)] == ["MISS", "HIT"]
    assert states == ["MISS", "HIT"]
    assert first.content == second.content
    assert "argon2" not in second.text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
async def test_write_of_the_view_set_ends_it(sqlite, users, serve, add, method):
    await add(User(name="Ann", email="a@b"))
    path = "/x" if method == "POST" else "/x/1"

    async with serve(users) as web:
        before = [await state(web), await state(web, "/x/1")]
        written = await web.request(method, path, json={"email": "c@d"})
        after = await state(web)

    assert written.is_success
    assert (before, after) == (["MISS", "MISS"], "MISS")


async def write_orm(aorm):
    await aorm.update_item(User, 1, {"name": "New"})


async def write_statement(aorm):
    await aorm.session.execute(update(User).values(name="New"))
    await aorm.session.commit()


async def write_delete(aorm):
    await aorm.session.execute(delete(User).where(User.id == 2))
    await aorm.session.commit()


async def write_unit_of_work(aorm):
    (await aorm.session.get(User, 1)).name = "New"
    await aorm.session.commit()


@pytest.mark.parametrize(
    "write", [write_orm, write_statement, write_delete, write_unit_of_work]
)
async def test_write_anywhere_ends_it(sqlite, users, serve, add, write):
    await add(User(id=1, name="Ann", email="1"), User(id=2, name="Bo", email="2"))

    async with serve(users) as web:
        before = [await state(web), await state(web, "/x/1"), await state(web, "/x/1")]
        async with manager.asession() as session:
            await write(OrmAsync(session))
        after = [await state(web), await state(web, "/x/1")]

    assert (before, after) == (["MISS", "MISS", "HIT"], ["MISS", "MISS"])


async def test_write_of_a_sync_session_in_a_thread_ends_it(tmp_path, users, serve, add):
    def write():
        with manager.session() as session:
            session.get(User, 1).name = "New"
            session.commit()

    with manager.override(f"sqlite:///{tmp_path}/a.db"):
        await manager.acreate_all()
        await add(User(name="Ann", email="a@b"))
        async with serve(users) as web:
            await web.get("/x/1")
            await anyio.to_thread.run_sync(write)
            read = await web.get("/x/1")
        await manager.adispose()

    assert (read.headers["x-cache"], read.json()["name"]) == ("MISS", "New")


async def test_write_that_was_rolled_back_ends_nothing(sqlite, users, serve, add):
    await add(User(name="Ann", email="a@b"))

    async with serve(users) as web:
        await web.get("/x/1")
        async with manager.asession() as session:
            (await session.get(User, 1)).name = "New"
            await session.flush()
            await session.rollback()
        after = await state(web, "/x/1")

    assert after == "HIT"


async def test_write_of_a_related_row_ends_it(sqlite, tasks, serve, add):
    await add(Task(name="t", works=[Work(hours=1)], users=[User(name="A", email="a")]))

    async with serve(tasks) as web:
        seen = [await state(web, "/x/1"), await state(web, "/x/1")]
        async with manager.asession() as session:
            await OrmAsync(session).update_item(Work, 1, {"hours": 2})
        work = await web.get("/x/1")
        async with manager.asession() as session:
            await OrmAsync(session).update_item(User, 1, {"name": "B"})
        user = await web.get("/x/1")
        async with manager.asession() as session:
            await session.execute(delete(task_users))
            await session.commit()
        link = await web.get("/x/1")

    assert seen == ["MISS", "HIT"]
    assert work.json()["works"] == [{"id": 1, "hours": 2}]
    assert user.json()["users"] == [{"id": 1, "name": "B"}]
    assert link.json()["users"] == []


async def test_write_of_a_table_that_is_not_read_ends_nothing(
    sqlite, users, serve, add
):
    async with serve(users) as web:
        await web.get("/x")
        await add(File(filename="a"))
        after = await state(web)

    assert after == "HIT"


async def test_cache_never_crosses_users(sqlite, cache, serve, add):
    async def who(authorization: str = Header("")):
        return authorization

    class Mine(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        cache_class = cache
        cache_ttl = 600
        cache_scope = "auto"

        def scope_query(self, statement, request):
            return statement.where(User.name == request.headers["authorization"])

    await add(User(name="ann", email="1"), User(name="bo", email="2"))
    async with serve(Mine) as web:
        seen = {
            name: (await web.get("/x", headers={"authorization": name})).json()
            for name in ("ann", "bo", "ann")
        }

    assert [user["email"] for user in seen["ann"]] == ["1"]
    assert [user["email"] for user in seen["bo"]] == ["2"]


async def test_scope_of_the_cache_may_be_a_function(sqlite, cache, serve, add):
    class Mine(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        cache_class = cache
        cache_ttl = 600

        @staticmethod
        def cache_scope(request):
            return request.headers["x-tenant"]

        def scope_query(self, statement, request):
            return statement.where(User.name == request.headers["x-tenant"])

    await add(User(name="ann", email="1"), User(name="bo", email="2"))
    async with serve(Mine) as web:
        seen = [
            (await web.get("/x", headers={"x-tenant": name})).json()[0]["email"]
            for name in ("ann", "bo", "ann")
        ]

    assert seen == ["1", "2", "1"]


def test_cache_must_know_for_whom_a_scope_is():
    class Mine(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        cache_class = MemoryCache()

        def scope_query(self, statement, request):
            return statement

    with pytest.raises(ConfigurationError, match=r'Set `cache_scope = "auto"`'):
        Mine().as_view(APIRouter(), "/x")


async def test_refused_on_a_hit_too(sqlite, cache, serve):
    class Throttled(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        cache_class = cache
        cache_ttl = 600
        throttle = Throttle(Limiter(clock=lambda: 0.0), limit=2)

    async with serve(Throttled) as web:
        answers = [await web.get("/x") for _ in range(3)]

    assert [x.status_code for x in answers] == [200, 200, 429]
    assert [x.headers.get("x-cache") for x in answers] == ["MISS", "HIT", None]
    # What is left is that of this request, not of the one that was kept.
    assert [x.headers.get_list("ratelimit") for x in answers[:2]] == [
        ['"default";r=1;t=30'],
        ['"default";r=0;t=60'],
    ]


def test_missing_extra_says_how_to_install_it(monkeypatch):
    class Cached(FullViewSet):
        db_model = User
        pydantic_model = UserOut
        cache_class = object()

    monkeypatch.setitem(sys.modules, "accel_cache", None)

    with pytest.raises(MissingExtra, match=r'pip install "accel-viewset\[cache\]"'):
        Cached().as_view(APIRouter(), "/x")


async def test_connecting_twice_is_connecting_once(sqlite, add):
    async with Cache() as cache:
        connect(manager, cache)
        connect(manager, cache)
        with cache_spy(cache) as spy:
            await add(File(filename="a"))

    events = [event for event in spy.events if event.name == "cache.invalidated"]
    assert len(events) == 1
    assert "files" in spy.invalidated


async def test_connection_keeps_nothing_alive(tmp_path):
    here = MainDatabaseManager(f"sqlite:///{tmp_path}/a.db", name="short-lived")
    cache = Cache()
    connect(here, cache)
    feed = here._changes
    assert feed.active

    del cache
    gc.collect()

    assert not feed.active


async def test_switched_off_by_the_application(sqlite, users, browse):
    from fastapi import FastAPI

    app = FastAPI()
    app.state.DATABASE_MANAGER, app.state.CACHE_STATUS = manager, False
    router = APIRouter()
    users().as_view(router, "/x")
    app.include_router(router)

    async with browse(app) as web:
        states = [await state(web) for _ in range(2)]

    assert states == ["BYPASS", "BYPASS"]


async def test_file_with_a_checked_schema_is_cached(sqlite, cache, serve, add):
    class Files(FullViewSet):
        db_model = File
        pydantic_model = FileOut
        cache_class = cache
        cache_ttl = 600

    await add(File(filename="a"))
    async with serve(Files) as web:
        bodies = [(await web.get("/x")).content for _ in range(2)]

    assert bodies[0] == bodies[1]
