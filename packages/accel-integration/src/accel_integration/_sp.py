"""The stability patterns under one short name."""

from accel_integration._adaptive import AdaptiveLimit
from accel_integration._breaker import CircuitBreaker
from accel_integration._bulkhead import Bulkhead
from accel_integration._chaos import Chaos
from accel_integration._fallback import Fallback
from accel_integration._hedge import Hedge
from accel_integration._pipeline import Pipeline
from accel_integration._retry import RetryBudget, RetryPattern
from accel_integration._throttle import Throttling
from accel_integration._timeout import Timeout

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

    AdaptiveLimit = AdaptiveLimit
    Bulkhead = Bulkhead
    Chaos = Chaos
    CircuitBreaker = CircuitBreaker
    Fallback = Fallback
    Hedge = Hedge
    RetryBudget = RetryBudget
    RetryPattern = RetryPattern
    Throttling = Throttling
    Timeout = Timeout
    pipeline = Pipeline
