"""Exceptions that mean a mistake of ours, Pydantic's included."""

from pydantic import ValidationError

from accel_integration._errors import STANDARD_PROGRAMMING_ERRORS

__all__ = ["PROGRAMMING_ERRORS"]

# Neither retried nor counted by a circuit breaker, unless named explicitly.
PROGRAMMING_ERRORS: tuple[type[Exception], ...] = (
    *STANDARD_PROGRAMMING_ERRORS,
    ValidationError,
)
