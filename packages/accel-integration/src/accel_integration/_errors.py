"""The tree of errors.

    IntegrationError
    ├── StabilityError
    │   ├── StabilityTimeoutError (also a TimeoutError)
    │   ├── CircuitBreakerError
    │   ├── ThrottlingError
    │   ├── BulkheadFullError
    │   ├── BodySpentError
    │   └── MaxRetriesExceededError
    ├── RequestError (also a ValueError)
    └── ResponseError
        ├── ResponseStatusError
        ├── ResponseIncompleteError (also an error of the client)
        └── ResponseValidationError

Each error carries `http_status`, the status with which a service answers when the
error reaches its own client, and `retry_after`, seconds or None.
"""

import sys
from collections.abc import Sequence
from typing import Any

__all__ = [
    "REJECTIONS",
    "STANDARD_PROGRAMMING_ERRORS",
    "BodySpentError",
    "BulkheadFullError",
    "CircuitBreakerError",
    "IntegrationError",
    "MaxRetriesExceededError",
    "RequestError",
    "ResponseError",
    "ResponseIncompleteError",
    "ResponseStatusError",
    "ResponseValidationError",
    "StabilityError",
    "StabilityTimeoutError",
    "ThrottlingError",
    "is_programming_error",
    "is_refused_by_client",
]


STORE_IS_DOWN = (
    "its store cannot be reached, and refuses calls until then. Look after the store, or "
    'let calls pass with `fail="open"` or `fail="local"`'
)


class IntegrationError(Exception):
    """Raised when a call to another system did not give what was asked for."""

    http_status: int = 502
    retry_after: float | None = None

    @property
    def message(self) -> str:
        """What happened, why, and what to do."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling, although every class has arguments of its own."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(
    kind: type[IntegrationError], args: tuple[Any, ...], state: dict[str, Any]
) -> IntegrationError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class StabilityError(IntegrationError):
    """Raised when a stability pattern gave up on a call, or refused it."""

    http_status = 503


class StabilityTimeoutError(StabilityError, TimeoutError):
    """Raised when a call took longer than its `sp.Timeout` allows."""

    http_status = 504

    def __init__(self, target: str, seconds: float) -> None:
        super().__init__(
            f"{target} took longer than {seconds:g} s, the limit of its `sp.Timeout`."
        )


class CircuitBreakerError(StabilityError):
    """Raised when a circuit breaker refuses a call without making it."""

    def __init__(
        self,
        target: str,
        retry_after: float | None,
        *,
        isolated: bool = False,
        store_is_down: bool = False,
    ) -> None:
        self.retry_after = retry_after
        if store_is_down:
            why = STORE_IS_DOWN
        elif isolated:
            why = "it was isolated by hand: call `close()` to allow calls again"
        else:
            why = f"earlier calls failed; it may be tried again in {retry_after:.1f} s"
        super().__init__(f"The circuit of {target} is open: {why}.")


class ThrottlingError(StabilityError):
    """Raised when a call would exceed the rate of its `sp.Throttling`."""

    http_status = 429

    def __init__(
        self,
        target: str,
        rate: float,
        retry_after: float,
        *,
        store_is_down: bool = False,
    ) -> None:
        self.retry_after = retry_after
        if store_is_down:  # It is not the client that asks too much.
            self.http_status = 503
            super().__init__(f"{target} was not called: {STORE_IS_DOWN}.")
            return
        super().__init__(
            f"{target} is limited to {rate:g} calls per second; "
            f"the next one is free in {retry_after:.3f} s."
        )


class BulkheadFullError(StabilityError):
    """Raised when too many calls are under way at once."""

    def __init__(self, target: str, limit: int, retry_after: float | None) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"{target} already has {limit} calls under way, its limit: "
            "try again later, or let calls wait with `max_wait=`."
        )


class BodySpentError(StabilityError):
    """Raised when a call is not made again, since its body cannot be sent again.

    The failure of the attempt before is the `__cause__` if it was an exception, and
    decides the status.
    """

    http_status = 502

    def __init__(
        self, endpoint: str, source: str, why: str, outcome: str, cause: object
    ) -> None:
        self.http_status = getattr(cause, "http_status", type(self).http_status)
        self.retry_after = getattr(cause, "retry_after", None)
        super().__init__(
            f"{endpoint} was not called again after {outcome}: its body, {source!r}, "
            f"{why}. Give it bytes or a seekable file, or put the retry "
            "around what makes the body."
        )


class MaxRetriesExceededError(StabilityError):
    """Raised when no attempt of an `sp.RetryPattern` succeeded.

    The last failure is the `__cause__`, and decides the status.
    """

    http_status = 502

    def __init__(
        self, target: str, attempts: int, cause: BaseException, why: str
    ) -> None:
        self.attempts = attempts
        self.http_status = getattr(cause, "http_status", type(self).http_status)
        self.retry_after = getattr(cause, "retry_after", None)
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        super().__init__(
            f"{target} failed after {times}, the last one with "
            f"{type(cause).__name__}: {why}."
        )


class RequestError(IntegrationError, ValueError):
    """Raised when an argument is not what the endpoint takes; nothing was sent.

    It is a mistake on our side, so that it is neither retried nor counted. *errors*
    lists what is wrong, without the values.
    """

    http_status = 500

    def __init__(self, endpoint: str, argument: str, errors: Sequence[str]) -> None:
        self.endpoint = endpoint
        self.argument = argument
        self.errors = list(errors)
        super().__init__(
            f"{endpoint} was not called, since its argument {argument!r} is not what "
            f"it takes: {'; '.join(self.errors)}. Pass what it is annotated with, or "
            "annotate it with what it may be, such as `Any`."
        )


class ResponseError(IntegrationError):
    """Raised when an answer is not what the endpoint declares.

    *url* is masked, and *body* is the first kilobyte of what came, masked too; it is
    kept out of the message, since messages end up in logs.
    """

    def __init__(
        self, message: str, *, url: str, status: int | None, body: str
    ) -> None:
        self.url = url
        self.status = status
        self.body = body
        super().__init__(message)


class ResponseStatusError(ResponseError):
    """Raised when an answer has an error status that the endpoint does not declare."""

    def __init__(
        self,
        endpoint: str,
        *,
        url: str,
        status: int,
        body: str,
        retry_after: float | None,
    ) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"{endpoint} got status {status} from {url}, for which it declares no "
            f"schema: add a class named `http{status}` to its return annotation.",
            url=url,
            status=status,
            body=body,
        )


class ResponseIncompleteError(ResponseError):
    """Raised when the body of an answer breaks off before its end.

    It is an instance of what the client raised, too. *status* is None, since there was
    no whole answer that could have one; the message tells which one was announced.
    """

    def __init__(self, endpoint: str, *, url: str, status: int, reason: str) -> None:
        super().__init__(
            f"{endpoint} got an answer with status {status} from {url} that broke off "
            f"before its end ({reason}): call it again.",
            url=url,
            status=None,
            body="",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # The request, which the client noted on it, stays here with its secrets.
        state = {"url": self.url, "status": self.status, "body": self.body}
        return _restore, (ResponseIncompleteError, self.args, state)


class ResponseValidationError(ResponseError):
    """Raised when an answer does not fit the schema that the endpoint declares.

    *errors* lists where and why, without the values.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        url: str,
        status: int | None,
        body: str,
        errors: Sequence[str],
    ) -> None:
        self.errors = list(errors)
        came = "an answer" if status is None else f"an answer with status {status}"
        super().__init__(
            f"{endpoint} got {came} from {url} that does not fit its schema: "
            f"{'; '.join(self.errors) or 'no schema fits'}.",
            url=url,
            status=status,
            body=body,
        )


# What refuses a call without making it says nothing about the other side.
REJECTIONS = (
    CircuitBreakerError,
    ThrottlingError,
    BulkheadFullError,
    BodySpentError,
)

# What is wrong in our own code does not get better by asking again. Pydantic's
# ValidationError belongs to them; it is added where Pydantic may be imported.
STANDARD_PROGRAMMING_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    RequestError,
    SyntaxError,
    TypeError,
    UnicodeEncodeError,
)


def is_programming_error(exc: BaseException) -> bool:
    """Tell whether *exc* is our own mistake, without importing Pydantic for it."""
    if isinstance(exc, STANDARD_PROGRAMMING_ERRORS):
        return True
    if is_refused_by_client(exc):
        return True
    core = sys.modules.get("pydantic_core")
    return core is not None and isinstance(exc, core.ValidationError)


def is_refused_by_client(exc: BaseException) -> bool:
    """Tell whether a client refused to send a request, such as one with a line break.

    If it counted, a guest who sends such things could open a circuit for all.
    """
    name = type(exc).__name__
    # It is also what becomes of a connection that the other side has given up (HTTP/2).
    is_header = name == "LocalProtocolError" and str(exc).startswith("Illegal header")
    return is_header or name == "InvalidURL"
