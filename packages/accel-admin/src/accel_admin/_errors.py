"""Everything that accel-admin raises.

AdminError
├── ConfigurationError
│   ├── WeakSecretKey
│   ├── WeakPassword
│   ├── UnknownRole
│   └── MissingExtra (also an ImportError)
└── LoginThrottled
"""


class AdminError(Exception):
    """The root of the tree: `except AdminError` catches all of it."""

    http_status: int = 500
    retry_after: float | None = None


class ConfigurationError(AdminError):
    """Raised when a panel cannot be built as it was asked to."""


class WeakSecretKey(ConfigurationError):  # noqa: N818  # says what is wrong
    """Raised when the key that signs sessions could be guessed."""

    def __init__(self, length: int, minimum: int) -> None:
        super().__init__(
            f'"SECRET_KEY" must have at least {minimum} characters: {length}. '
            "Whoever guesses it can forge a session. Make one with: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )


class WeakPassword(ConfigurationError):  # noqa: N818  # says what is wrong
    """Raised when the password of an account could be guessed."""

    def __init__(self, username: str, reason: str) -> None:
        super().__init__(
            f"The password of {username!r} {reason}. Choose a longer one, or pass "
            "`debug=True` while you develop."
        )
        self.username = username


class UnknownRole(ConfigurationError):  # noqa: N818  # says what is wrong
    """Raised when an account has a role that is not declared."""

    def __init__(self, username: str, role: str) -> None:
        super().__init__(
            f"The account {username!r} has the role {role!r}, which is not in "
            "`roles`. Declare what it may do."
        )
        self.role = role


class MissingExtra(ConfigurationError, ImportError):  # noqa: N818  # as its siblings
    """Raised when an optional package is needed and not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs a package that is not installed. Install it with: "
            f'pip install "accel-admin[{extra}]"'
        )
        self.extra = extra


class LoginThrottled(AdminError):  # noqa: N818  # says what happened
    """Raised when too many logins failed lately."""

    http_status = 429

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            f"Too many failed logins. Try again in {retry_after:.0f} seconds."
        )
        self.retry_after = retry_after
