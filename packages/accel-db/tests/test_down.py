"""A database that goes down, and comes back."""

import subprocess
from contextlib import ExitStack

import pytest
from sqlalchemy import Column, Integer, func, make_url, select, text

from accel_db import MainDatabaseManager, Orm, OrmAsync, Unavailable, as_unavailable
from accel_db.testing import create_database, postgres_server

pytestmark = [
    pytest.mark.anyio,
    # psycopg cannot close a cursor whose connection is lost, and says so later.
    pytest.mark.filterwarnings(
        "ignore:.*ServerCursor:pytest.PytestUnraisableExceptionWarning"
    ),
]
db = MainDatabaseManager("sqlite://", name="streams", DEV_STATUS=True)


@pytest.fixture
def manager(postgres):
    manager = MainDatabaseManager(
        create_database(postgres), name="down and up", DEV_STATUS=True, pool_timeout=0.2
    )
    yield manager
    manager.dispose()


def cut_every_connection(postgres, manager):
    """Do what a restart of the server does to connections that lie in a pool."""
    admin = MainDatabaseManager(postgres, name=f"admin {manager.name}")
    with admin.session.begin() as session:
        session.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = :name"
            ),
            {"name": manager.engine.url.database},
        )
    admin.dispose()


async def test_reads_survive_a_restart(postgres, manager):
    async with manager.asession() as session:
        await OrmAsync(session).get_list(select(text("1")))
    with manager.session() as session:
        Orm(session).get_list(select(text("1")))
    cut_every_connection(postgres, manager)

    async with manager.asession() as session:
        asynchronous = await OrmAsync(session).get_list(select(text("1")))
    with manager.session() as session:
        sync = Orm(session).get_list(select(text("1")))
    await manager.adispose()

    assert asynchronous == sync == [1]


async def test_a_connection_that_died_in_the_pool_is_no_dead_database(
    postgres, manager
):
    assert manager.ping()
    assert await manager.aping()
    cut_every_connection(postgres, manager)

    answers = [manager.ping(), await manager.aping()]
    await manager.adispose()

    assert answers == [True, True]


async def test_the_log_says_why_the_database_does_not_answer(caplog, postgres):
    here = make_url(postgres)
    wrong = [
        here.set(database="nowhere"),
        here.set(port=1, username="u", password="geheim", database="x"),
    ]
    for number, url in enumerate(wrong):
        manager = MainDatabaseManager(url, name=f"wrong {number}")
        assert not manager.ping()
        assert not await manager.aping()
        await manager.adispose()

    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        'The database does not answer: database "nowhere" does not exist.',
        'The database does not answer: database "nowhere" does not exist.',
        "The database does not answer: Connection refused.",
        "The database does not answer: ConnectionRefusedError.",
    ]


async def test_a_write_is_not_repeated_but_says_why(postgres, manager):
    class Row(manager.Base):
        __tablename__ = "row"
        id = Column(Integer, primary_key=True)

    await manager.acreate_all()
    async with manager.asession() as session:
        await OrmAsync(session).create_item(Row())
    cut_every_connection(postgres, manager)

    async with manager.asession() as session:
        orm = OrmAsync(session)
        with pytest.raises(Unavailable) as caught:
            await orm.create_item(Row())
        await orm.create_item(Row())
        count = await orm.count(select(Row))
    await manager.adispose()

    assert (caught.value.http_status, caught.value.retry_after) == (503, 1.0)
    assert count == 2


class Line(db.Base):
    __tablename__ = "line"
    id = Column(Integer, primary_key=True)


@pytest.fixture
def lines(postgres):
    """Give a manager of more rows than a stream reads at once."""
    with db.override(create_database(postgres)):
        db.create_all()
        with db.session() as session:
            Orm(session).bulk_create(Line, [{"id": key} for key in range(200)])
        yield db


async def test_a_stream_whose_connection_dies_is_unavailable(postgres, lines):
    async def follow(aorm):
        async for line in aorm.stream(select(Line), batch=10):
            if line.id == 5:
                cut_every_connection(postgres, lines)

    async with lines.asession() as session:
        with pytest.raises(Unavailable):
            await follow(OrmAsync(session))
        left = await OrmAsync(session).count(select(Line))
    busy = lines.aengine.pool.checkedout()
    await lines.adispose()

    assert (left, busy) == (200, 0)


def test_a_sync_stream_whose_connection_dies_is_unavailable(postgres, lines):
    def follow(orm):
        for line in orm.stream(select(Line), batch=10):
            if line.id == 5:
                cut_every_connection(postgres, lines)

    with lines.session() as session:
        with pytest.raises(Unavailable):
            follow(Orm(session))
        left = Orm(session).count(select(Line))

    assert (left, lines.engine.pool.checkedout()) == (200, 0)


def test_a_stream_that_is_left_hides_no_error_of_its_reader(postgres, lines):
    with lines.session() as session:
        stream = Orm(session).stream(select(Line), batch=10)
        next(stream)
        cut_every_connection(postgres, lines)

        stream.close()

        assert Orm(session).count(select(Line)) == 200


async def test_a_stream_that_is_left_leaves_no_cursor(lines):
    # asyncpg has no way to close one before the transaction ends.
    url = lines.engine.url.set(drivername="postgresql+psycopg")
    cursors = select(func.count()).select_from(text("pg_cursors"))
    manager = MainDatabaseManager(url, name="left by psycopg")

    async with manager.atransaction() as session:
        stream = OrmAsync(session).stream(select(Line), batch=10)
        await anext(stream)
        await stream.aclose()
        awaited = await session.scalar(cursors)
    with manager.transaction() as session:
        stream = Orm(session).stream(select(Line), batch=10)
        next(stream)
        stream.close()
        sync = session.scalar(cursors)
    await manager.adispose()

    assert (awaited, sync) == (0, 0)


async def test_exhausted_connections_are_told_from_a_server_that_is_away():
    with postgres_server({"max_connections": "4"}) as url, ExitStack() as stack:
        hungry = MainDatabaseManager(url, name="hungry", pool_size=9)

        def take_all():
            for _ in range(9):
                session = stack.enter_context(hungry.transaction())
                Orm(session).get_list(select(text("1")))

        with pytest.raises(Unavailable) as caught:
            take_all()
        with pytest.raises(Unavailable) as awaited:
            async with hungry.asession() as session:
                await OrmAsync(session).get_list(select(text("1")))
        stack.close()
        await hungry.adispose()

    assert "too many clients already" in caught.value.reason
    assert "too many clients already" in awaited.value.reason


async def test_a_client_that_waited_enough_says_so(postgres_url):
    url = make_url(postgres_url).update_query_dict({"command_timeout": "0.1"})
    manager = MainDatabaseManager(url, name="impatient")

    with pytest.raises(TimeoutError) as caught:
        async with manager.asession() as session:
            await session.execute(text("SELECT pg_sleep(5)"))
    async with manager.asession() as session:
        with pytest.raises(Unavailable):
            await OrmAsync(session).get_list(select(text("pg_sleep(5)")))
    await manager.adispose()

    assert isinstance(as_unavailable(caught.value), Unavailable)
    assert as_unavailable(TimeoutError()) is None


async def test_an_unreachable_server_is_unavailable():
    manager = MainDatabaseManager("postgresql://u:geheim@127.0.0.1:1/x", name="nowhere")

    with pytest.raises(Unavailable) as caught:
        async with manager.asession() as session:
            await OrmAsync(session).get_list(select(text("1")))
    with pytest.raises(Unavailable), manager.session() as session:
        Orm(session).get_list(select(text("1")))
    await manager.adispose()

    assert "geheim" not in str(caught.value)
    assert "cannot be reached (ConnectionRefusedError)" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"username": "stranger"}, 'role "stranger" does not exist'),
    ],
)
async def test_what_the_settings_name_wrongly_is_unavailable(postgres, wrong, why):
    url = make_url(postgres).set(password="geheim", **wrong)
    manager = MainDatabaseManager(url, name=f"wrong {why}")

    with pytest.raises(Unavailable) as awaited:
        async with manager.asession() as session:
            await OrmAsync(session).get_list(select(text("1")))
    with pytest.raises(Unavailable) as caught, manager.session() as session:
        Orm(session).get_list(select(text("1")))
    await manager.adispose()

    assert why in awaited.value.reason
    assert why in caught.value.reason
    assert "geheim" not in str(awaited.value) + str(caught.value)


def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path):
    manager = MainDatabaseManager(f"sqlite:///{tmp_path}/no/x.db", name="no directory")

    with pytest.raises(Unavailable), manager.session() as session:
        Orm(session).get_list(select(text("1")))
    manager.dispose()


async def test_an_exhausted_pool_is_unavailable(postgres_url):
    manager = MainDatabaseManager(
        postgres_url, name="small", pool_size=1, max_overflow=0, pool_timeout=0.1
    )

    async with manager.atransaction() as holder:
        await holder.execute(text("SELECT 1"))
        async with manager.asession() as session:
            with pytest.raises(Unavailable, match="No connection of the pool"):
                await OrmAsync(session).get_list(select(text("1")))
    await manager.adispose()


async def test_the_error_of_a_user_stays_his_own(postgres_url):
    manager = MainDatabaseManager(postgres_url, name="own errors")

    with pytest.raises(ConnectionRefusedError):
        async with manager.atransaction():
            raise ConnectionRefusedError
    with pytest.raises(subprocess.SubprocessError), manager.transaction():
        raise subprocess.SubprocessError
    await manager.adispose()


async def test_overrides_may_be_async(tmp_path):
    manager = MainDatabaseManager("sqlite://", name="async override")

    async with manager.override(f"sqlite:///{tmp_path}/x.db"):
        assert await manager.aping()
        assert "x.db" in manager.database_url

    assert "x.db" not in manager.database_url
