"""Spans on their way out (编码): in OTLP's protobuf, for a fifth of what the SDK's encoder takes.

That makes two objects of every attribute of every span. Most attributes are the same again and again, so the bytes of
each are kept here, and a span's own are read from them: docs/decisions/0008-spans-that-cost-less.md
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, SpanFlags, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Encoded
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from linli.spans import Work

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_KEPT: Final = 4096
"""Attributes whose bytes are kept."""
_TYPES: Final = {bool: "bool_value", str: "string_value", int: "int_value", float: "double_value"}
_LOCAL: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


class Exporter(OTLPSpanExporter):
    """The SDK's exporter for spans of our own."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; what can't be delivered is dropped."""
        if not all(type(span) is Work for span in spans):
            return super().export(spans)
        delivered = not self._shutdown and self._client.export(encode(spans)).success
        return SpanExportResult.SUCCESS if delivered else SpanExportResult.FAILURE


def encode(spans: Sequence[ReadableSpan]) -> bytes:
    """Write spans of one process down as an `ExportTraceServiceRequest`.

    Args:
        spans: at least one; without events and links, as ours are.
    """
    request: ExportTraceServiceRequest = encode_spans(spans[:1])  # what they come from is said as the SDK says it
    scope: ScopeSpans = request.resource_spans[0].scope_spans[0]
    for span in spans[1:]:
        context, parent, status = span.context, span.parent, span.status
        encoded = scope.spans.add(
            trace_id=context.trace_id.to_bytes(16, "big"),
            span_id=context.span_id.to_bytes(8, "big"),
            parent_span_id=parent.span_id.to_bytes(8, "big") if parent is not None else b"",
            start_time_unix_nano=span.start_time,
            end_time_unix_nano=span.end_time,
        )
        remote = parent is not None and parent.is_remote
        said = [_attribute(*said) for said in (span.attributes or {}).items()]
        kind = _kind(span.name, span.kind, status.status_code, status.description, remote=remote)
        encoded.MergeFromString(b"".join([kind, *said]))
        if context.trace_state:
            encoded.trace_state = context.trace_state.to_header()
    written: bytes = request.SerializeToString()
    return written


@lru_cache(_KEPT)
def _kind(name: str, kind: SpanKind, code: StatusCode, description: str | None, *, remote: bool) -> bytes:
    """Write what spans of one kind have in common, as `_attribute` does."""
    encoded: bytes = Encoded(
        name=name,
        kind=kind.value + 1,
        flags=_REMOTE if remote else _LOCAL,
        status=Status(code=code.value, message=description),
    ).SerializeToString()
    return encoded


@lru_cache(_KEPT, typed=True)
def _attribute(key: str, value: AttributeValue) -> bytes:
    """Write an attribute as if it were all of a span: fields of messages that follow each other are one message's.

    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """
    said = AnyValue()
    setattr(said, _TYPES[type(value)], value)
    encoded: bytes = Encoded(attributes=[KeyValue(key=key, value=said)]).SerializeToString()
    return encoded
