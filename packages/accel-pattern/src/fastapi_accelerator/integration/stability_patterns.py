"""Stability patterns."""

from accel_integration import (
    CircuitBreakerError,
    MaxRetriesExceededError,
    StabilityError,
    StabilityTimeoutError,
    ThrottlingError,
    sp,
)

__all__ = [
    "CircuitBreakerError",
    "MaxRetriesExceededError",
    "StabilityError",
    "StabilityTimeoutError",
    "ThrottlingError",
    "sp",
]
