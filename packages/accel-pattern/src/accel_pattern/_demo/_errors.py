"""What keeps the demonstration from starting: each is one line for the reader."""

from accel_pattern._errors import PatternError


class DemoError(PatternError):
    """Base class of what the demonstration tells its reader in one line."""


class PortTakenError(DemoError):
    """Raised when the port is in use."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} is taken. Stop what uses it, or let us find a free one: "
            "accel demo --port 0"
        )


class DatabaseDownError(DemoError):
    """Raised when the database of `DATABASE_URL` does not answer."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"The database {url} does not answer ({reason}). "
            "Correct DATABASE_URL, or unset it to use SQLite."
        )


class RedisDownError(DemoError):
    """Raised when the server of `REDIS_URL` does not answer."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"Redis at {url} does not answer ({reason}). "
            "Correct REDIS_URL, or unset it to use what is bundled."
        )


class StepFailedError(DemoError):
    """Raised when a step of the preparation ends with an error."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"Could not {step}: {reason}")


class TourFailedError(DemoError):
    """Raised when the tour saw something that it did not expect."""

    def __init__(self, failed: int) -> None:
        super().__init__(f"{failed} of the tour's steps went wrong; see above.")
