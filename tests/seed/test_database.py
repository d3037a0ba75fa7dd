"""The manager of a database: both halves, its guards, and who is who."""

import re
import subprocess
import sys
import uuid
from contextlib import contextmanager, suppress

import httpx2
import pytest
from sqlalchemy import Column, Integer, String, Table, inspect, select, text


@pytest.fixture
def thing(manager):
    class Thing(manager.Base):
        __tablename__ = "things"

        id = Column(Integer, primary_key=True)
        name = Column(String)

    Table("kept", manager.Base.metadata, Column("id", Integer, primary_key=True))
    return Thing


def rows(manager, table):
    with manager.engine.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()


def test_one_url_gives_both_halves(manager, backend):
    drivers = {
        "sqlite": ("+pysqlite", "+aiosqlite"),
        "postgresql": ("+psycopg", "+asyncpg"),
    }

    sync, asynchronous = drivers[backend]

    assert manager.database_url.startswith(f"{backend}{sync}://")
    assert manager.adatabase_url.startswith(f"{backend}{asynchronous}://")


def test_get_session_leaves_the_commit_to_its_user(manager, thing):
    manager.create_all()

    for session in manager.get_session():
        session.add(thing(name="lost"))
        session.flush()
    for session in manager.get_session():
        session.add(thing(name="kept"))
        session.commit()

    with manager.session() as session:
        assert session.scalars(select(thing.name)).all() == ["kept"]


def test_get_session_transaction_commits(manager, thing):
    manager.create_all()

    for session in manager.get_session_transaction():
        session.add(thing(name="a"))

    assert rows(manager, "things") == 1


def test_get_session_transaction_rolls_back(manager, thing):
    manager.create_all()
    transaction = contextmanager(manager.get_session_transaction)

    with suppress(LookupError), transaction() as session:
        session.add(thing(name="lost"))
        session.flush()
        raise LookupError

    assert rows(manager, "things") == 0


@pytest.mark.anyio
async def test_the_async_half_does_the_same(manager, thing):
    await manager.acreate_all()

    async for session in manager.aget_session():
        session.add(thing(name="lost"))
        await session.flush()
    async for session in manager.aget_session_transaction():
        session.add(thing(name="kept"))

    async with manager.asession() as session:
        names = (await session.scalars(select(thing.name))).all()
    async with manager.aengine.connect() as connection:
        one = (await connection.execute(text("SELECT 1"))).scalar()
    await manager.adispose()

    assert names == ["kept"]
    assert one == 1


def test_clear_all_spares_the_excluded_tables(manager, thing):
    manager.create_all()
    with manager.engine.begin() as connection:
        connection.execute(text("INSERT INTO things (name) VALUES ('a')"))
        connection.execute(text("INSERT INTO kept (id) VALUES (1)"))

    manager.clear_all(exclude_tables_name=["kept"])

    assert (rows(manager, "things"), rows(manager, "kept")) == (0, 1)


def test_drop_all_drops_the_tables_of_the_manager_alone(manager, thing):
    manager.create_all()
    with manager.engine.begin() as connection:
        connection.execute(text("CREATE TABLE stranger (id INTEGER)"))

    manager.drop_all()

    assert inspect(manager.engine).get_table_names() == ["stranger"]


@pytest.mark.parametrize("operation", ["create_all", "drop_all", "clear_all"])
def test_outside_of_development_nothing_critical_runs(seed, scratch, unique, operation):
    manager = seed("dbsession", "MainDatabaseManager")(scratch(), name=unique)

    with pytest.raises(Exception, match=f"{operation}.*DEV_STATUS"):
        getattr(manager, operation)()


@pytest.mark.anyio
@pytest.mark.parametrize("operation", ["acreate_all", "adrop_all", "aclear_all"])
async def test_outside_of_development_nothing_critical_runs_async(
    seed, scratch, unique, operation
):
    manager = seed("dbsession", "MainDatabaseManager")(scratch(), name=unique)

    with pytest.raises(Exception, match=f"{operation}.*DEV_STATUS"):
        await getattr(manager, operation)()


def test_a_manager_may_be_written_in_two_places(seed, scratch, unique):
    MainDatabaseManager = seed("dbsession", "MainDatabaseManager")
    url = scratch()

    first = MainDatabaseManager(url, name=unique)
    second = MainDatabaseManager(url, name=unique)

    assert first is second


def test_one_name_has_one_configuration(seed):
    # In a process of its own: a process of tests lets the first manager win.
    home = {"old": "fastapi_accelerator.dbsession", "new": "accel_db"}[seed.kind]
    script = (
        f"from {home} import MainDatabaseManager as Manager\n"
        "first = Manager('sqlite:///:memory:')\n"
        "assert Manager('sqlite:///:memory:') is first\n"
        "Manager('sqlite:///other.db')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "ManagerConflict" in done.stderr


def test_in_tests_the_first_manager_wins(seed, unique):
    MainDatabaseManager = seed("dbsession", "MainDatabaseManager")
    first = MainDatabaseManager("sqlite:///test_one.db", name=unique)

    second = MainDatabaseManager("sqlite:///real.db", name=unique)

    assert second is first


def test_another_database_stands_in_for_a_while(manager, thing, new_database):
    manager.create_all()
    url = manager.database_url

    with manager.override(new_database()):
        manager.create_all()
        with manager.session.begin() as session:
            session.add(thing(name="elsewhere"))
        inside = (manager.database_url, rows(manager, "things"))

    assert inside[0] != url
    assert (inside[1], rows(manager, "things")) == (1, 0)
    assert manager.database_url == url


# The endpoints of the seed, which need no view set --------------------------------


def test_files_are_created_read_changed_and_deleted(client):
    uid = client.post("/crud/file").json()["uid"]

    read = client.get(f"/crud/file/{uid}")
    changed = client.put(f"/crud/file/{uid}")
    deleted = client.delete(f"/crud/file/{uid}")
    again = client.delete(f"/crud/file/{uid}")

    assert read.json() == {"uid": uid, "filename": None}
    assert changed.json() == {"uid": uid, "filename": "new"}
    assert (deleted.json(), again.json()) == (True, False)


def test_a_list_takes_its_untyped_parameters(client):
    uids = [client.post("/crud/file").json()["uid"] for _ in range(2)]

    everything = client.get("/crud/file", params={"limit": 100_000}).json()
    part = client.get("/crud/file", params={"skip": 1, "limit": 1}).json()

    assert set(uids) <= {file["uid"] for file in everything}
    assert len(part) == 1


def test_the_sync_version_lists_files(client):
    client.post("/crud/file")

    files = client.get("/crud/file-sync").json()

    assert files
    assert uuid.UUID(files[0]["uid"])


def test_a_missing_row_of_a_type_that_is_not_optional_is_a_crash(service):
    # After a crash the server closes the connection: it is not for others.
    response = httpx2.get(f"{service.url}/crud/file/{uuid.uuid4()}")

    assert response.status_code == 500


# Migrations -----------------------------------------------------------------------


def test_a_migration_is_written_from_the_models(copy):
    (script,) = (copy.folder / "alembic" / "versions").glob("*.py")
    source = script.read_text()

    assert re.fullmatch(r"\d{4}_\d\d_\d\d_\d{4}-[0-9a-f]{12}_first\.py", script.name)
    for table in ("file", "files", "task", "task_execution", "task_step", "users"):
        assert f"op.create_table('{table}'" in source


def test_a_migration_is_applied_and_taken_back(copy):
    told = copy.migration

    assert "No new upgrade operations detected" in told["check"]
    assert told["current"] == ""
    assert "(head)" in told["current --verbose"]
    assert "CREATE TABLE users" in told["upgrade head --sql"]
