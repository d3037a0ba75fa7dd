"""Everything that accel-viewset raises.

ViewSetError
├── ConfigurationError
│   ├── MissingExtra (also an ImportError)
│   └── MissingManager
├── PermissionRefused
├── OutOfScope
├── PreconditionFailed
├── PreconditionRequired
├── TooManyRequests
└── IdempotencyError
    ├── IdempotencyKeyMissing
    ├── IdempotencyKeyReused
    ├── IdempotencyKeyInFlight
    └── IdempotencyUnavailable
"""

# ruff: noqa: N818  # `except PermissionRefused` reads as it is spoken


class ViewSetError(Exception):
    """The root of the tree: `except ViewSetError` catches all of it."""

    http_status: int = 500
    retry_after: float | None = None


class ConfigurationError(ViewSetError):
    """Raised by `as_view` when a view set contradicts itself or its model."""

    def __init__(self, view: str, attribute: str, reason: str) -> None:
        super().__init__(f"`{view}.{attribute}` cannot work: {reason}")
        self.attribute = attribute


class MissingExtra(ConfigurationError, ImportError):
    """Raised when a view set asks for a cache that is not installed."""

    def __init__(self, view: str) -> None:
        super().__init__(
            view,
            "cache_class",
            "accel-cache is not installed. "
            'Install it with: pip install "accel-viewset[cache]"',
        )


class MissingManager(ConfigurationError):
    """Raised when nothing tells which database a view set reads."""

    def __init__(self) -> None:
        super().__init__(
            "AppOrm",
            "aget_orm",
            "the application has no database. Set `app.state.DATABASE_MANAGER`, pass "
            "`database_manager=` to `base_pattern`, or give the view set a "
            "`database_manager`.",
        )


class PermissionRefused(ViewSetError):
    """Raised when a permission of the view set says no."""

    http_status = 403

    def __init__(self, message: str = "You may not do this.") -> None:
        super().__init__(message)


class OutOfScope(PermissionRefused):
    """Raised when a write would put a row where its author cannot see it."""

    def __init__(self) -> None:
        super().__init__("The result would be outside of what you may see.")


class PreconditionFailed(ViewSetError):
    """Raised when `If-Match` names another state of the row than the current one."""

    http_status = 412

    def __init__(self) -> None:
        super().__init__(
            "The row was changed since it was read: `If-Match` names another state. "
            "Read it again, and repeat the change."
        )


class PreconditionRequired(ViewSetError):
    """Raised when a write must say which state of the row it changes."""

    http_status = 428

    def __init__(self) -> None:
        super().__init__(
            "Send `If-Match` with the `ETag` that you read, so that nobody's change "
            "is lost."
        )


class TooManyRequests(ViewSetError):
    """Raised when a client exceeds its rate."""

    http_status = 429

    def __init__(self, retry_after: float, headers: dict[str, str]) -> None:
        super().__init__("Too many requests. Slow down.")
        self.retry_after = retry_after
        self.headers = headers


class IdempotencyError(ViewSetError):
    """The root of what can be wrong with an `Idempotency-Key`."""

    http_status = 400


class IdempotencyKeyMissing(IdempotencyError):
    """Raised when a create must carry a key, or carries an unusable one."""

    def __init__(self) -> None:
        super().__init__(
            "Send an `Idempotency-Key` of 1 to 255 visible characters, a new one for "
            "each thing to create."
        )


class IdempotencyKeyReused(IdempotencyError):
    """Raised when a key comes again with another payload."""

    http_status = 422

    def __init__(self) -> None:
        super().__init__(
            "This `Idempotency-Key` was used for another payload. Send a new one."
        )


class IdempotencyKeyInFlight(IdempotencyError):
    """Raised while the first request with the same key is still running."""

    http_status = 409
    retry_after = 1.0

    def __init__(self) -> None:
        super().__init__(
            "A request with this `Idempotency-Key` is being processed. Ask again soon."
        )


class IdempotencyUnavailable(IdempotencyError):
    """Raised when nobody can tell whether an `Idempotency-Key` was used."""

    http_status = 503
    retry_after = 1.0

    def __init__(self) -> None:
        super().__init__(
            "Nothing was created: the store of idempotency keys does not answer. "
            "Try again soon, with the same key."
        )
