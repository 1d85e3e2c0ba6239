"""Spans on their way out (编码): in OTLP's protobuf, for a fifth of what the SDK's encoder takes.

That makes two objects of every attribute of every span. Most attributes are the same again and again, so the bytes of
each are kept here; and as protobuf's fields follow each other, a span is a few of its own and those that are kept. It
is written down when it ends: then only bytes wait for their delivery. docs/decisions/0008-spans-that-cost-less.md
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Encoded
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from linli.spans import MADE_BY

_log = logging.getLogger(__name__)

_KEPT: Final = 4096
"""Attributes whose bytes are kept."""
_TYPES: Final = {bool: "bool_value", str: "string_value", int: "int_value", float: "double_value"}
_LOCAL: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


class Delivery(BatchSpanProcessor):
    """The SDK's processor, whose queue holds spans as they are written down.

    Args:
        resource: what they come from.
        timeout: seconds that a delivery may take.
        queue: spans that wait at most; more are dropped.
        every: milliseconds between deliveries.
    """

    def __init__(self, resource: Resource, *, timeout: float, queue: int, every: int) -> None:
        super().__init__(_Exporter(resource, timeout), queue, every, queue // 4)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span, if its trace is recorded."""
        if not (span.context and span.context.trace_flags.sampled):
            return
        try:
            encoded = encode(span)
        except (
            TypeError,
            ValueError,
            OverflowError,
        ) as error:  # what is watched must not fail because of those who watch
            _log.warning("the span %s is lost: %s", span.name, type(error).__name__)
            return
        self._batch_processor.emit(cast("Any", encoded))


class _Exporter(OTLPSpanExporter):
    """The SDK's exporter, for spans that are written down."""

    def __init__(self, resource: Resource, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._resource = resource

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Send spans; what can't be delivered is dropped."""
        delivered = not self._shutdown and self._client.export(request(self._resource, spans)).success
        return SpanExportResult.SUCCESS if delivered else SpanExportResult.FAILURE


def request(resource: Resource, spans: Sequence[bytes]) -> bytes:
    """Make an `ExportTraceServiceRequest` of encoded spans."""
    source, scope = _frame(resource)
    together = b"".join([scope, *(_field(2, span) for span in spans)])
    return _field(1, source + _field(2, together))


@lru_cache(1)
def _frame(resource: Resource) -> tuple[bytes, bytes]:
    """Give the beginnings of `ResourceSpans` and of `ScopeSpans`, as the SDK writes them."""
    none = ReadableSpan("", SpanContext(1, 1, is_remote=False), None, resource, instrumentation_scope=MADE_BY)
    (source,) = encode_spans([none]).resource_spans
    (scope,) = source.scope_spans
    del scope.spans[:], source.scope_spans[:]
    return source.SerializeToString(), scope.SerializeToString()


def encode(span: ReadableSpan) -> bytes:
    """Write down a span without events and links, as ours are."""
    context, parent, status = cast("SpanContext", span.get_span_context()), span.parent, span.status
    own = Encoded(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        parent_span_id=parent.span_id.to_bytes(8, "big") if parent is not None else b"",
        trace_state=context.trace_state.to_header() if context.trace_state else "",
        start_time_unix_nano=span.start_time or 0,
        end_time_unix_nano=span.end_time or 0,
    )
    remote = parent is not None and parent.is_remote
    kind = _kind(span.name, span.kind, status.status_code, status.description, remote=remote)
    said = [_attribute(*said) for said in (span.attributes or {}).items()]
    return b"".join([own.SerializeToString(), kind, *said])


@lru_cache(_KEPT)
def _kind(name: str, kind: SpanKind, code: StatusCode, description: str | None, *, remote: bool) -> bytes:
    """Write what spans of one kind have in common."""
    said: dict[str, Any] = {"code": code.value, "message": description}
    what: dict[str, Any] = {"name": name, "kind": kind.value + 1, "flags": _REMOTE if remote else _LOCAL}
    encoded: bytes = Encoded(**what, status=Status(**said)).SerializeToString()
    return encoded


@lru_cache(_KEPT, typed=True)
def _attribute(key: str, value: AttributeValue) -> bytes:
    said = AnyValue()
    kind = next((kind for kind in _TYPES if isinstance(value, kind)), None)
    if kind is None:
        said.string_value = str(value)
    else:
        setattr(said, _TYPES[kind], kind(value))
    encoded: bytes = Encoded(attributes=[KeyValue(key=key, value=said)]).SerializeToString()
    return encoded


def _field(number: int, message: bytes) -> bytes:
    """Write a message as a field: https://protobuf.dev/programming-guides/encoding/#length-types."""
    head, length = [number << 3 | 2], len(message)
    while length > 0x7F:  # noqa: PLR2004 seven bits a byte
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*head, length]) + message
