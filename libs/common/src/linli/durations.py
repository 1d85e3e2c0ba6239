"""How long requests take (时长): a histogram of OpenTelemetry's that costs little, as each request is counted.

An instrument of the SDK makes an object of each measurement, cleans its attributes and hashes them, which takes a fifth
of all that it costs to watch a request: docs/decisions/0008-spans-that-cost-less.md
"""

import math
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    ScopeMetrics,
)
from opentelemetry.util.types import AttributeValue

from linli.spans import MADE_BY


@dataclass(slots=True)
class _Series:
    counts: list[int]
    sum: float = 0.0
    min: float = math.inf
    max: float = -math.inf


@dataclass
class Durations:
    """A histogram whose measurements say the same few things each.

    Attributes:
        name: of the metric; its unit is the second.
        description: what is measured.
        said: names of the attributes.
        bounds: upper ones of its classes, in seconds, in order.
    """

    name: str
    description: str
    said: Sequence[str]
    bounds: Sequence[float]
    _series: dict[tuple[AttributeValue, ...], _Series] = field(default_factory=dict, init=False)
    _began: int = field(default_factory=time.time_ns, init=False)

    def record(self, seconds: float, *values: AttributeValue) -> None:
        """Count one, from the one thread that does.

        Args:
            seconds: how long it took.
            values: of the attributes, few in all: a route's template, and no address; one that is empty is not told.
        """
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = _Series([0] * (len(self.bounds) + 1))
        series.counts[bisect_left(self.bounds, seconds)] += 1
        series.sum += seconds
        series.min = min(series.min, seconds)
        series.max = max(series.max, seconds)

    def metric(self) -> Metric:
        """Give what was counted since the process began, from any thread."""
        now = time.time_ns()
        points = [
            HistogramDataPoint(
                attributes={name: value for name, value in zip(self.said, values, strict=True) if value != ""},
                start_time_unix_nano=self._began,
                time_unix_nano=now,
                count=sum(counts := tuple(series.counts)),
                sum=series.sum,
                bucket_counts=counts,
                explicit_bounds=tuple(self.bounds),
                min=series.min,
                max=series.max,
            )
            for values, series in list(self._series.items())
        ]
        return Metric(self.name, self.description, "s", Histogram(points, AggregationTemporality.CUMULATIVE))


class Exporter(OTLPMetricExporter):
    """The SDK's exporter, which takes along what is counted beside the SDK.

    Args:
        durations: what that is.
        timeout: seconds that a delivery may take.
    """

    def __init__(self, durations: Durations, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._durations = durations

    def export(self, metrics_data: MetricsData, *args: Any, **options: Any) -> MetricExportResult:  # noqa: ANN401 the SDK's own
        """Send all metrics; what can't be delivered is dropped."""
        own = ScopeMetrics(MADE_BY, [self._durations.metric()], "")
        (process,) = metrics_data.resource_metrics
        all_of_it = MetricsData([replace(process, scope_metrics=[*process.scope_metrics, own])])
        return super().export(all_of_it, *args, **options)
