"""Errors of accel-pattern.

PatternError
├── MissingStateError      an application was not prepared by `base_pattern`
├── InvalidVersionError    `version.toml` does not say a version
├── MissingExtraError      an optional dependency is not installed
└── NoTestSettingError     the testing kit does not know what to test
"""

from pathlib import Path


class PatternError(Exception):
    """Base class of everything that accel-pattern raises."""

    http_status = 500
    retry_after: float | None = None


class MissingStateError(PatternError):
    """Raised when a setting is asked of an application that does not carry it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"`app.state.{name}` is not set. "
            f"Pass it to `base_pattern`, or set `app.state.{name}` yourself."
        )


class InvalidVersionError(PatternError):
    """Raised when a version file exists but no version can be read from it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"No version in {path.name!r}: {reason}. "
            'Write one line, `version = "1.2.3"`, or pass `version=` to `base_pattern`.'
        )


class MissingExtraError(PatternError):
    """Raised when a command needs a package that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package!r} is not installed. "
            f'Install it with: pip install "accel-pattern[{extra}]"'
        )


class NoTestSettingError(PatternError):
    """Raised when a fixture does not know what to test."""

    def __init__(self) -> None:
        super().__init__(
            "The testing kit does not know your application. "
            "Call `SettingTest(manager, app)` in `conftest.py`."
        )
