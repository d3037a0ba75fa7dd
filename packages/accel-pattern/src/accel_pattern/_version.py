"""The version of a service."""

import tomllib
from pathlib import Path
from typing import Any

from accel_pattern._errors import InvalidVersionError


def read_version(base_dir: Path) -> str | None:
    """Read the version from `version.toml` in *base_dir*, `None` without such a file.

    The version stands at the top of the file, or in its table `[project]`.
    """
    path = base_dir / "version.toml"
    try:
        # Editors on Windows begin a file with a byte order mark, which `tomllib` refuses.
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise InvalidVersionError(path, str(exc)) from exc
    project = data.get("project")
    inner = project.get("version") if isinstance(project, dict) else None
    version = data.get("version", inner)
    if not isinstance(version, str) or not version.strip():
        raise InvalidVersionError(path, f"`version` is {version!r}")
    return version.strip()
