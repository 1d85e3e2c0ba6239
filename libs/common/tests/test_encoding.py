"""Spans on the wire: whoever reads them reads what the SDK's own encoder would have written."""

import asyncio
from collections.abc import Iterator, Sequence
from enum import StrEnum
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState

from linli import spans
from linli.encoding import Delivery, encode, request


class Kept(SpanExporter):
    """Keeps what is exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    found = Kept()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield found
    provider.shutdown()


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False).map(lambda number: number or 0.0),  # -0.0 is 0.0 to a cache
    st.text(st.characters(exclude_categories=["Cs"])),
)
SAID = st.dictionaries(st.sampled_from(["a", "b", "db.query.text", "键", "url.path", "linli.unit"]), VALUES)
REMOTE = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b"), ("c", "d")]))


@given(said=st.lists(st.tuples(SAID, st.sampled_from(SpanKind), st.booleans()), min_size=1, max_size=5))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_they_read_as_the_sdks_own(kept: Kept, said: list[tuple[dict[str, Any], SpanKind, bool]]) -> None:
    kept.spans.clear()
    for attributes, kind, fails in said:
        with spans.at(spans.begin("above", SpanKind.SERVER, cause=REMOTE if fails else spans.ROOT)) as above:
            one = spans.begin("below", kind, {**attributes, "number": 1, "flag": True})
            if fails:
                spans.failed(one, "TimeoutError")
            one.end()
            above.end()
    assert len(kept.spans) == 2 * len(said)
    written = request(kept.spans[0].resource, [encode(span) for span in kept.spans])
    assert in_order(ExportTraceServiceRequest.FromString(written)) == in_order(encode_spans(kept.spans))


def in_order(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """Put attributes in one order: it means nothing."""
    for span in request.resource_spans[0].scope_spans[0].spans:
        ordered = sorted(span.attributes, key=lambda pair: pair.key)
        del span.attributes[:]
        span.attributes.extend(ordered)
    return request


class Colour(StrEnum):
    RED = "red"


def test_what_only_looks_like_a_number_or_a_text_is_one(kept: Kept) -> None:
    odd: dict[str, Any] = {"status": HTTPStatus.INTERNAL_SERVER_ERROR, "colour": Colour.RED, "names": ("a", "b")}
    spans.begin("odd", SpanKind.SERVER, odd, cause=spans.ROOT).end()
    span = Span.FromString(encode(kept.spans[0]))
    said = {pair.key: pair.value for pair in span.attributes}
    assert said["status"].int_value == 500
    assert said["colour"].string_value == "red"
    assert said["names"].string_value == "('a', 'b')"


async def test_a_span_that_cant_be_written_down_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = Delivery(Resource({}), timeout=1, queue=600, every=60_000)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(delivery)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    for broken in ({"list": ["unhashable"]}, {"number": 2**70}):
        attributes: dict[str, Any] = broken
        spans.begin("broken", SpanKind.SERVER, attributes, cause=spans.ROOT).end()
    spans.begin("before 1970", SpanKind.SERVER, cause=spans.ROOT).end(-1)
    spans.begin("whole", SpanKind.SERVER, cause=spans.ROOT).end()
    (waiting,) = delivery._batch_processor._queue
    assert b"whole" in waiting
    delivery._batch_processor._queue.clear()
    await asyncio.to_thread(provider.shutdown)


async def test_what_waits_is_delivered_when_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []

    class Client:
        def export(self, body: bytes) -> Any:  # noqa: ANN401 the SDK's own
            sent.append(body)
            return SimpleNamespace(success=True)

        def shutdown(self) -> None:
            """Nothing is open."""

    resource = Resource({"service.name": "tickets"})
    delivery = Delivery(resource, timeout=1, queue=600, every=60_000)
    monkeypatch.setattr(delivery.span_exporter, "_client", Client())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(delivery)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    for number in range(3):
        spans.begin(f"kind {number}", SpanKind.SERVER, {"number": number}, cause=spans.ROOT).end()
    await asyncio.to_thread(provider.shutdown)
    read = ExportTraceServiceRequest.FromString(b"".join(sent))
    (source,) = read.resource_spans
    assert source.resource.attributes[0].value.string_value == "tickets"
    assert [span.name for span in source.scope_spans[0].spans] == ["kind 0", "kind 1", "kind 2"]
    assert delivery.span_exporter.export([b""]) is SpanExportResult.FAILURE
