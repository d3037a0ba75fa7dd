"""Errors of the cache.

* CacheError
  x CacheUnavailable
  x CacheConfigurationError (also a TypeError)
  x UnstorableValue (also a TypeError)
"""

__all__ = [
    "CacheConfigurationError",
    "CacheError",
    "CacheUnavailable",
    "UnstorableValue",
]


class CacheError(Exception):
    """Base class of every error of accel-cache."""

    http_status: int = 500
    retry_after: float | None = None


class CacheUnavailable(CacheError):  # noqa: N818 - a state of the server, not a mistake
    """Raised when the Redis server cannot be asked within its budget.

    A cached endpoint never shows it: it answers without the cache.
    `Cache.ping` and `Limiter.hit` raise it, for they have no other answer.
    """

    http_status = 503

    def __init__(self, why: str, *, retry_after: float) -> None:
        super().__init__(
            f"The cache server is not available: {why}. "
            f"The next attempt is due in {retry_after:.1f} s."
        )
        self.retry_after = retry_after


class CacheConfigurationError(CacheError, TypeError):
    """Raised when a cache or a decorator is set up in a way that cannot work."""


class UnstorableValue(CacheError, TypeError):  # noqa: N818 - the value is the subject
    """Raised when a plain coroutine's value would not come back as it went in."""

    def __init__(self, value: object) -> None:
        super().__init__(
            f"Cannot cache a {type(value).__name__!r}: it does not survive JSON. "
            "Annotate the function's return type (Pydantic then converts it both "
            "ways), or return str, bytes, numbers, lists and dicts."
        )
