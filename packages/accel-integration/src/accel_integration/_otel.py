"""Events as metrics and spans of OpenTelemetry."""

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from accel_integration._api import USUAL_PORTS
from accel_integration._events import (
    BreakerChanged,
    CallFinished,
    CallRejected,
    Event,
    RetryScheduled,
    Unsubscribe,
)
from accel_integration._integration import IntegrationHTTP

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["export_otel"]

SCOPE = "accel_integration"


def export_otel(
    integration: IntegrationHTTP,
    *,
    meter_provider: "MeterProvider | None" = None,
    tracer_provider: "TracerProvider | None" = None,
) -> Unsubscribe:
    """Export what happens to *integration* to OpenTelemetry; call the result to stop.

    There are a histogram `accel.integration.call.duration` in seconds, counters
    `accel.integration.retries`, `.rejections` and `.breaker.changes`, and one span for
    each call. Attributes and status go by the semantic conventions of HTTP clients: a
    call that raises is an error, and so is one whose last answer has a status of 400
    or more. Without a provider those of the process are used.

    Raises:
        ModuleNotFoundError: The extra is missing.
    """
    try:
        from opentelemetry import metrics, trace
    except ModuleNotFoundError as exc:
        msg = 'Install it with: pip install "accel-integration[otel]"'
        raise ModuleNotFoundError(msg) from exc
    meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
    tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
    duration = meter.create_histogram(
        "accel.integration.call.duration",
        unit="s",
        description="How long calls of endpoints take, all attempts included",
    )
    counters = {
        RetryScheduled: meter.create_counter(
            "accel.integration.retries", description="Attempts after the first one"
        ),
        CallRejected: meter.create_counter(
            "accel.integration.rejections",
            description="Calls refused without being made",
        ),
        BreakerChanged: meter.create_counter(
            "accel.integration.breaker.changes", description="Changes of circuits"
        ),
    }

    def listen(event: Event) -> None:
        if isinstance(event, CallFinished):
            attributes = call_attributes(event)
            duration.record(event.duration, attributes)
            add_span(tracer, event, attributes)
        elif (counter := counters.get(type(event))) is not None:
            counter.add(1, event_attributes(event))

    return integration.subscribe(listen)


def add_span(tracer: Any, event: CallFinished, attributes: dict[str, Any]) -> None:
    """Add the span of a call that is over, unless nobody records it."""
    from opentelemetry.trace import SpanKind, Status, StatusCode

    end = time.time_ns()
    span = tracer.start_span(
        f"{event.method} {event.endpoint.rpartition('.')[2]}",
        kind=SpanKind.CLIENT,
        attributes=attributes,
        start_time=end - int(event.duration * 1e9),
    )
    if span.is_recording() and "error.type" in attributes:
        # What a status means needs no description.
        span.set_status(Status(StatusCode.ERROR, event.error))
    span.end(end)


def call_attributes(event: CallFinished) -> dict[str, Any]:
    """Return what to tell apart calls by, named as the conventions have it."""
    attributes = {
        "accel.integration": event.integration,
        "http.request.method": event.method,
        **place_attributes(event),
        "http.response.status_code": event.status,
        "error.type": event.error or error_status(event.status),
    }
    return {name: value for name, value in attributes.items() if value is not None}


def event_attributes(event: Event) -> dict[str, Any]:
    """Return what to tell apart other events by."""
    attributes = place_attributes(event)
    if isinstance(event, CallRejected):
        attributes["accel.reason"] = event.reason
    if isinstance(event, BreakerChanged):
        attributes["accel.state"] = event.new
    return attributes


def place_attributes(event: Event) -> dict[str, Any]:
    """Return which endpoint *event* is about, and where that is."""
    server = urlsplit(event.origin)
    port = server.port or USUAL_PORTS.get(server.scheme)
    attributes: dict[str, Any] = {
        "accel.endpoint": event.endpoint,
        "server.address": server.hostname or "",
    }
    return attributes if port is None else {**attributes, "server.port": port}


def error_status(status: int | None) -> str | None:
    """Return *status* as the type of an error, if a client takes it for one."""
    is_error = status is not None and status >= HTTPStatus.BAD_REQUEST
    return str(status) if is_error else None
