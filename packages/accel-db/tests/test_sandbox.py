"""Isolation by rollback, as the tests of users see it."""

import asyncio
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, event, func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from accel_db import ConfigurationError, Conflict, MainDatabaseManager, Orm, OrmAsync
from accel_db.testing import rollback_sandbox, track_queries

from .models import Author, Post

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(backend, request, tmp_path):
    if backend == "sqlite":
        # Others see it, unlike one in memory.
        return f"sqlite:///{tmp_path}/test.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def left(db):
    """Tell how many rows a connection of somebody else sees."""

    def count():
        engine = create_engine(db.database_url)
        with engine.connect() as connection:
            found = [
                connection.scalar(select(func.count()).select_from(model))
                for model in (Author, Post)
            ]
        engine.dispose()
        return found

    yield count
    db.dispose()


@pytest.fixture
def app(db):
    """An application with handlers of both halves, which overlap and fail."""
    app = FastAPI()

    @app.post("/async/{name}")
    async def acreate(
        name: str,
        aorm: OrmAsync = Depends(db.aget_orm),  # noqa: B008, FAST002
        session: AsyncSession = Depends(db.aget_session_transaction),  # noqa: B008, FAST002
    ) -> int:
        await aorm.create_item(Author(name=name))
        session.add(Post(title=name))
        await session.flush()
        await asyncio.sleep(0.001)
        return await aorm.count(select(Author))

    @app.post("/sync/{name}")
    def create(name: str, session: Session = Depends(db.get_session)) -> int:  # noqa: B008, FAST002
        session.add(Author(name=name))
        session.commit()
        session.add(Author(name="never"))
        session.flush()
        session.rollback()
        return Orm(session).count(select(Author))

    @app.post("/twice/{name}")
    async def twice(
        name: str,
        aorm: OrmAsync = Depends(db.aget_orm),  # noqa: B008, FAST002
    ) -> str:
        await aorm.create_item(Author(name=name))
        try:
            await aorm.create_item(Author(name=name))
        except Conflict as exc:
            return str(exc)
        return "both"

    return app


def browser(app):
    transport = httpx2.ASGITransport(app)
    return httpx2.AsyncClient(transport=transport, base_url="http://t")


async def test_parallel_requests_take_turns(db, app, left):
    async with rollback_sandbox(db), browser(app) as client:
        answers = await asyncio.gather(
            *(client.post(f"/{half}/{half}{i}") for i in range(8) for half in HALVES)
        )
        async with db.asession() as session:
            inside = await OrmAsync(session).count(select(Author))

    assert {answer.status_code for answer in answers} == {200}
    assert inside == 16
    assert left() == [0, 0]


HALVES = ("sync", "async")


def test_threads_take_turns(db, app, left):
    with rollback_sandbox(db), TestClient(app) as client:
        with ThreadPoolExecutor(8) as pool:
            paths = [f"/{half}/{half}{i}" for i in range(8) for half in HALVES]
            answers = list(pool.map(client.post, paths))
        with db.session() as session:
            inside = Orm(session).count(select(Author))

    assert [answer.status_code for answer in answers] == [200] * 16
    assert inside == 16
    assert left() == [0, 0]


async def test_both_halves_see_each_other(db, left):
    async with rollback_sandbox(db):
        with db.session.begin() as session:
            session.add(Author(name="sync"))
        async with db.asession.begin() as asession:
            await asession.execute(insert(Author).values(name="async"))
        with db.session() as session:
            names = set(session.scalars(select(Author.name)))
        async with db.asession() as asession:
            plain = await asession.execute(text("SELECT count(*) FROM author"))
            streamed = [
                x async for x in await asession.stream_scalars(select(Author.name))
            ]

    assert plain.scalar() == 2
    assert names == set(streamed) == {"sync", "async"}
    assert left() == [0, 0]


async def test_a_conflict_leaves_the_rest_alone(db, app, left):
    async with rollback_sandbox(db), browser(app) as client:
        answer = await client.post("/twice/a")
        async with db.asession() as session:
            names = list(await session.scalars(select(Author.name)))

    assert "is taken" in answer.json()
    assert names == ["a"]
    assert left() == [0, 0]


def test_a_session_of_the_test_may_stay_open(db, app, left):
    with rollback_sandbox(db), TestClient(app) as client, db.session() as session:
        session.add(Author(name="open"))
        session.flush()
        answers = [client.post(f"/{half}/{half}").json() for half in HALVES]
        session.commit()
        inside = Orm(session).count(select(Author))

    assert answers == [2, 3]
    assert inside == 3
    assert left() == [0, 0]


async def test_an_async_session_of_the_test_may_stay_open(db, app, left):
    async with rollback_sandbox(db), browser(app) as client, db.asession() as session:
        session.add(Author(name="open"))
        await session.flush()
        answers = await asyncio.gather(*(client.post(f"/async/{i}") for i in range(4)))
        await session.commit()

    assert {answer.status_code for answer in answers} == {200}
    assert left() == [0, 0]


def test_a_rollback_beneath_a_reader(db, left):
    with rollback_sandbox(db), db.session() as below, db.session() as above:
        below.add(Author(name="gone"))
        below.flush()
        above.scalars(select(Author)).all()
        below.rollback()
        above.add(Author(name="stays"))
        above.commit()
        names = list(below.scalars(select(Author.name)))

    assert names == ["stays"]
    assert left() == [0, 0]


def test_what_others_committed_survives_the_end_of_a_reader(db, left):
    with rollback_sandbox(db):
        with db.session() as below:
            below.scalars(select(Author)).all()
            with db.session.begin() as above:
                above.add(Author(name="stays"))
        with db.session() as session:
            names = list(session.scalars(select(Author.name)))

    assert names == ["stays"]
    assert left() == [0, 0]


def test_a_rollback_of_what_others_committed_upon_is_refused(db, left):
    with rollback_sandbox(db), db.session() as below:
        below.add(Author(name="below"))
        below.flush()
        with db.session.begin() as above:
            above.add(Author(name="above"))

        with pytest.raises(ConfigurationError, match="overlapped and wrote"):
            below.rollback()

    assert left() == [0, 0]


def test_a_rollback_beneath_a_writer_is_refused(db, left):
    with rollback_sandbox(db), db.session() as below, db.session() as above:
        below.add(Author(name="below"))
        below.flush()
        above.add(Author(name="above"))
        above.flush()

        with pytest.raises(ConfigurationError, match=r"@pytest\.mark\.committed"):
            below.rollback()

    assert left() == [0, 0]


async def test_engines_are_inside_too(db, left):
    with rollback_sandbox(db):
        with db.engine.begin() as connection:
            connection.execute(insert(Author).values(name="one"))
        async with db.aengine.begin() as aconnection:
            await aconnection.execute(insert(Author).values(name="two"))
        autocommit = db.engine.execution_options(isolation_level="AUTOCOMMIT")
        with autocommit.connect() as connection:
            connection.execute(insert(Author).values(name="three"))
        async with db.aengine.connect() as aconnection:
            names = set(await aconnection.scalars(select(Author.name)))

    assert names == {"one", "two", "three"}
    assert left() == [0, 0]


@pytest.mark.parametrize("inside", [True, False])
async def test_counts_are_those_outside(db, left, inside):
    async def work():
        with track_queries(db) as queries:
            async with db.asession() as session:
                orm = OrmAsync(session)
                await orm.create_item(Author(name="a"))
                await orm.get_list(select(Author))
            with db.session.begin() as session, session.begin_nested():
                session.add(Author(name="b"))
        return queries.count

    if inside:
        async with rollback_sandbox(db):
            counted = await work()
    else:
        counted = await work()
    await db.adispose()

    assert counted == 3


async def test_changes_are_announced_as_ever(db, left):
    seen = []
    unsubscribe = db.on_change(lambda change: seen.append(change.tables))

    async with rollback_sandbox(db), db.asession() as session:
        await OrmAsync(session).create_item(Author(name="a"))
        session.add(Author(name="b"))
        await session.flush()
        await session.rollback()
    unsubscribe()

    assert seen == [frozenset({"author"})]


async def test_an_application_may_end_inside(db, left):
    service = MainDatabaseManager(db.database_url, name="a service that ends")
    closed = []
    event.listen(service.engine, "close_detached", closed.append)

    with rollback_sandbox(service):
        with service.session.begin() as session:
            session.execute(insert(Author).values(name="a"))
        await service.adispose()
        with service.session() as session:
            inside = session.scalar(select(func.count()).select_from(Author))

    assert inside == 1
    # No pool is left that would close it later.
    assert len(closed) == 1
    assert left() == [0, 0]


def test_what_empties_tables_is_undone(db, left):
    with db.session.begin() as session:
        session.add(Author(name="before"))

    with rollback_sandbox(db):
        db.clear_all()
        with db.session() as session:
            inside = Orm(session).count(select(Author))

    assert inside == 0
    assert left() == [1, 0]


def test_constraints_hold_after_tables_were_emptied(db, left):
    with rollback_sandbox(db):
        db.clear_all()

        with db.session() as session:
            session.add(Post(title="t", author_id=404))
            with pytest.raises(IntegrityError):
                session.flush()


def test_a_deferred_constraint_is_checked_at_commit(postgres_url):
    from .models import db as manager

    with manager.override(postgres_url):
        with manager.engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE TABLE IF NOT EXISTS once "
                    "(n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
                )
            )
        with rollback_sandbox(manager), manager.session() as session:
            session.execute(text("INSERT INTO once VALUES (1), (1)"))
            with pytest.raises(IntegrityError):
                session.commit()
        with manager.engine.begin() as connection:
            connection.execute(text("DROP TABLE once"))
        manager.dispose()


def test_a_killed_run_leaves_nothing(db, left):
    script = f"""
        import os, signal
        from sqlalchemy import text
        from accel_db import MainDatabaseManager
        from accel_db.testing import rollback_sandbox
        db = MainDatabaseManager({db.database_url!r})
        with rollback_sandbox(db), db.session.begin() as session:
            session.execute(text("INSERT INTO author (name) VALUES ('a')"))
            session.commit()
            print("written", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "written\n", done.stderr
    assert done.returncode == -9
    assert left() == [0, 0]
