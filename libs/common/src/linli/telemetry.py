"""Telemetry (遥测): traces, metrics, logs. It never slows or stops a service: what can't be delivered is dropped."""

import atexit
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, cast

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from linli import units
from linli.durations import Exporter
from linli.encoding import Delivery
from linli.logs import OtlpHandler, log_as_json
from linli.requests import Requests, duration
from linli.settings import Settings
from linli.shards import Shards
from linli.spans import SUBJECT, UNIT
from linli.statements import Statements

if TYPE_CHECKING:
    from sqlalchemy.pool import QueuePool

_DELIVER_WITHIN: Final = 5
_END_WITHIN: Final = 1.5
_QUEUE: Final = 8192
_FLUSH_EVERY_MS: Final = 500
_MEASURE_EVERY_MS: Final = 15_000

_meter = metrics.get_meter("linli")


class Gauge:
    """A number that is read when metrics are collected, from every part of the process that has one."""

    def __init__(self, name: str, unit: str, description: str) -> None:
        self._sources: dict[object, tuple[Callable[[], float], dict[str, str]]] = {}
        _meter.create_observable_gauge(name, [self._observe], unit, description)

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(float(read()), attributes) for read, attributes in list(self._sources.values())]

    @contextmanager
    def of(self, read: Callable[[], float], **attributes: str) -> Iterator[None]:
        """Show a number while the block runs."""
        key = object()
        self._sources[key] = (read, attributes)
        try:
            yield
        finally:
            del self._sources[key]


outbox_age: Final = Gauge("linli.outbox.age", "s", "How long the oldest event has been waiting in the outbox")
consumer_lag: Final = Gauge("linli.consumer.lag", "{message}", "Messages not yet delivered to a consumer")
redeliveries: Final = _meter.create_counter("linli.redeliveries", "{message}", "Messages that came again")
dead_letters: Final = _meter.create_counter("linli.dead_letters", "{message}", "Messages that could not be handled")
dependency_up: Final = Gauge("linli.dependency.up", "", "1 while what the service stands on can be reached, else 0")
pool_use: Final = Gauge("linli.pool.use", "1", "Share of the database connections that are in use")
clocks_open: Final = Gauge("linli.clocks.open", "{clock}", "Clocks that were not stopped, run out or not")
clocks_overdue: Final = Gauge("linli.clocks.overdue", "{clock}", "Clocks that have run out and were not stopped")
clocks_late: Final = Gauge("linli.clocks.late", "s", "How long the first clock to run out has waited to be acted on")
timers_failed: Final = _meter.create_counter("linli.timers.failed", "{clock}", "Clocks that could not be acted on")


def setup(service: str, settings: Settings, app: FastAPI) -> None:
    """Watch a service: logs to stdout; spans, logs and metrics to where OTEL_EXPORTER_OTLP_ENDPOINT says, if it says.

    Args:
        service: its name.
        settings: share of traces to record, log level.
        app: gets a span and a duration for every request but those of probes.
    """
    # Spans are encoded in a thread, which otherwise keeps requests and events waiting for 5 ms at a time.
    sys.setswitchinterval(0.0005)
    log_as_json(service, settings.log_level)
    # The process has one provider; a second service in it, as in tests, shares the first one's.
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        _record(service, settings)
    app.add_middleware(Requests)


def watch_engine(engine: AsyncEngine) -> None:
    """Give every statement of an engine a span, without its parameters, and show how much of its pool is in use."""
    Statements(engine.sync_engine)
    shown = ExitStack()
    server = Shards.address(engine.url.render_as_string())
    shown.enter_context(pool_use.of(lambda: _use(engine), server=server))
    event.listen(engine.sync_engine, "engine_disposed", lambda _: shown.close())


def _use(engine: AsyncEngine) -> float:
    pool = cast("QueuePool", engine.sync_engine.pool)
    return pool.checkedout() / pool.size()


def about(*, unit: int | None = None, subject: str | None = None) -> None:
    """Let the current span say which unit and which thing it is about: ids, never personal data."""
    span = trace.get_current_span()
    if unit is not None:
        span.set_attribute(UNIT, units.short(unit))
    if subject is not None:
        span.set_attribute(SUBJECT, subject)


def trace_id() -> str | None:
    """Give the id of the trace that this is part of, None without one."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def _record(service: str, settings: Settings) -> None:
    # The host is the container or pod: each of several has series of its own.
    instance = socket.gethostname()
    about = Resource.create({"service.name": service, "service.namespace": "linli", "service.instance.id": instance})
    resource = _Process(about.attributes, about.schema_url)
    sampler = ParentBased(_Roots(settings.trace_ratio))
    traces = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        # From threads of their own, out of queues that drop what they can't hold.
        delivery = Delivery(resource, timeout=_DELIVER_WITHIN, queue=_QUEUE, every=_FLUSH_EVERY_MS)
        traces.add_span_processor(delivery)
        lines = LoggerProvider(resource, shutdown_on_exit=False)
        lines.add_log_record_processor(
            BatchLogRecordProcessor(
                OTLPLogExporter(timeout=_DELIVER_WITHIN), max_queue_size=_QUEUE, schedule_delay_millis=_FLUSH_EVERY_MS
            )
        )
        logging.getLogger().addHandler(OtlpHandler(lines))
        atexit.register(_end, lines.shutdown)
        os.environ.setdefault("OTEL_METRIC_EXPORT_INTERVAL", str(_MEASURE_EVERY_MS))
        reader = PeriodicExportingMetricReader(Exporter(duration, timeout=_DELIVER_WITHIN))
        # Nobody looks at exemplars, and with them each measurement would cost twice as much.
        meters = MeterProvider([reader], resource, shutdown_on_exit=False, exemplar_filter=AlwaysOffExemplarFilter())
        metrics.set_meter_provider(meters)
        atexit.register(_end, meters.shutdown)
    trace.set_tracer_provider(traces)
    atexit.register(_end, traces.shutdown)


class _Process(Resource):
    """What spans come from: the one of this process, which the exporter looks up for each span."""

    def __hash__(self) -> int:
        """Tell it from others by what it is; the SDK writes all of it down as JSON each time."""
        return id(self)


def _end(shutdown: Callable[[], None]) -> None:
    """Deliver what is left, but let no collector that is away hold up the end of the process."""
    thread = threading.Thread(target=shutdown, daemon=True)
    thread.start()
    thread.join(_END_WITHIN)


class _Roots(Sampler):
    """Records a share of the traces that begin here; a statement that no request or message caused begins none."""

    def __init__(self, ratio: float) -> None:
        self._ratio = TraceIdRatioBased(ratio)

    def should_sample(  # noqa: PLR0913, PLR0917 the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if kind is SpanKind.CLIENT:
            return SamplingResult(Decision.DROP)
        return self._ratio.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"Roots({self._ratio.get_description()})"
