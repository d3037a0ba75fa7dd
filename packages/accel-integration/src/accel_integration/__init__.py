"""Outbound HTTP integrations with stability patterns, for workers and services."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accel_integration._api import (
        ApiHTTP as ApiHTTP,
        ApiURL as ApiURL,
        HTTPMethod as HTTPMethod,
    )
    from accel_integration._clients import (
        watch_client as watch_client,
    )
    from accel_integration._context import (
        Scope as Scope,
        called_by as called_by,
        time_left as time_left,
    )
    from accel_integration._declaration import (
        EndpointsDeclaration as EndpointsDeclaration,
    )
    from accel_integration._docs_app import (
        docintegration as docintegration,
    )
    from accel_integration._endpoint import (
        Endpoint as Endpoint,
        endpoint_of as endpoint_of,
    )
    from accel_integration._errors import (
        BodySpentError as BodySpentError,
        BulkheadFullError as BulkheadFullError,
        CircuitBreakerError as CircuitBreakerError,
        IntegrationError as IntegrationError,
        MaxRetriesExceededError as MaxRetriesExceededError,
        RequestError as RequestError,
        ResponseError as ResponseError,
        ResponseIncompleteError as ResponseIncompleteError,
        ResponseStatusError as ResponseStatusError,
        ResponseValidationError as ResponseValidationError,
        StabilityError as StabilityError,
        StabilityTimeoutError as StabilityTimeoutError,
        ThrottlingError as ThrottlingError,
    )
    from accel_integration._events import (
        BreakerChanged as BreakerChanged,
        CallFinished as CallFinished,
        CallHedged as CallHedged,
        CallRejected as CallRejected,
        CallTimedOut as CallTimedOut,
        Event as Event,
        FallbackUsed as FallbackUsed,
        RetryScheduled as RetryScheduled,
    )
    from accel_integration._integration import (
        IntegrationHTTP as IntegrationHTTP,
    )
    from accel_integration._masking import (
        Credentials as Credentials,
        mask_url as mask_url,
    )
    from accel_integration._otel import (
        export_otel as export_otel,
    )
    from accel_integration._programming_errors import (
        PROGRAMMING_ERRORS as PROGRAMMING_ERRORS,
    )
    from accel_integration._prometheus import (
        export_prometheus as export_prometheus,
    )
    from accel_integration._py2dantic import (
        generate_pydantic_models as generate_pydantic_models,
    )
    from accel_integration._sp import (
        sp as sp,
    )
    from accel_integration._stores import (
        MemoryStore as MemoryStore,
        RedisStore as RedisStore,
        Store as Store,
    )
    from accel_integration._strategy import (
        OrderWarning as OrderWarning,
        Strategy as Strategy,
    )
else:
    # Imported on first use, so that `sp` alone stays within the standard library.
    _HOMES = {
        "ApiHTTP": "_api",
        "ApiURL": "_api",
        "BodySpentError": "_errors",
        "BreakerChanged": "_events",
        "BulkheadFullError": "_errors",
        "CallFinished": "_events",
        "CallHedged": "_events",
        "CallRejected": "_events",
        "CallTimedOut": "_events",
        "CircuitBreakerError": "_errors",
        "Credentials": "_masking",
        "Endpoint": "_endpoint",
        "EndpointsDeclaration": "_declaration",
        "Event": "_events",
        "FallbackUsed": "_events",
        "HTTPMethod": "_api",
        "IntegrationError": "_errors",
        "IntegrationHTTP": "_integration",
        "MaxRetriesExceededError": "_errors",
        "MemoryStore": "_stores",
        "OrderWarning": "_strategy",
        "PROGRAMMING_ERRORS": "_programming_errors",
        "RedisStore": "_stores",
        "RequestError": "_errors",
        "ResponseError": "_errors",
        "ResponseIncompleteError": "_errors",
        "ResponseStatusError": "_errors",
        "ResponseValidationError": "_errors",
        "RetryScheduled": "_events",
        "Scope": "_context",
        "StabilityError": "_errors",
        "StabilityTimeoutError": "_errors",
        "Store": "_stores",
        "Strategy": "_strategy",
        "ThrottlingError": "_errors",
        "called_by": "_context",
        "docintegration": "_docs_app",
        "endpoint_of": "_endpoint",
        "export_otel": "_otel",
        "export_prometheus": "_prometheus",
        "generate_pydantic_models": "_py2dantic",
        "mask_url": "_masking",
        "sp": "_sp",
        "time_left": "_context",
        "watch_client": "_clients",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        return globals().setdefault(name, getattr(module, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})


__all__ = [
    "PROGRAMMING_ERRORS",
    "ApiHTTP",
    "ApiURL",
    "BodySpentError",
    "BreakerChanged",
    "BulkheadFullError",
    "CallFinished",
    "CallHedged",
    "CallRejected",
    "CallTimedOut",
    "CircuitBreakerError",
    "Credentials",
    "Endpoint",
    "EndpointsDeclaration",
    "Event",
    "FallbackUsed",
    "HTTPMethod",
    "IntegrationError",
    "IntegrationHTTP",
    "MaxRetriesExceededError",
    "MemoryStore",
    "OrderWarning",
    "RedisStore",
    "RequestError",
    "ResponseError",
    "ResponseIncompleteError",
    "ResponseStatusError",
    "ResponseValidationError",
    "RetryScheduled",
    "Scope",
    "StabilityError",
    "StabilityTimeoutError",
    "Store",
    "Strategy",
    "ThrottlingError",
    "called_by",
    "docintegration",
    "endpoint_of",
    "export_otel",
    "export_prometheus",
    "generate_pydantic_models",
    "mask_url",
    "sp",
    "time_left",
    "watch_client",
]
