"""Everything that accel-admin raises.

AdminError
├── ConfigurationError
│   ├── WeakSecretKey
│   ├── WeakPassword
│   ├── DuplicateAccount
│   ├── UnknownRole
│   ├── InvalidPath
│   ├── AsyncClient
│   └── MissingExtra (also an ImportError)
└── StoreUnavailable
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

    def __init__(
        self,
        username: str,
        reason: str,
        cure: str = "Choose a longer one, or pass `debug=True` while you develop.",
    ) -> None:
        super().__init__(f"The password of {username!r} {reason}. {cure}")
        self.username = username


class DuplicateAccount(ConfigurationError):  # noqa: N818  # says what is wrong
    """Raised when two accounts have one name: one password would count for nothing."""

    def __init__(self, username: str) -> None:
        super().__init__(
            f"There are two accounts {username!r}. Give each name once, and mind that "
            "`ADMIN_USERNAME` is one of them."
        )
        self.username = username


class InvalidPath(ConfigurationError):  # noqa: N818  # says what is wrong
    """Raised when the panel cannot be where it was asked to be."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f'"path" must name a folder, such as `/admin`: {path!r}. It may hold '
            "letters, digits, `-`, `.`, `_` and slashes. Nothing else of the app "
            "can be below it."
        )
        self.path = path


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


class AsyncClient(ConfigurationError):  # noqa: N818  # says what is wrong
    """Raised when an asynchronous Redis client is given as the store."""

    def __init__(self) -> None:
        super().__init__(
            "`store` got an asynchronous Redis client, and the panel runs in threads. "
            "Pass a client of `redis.Redis`, such as `redis.from_url(REDIS_URL)`."
        )


class StoreUnavailable(AdminError):  # noqa: N818  # says what happened
    """Raised when the store of sessions cannot be reached: nobody gets in meanwhile."""

    http_status = 503
    retry_after = 1.0

    def __init__(self) -> None:
        super().__init__("The store of sessions cannot be reached. Try again.")
