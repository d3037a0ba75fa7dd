"""Integrations as plain data: what they are, and how they are doing."""

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from accel_integration._breaker import CircuitBreaker
from accel_integration._declaration import EndpointsDeclaration
from accel_integration._endpoint import Endpoint
from accel_integration._integration import IntegrationHTTP
from accel_integration._masking import mask_url, secrets_in
from accel_integration._stats import EndpointStats

__all__ = ["Entry", "Integrations", "entries_of", "state_of"]

# From this share of failed calls on, an endpoint that answers is called degraded.
DEGRADED_SHARE = 0.1
# Below, tenths of milliseconds are shown.
SHORT = 0.01

Integrations: TypeAlias = (
    EndpointsDeclaration
    | type[EndpointsDeclaration]
    | Iterable[EndpointsDeclaration | type[EndpointsDeclaration]]
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One declaration in the documentation, under a name that is its own."""

    slug: str
    cls: type[EndpointsDeclaration]
    declaration: EndpointsDeclaration | None

    @property
    def integration(self) -> IntegrationHTTP:
        """What the declaration is about."""
        return self.cls.integration

    @property
    def base_url(self) -> str:
        """Where it is reached, without secrets."""
        if (it := self.declaration) is None:
            return ""
        return mask_url(it.base_url, secrets_in(it.credentials))

    @property
    def host(self) -> str:
        """The host it is on, which tells two of the same name apart."""
        return self.declaration.origin.rpartition("/")[2] if self.declaration else ""

    @property
    def endpoints(self) -> list[Endpoint]:
        """Its endpoints, in the order of their declaration."""
        return list(self.cls.endpoints().values())

    def stats_of(self, endpoint: Endpoint) -> EndpointStats:
        """Return what *endpoint* has been through."""
        if self.declaration is None:
            return EndpointStats()
        return self.declaration.stats_of(endpoint)

    def circuit_of(self, endpoint: Endpoint) -> str | None:
        """Return the state of the circuit breaker around *endpoint*, if there is one."""
        origin = self.declaration.origin if self.declaration else ""
        for strategy in endpoint.strategies:
            if isinstance(strategy, CircuitBreaker):
                return strategy.at(endpoint.plan.endpoint, origin).state
        return None


def entries_of(integrations: Integrations) -> list[Entry]:
    """Return an entry for each of *integrations*, same names kept apart."""
    items: Iterable[Any] = [integrations]
    is_one = isinstance(integrations, EndpointsDeclaration | type)
    if isinstance(integrations, Iterable) and not is_one:
        items = integrations
    taken: set[str] = set()
    entries = []
    for item in items:
        cls = item if isinstance(item, type) else type(item)
        if not issubclass(cls, EndpointsDeclaration):
            msg = f"{item!r} is not an `EndpointsDeclaration`, nor an instance of one."
            raise TypeError(msg)
        slug = _slug(cls.integration.name, taken)
        taken.add(slug)
        entries.append(Entry(slug, cls, None if isinstance(item, type) else item))
    return entries


def _slug(name: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "integration"
    slug, number = base, 2
    while slug in taken:
        slug = f"{base}-{number}"
        number += 1
    return slug


def state_of(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return how every integration and endpoint is doing."""
    return {"integrations": [integration_state(entry) for entry in entries]}


def integration_state(entry: Entry) -> dict[str, Any]:
    """Return how one integration is doing: idle, up, degraded or open."""
    endpoints = [endpoint_state(entry, endpoint) for endpoint in entry.endpoints]
    states = {endpoint["state"] for endpoint in endpoints}
    worst = next((s for s in ("open", "degraded", "up") if s in states), "idle")
    return {
        "slug": entry.slug,
        "name": entry.integration.name,
        "base_url": entry.base_url,
        "state": worst,
        "endpoints": endpoints,
    }


def endpoint_state(entry: Entry, endpoint: Endpoint) -> dict[str, Any]:
    """Return how one endpoint is doing, as numbers and as people read them."""
    stats, circuit = entry.stats_of(endpoint), entry.circuit_of(endpoint)
    numbers = stats.as_dict()
    return {
        "name": endpoint.name,
        "state": _state(stats, circuit),
        "circuit": circuit,
        **numbers,
        "shown": shown(numbers, circuit),
    }


def _state(stats: EndpointStats, circuit: str | None) -> str:
    if circuit in ("open", "isolated"):
        return "open"
    if circuit == "half_open" or stats.error_share > DEGRADED_SHARE:
        return "degraded"
    return "up" if stats.calls else "idle"


def shown(numbers: dict[str, Any], circuit: str | None) -> dict[str, str]:
    """Return *numbers* as people read them."""
    names = ("calls", "retries", "throttled", "refused", "timeouts", "fallbacks")
    return {
        "calls": str(numbers["calls"]),
        "error_share": f"{numbers['error_share']:.1%}",
        **{name: _duration(numbers[name]) for name in ("p50", "p95", "p99")},
        **{name: str(numbers[name]) for name in names[1:]},
        "circuit": (circuit or "none").replace("_", " "),
        "last_error": _last_error(numbers),
        "used_by": ", ".join(numbers["used_by"]) or "no route so far",
    }


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"  # noqa: RUF001 - the sign for "nothing here"
    if seconds < SHORT:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _last_error(numbers: dict[str, Any]) -> str:
    if numbers["last_error"] is None:
        return "none"
    moment = dt.datetime.fromtimestamp(numbers["last_error_at"], tz=dt.UTC)
    return f"{numbers['last_error']} at {moment:%Y-%m-%d %H:%M:%S} UTC"
