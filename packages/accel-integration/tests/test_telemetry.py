"""Events become metrics and spans, and cost nothing where nobody listens."""

import sys
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from accel_integration import (
    ApiHTTP,
    CircuitBreakerError,
    EndpointsDeclaration,
    IntegrationHTTP,
    MaxRetriesExceededError,
    export_otel,
    export_prometheus,
    sp,
)

pytestmark = pytest.mark.anyio

BREAKER = sp.CircuitBreaker(2)


class Measured(EndpointsDeclaration):
    integration = IntegrationHTTP("Measured")

    @integration.endpoint("get", "/call")
    @sp.RetryPattern(2, 0)
    @BREAKER
    async def call(api: ApiHTTP) -> Any:
        response = await api.client.get(str(api.url))
        response.raise_for_status()
        return response.json()


@pytest.fixture
async def measured():
    replies = iter([200, 500, 500])

    def handler(request):
        return httpx.Response(next(replies), json={})

    client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    BREAKER.close()
    async with client:
        yield Measured("http://measured.test:81", client=client)


async def use(measured):
    """One success, one failure after two attempts, and one rejection."""
    await measured.call()
    with pytest.raises(MaxRetriesExceededError):
        await measured.call()
    with pytest.raises(CircuitBreakerError):
        await measured.call()


async def test_prometheus_counts_calls_retries_rejections_and_states(measured):
    registry = CollectorRegistry()
    stop = export_prometheus(Measured.integration, registry=registry)
    place = {
        "endpoint": f"{__name__}.Measured.call",
        "origin": "http://measured.test:81",
    }

    await use(measured)

    def value(name, **labels):
        return registry.get_sample_value(f"accel_integration_{name}", place | labels)

    call = {"integration": "Measured", "error": "", "status": "200"}
    assert value("call_seconds_count", **call) == 1
    call |= {"error": "MaxRetriesExceededError", "status": "500"}
    assert value("call_seconds_count", **call) == 1
    assert value("retries_total") == 1
    assert value("rejections_total", reason="open") == 1
    assert value("breaker_state", state="open") == 1
    assert value("breaker_state", state="closed") == 0

    stop()
    assert list(registry.collect()) == []
    export_prometheus(Measured.integration, registry=registry)()


async def test_opentelemetry_gets_metrics_and_spans(measured):
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    stop = export_otel(
        Measured.integration,
        meter_provider=MeterProvider([reader]),
        tracer_provider=tracing,
    )

    await use(measured)
    stop()

    metrics = {
        metric.name: metric.data.data_points
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    durations = metrics["accel.integration.call.duration"]
    assert sum(point.count for point in durations) == 3
    assert metrics["accel.integration.retries"][0].value == 1
    assert (
        metrics["accel.integration.rejections"][0].attributes["accel.reason"] == "open"
    )
    changes = metrics["accel.integration.breaker.changes"]
    assert changes[0].attributes["accel.state"] == "open"

    good, bad, rejected = exporter.get_finished_spans()
    assert good.name == "GET call"
    assert good.attributes["http.response.status_code"] == 200
    assert good.attributes["server.address"] == "measured.test"
    assert good.attributes["server.port"] == 81
    assert good.status.is_unset
    assert bad.attributes["error.type"] == "MaxRetriesExceededError"
    assert rejected.status.description == "CircuitBreakerError"
    assert good.end_time >= good.start_time


async def test_opentelemetry_without_an_sdk_is_harmless(measured):
    stop = export_otel(Measured.integration)

    await measured.call()

    stop()


@pytest.mark.parametrize(
    ("export", "module", "extra"),
    [
        (export_otel, "opentelemetry", "otel"),
        (export_prometheus, "prometheus_client", "prometheus"),
    ],
)
def test_missing_extras_are_named(monkeypatch, export, module, extra):
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ModuleNotFoundError, match=rf"accel-integration\[{extra}\]"):
        export(Measured.integration)


def answering(integration, *statuses):
    """A declaration whose endpoint returns whatever answer it gets."""
    replies = iter(statuses)

    class Answering(EndpointsDeclaration):
        @integration.endpoint("get", "/")
        def call(api: ApiHTTP) -> Any:
            return api.client.get(str(api.url))

    handler = httpx.MockTransport(lambda _: httpx.Response(next(replies)))
    return Answering("https://a.test", client=httpx.Client(transport=handler))


@pytest.mark.parametrize(
    ("status", "error"), [(200, None), (302, None), (404, "404"), (503, "503")]
)
def test_opentelemetry_takes_answers_with_an_error_status_for_errors(status, error):
    integration, exporter = IntegrationHTTP("A"), InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    stop = export_otel(integration, tracer_provider=tracing)

    answering(integration, status).call()
    stop()

    (span,) = exporter.get_finished_spans()
    assert span.attributes.get("error.type") == error
    assert span.attributes["server.port"] == 443
    assert span.status.is_unset is (error is None)
    assert span.status.description is None


def test_several_integrations_are_exported_to_one_registry():
    registry = CollectorRegistry()
    names = "A", "B"
    integrations = [IntegrationHTTP(name) for name in names]
    stops = [export_prometheus(each, registry=registry) for each in integrations]
    declarations = [answering(each, 200, 200, 200) for each in integrations]

    def counts():
        samples = [s for metric in registry.collect() for s in metric.samples]
        counted = [s for s in samples if s.name.endswith("call_seconds_count")]
        return {s.labels["integration"]: s.value for s in counted}

    # Once more, which must not count anything twice.
    again = export_prometheus(integrations[1], registry=registry)
    for each in declarations:
        each.call()
    assert counts() == {"A": 1, "B": 1}

    for stop in (stops[0], stops[0], stops[1], stops[1]):
        stop()
    for each in declarations:
        each.call()
    assert counts() == {"A": 1, "B": 2}

    again()
    declarations[1].call()
    assert list(registry.collect()) == []
