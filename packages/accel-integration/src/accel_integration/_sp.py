"""The stability patterns under one short name."""

from typing import TypeAlias

from accel_integration._adaptive import AdaptiveLimit as _AdaptiveLimit
from accel_integration._breaker import CircuitBreaker as _CircuitBreaker
from accel_integration._budget import RetryBudget as _RetryBudget
from accel_integration._bulkhead import Bulkhead as _Bulkhead
from accel_integration._chaos import Chaos as _Chaos
from accel_integration._fallback import Fallback as _Fallback
from accel_integration._hedge import Hedge as _Hedge
from accel_integration._pipeline import Pipeline as _Pipeline
from accel_integration._retry import RetryPattern as _RetryPattern
from accel_integration._throttle import Throttling as _Throttling
from accel_integration._timeout import Timeout as _Timeout

__all__ = ["sp"]


class sp:  # noqa: N801 - it is used as a namespace, and short on purpose
    """The stability patterns: decorators for async and sync functions.

    From the outside to the inside, this order does what most people want:

        @sp.Fallback(...)
        @sp.Timeout(...)         # for all attempts together
        @sp.RetryPattern(...)
        @sp.CircuitBreaker(...)
        @sp.Throttling(...)
        @sp.Bulkhead(...)
        @sp.Timeout(...)         # for each attempt

    An exception makes a call unsuccessful; a response with an error status does not,
    unless a pattern names that status.
    """

    # Under other names, since `X: TypeAlias = X` would be about itself.
    AdaptiveLimit: TypeAlias = _AdaptiveLimit
    Bulkhead: TypeAlias = _Bulkhead
    Chaos: TypeAlias = _Chaos
    CircuitBreaker: TypeAlias = _CircuitBreaker
    Fallback: TypeAlias = _Fallback
    Hedge: TypeAlias = _Hedge
    RetryBudget: TypeAlias = _RetryBudget
    RetryPattern: TypeAlias = _RetryPattern
    Throttling: TypeAlias = _Throttling
    Timeout: TypeAlias = _Timeout
    pipeline: TypeAlias = _Pipeline  # noqa: PYI042 - it reads like a function
