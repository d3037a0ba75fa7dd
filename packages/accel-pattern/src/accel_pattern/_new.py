"""A new project: the template of a service, under a name of its own."""

import re
import secrets
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from accel_pattern._errors import PatternError

TEMPLATE = Path(__file__).parent / "template"

# What running the template leaves behind.
LEFTOVERS = shutil.ignore_patterns("__pycache__", "*.db", "*.db-*", ".env", ".*_cache")


class InvalidNameError(PatternError):
    """Raised when a project cannot have this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is no name for a project: use letters, digits, `_` and `-`, "
            "begin with a letter, and end with a letter or a digit, as in `shop` or "
            "`my-shop`."
        )


class NameInUseError(PatternError):
    """Raised when a project is to be called like a package that it needs."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is the name of a package that is installed here, and no project "
            "can depend on itself: choose another one."
        )


class FolderInUseError(PatternError):
    """Raised when the folder of a new project holds something already."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"The folder {str(folder)!r} is in use: choose another name, or empty it."
        )


def copy_template(target: Path) -> None:
    """Copy the template of a service into *target*."""
    shutil.copytree(TEMPLATE, target, ignore=LEFTOVERS, dirs_exist_ok=True)


def new_project(name: str, parent: Path, database: str = "sqlite") -> Path:
    """Write a project called *name* into a folder of *parent*, and return the folder.

    It can be run at once: its `.env` has secrets of its own.

    Args:
        name: Letters, digits, `_` and `-`, a letter first, a letter or digit last.
        parent: Where the folder is made.
        database: `sqlite`, or `postgres`, whose address stands in `.env` to be filled.

    Raises:
        InvalidNameError: *name* is no such name.
        NameInUseError: A package that is installed has this name.
        FolderInUseError: The folder exists and is not empty.
    """
    # It becomes a folder, a distribution, a role and a database: none needs a quote.
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", name):
        raise InvalidNameError(name)
    if _is_package(name):
        raise NameInUseError(name)
    folder = parent / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderInUseError(folder)
    copy_template(folder)
    _rename(folder / "pyproject.toml", 'name = "service"', f'name = "{name}"')
    _rename(folder / "main.py", "A service built with accel", name)
    _rename(folder / "README.md", "# A service built with accel", f"# {name}")
    _keep_private(folder / ".env", _settings(folder, name, database))
    return folder


def _is_package(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _keep_private(path: Path, text: str) -> None:
    # Made private before anything is in it: other users of the machine see no secret.
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _rename(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text("utf-8").replace(old, new, 1), encoding="utf-8")


def _settings(folder: Path, name: str, database: str) -> str:
    password = secrets.token_urlsafe(16)
    values = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ADMIN_PASSWORD": secrets.token_urlsafe(12),
    }
    if database == "postgres":
        values["DATABASE_URL"] = f"postgresql://{name}:{password}@localhost/{name}"
    text = (folder / ".env.example").read_text("utf-8")
    for key, value in values.items():
        text = re.sub(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
    return (
        f"{text}\n# The database in compose.yaml.\n"
        f"POSTGRES_USER={name}\nPOSTGRES_PASSWORD={password}\n"
    )
