"""Spans on their way out (编码): in OTLP's protobuf, for a fifth of what the SDK's encoder takes.

That makes two objects of every attribute of every span. Most attributes are the same again and again, so the bytes of
each are kept here; and as protobuf's fields follow each other, a span is a few of its own and those that are kept. It
is written down when it ends: then only bytes wait for their delivery. docs/decisions/0008-spans-that-cost-less.md
"""

import logging
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Encoded
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from linli.spans import IDS, MADE_BY, VARYING

_log = logging.getLogger(__name__)

_KEPT: Final = 4096
"""Sets of attributes whose bytes are kept."""
_PLAIN: Final = frozenset({str, int})
"""Types of values that are kept: a flag equals a number, and a number with a fraction is another one each time."""
_LOCAL: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

# Numbers of fields with how each is written, as opentelemetry-proto lays them down: of a span, an attribute, a value.
_TRACE_ID, _SPAN_ID, _TRACE_STATE, _PARENT_ID, _START, _END, _ATTRIBUTE = 0x0A, 0x12, 0x1A, 0x22, 0x39, 0x41, 0x4A
_KEY, _KEY_VALUE = 0x0A, 0x12
_STRING, _DOUBLE = 0x0A, 0x21
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 0x0A, 0x12, 0x12
_SHORT: Final = 0x7E
"""A message that is shorter has a length of one byte, and so has a field of it."""
_TIMES: Final = struct.Struct("<BQBQ")
_VALUE: Final = struct.Struct("<Bd")


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
            struct.error,
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
    together = b"".join([scope, *(_field(_SPANS, span) for span in spans)])
    return _field(_RESOURCE_SPANS, source + _field(_SCOPE_SPANS, together))


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
    remote = parent is not None and parent.is_remote
    said = (span.attributes or {}).items()
    # Those of one kind of span say mostly the same, so that is one lookup, and not one for each.
    same = tuple([one for one in said if type(one[1]) in _PLAIN and one[0] not in VARYING])
    parts = [
        _field(_TRACE_ID, context.trace_id.to_bytes(16, "big")),
        _field(_SPAN_ID, context.span_id.to_bytes(8, "big")),
        _TIMES.pack(_START, span.start_time or 0, _END, span.end_time or 0),
        _kind(span.name, span.kind, status.status_code, status.description, remote=remote),
        _attributes(same),
    ]
    if len(same) < len(said):
        others = [one for one in said if type(one[1]) not in _PLAIN or one[0] in VARYING]
        parts += [_attribute(*one) if one[0] in IDS or isinstance(one[1], float) else _kept(*one) for one in others]
    if context.trace_state:
        parts.append(_field(_TRACE_STATE, context.trace_state.to_header().encode()))
    if parent is not None:
        parts.append(_field(_PARENT_ID, parent.span_id.to_bytes(8, "big")))
    return b"".join(parts)


@lru_cache(_KEPT)
def _kind(name: str, kind: SpanKind, code: StatusCode, description: str | None, *, remote: bool) -> bytes:
    """Write what spans of one kind have in common."""
    said: dict[str, Any] = {"code": code.value, "message": description}
    what: dict[str, Any] = {"name": name, "kind": kind.value + 1, "flags": _REMOTE if remote else _LOCAL}
    encoded: bytes = Encoded(**what, status=Status(**said)).SerializeToString()
    return encoded


@lru_cache(_KEPT)
def _attributes(said: tuple[tuple[str, AttributeValue], ...]) -> bytes:
    return b"".join([_attribute(*one) for one in said])


def _attribute(key: str, value: AttributeValue) -> bytes:
    name = _key(key)
    if isinstance(value, float):
        said = _VALUE.pack(_DOUBLE, value)
    elif isinstance(value, bool):
        said = AnyValue(bool_value=value).SerializeToString()
    elif isinstance(value, int):
        said = AnyValue(int_value=int(value)).SerializeToString()
    else:
        said = _field(_STRING, str(value).encode())
    if len(name) + len(said) < _SHORT:  # all lengths are a byte
        return b"%c%c%b%c%c%b" % (_ATTRIBUTE, len(name) + len(said) + 2, name, _KEY_VALUE, len(said), said)
    return _field(_ATTRIBUTE, name + _field(_KEY_VALUE, said))


_kept: Final = lru_cache(_KEPT, typed=True)(_attribute)


@lru_cache(_KEPT)
def _key(key: str) -> bytes:
    return _field(_KEY, key.encode())


def _field(tag: int, message: bytes) -> bytes:
    """Write a message as a field: https://protobuf.dev/programming-guides/encoding/#length-types."""
    length = len(message)
    if length < _SHORT:
        return bytes((tag, length)) + message
    head = [tag]
    while length > 0x7F:  # noqa: PLR2004 seven bits a byte
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*head, length]) + message
