"""Alembic's own commands, on real databases."""

import logging
import textwrap
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    String,
    create_engine,
    inspect,
    make_url,
    text,
)

from accel_db import ConfigurationError, MainDatabaseManager, UtcDateTime
from accel_db.testing import create_database, drop_database

ENV = """
from accel_db import AlembicEnv, MainDatabaseManager

(manager,) = [m for m in MainDatabaseManager.instances() if m.name == {name!r}]
AlembicEnv(manager).run()
"""


@pytest.fixture
def database(backend, request, tmp_path):
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/migrated.db"
        return
    url = create_database(request.getfixturevalue("postgres"), "test%migrations")
    # The server trusts everybody, so any password will do.
    parsed = make_url(url).set(password="p%s:@/")
    yield parsed.render_as_string(hide_password=False)
    drop_database(url)


class Project:
    """An Alembic project of one manager."""

    def __init__(self, path, url, name):
        self.manager = MainDatabaseManager(url, name=name, DEV_STATUS=True)
        self.path = path
        self.config = Config(str(path.with_suffix(".ini")))
        command.init(self.config, str(path))
        self.config = Config()
        self.config.set_main_option("script_location", str(path))
        (path / "env.py").write_text(ENV.format(name=name))

    def upgrade(self):
        command.upgrade(self.config, "head")

    def revise(self):
        """Write a revision of what differs, and return its text."""
        revision = command.revision(self.config, "change", autogenerate=True)
        return Path(revision.path).read_text()

    def tables(self):
        return set(inspect(self.manager.engine).get_table_names())


@pytest.fixture
def project(tmp_path, database):
    project = Project(tmp_path / "migrations", database, f"migrations {tmp_path}")
    yield project
    project.manager.dispose()


def user_model(manager, **columns):
    manager.Base.metadata.clear()
    manager.Base.registry.dispose()

    return type(
        "User",
        (manager.Base,),
        {"__tablename__": "user", "id": Column(Integer, primary_key=True), **columns},
    )


def test_revise_and_upgrade(project):
    user_model(project.manager, email=Column(String(50), unique=True))

    first = project.revise()
    project.upgrade()
    second = project.revise()

    assert "create_table('user'" in first
    assert "user_email_key" in first
    assert "pass" in second
    assert "user" in project.tables()


def test_a_migration_needs_nothing_of_ours(project):
    user_model(project.manager, seen=Column(UtcDateTime))

    first = project.revise()
    project.upgrade()
    second = project.revise()

    assert "sa.Column('seen', sa.DateTime(timezone=True)" in first
    assert "accel_db" not in first
    assert "pass" in second


def test_foreign_tables_survive(project):
    with project.manager.engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE theirs (id integer primary key, x integer)")
        )
        connection.execute(text("CREATE INDEX theirs_x ON theirs (x)"))
    user_model(project.manager)

    revision = project.revise()
    project.upgrade()

    assert "theirs" not in revision
    assert {"theirs", "user"} <= project.tables()


def test_types_defaults_and_columns_are_compared(project):
    user_model(
        project.manager,
        name=Column(String(10), server_default="a"),
        old=Column(Integer),
    )
    project.revise()
    project.upgrade()
    user_model(project.manager, name=Column(String(20), server_default="b"))

    revision = project.revise()
    project.upgrade()

    assert "String(length=20)" in revision.replace("sa.", "")
    assert "server_default" in revision
    assert "drop_column('old')" in revision or "'user', 'old'" in revision
    columns = {
        c["name"]: c for c in inspect(project.manager.engine).get_columns("user")
    }
    assert columns["name"]["type"].length == 20
    assert "old" not in columns


def test_a_batch_keeps_children(project):
    """SQLite changes a table by dropping the old one, which would cascade."""
    user = user_model(project.manager, name=Column(String(10)))

    def child():
        return type(
            "Child",
            (project.manager.Base,),
            {
                "__tablename__": "child",
                "id": Column(Integer, primary_key=True),
                "user_id": Column(ForeignKey("user.id", ondelete="CASCADE")),
            },
        )

    kid = child()
    project.revise()
    project.upgrade()
    with project.manager.session.begin() as session:
        session.add(user(id=1, name="a"))
        session.flush()
        session.add(kid(id=1, user_id=1))
    user_model(
        project.manager, name=Column(String(30), nullable=False, server_default="x")
    )
    child()

    project.revise()
    project.upgrade()

    with project.manager.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM child")).scalar() == 1
        if project.manager.backend == "sqlite":
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_several_commands_reach_several_databases(tmp_path, database):
    projects = [
        Project(tmp_path / "one", database, f"one {tmp_path}"),
        Project(tmp_path / "two", f"sqlite:///{tmp_path}/two.db", f"two {tmp_path}"),
    ]
    for project in projects:
        user_model(project.manager)
        project.revise()
        project.upgrade()
    found = [project.tables() for project in projects]
    for project in projects:
        project.manager.dispose()

    assert all("user" in tables for tables in found)


def test_the_loggers_of_the_application_stay_on(project, tmp_path):
    project.config.config_file_name = str(tmp_path / "migrations.ini")
    logger = logging.getLogger("application")
    user_model(project.manager)

    project.revise()

    assert not logger.disabled
    assert logging.getLogger("accel_db").disabled is False


def test_the_command_line_configures_logging_and_disables_nothing(project, tmp_path):
    ini = tmp_path / "logging.ini"
    ini.write_text(
        textwrap.dedent(
            """
            [loggers]
            keys = root
            [handlers]
            keys =
            [formatters]
            keys =
            [logger_root]
            level = WARNING
            handlers =
            """
        )
    )
    logger = logging.getLogger("application")
    project.config.config_file_name = str(ini)
    project.config.cmd_opts = object()
    user_model(project.manager)

    command.upgrade(project.config, "head")

    assert not logger.disabled


def test_offline_sql(project, capsys):
    user_model(project.manager, email=Column(String))
    project.revise()
    project.upgrade()
    capsys.readouterr()

    project.config.output_buffer = None
    command.upgrade(project.config, "head", sql=True)

    assert 'CREATE TABLE "user"' in capsys.readouterr().out.replace(
        "CREATE TABLE user", 'CREATE TABLE "user"'
    )


def test_a_missing_sync_driver_is_no_obstacle(project, monkeypatch):
    from accel_db import MissingDriver

    if project.manager.backend == "sqlite":
        # Its sync driver is a part of Python.
        return
    user_model(project.manager)
    project.revise()

    with monkeypatch.context() as patch:

        def missing(_self):
            raise MissingDriver("psycopg", "sync")

        patch.setattr(MainDatabaseManager, "engine", property(missing))
        project.upgrade()

    assert "user" in project.tables()


def test_two_processes_migrate_one_after_the_other(project):
    user_model(project.manager)
    project.revise()
    errors = []

    def work():
        try:
            project.upgrade()
        except Exception as exc:  # noqa: BLE001
            errors.append(exc)

    if project.manager.backend == "sqlite":
        work()
    else:
        # Alembic's own state is global, so a second process is played by a connection.
        blocker = create_engine(project.manager.engine.url)
        with blocker.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(1633903461)"))
            thread = threading.Thread(target=work)
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
            assert "user" not in project.tables()
            connection.execute(text("SELECT pg_advisory_unlock(1633903461)"))
            thread.join(10)
        blocker.dispose()

    assert errors == []
    assert "user" in project.tables()


@pytest.mark.parametrize("pgbouncer", [False, True])
def test_the_budget_of_a_statement_is_not_that_of_a_migration(
    postgres, tmp_path, pgbouncer
):
    """Nor that of the lock: who deploys second waits for the first."""
    url = create_database(postgres, "slow test migration")
    project = Project(tmp_path / "slow", url, f"slow {tmp_path}")
    project.manager.dispose()
    manager = MainDatabaseManager(
        url, name=f"budget {pgbouncer}", statement_timeout=0.2, pgbouncer=pgbouncer
    )
    (project.path / "env.py").write_text(ENV.format(name=manager.name))
    file = Path(command.revision(project.config, "slow").path)
    waits = "\n    op.execute('SELECT pg_sleep(0.6)')"
    head = "def upgrade() -> None:"
    file.write_text(file.read_text().replace(head, head + waits))
    errors = []

    def work():
        try:
            project.upgrade()
        except Exception as exc:  # noqa: BLE001
            errors.append(exc)

    blocker = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with blocker.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(1633903461)"))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.6)
        connection.execute(text("SELECT pg_advisory_unlock(1633903461)"))
        thread.join(30)
    blocker.dispose()
    with manager.engine.connect() as connection:
        after = connection.scalar(text("SHOW statement_timeout"))
        locks = connection.scalar(
            text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        )
    manager.dispose()
    drop_database(url)

    assert errors == []
    assert (after, locks) == ("200ms", 0)


def test_a_migration_that_breaks_references_fails(project):
    if project.manager.backend == "postgresql":
        return
    user = user_model(project.manager)
    type(
        "Child",
        (project.manager.Base,),
        {
            "__tablename__": "child",
            "id": Column(Integer, primary_key=True),
            "user_id": Column(ForeignKey("user.id")),
        },
    )
    project.manager.create_all()
    with project.manager.session.begin() as session:
        session.add(user(id=1))
    revision = command.revision(project.config, "break")
    file = Path(revision.path)
    broken = file.read_text().replace(
        "def upgrade() -> None:",
        "def upgrade() -> None:\n    op.execute('INSERT INTO child VALUES (1, 99)')",
    )
    file.write_text(broken)

    with pytest.raises(
        ConfigurationError, match="rows of 'child' that refer to missing"
    ):
        project.upgrade()
