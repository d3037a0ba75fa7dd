"""The testing kit, in the processes of users."""

import os
import subprocess
import sys
import textwrap

import pytest

CONFTEST = """
    import os
    import pytest
    from fastapi import Depends, FastAPI
    from sqlalchemy import Column, Integer, String, select
    from sqlalchemy.orm import Session

    from accel_pattern.testing import *
    from accel_db import MainDatabaseManager

    db = MainDatabaseManager("sqlite:///test_kit.db", DEV_STATUS=True)

    class Row(db.Base):
        __tablename__ = "row"
        id = Column(Integer, primary_key=True)
        name = Column(String, unique=True)

    app = FastAPI()

    # Dependencies of a sync endpoint run in threads of their own.
    def first(session: Session = Depends(db.get_session)):
        session.scalars(select(Row)).all()
        if not db.engines.transient:
            # SQLite has one writer, and each transaction is one.
            session.rollback()
        return session

    def second(session: Session = Depends(db.get_session, use_cache=False)):
        session.scalars(select(Row)).all()
        return session

    @app.post("/{name}")
    def create(name: str, one=Depends(first), other=Depends(second)) -> int:
        other.add(Row(name=name))
        other.commit()
        return len(one.scalars(select(Row)).all())

    SettingTest(db, app, keepdb=True, rollback=os.environ["ROLLBACK"] == "1")

    @pytest.fixture
    def anyio_backend():
        return "asyncio"
"""


@pytest.fixture(params=["0", "1"], ids=["emptied", "rolled back"])
def run(request, tmp_path):
    """Run tests of a user in a process of their own, isolated in both ways."""

    def call(tests, *args):
        (tmp_path / "conftest.py").write_text(textwrap.dedent(CONFTEST))
        (tmp_path / "test_user.py").write_text(textwrap.dedent(tests))
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", *args],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "ROLLBACK": request.param},
        )

    return call


def test_parallel_requests_of_one_test(run):
    done = run(
        """
        import asyncio, time
        from concurrent.futures import ThreadPoolExecutor
        import pytest

        NAMES = [f"/{n}" for n in range(12)]

        def test_threads(client):
            begin = time.monotonic()
            with ThreadPoolExecutor(6) as pool:
                answers = list(pool.map(client.post, NAMES))
            assert {a.status_code for a in answers} == {200}
            assert client.post("/last").json() == 13
            # Whoever waits for SQLite's lock gives up after fifteen seconds.
            assert time.monotonic() - begin < 12, "somebody waited for himself"

        @pytest.mark.anyio
        async def test_tasks(aclient):
            async with aclient:
                answers = await asyncio.gather(*map(aclient.post, NAMES))
                last = await aclient.post("/last")
            assert {a.status_code for a in answers} == {200}
            assert last.json() == 13
        """
    )

    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_committed_tests_commit(run):
    done = run(
        """
        import pytest
        from sqlalchemy import create_engine, text

        def others_see():
            engine = create_engine("sqlite:///test_kit.db")
            with engine.connect() as connection:
                found = connection.scalar(text("SELECT count(*) FROM row"))
            engine.dispose()
            return found

        @pytest.mark.committed
        def test_committed(client):
            assert client.post("/a").status_code == 200
            assert others_see() == 1

        def test_isolated(client, db_manager):
            assert others_see() == 0
            assert client.post("/a").status_code == 200
            assert others_see() == (0 if db_manager.engines.transient else 1)

        def test_nothing_is_left(client):
            assert others_see() == 0
        """,
        "--strict-markers",
    )

    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_counts_and_errors_are_the_same_either_way(run):
    done = run(
        """
        from accel_pattern.testing import apply_fixture_db, track_queries
        from conftest import Row

        def rows():
            return {"one": Row(name="a")}

        @apply_fixture_db(rows)
        def test_its_own_error(client, db_manager, fixtures):
            with track_queries(db_manager, expected_count=99):
                assert fixtures["one"].name == "b"

        @apply_fixture_db(rows)
        def test_count(client, db_manager):
            with track_queries(db_manager, expected_count=4):
                client.post("/b")

        def test_nothing_is_left(db_session):
            assert db_session.query(Row).count() == 0
        """,
        "--import-mode=prepend",
    )

    assert "assert 'a' == 'b'" in done.stdout, done.stdout
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert "expected 99" not in done.stdout


@pytest.mark.parametrize(
    ("module", "cure"),
    [
        ("accel_pattern.testing", "accel-pattern[testing]"),
        ("fastapi_accelerator.testutils", "accel-pattern[testing]"),
        ("accel_db.testing", "accel-db[testing]"),
    ],
)
def test_without_pytest_the_kit_says_what_to_install(module, cure):
    code = f"import sys; sys.modules['pytest'] = None; import {module}"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert f'pip install "{cure}"' in done.stderr
    assert "needs pytest" in done.stderr


def test_a_set_up_that_fails_leaves_no_rows(run):
    done = run(
        """
        import pytest
        from accel_pattern.testing import BasePytest, apply_fixture_db
        from conftest import Row

        failed = []

        class TestRows(BasePytest):
            @apply_fixture_db(lambda: [Row(id=1, name="tea")])
            def setUp(self):
                if not failed:
                    failed.append(1)
                    raise RuntimeError("the one mistake")

            def test_one(self, client):
                assert failed

            def test_two(self, client):
                assert failed
    """,
        "--import-mode=prepend",
    )

    assert "1 passed, 1 error" in done.stdout
    assert "UNIQUE" not in done.stdout


def test_a_session_of_the_test_locks_nobody_out_before_it_writes(run):
    done = run(
        """
        from conftest import Row

        def test_read_then_write(client, db_session):
            client.post("/tea")
            assert db_session.query(Row).count() == 1
            client.post("/milk")
            assert db_session.query(Row).count() == 2
            db_session.add(Row(name="ice"))
            db_session.commit()
            client.post("/sugar")
            names = [row.name for row in db_session.query(Row).order_by(Row.id)]
            assert names == ["tea", "milk", "ice", "sugar"]
    """,
        "--import-mode=prepend",
    )

    assert "1 passed" in done.stdout
