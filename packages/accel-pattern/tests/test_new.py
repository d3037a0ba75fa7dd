"""The command `accel new`."""

import os
import stat
import subprocess
import sys
import tomllib

import pytest

from accel_pattern._cli import main


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_writes_a_project_under_its_name(tmp_path, capsys):
    code = main(["new", "my-shop"])

    assert code == 0
    assert "cd my-shop" in capsys.readouterr().out
    home = tmp_path / "my-shop"
    project = tomllib.loads((home / "pyproject.toml").read_text())
    assert project["project"]["name"] == "my-shop"
    assert 'title="my-shop"' in (home / "main.py").read_text()
    for name in ("Dockerfile", "compose.yaml", ".env.example", ".gitignore"):
        assert (home / name).exists()


def test_each_project_has_secrets_of_its_own(tmp_path):
    for name in ("one", "two"):
        main(["new", name])

    one, two = ((tmp_path / n / ".env").read_text() for n in ("one", "two"))
    lines = [line for line in one.splitlines() if line.startswith("SECRET_KEY=")]
    assert len(lines[0]) > 40
    assert lines[0] not in two


def test_only_the_owner_reads_the_secrets(tmp_path):
    main(["new", "shop"])

    assert stat.S_IMODE((tmp_path / "shop" / ".env").stat().st_mode) == 0o600


def test_its_tests_pass_with_its_own_settings(tmp_path):
    main(["new", "shop"])

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "shop",
        env={k: v for k, v in os.environ.items() if not k.endswith("DATABASE_URL")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert not done.returncode, done.stdout + done.stderr


def test_postgres_stands_in_the_settings(tmp_path):
    main(["new", "shop", "--database", "postgres"])

    settings = (tmp_path / "shop" / ".env").read_text()
    assert "\nDATABASE_URL=postgresql://shop:" in settings
    assert "\nPOSTGRES_USER=shop\n" in settings


@pytest.mark.parametrize(
    "name", ["1shop", "my shop", "../shop", "", "ü", "-x-", "shop-", "shop_"]
)
def test_name_that_is_none_is_one_clear_line(name, capsys, tmp_path):
    code = main(["new", "--", name])

    assert code == 1
    assert "is no name for a project" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["fastapi", "Accel_DB", "pydantic"])
def test_project_is_not_called_like_what_it_needs(name, capsys, tmp_path):
    code = main(["new", name])

    assert code == 1
    assert "no project can depend on itself" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_folder_in_use_stays_as_it_is(tmp_path, capsys):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("mine")

    code = main(["new", "shop"])

    assert code == 1
    assert "is in use" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "shop").iterdir()] == ["mine.txt"]
