"""The module `fastapi_accelerator`, for code that was written for its namesake."""

import importlib
import subprocess
import sys

import pytest

MODULES = (
    *("auth_jwt", "appstate", "cache", "commands.py2dantic", "db", "db.dbsession"),
    *("db.dborm", "dbsession", "exception", "integration"),
    *("integration.http_integration", "integration.stability_patterns", "middleware"),
    *("paginator", "pattern", "pattern.pattern_alembic", "pattern.pattern_fastapi"),
    *("pattern.pattern_flask_admin", "pattern_fastapi", "pattern_flask_admin"),
    *("testutils", "testutils.fixture_base", "testutils.fixture_auth"),
    *("testutils.fixture_db", "testutils.fixture_db.trace_sql"),
    *("testutils.fixture_integration", "testutils.utils", "timezone", "utils"),
    "viewset",
)


@pytest.mark.parametrize("name", MODULES)
def test_module_offers_what_it_names(name):
    module = importlib.import_module(f"fastapi_accelerator.{name}")

    for exported in getattr(module, "__all__", ()):
        assert hasattr(module, exported)


def test_warns_beside_the_distribution_that_owns_the_name(tmp_path):
    info = tmp_path / "fastapi_accelerator-0.0.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: fastapi-accelerator\nVersion: 0.0.5\n")

    done = subprocess.run(
        [sys.executable, "-c", "import fastapi_accelerator"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "pip uninstall fastapi-accelerator" in done.stderr


def test_says_nothing_on_its_own():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import fastapi_accelerator"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert not done.stderr


def test_singleton_keeps_its_first_answer():
    from fastapi_accelerator.utils import singleton

    @singleton
    def setting(value=None):
        return value

    assert setting() is False
    assert setting(3) == 3
    assert setting() == 3
