import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from sqlalchemy import Column, ForeignKey, Integer, String, func, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from accel_db import (
    ConfigurationError,
    MainDatabaseManager,
    NotDevelopment,
    Orm,
    OrmAsync,
    SerializationFailure,
    StatementTimeout,
    retry_serialization,
)

from .models import Account, Author, Post, db as manager

# ruff: noqa: PT012  # a block that fails at its end is what these tests are about

pytestmark = pytest.mark.anyio


async def test_both_halves_see_one_database(db):
    async with db.asession() as session:
        await OrmAsync(session).create_item(Author(name="async"))
    with db.session() as session:
        Orm(session).create_item(Author(name="sync"))
    async with db.asession() as session:
        names = await OrmAsync(session).get_list(
            select(Author.name).order_by(Author.id)
        )
    await db.adispose()

    assert names == ["async", "sync"]


def test_nothing_connects_before_it_is_needed():
    manager = MainDatabaseManager(
        "postgresql://user:pa%25ss@unreachable.invalid/name", name="lazy"
    )

    assert (
        manager.database_url
        == "postgresql+psycopg://user:pa%25ss@unreachable.invalid/name"
    )
    assert manager.adatabase_url.startswith("postgresql+asyncpg://user:pa%25ss@")


def test_repr_hides_the_password():
    manager = MainDatabaseManager("postgresql://user:geheim@h/name", name="repr")

    assert repr(manager) == (
        "<MainDatabaseManager 'repr' url=postgresql+psycopg://user:***@h/name "
        "DEV_STATUS=False>"
    )
    assert "geheim" not in repr(manager.engine)


@pytest.mark.parametrize("call", ["create_all", "drop_all", "clear_all"])
async def test_destructive_calls_need_development(call):
    manager = MainDatabaseManager("sqlite://", name="production")

    with pytest.raises(NotDevelopment, match=f"`{call}` is disabled.*DEV_STATUS=True"):
        getattr(manager, call)()
    with pytest.raises(NotDevelopment, match=f"`a{call}` is disabled"):
        await getattr(manager, f"a{call}")()


def test_drop_and_clear_reach_only_our_tables(db):
    with db.engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS foreign_table (id integer)")
        )
        connection.execute(text("INSERT INTO foreign_table VALUES (1)"))

    db.clear_all()
    db.drop_all()

    with db.engine.begin() as connection:
        rows = connection.execute(text("SELECT count(*) FROM foreign_table")).scalar()
        connection.execute(text("DROP TABLE foreign_table"))
    db.dispose()
    assert rows == 1


async def test_the_async_half_creates_clears_and_drops(db):
    await db.adrop_all()
    await db.acreate_all()
    async with db.atransaction() as session:
        session.add(Author(name="Ann", posts=[Post(title="a")]))

    await db.aclear_all()

    async with db.asession() as session:
        assert await OrmAsync(session).count(select(Author)) == 0
    await db.adispose()


@pytest.mark.parametrize("excluded", [["author"], {"author"}, "author", ("author",)])
def test_clear_all_leaves_excluded_tables(db, excluded):
    with db.session.begin() as session:
        session.add(Author(name="Ann", posts=[Post(title="a")]))

    db.clear_all(exclude_tables_name=excluded)

    with db.session() as session:
        assert Orm(session).count(select(Author)) == 1
        assert Orm(session).count(select(Post)) == 0
    db.dispose()


def test_clear_all_copes_with_circles_between_tables(url):
    manager = MainDatabaseManager(url, name=f"circle {url}", DEV_STATUS=True)

    class Hen(manager.Base):
        __tablename__ = "hen"
        id = Column(Integer, primary_key=True)
        egg_id = Column(ForeignKey("egg.id", use_alter=True))

    class Egg(manager.Base):
        __tablename__ = "egg"
        id = Column(Integer, primary_key=True)
        hen_id = Column(ForeignKey("hen.id"))

    manager.create_all()
    with manager.session.begin() as session:
        session.add(Hen(id=1))
        session.flush()
        session.add(Egg(id=1, hen_id=1))
        session.flush()
        session.execute(update(Hen).values(egg_id=1))

    manager.clear_all()

    with manager.session() as session:
        assert Orm(session).count(select(Hen)) == 0
    manager.drop_all()
    manager.dispose()


async def test_one_pool_per_event_loop(db):
    def other_loop():
        async def work():
            async with db.asession() as session:
                await OrmAsync(session).create_item(Author(name="other"))
            engine = weakref.ref(db.aengine)
            await db.aengine.dispose()
            return engine

        return asyncio.run(work())

    async with db.asession() as session:
        await OrmAsync(session).create_item(Author(name="here"))
    engine = db.aengine
    other = await asyncio.to_thread(other_loop)
    async with db.asession() as session:
        found = await OrmAsync(session).count(select(Author))
    assert db.aengine is engine
    await db.adispose()

    assert found == 2
    assert other() is not engine


async def test_ended_loops_are_forgotten(db):
    engines = []

    def other_loop():
        async def work():
            engines.append(weakref.ref(db.aengine))

        asyncio.run(work())

    for _ in range(3):
        await asyncio.to_thread(other_loop)
    await db.aping()
    gc.collect()

    assert all(engine() is None for engine in engines[:2])
    await db.adispose()


async def test_ping(db):
    assert db.ping()
    assert await db.aping()
    await db.adispose()


async def test_ping_of_an_unreachable_database_is_false():
    manager = MainDatabaseManager("postgresql://u:p@127.0.0.1:1/x", name="down")

    assert not manager.ping()
    assert not await manager.aping(timeout=2)
    await manager.adispose()


async def test_a_temporary_file_stands_in_for_memory():
    manager = MainDatabaseManager("sqlite://", name="memory", DEV_STATUS=True)
    manager.create_all()
    file = Path(manager.engine.url.database)

    assert file.exists()  # noqa: ASYNC240
    await manager.adispose()

    assert not file.parent.exists()


async def test_lifespan_closes_everything(db):
    async with db.lifespan(object()):
        engine = db.aengine
        assert await db.aping()

    assert db.aengine is not engine
    await db.adispose()


def test_override_swaps_engines_but_never_models(tmp_path):
    manager = MainDatabaseManager("sqlite://", name="original", DEV_STATUS=True)
    base = manager.Base

    class Thing(manager.Base):
        __tablename__ = "thing"
        id = Column(Integer, primary_key=True)

    manager.create_all()
    with manager.override(f"sqlite:///{tmp_path}/other.db"):
        manager.create_all()
        with manager.session() as session:
            Orm(session).create_item(Thing())
        assert manager.Base is base
        assert "other.db" in manager.database_url
    with manager.session() as session:
        count = Orm(session).count(select(Thing))
    manager.dispose()

    assert count == 0


def test_the_same_name_is_the_same_manager():
    first = MainDatabaseManager("sqlite://", name="twice", echo=False)

    assert MainDatabaseManager("sqlite://", name="twice") is first
    assert MainDatabaseManager("sqlite://", name="twice too") is not first


def test_subclasses_have_their_own():
    class Special(MainDatabaseManager):
        pass

    plain = MainDatabaseManager("sqlite://", name="sub")
    special = Special("sqlite://", name="sub")

    assert type(special) is Special
    assert special is not plain


SCRIPT = """
from accel_db import MainDatabaseManager, ManagerConflict
a = MainDatabaseManager("postgresql://u:secret@h/a")
try:
    MainDatabaseManager("postgresql://u:secret@h/b", DEV_STATUS=True)
except ManagerConflict as exc:
    print(exc)
"""


def run(script):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONDEVMODE": ""},
    )
    return done.stdout.strip()


def test_another_configuration_under_one_name_is_an_error():
    printed = run(SCRIPT)

    assert printed == (
        "A manager named 'default' exists already, with another url, DEV_STATUS. "
        "Reuse that one, or pass another `name=`."
    )


def test_with_the_testing_kit_the_first_one_wins():
    printed = run(
        "import accel_db.testing\n"
        "from accel_db import MainDatabaseManager as M\n"
        "a = M('sqlite:///test.db', DEV_STATUS=True)\n"
        "print(M('postgresql://u:p@h/real') is a)\n"
    )

    assert printed == "True"


def test_importing_loads_no_framework_no_driver_and_no_pytest():
    printed = run(
        "import sys, accel_db\n"
        "names = ('alembic', 'fastapi', 'starlette', 'pytest', 'asyncpg', 'psycopg')\n"
        "print([name for name in names if name in sys.modules])\n"
        "from accel_db import AlembicEnv\n"
        "print('AlembicEnv' in dir(accel_db))\n"
    )

    assert printed.splitlines() == ["[]", "True"]


def test_a_missing_driver_says_what_to_install():
    printed = run(
        "import sys\n"
        "sys.modules['psycopg'] = None\n"
        "from accel_db import MainDatabaseManager, MissingDriver\n"
        "try:\n"
        "    MainDatabaseManager('postgresql://h/a').engine\n"
        "except MissingDriver as exc:\n"
        "    print(exc)\n"
    )

    assert 'pip install "accel-db[postgres]"' in printed


async def test_transactions_of_the_orm(db, aorm):
    async with aorm.transaction():
        await aorm.create_item(Author(name="a"))
        await aorm.create_item(Author(name="b"))
    with pytest.raises(RuntimeError):
        async with aorm.transaction():
            await aorm.create_item(Author(name="c"))
            raise RuntimeError
    async with aorm.transaction():
        await aorm.create_item(Author(name="d"))
        with pytest.raises(RuntimeError):
            async with aorm.transaction():
                await aorm.create_item(Author(name="e"))
                raise RuntimeError
        with pytest.raises(RuntimeError):
            async with aorm.nested():
                await aorm.create_item(Author(name="f"))
                raise RuntimeError

    assert await aorm.get_list(select(Author.name).order_by(Author.id)) == [
        "a",
        "b",
        "d",
    ]


def test_transactions_of_the_sync_orm(db):
    with db.session() as session:
        orm = Orm(session)
        with orm.transaction():
            orm.create_item(Author(name="a"))
            with pytest.raises(RuntimeError), orm.nested():
                orm.create_item(Author(name="b"))
                raise RuntimeError
        with pytest.raises(RuntimeError), orm.transaction():
            orm.update(update(Author).where(Author.id > 0), {"name": "x"})
            raise RuntimeError
        names = orm.get_list(select(Author.name))
    db.dispose()

    assert names == ["a"]


async def test_an_explicit_session_is_not_committed_by_the_orm(db):
    with pytest.raises(RuntimeError):
        async with db.atransaction() as session:
            await OrmAsync(session).create_item(Author(name="a"))
            raise RuntimeError
    async with db.atransaction() as session:
        await OrmAsync(session).create_item(Author(name="b"))
        with pytest.raises(RuntimeError):
            async with db.anested(session):
                await OrmAsync(session).create_item(Author(name="c"))
                raise RuntimeError
    async with db.asession() as session:
        names = await OrmAsync(session).get_list(select(Author.name))
    await db.adispose()

    assert names == ["b"]


def test_sync_transactions_of_the_manager(db):
    with db.transaction() as session:
        session.add(Author(name="a"))
        with pytest.raises(RuntimeError), db.nested(session):
            session.add(Author(name="b"))
            raise RuntimeError
    with db.session() as session:
        names = session.scalars(select(Author.name)).all()
    db.dispose()

    assert names == ["a"]


async def test_concurrent_read_modify_writes_lose_nothing(db):
    """On SQLite each takes the write lock first; on PostgreSQL it locks the row."""
    async with db.asession() as session:
        account = await OrmAsync(session).create_item(Account(owner="Ann"))

    async def deposit():
        async with db.atransaction() as session:
            query = select(Account).where(Account.id == account.id).with_for_update()
            found = (await session.scalars(query)).one()
            found.balance += 1

    def sync_deposit():
        with db.transaction() as session:
            query = select(Account).where(Account.id == account.id).with_for_update()
            session.scalars(query).one().balance += 1

    await asyncio.gather(
        *(deposit() for _ in range(20)),
        *(asyncio.to_thread(sync_deposit) for _ in range(20)),
    )
    async with db.asession() as session:
        found = await OrmAsync(session).get_item(Account, account.id)
    await db.adispose()

    assert found.balance == 40


async def test_a_lost_serializable_transaction_is_repeated(postgres_url):
    from .models import db as manager

    with manager.override(postgres_url):
        manager.create_all()
        manager.clear_all()
        async with manager.atransaction() as session:
            session.add(Account(id=1, owner="Ann"))
        both = asyncio.Barrier(2)
        attempts = []

        @retry_serialization(attempts=5, delay=0)
        async def deposit():
            attempts.append(1)
            async with manager.atransaction(isolation_level="SERIALIZABLE") as session:
                found = await session.get(Account, 1)
                if len(attempts) <= 2:
                    await both.wait()
                found.balance += 1

        await asyncio.gather(deposit(), deposit())
        async with manager.asession() as session:
            account = await session.get(Account, 1)
        await manager.adispose()

    assert account.balance == 2
    assert len(attempts) == 3


def test_retries_end_and_repeat_nothing_else():
    calls = []

    @retry_serialization(attempts=3, delay=0)
    def lose(error):
        calls.append(1)
        raise error

    with pytest.raises(SerializationFailure):
        lose(SerializationFailure())
    with pytest.raises(KeyError):
        lose(KeyError())
    with pytest.raises(ValueError, match=r'"attempts" must be >= 1: 0'):
        retry_serialization(attempts=0)

    assert len(calls) == 4


async def test_statement_timeouts(postgres_url):
    manager = MainDatabaseManager(postgres_url, name="timeouts", statement_timeout=0.05)
    slow = text("SELECT pg_sleep(5)")

    with pytest.raises(StatementTimeout) as caught:
        async with manager.atransaction() as session:
            await session.execute(slow)
    with pytest.raises(StatementTimeout), manager.transaction() as session:
        session.execute(slow)
    async with manager.atransaction(statement_timeout=10) as session:
        await session.execute(text("SELECT pg_sleep(0.1)"))
    await manager.adispose()

    assert caught.value.http_status == 503


async def test_pgbouncer_mode_prepares_nothing(postgres_url):
    manager = MainDatabaseManager(postgres_url, name="pgbouncer", pgbouncer=True)

    async with manager.asession() as session:
        await session.execute(select(1))
        await session.execute(select(1))
        prepared = (
            await session.execute(text("SELECT count(*) FROM pg_prepared_statements"))
        ).scalar()
    await manager.adispose()

    assert prepared <= 1
    assert manager.lane(single=True, write=False) is None


async def test_a_budget_stays_out_of_connections_that_others_get(postgres_url):
    manager = MainDatabaseManager(
        postgres_url, name="shared", pgbouncer=True, statement_timeout=0.05
    )
    slow = text("SELECT pg_sleep(5)")
    show = text("SHOW statement_timeout")

    with pytest.raises(StatementTimeout):
        async with manager.atransaction() as session:
            await session.execute(slow)
    with pytest.raises(StatementTimeout), manager.session() as session:
        Orm(session).rows(select(func.pg_sleep(5)))
    async with manager.atransaction(statement_timeout=10) as session:
        inside = await session.scalar(show)
    with manager.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        outside = raw.execute("SHOW statement_timeout").fetchone()[0]
    await manager.adispose()

    assert (inside, outside) == ("10s", "0")


async def test_url_parameters_reach_both_halves(postgres_url):
    query = "application_name=accel&connect_timeout=3&options=-c%20work_mem%3D5MB&sslmode=disable"
    manager = MainDatabaseManager(f"{postgres_url}?{query}", name="parameters")
    show = text(
        "SELECT current_setting('application_name'), current_setting('work_mem')"
    )

    with manager.session() as session:
        sync = tuple(session.execute(show).one())
    async with manager.asession() as session:
        asynchronous = tuple((await session.execute(show)).one())
    await manager.adispose()

    assert sync == asynchronous == ("accel", "5MB")


async def test_psycopg_may_serve_both_halves(postgres_url):
    url = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    manager = MainDatabaseManager(url, name="psycopg", DEV_STATUS=True)

    class Row(manager.Base):
        __tablename__ = "psycopg_row"
        id = Column(Integer, primary_key=True)
        name = Column(String, unique=True)

    await manager.acreate_all()
    async with manager.asession() as session:
        created = await OrmAsync(session).create_item(Row(name="a"))
        with pytest.raises(Exception, match="psycopg_row_name_key' on name"):
            await OrmAsync(session).create_item(Row(name="a"))
        found = await OrmAsync(session).get_item(Row, str(created.id))
    await manager.adrop_all()
    await manager.adispose()

    assert found is created


@pytest.fixture
def replicated(postgres):
    from accel_db.testing import create_database, drop_database

    primary, replica = create_database(postgres), create_database(postgres)
    manager = MainDatabaseManager(
        primary, name=f"replicated {primary}", replicas=[replica], DEV_STATUS=True
    )

    class Row(manager.Base):
        __tablename__ = "row"
        id = Column(Integer, primary_key=True)
        source = Column(String)

    for url, source in ((primary, "primary"), (replica, "replica")):
        with manager.override(url):
            manager.create_all()
            with manager.session.begin() as session:
                session.add(Row(id=1, source=source))
    yield manager, Row
    manager.dispose()
    drop_database(primary)
    drop_database(replica)


async def test_reads_go_to_a_replica_until_the_session_writes(replicated):
    manager, row = replicated

    async with manager.asession() as session:
        orm = OrmAsync(session)
        before = (await orm.get_item(row, 1)).source
        await orm.create_item(row(id=2, source="primary"))
        after = (await orm.get_item(row, 1)).source
    with manager.session() as session:
        sync = Orm(session).get_item(row, 1).source
    async with manager.atransaction() as session:
        explicit = (await OrmAsync(session).get_item(row, 1)).source
    async with manager.asession() as session:
        query = select(row).with_for_update()
        locked = (await session.scalars(query)).first().source
    await manager.adispose()

    assert (before, after) == ("replica", "primary")
    assert sync == "replica"
    assert explicit == locked == "primary"


async def test_reads_do_not_wait_for_a_writer(db):
    """Also on SQLite, where every transaction takes the only write lock."""
    async with db.asession() as session:
        await OrmAsync(session).create_item(Author(name="Ann"))
    async with db.atransaction() as writer:
        writer.add(Author(name="Bea"))
        await writer.flush()
        async with db.asession() as session:
            async with asyncio.timeout(5):
                found = await OrmAsync(session).get_list(select(Author), deep=True)
    await db.adispose()

    assert [author.name for author in found] == ["Ann"]


async def test_a_cancelled_call_gives_its_connection_back(postgres_url):
    manager = MainDatabaseManager(
        postgres_url, name="cancelled", pool_size=1, max_overflow=0, pool_timeout=5
    )

    async def wait():
        async with manager.asession() as session:
            await OrmAsync(session).get_list(select(text("pg_sleep(30)")))

    for _ in range(3):
        task = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    pong = await manager.aping()
    await manager.adispose()

    assert pong


def test_bad_urls_never_show_their_password():
    for url in (
        "nonsense secret",
        "postgresql+nodriver://u:secret@h/x",
        "mysql://u:secret@h/x",
    ):
        with pytest.raises(ConfigurationError) as caught:
            MainDatabaseManager(url, name=f"bad {url}")
        assert "secret" not in str(caught.value)


def test_a_base_of_your_own():
    class Mine(DeclarativeBase):
        pass

    manager = MainDatabaseManager("sqlite://", name="mine", base=Mine, DEV_STATUS=True)

    class Row(Mine):
        __tablename__ = "row"
        id: Mapped[int] = mapped_column(primary_key=True)

    manager.create_all()
    with manager.session() as session:
        created = Orm(session).create_item(Row())
    manager.dispose()

    assert manager.Base is Mine
    assert created.id == 1


def test_threads_share_a_manager(db):
    errors = []

    def work(number):
        try:
            with db.session() as session:
                Orm(session).create_item(Author(name=f"{number}"))
        except Exception as exc:  # noqa: BLE001
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.session() as session:
        count = Orm(session).count(select(Author))
    db.dispose()

    assert errors == []
    assert count == 16


async def test_dispose_may_be_awaited_as_upstreams_must_be(db):
    async with db.asession() as session:
        await session.execute(text("SELECT 1"))

    assert await db.dispose() is None
    assert await db.aping()
    await db.adispose()


def test_an_engine_asked_for_outside_of_a_loop_stays_in_its_first_one(postgres_url):
    with manager.override(postgres_url):

        async def use(engine):
            async with engine.connect() as connection:
                assert await connection.scalar(text("SELECT 1")) == 1
            async with manager.aengine.connect() as connection:
                return await connection.scalar(text("SELECT 2"))

        answers = [asyncio.run(use_and_close(use, manager.aengine)) for _ in range(3)]

    assert answers == [2, 2, 2]


async def use_and_close(use, engine):
    try:
        return await use(engine)
    finally:
        await manager.adispose()


def test_a_stray_engine_is_closed_with_the_others(postgres_url):
    with manager.override(postgres_url), asyncio.Runner() as runner:

        async def ask(engine):
            async with engine.connect() as connection:
                return await connection.scalar(text("SELECT 1"))

        async def ask_own():
            return await ask(manager.aengine)

        answers = [runner.run(ask_own()), runner.run(ask(manager.aengine))]
        answers.append(asyncio.run(use_and_close(ask, manager.aengine)))
        manager.dispose()

    assert answers == [1, 1, 1]
