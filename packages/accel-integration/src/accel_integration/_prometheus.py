"""Events as metrics of Prometheus."""

from typing import TYPE_CHECKING

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
    from prometheus_client import CollectorRegistry

__all__ = ["export_prometheus"]

PLACE = ("endpoint", "origin")
STATES = ("closed", "half_open", "open", "isolated")


def export_prometheus(
    *integrations: IntegrationHTTP, registry: "CollectorRegistry | None" = None
) -> Unsubscribe:
    """Export what happens to *integrations* to Prometheus; call the result to stop.

    There are a histogram `accel_integration_call_seconds`, counters
    `accel_integration_retries_total` and `accel_integration_rejections_total`, and a
    gauge `accel_integration_breaker_state` that is 1 for the present state of a circuit.
    With several workers, `prometheus_client` needs its multiprocess mode.

    Raises:
        ModuleNotFoundError: The extra is missing.
    """
    try:
        from prometheus_client import REGISTRY
    except ModuleNotFoundError as exc:
        msg = 'Install it with: pip install "accel-integration[prometheus]"'
        raise ModuleNotFoundError(msg) from exc
    collectors = Collectors(REGISTRY if registry is None else registry)
    stops = [integration.subscribe(collectors.listen) for integration in integrations]

    def stop() -> None:
        for unsubscribe in (*stops, collectors.unregister):
            unsubscribe()

    return stop


class Collectors:
    """The metrics in one registry."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._registry = registry
        self._seconds = Histogram(
            "accel_integration_call_seconds",
            "How long calls of endpoints take, all attempts included",
            ("integration", *PLACE, "status", "error"),
            registry=registry,
        )
        self._retries = Counter(
            "accel_integration_retries",
            "Attempts after the first one",
            PLACE,
            registry=registry,
        )
        self._rejections = Counter(
            "accel_integration_rejections",
            "Calls refused without being made",
            (*PLACE, "reason"),
            registry=registry,
        )
        self._breaker = Gauge(
            "accel_integration_breaker_state",
            "1 for the present state of a circuit",
            (*PLACE, "state"),
            registry=registry,
        )

    def listen(self, event: Event) -> None:
        """Count *event*."""
        where = (event.endpoint, event.origin)
        if isinstance(event, CallFinished):
            status = "" if event.status is None else str(event.status)
            labels = (event.integration, *where, status, event.error or "")
            self._seconds.labels(*labels).observe(event.duration)
        elif isinstance(event, RetryScheduled):
            self._retries.labels(*where).inc()
        elif isinstance(event, CallRejected):
            self._rejections.labels(*where, event.reason).inc()
        elif isinstance(event, BreakerChanged):
            for state in STATES:
                self._breaker.labels(*where, state).set(state == event.new)

    def unregister(self) -> None:
        """Take the metrics out of their registry."""
        for collector in (
            self._seconds,
            self._retries,
            self._rejections,
            self._breaker,
        ):
            self._registry.unregister(collector)
