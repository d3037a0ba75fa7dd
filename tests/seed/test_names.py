"""Every module of the drop-in, beside the names that do the work."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import fastapi_accelerator

MODULES = (
    *("appstate", "auth_jwt", "cache", "commands.py2dantic", "db", "db.dborm"),
    *("db.dbsession", "dbsession", "exception", "integration"),
    *("integration.http_integration", "integration.stability_patterns", "middleware"),
    *("paginator", "pattern", "pattern.pattern_alembic", "pattern.pattern_fastapi"),
    *("pattern.pattern_flask_admin", "pattern_fastapi", "pattern_flask_admin"),
    *("testutils", "testutils.fixture_auth", "testutils.fixture_base"),
    *("testutils.fixture_db", "testutils.fixture_db.trace_sql"),
    *("testutils.fixture_integration", "testutils.utils", "timezone", "utils"),
    "viewset",
)
# Packages of modules, and helpers that only the drop-in has.
WITHOUT_A_HOME = {"commands", "integration", "pattern", "utils"}


def test_every_module_of_the_design_is_there():
    found = {
        module.name.removeprefix("fastapi_accelerator.")
        for module in pkgutil.walk_packages(
            fastapi_accelerator.__path__, "fastapi_accelerator."
        )
    }

    assert found >= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_what_it_names(module):
    found = importlib.import_module(f"fastapi_accelerator.{module}")

    names = getattr(found, "__all__", [])

    assert all(hasattr(found, name) for name in names)
    assert names or module in {"integration", "pattern"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - WITHOUT_A_HOME))
def test_both_names_mean_one_thing(module, old_and_new):
    old, new = old_and_new
    found = importlib.import_module(f"fastapi_accelerator.{module}")

    for name in found.__all__:
        assert old(module, name) is new(module, name), name


def test_the_distribution_that_owns_the_name_is_warned_about(tmp_path):
    info = tmp_path / "fastapi_accelerator-0.0.5.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: fastapi-accelerator\nVersion: 0.0.5\n"
    (info / "METADATA").write_text(metadata)
    script = (
        f"import sys; sys.path.append({str(tmp_path)!r}); import fastapi_accelerator"
    )

    loud = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    quiet = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import fastapi_accelerator"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "UserWarning" in loud.stderr
    assert "pip uninstall fastapi-accelerator" in loud.stderr
    assert quiet.stderr == ""


def test_the_copy_with_the_new_names_has_none_of_the_old(tmp_path, old_and_new):
    _, new = old_and_new

    new.copy(tmp_path / "copy")

    sources = {path: path.read_text() for path in tmp_path.rglob("*.py")}
    assert not [path for path in sources if "fastapi_accelerator" in sources[path]]
    router = sources[tmp_path / "copy" / "app" / "api" / "v1" / "router.py"]
    assert "from accel_viewset import AppOrm, FullViewSet" in router
