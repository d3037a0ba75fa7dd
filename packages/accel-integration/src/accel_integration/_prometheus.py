"""Events as metrics of Prometheus."""

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

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
    from prometheus_client.metrics_core import Metric

__all__ = ["export_prometheus"]

PLACE = ("endpoint", "origin")
STATES = ("closed", "half_open", "open", "isolated")

# A registry takes metrics of one name once, so all exports to it share them.
collectors_of: "WeakKeyDictionary[CollectorRegistry, Collectors]" = WeakKeyDictionary()


def export_prometheus(
    *integrations: IntegrationHTTP, registry: "CollectorRegistry | None" = None
) -> Unsubscribe:
    """Export what happens to *integrations* to Prometheus; call the result to stop.

    There are a histogram `accel_integration_call_seconds`, counters
    `accel_integration_retries_total` and `accel_integration_rejections_total`, and a
    gauge `accel_integration_breaker_state` that is 1 for the present state of a circuit.
    Several exports to one registry share them, and the last that stops removes them.
    With several workers, `prometheus_client` needs its multiprocess mode.

    Raises:
        ModuleNotFoundError: The extra is missing.
    """
    try:
        from prometheus_client import REGISTRY
    except ModuleNotFoundError as exc:
        msg = 'Install it with: pip install "accel-integration[prometheus]"'
        raise ModuleNotFoundError(msg) from exc
    registry = REGISTRY if registry is None else registry
    if (collectors := collectors_of.get(registry)) is None:
        collectors = Collectors()
        registry.register(collectors)
        collectors_of[registry] = collectors
    export = object()
    collectors.follow(export, integrations)

    def stop() -> None:
        # It may be stopped twice, and others may still export to the same metrics.
        if collectors.leave(export):
            del collectors_of[registry]
            registry.unregister(collectors)

    return stop


class Collectors:
    """The metrics in one registry, which it collects from here."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        # Which exports there are, and of what.
        self._exports: dict[object, tuple[IntegrationHTTP, ...]] = {}
        self._stops: dict[IntegrationHTTP, Unsubscribe] = {}
        self._seconds = Histogram(
            "accel_integration_call_seconds",
            "How long calls of endpoints take, all attempts included",
            ("integration", *PLACE, "status", "error"),
            registry=None,
        )
        self._retries = Counter(
            "accel_integration_retries",
            "Attempts after the first one",
            PLACE,
            registry=None,
        )
        self._rejections = Counter(
            "accel_integration_rejections",
            "Calls refused without being made",
            (*PLACE, "reason"),
            registry=None,
        )
        self._breaker = Gauge(
            "accel_integration_breaker_state",
            "1 for the present state of a circuit",
            (*PLACE, "state"),
            registry=None,
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

    def collect(self) -> "Iterable[Metric]":
        """Return all metrics, as a registry asks for them."""
        for metric in (self._seconds, self._retries, self._rejections, self._breaker):
            yield from metric.collect()

    # By their names a registry refuses metrics of others that are called the same.
    describe = collect

    def follow(self, export: object, integrations: tuple[IntegrationHTTP, ...]) -> None:
        """Count what happens to *integrations*, once however often it is exported."""
        self._exports[export] = integrations
        for integration in integrations:
            if integration not in self._stops:
                self._stops[integration] = integration.subscribe(self.listen)

    def leave(self, export: object) -> bool:
        """Count no longer for *export*; tell whether it was the last one."""
        if self._exports.pop(export, None) is None:
            return False
        wanted = {
            each for integrations in self._exports.values() for each in integrations
        }
        for integration in self._stops.keys() - wanted:
            self._stops.pop(integration)()
        return not self._exports
