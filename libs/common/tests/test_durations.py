"""Durations of requests: whoever collects them reads what the SDK's own histogram would have told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource

from linli.durations import Durations, Exporter

BOUNDS = (0.005, 0.1, 1)
MEASURED = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(BOUNDS), st.floats(0, 20)),
        st.sampled_from(["GET", "POST"]),
        st.sampled_from([200, 503]),
        st.sampled_from(["", "/tickets/v1/tickets/{ticket_id}"]),
    ),
    min_size=1,
)


def durations() -> Durations:
    return Durations("took", "How long it took", ("method", "status", "route"), BOUNDS)


def sdks_own() -> tuple[MeterProvider, InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    resource = Resource({"service.name": "tickets"})
    return MeterProvider([reader], resource, shutdown_on_exit=False, exemplar_filter=AlwaysOffExemplarFilter()), reader


def told(data: MetricsData) -> list[dict[str, Any]]:
    """Give what is sent of a histogram, without when."""
    (process,) = encode_metrics(data).resource_metrics
    metric = process.scope_metrics[-1].metrics[-1]
    assert (metric.name, metric.unit, metric.description) == ("took", "s", "How long it took")
    assert metric.histogram.aggregation_temporality == 2, "counted since the process began"
    points = [
        {
            "said": sorted((pair.key, str(pair.value)) for pair in point.attributes),
            "classes": (list(point.bucket_counts), list(point.explicit_bounds), point.count),
            "values": (pytest.approx(point.sum), point.min, point.max),
        }
        for point in metric.histogram.data_points
    ]
    return sorted(points, key=lambda point: str(point["said"]))


@given(MEASURED)
def test_they_read_as_the_sdks_own(measured: list[tuple[float, str, int, str]]) -> None:
    ours = durations()
    provider, reader = sdks_own()
    theirs = provider.get_meter("linli").create_histogram(
        "took", "s", "How long it took", explicit_bucket_boundaries_advisory=BOUNDS
    )
    for seconds, method, status, route in measured:
        ours.record(seconds, method, status, route)
        said: dict[str, Any] = {"method": method, "status": status, "route": route}
        theirs.record(seconds, {name: value for name, value in said.items() if value != ""})
    data = reader.get_metrics_data()
    assert data
    assert told(sent_with(ours)) == told(data)
    provider.shutdown()


def sent_with(ours: Durations) -> MetricsData:
    """Give what goes out beside a metric of the SDK's."""
    sent: list[MetricsData] = []

    def keep(_self: OTLPMetricExporter, data: MetricsData, **_options: object) -> MetricExportResult:
        sent.append(data)
        return MetricExportResult.SUCCESS

    provider, reader = sdks_own()
    provider.get_meter("linli").create_counter("other").add(1)
    data = reader.get_metrics_data()
    assert data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OTLPMetricExporter, "export", keep)
        assert Exporter(ours, timeout=1).export(data, timeout_millis=10) is MetricExportResult.SUCCESS
    provider.shutdown()
    (process,) = sent[0].resource_metrics
    assert process.resource.attributes["service.name"] == "tickets"
    assert [metric.name for scope in process.scope_metrics for metric in scope.metrics] == ["other", "took"]
    return sent[0]
