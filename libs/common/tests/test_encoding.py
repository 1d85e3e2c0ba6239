"""Spans on the wire: whoever reads them reads what the SDK's own encoder would have written."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState

from linli import spans
from linli.encoding import Exporter, encode


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
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
SAID = st.dictionaries(st.sampled_from(["a", "b", "db.query.text", "键"]), VALUES)
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
    assert len(kept.spans) == 2 * len(said) or any(kind is SpanKind.CLIENT for _, kind, _ in said)
    read = ExportTraceServiceRequest.FromString(encode(kept.spans))
    assert read == encode_spans(kept.spans)


def test_what_is_not_ours_is_left_to_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    given_on: list[Sequence[ReadableSpan]] = []

    def note(_: OTLPSpanExporter, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        given_on.append(spans)
        return SpanExportResult.SUCCESS

    monkeypatch.setattr(OTLPSpanExporter, "export", note)
    foreign = ReadableSpan(
        "foreign", SpanContext(1, 2, is_remote=False), instrumentation_scope=InstrumentationScope("x")
    )
    assert Exporter(endpoint="http://127.0.0.1:9/v1/traces").export([foreign]) is SpanExportResult.SUCCESS
    assert given_on == [[foreign]]


def test_what_is_delivered_to_nobody_is_a_failure() -> None:
    exporter = Exporter(endpoint="http://127.0.0.1:9/v1/traces", timeout=0.2)
    exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK says none
    assert exporter.export([]) is SpanExportResult.FAILURE
