"""Integrations as plain data: what they are, and how they are doing."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from accel_integration._breaker import CircuitBreaker
from accel_integration._context import Scope
from accel_integration._integration import (
    Endpoint,
    EndpointsDeclaration,
    IntegrationHTTP,
)
from accel_integration._masking import mask_url

__all__ = ["Entry", "entries_of", "state_of"]

DEGRADED_SHARE = 0.1

Integrations = Iterable[EndpointsDeclaration | type[EndpointsDeclaration]]


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
        """Where it is reached, without a password."""
        return mask_url(self.declaration.base_url) if self.declaration else ""

    @property
    def endpoints(self) -> list[Endpoint]:
        """Its endpoints, in the order of their declaration."""
        return list(self.cls.endpoints().values())


def entries_of(integrations: Integrations) -> list[Entry]:
    """Return an entry for each of *integrations*, same names kept apart."""
    taken: set[str] = set()
    entries = []
    for item in integrations:
        cls = item if isinstance(item, type) else type(item)
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
    """Return how one endpoint is doing, with its statistics."""
    circuit = circuit_of(entry, endpoint)
    stats: dict[str, Any] = {"calls": 0}
    state = "idle"
    if entry.declaration is not None:
        seen = entry.declaration.stats_of(endpoint)
        stats = seen.as_dict()
        if seen.calls:
            state = "degraded" if seen.error_share > DEGRADED_SHARE else "up"
    if circuit in ("open", "isolated"):
        state = "open"
    elif circuit == "half_open":
        state = "degraded"
    return {"name": endpoint.name, "state": state, "circuit": circuit, **stats}


def circuit_of(entry: Entry, endpoint: Endpoint) -> str | None:
    """Return the state of the circuit breaker around *endpoint*, if there is one."""
    origin = entry.declaration.origin if entry.declaration else ""
    scope = Scope(endpoint.plan.endpoint, origin)
    for strategy in endpoint.strategies:
        if isinstance(strategy, CircuitBreaker):
            return strategy.at(scope.endpoint, scope.origin).state
    return None
