"""OTLP as it comes in: unpacked within bounds, and read into rows."""

import math
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from pydantic_core import to_json

from linli import units
from linli.problems import BadRequest, BodyTooLarge

LARGEST: Final = 8 * 2**20
"""Bytes of one request, unpacked."""
_LONG: Final = 4_000
_NAME: Final = 200
_MANY: Final = 128
_DEEP: Final = 4
_NANO: Final = 1_000_000_000
_LATEST: Final = 4_102_444_800 * _NANO
"""The year 2100: a clock that says more is no clock."""
_KINDS: Final = range(6)
_DISTRICTS: Final = range(100_000, 1_000_000)
_PERSONAL: Final = frozenset(
    {"client.address", "client.port", "network.peer.address", "network.peer.port", "user_agent.original", "net.peer.ip"}
)
"""What would say who called from where; nobody needs it to see why something is slow."""

Traces = ExportTraceServiceRequest
Logs = ExportLogsServiceRequest


class SpanRow(NamedTuple):
    """A row of `span`, in the order of its columns."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    service: str
    instance: str
    name: str
    kind: int
    started_at: datetime
    duration: float
    error: bool
    status_message: str
    district: int
    subject: UUID | None
    attributes: str
    events: str


class LogRow(NamedTuple):
    """A row of `log`, in the order of its columns."""

    trace_id: bytes
    span_id: bytes | None
    at: datetime
    service: str
    level: str
    logger: str
    message: str
    district: int
    attributes: str


class Read(NamedTuple):
    """A span with what its trace is found by, beside its row; times are nanoseconds."""

    row: SpanRow
    began: int
    ended: int
    place: int | None
    again: bool


def unpack(body: bytes, coding: str) -> bytes:
    """Undo the gzip coding, and never hold more than the largest body: a small one may unpack to gigabytes.

    Raises:
        BodyTooLarge: 413.
        BadRequest: 400, when it is no gzip, or cut off.
    """
    if coding == "gzip":
        inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            body = inflate.decompress(body, LARGEST + 1)
        except zlib.error as error:
            raise BadRequest(reason="the body is no gzip (请求体不是 gzip)") from error
        if len(body) <= LARGEST and not inflate.eof:
            raise BadRequest(reason="the gzip is cut off (gzip 不完整)")
    if len(body) > LARGEST:
        raise BodyTooLarge(limit=LARGEST)
    return body


def parse_traces(body: bytes) -> Traces:
    """Read an export of spans.

    Raises:
        BadRequest: 400.
    """
    request = Traces()
    _parse(request, body)
    return request


def parse_logs(body: bytes) -> Logs:
    """Read an export of log lines.

    Raises:
        BadRequest: 400.
    """
    request = Logs()
    _parse(request, body)
    return request


def _parse(request: Traces | Logs, body: bytes) -> None:
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise BadRequest(reason="the body is no OTLP (请求体不是 OTLP)") from error


def spans(request: Traces) -> Iterator[Read | None]:
    """Read spans; None for one that is none: without an id, or of no time."""
    for resource in request.resource_spans:
        service, instance = _source(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _span(span, service, instance)


def logs(request: Logs) -> Iterator[LogRow | None]:
    """Read lines that belong to a trace; None for one that belongs to none, which nobody would find again."""
    for resource in request.resource_logs:
        service, _ = _source(resource.resource.attributes)
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield _log(record, service, scope.scope.name)


def _source(attributes: Iterable[KeyValue]) -> tuple[str, str]:
    told = {pair.key: pair.value.string_value for pair in attributes}
    return _text(told.get("service.name", "unknown"), _NAME), _text(told.get("service.instance.id", ""), _NAME)


def _span(span: OtlpSpan, service: str, instance: str) -> Read | None:
    began, ended = span.start_time_unix_nano, span.end_time_unix_nano
    if len(span.trace_id) != 16 or len(span.span_id) != 8 or not 0 < began < _LATEST:  # noqa: PLR2004 OTLP's lengths
        return None
    ended = max(began, min(ended, _LATEST))
    told = _dict(span.attributes)
    district = _district(told.get("linli.district"))
    row = SpanRow(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_span_id or None,
        service=service,
        instance=instance,
        name=_text(span.name, _NAME),
        kind=span.kind if span.kind in _KINDS else 0,
        started_at=_time(began),
        duration=(ended - began) / 1e6,
        error=span.status.code == Status.STATUS_CODE_ERROR,
        status_message=_text(span.status.message, _LONG),
        district=district,
        subject=_uuid(told.get("linli.aggregate") or told.get("linli.subject")),
        attributes=to_json(told).decode(),
        events=to_json(_events(span, began)).decode() if span.events else "[]",
    )
    delivery = told.get("linli.delivery", 1)
    again = isinstance(delivery, int) and delivery > 1
    return Read(row, began, ended, _unit(told.get("linli.unit"), district), again)


def _events(span: OtlpSpan, began: int) -> list[dict[str, Any]]:
    return [
        {
            "name": _text(event.name, _NAME),
            "at": _time(event.time_unix_nano if 0 < event.time_unix_nano < _LATEST else began).isoformat(),
            "attributes": _dict(event.attributes),
        }
        for event in span.events[:_MANY]
    ]


def _log(record: LogRecord, service: str, logger: str) -> LogRow | None:
    at = record.time_unix_nano or record.observed_time_unix_nano
    if len(record.trace_id) != 16 or not 0 < at < _LATEST:  # noqa: PLR2004 OTLP's length
        return None
    told = _dict(record.attributes)
    return LogRow(
        trace_id=record.trace_id,
        span_id=record.span_id or None,
        at=_time(at),
        service=service,
        level=_text(record.severity_text, _NAME),
        logger=_text(logger, _NAME),
        message=_text(str(_value(record.body, record.body.WhichOneof("value"), 0)), _LONG),
        district=_district(told.pop("linli.district", None)),
        attributes=to_json(told).decode(),
    )


def _dict(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for pair in pairs:
        key, value = pair.key, pair.value
        if key in _PERSONAL:
            continue
        if len(told) == _MANY:
            break
        if len(key) > _NAME or "\0" in key:
            key = _text(key, _NAME)
        # Nearly all are text, and this is the busiest place.
        if text := value.string_value:
            told[key] = text if len(text) <= _LONG and "\0" not in text else _text(text, _LONG)
        else:
            told[key] = _value(value, value.WhichOneof("value"), 0)
    return told


def _value(value: AnyValue, which: str | None, depth: int) -> Any:  # noqa: ANN401, PLR0911 as OTLP has it
    match which:
        case "string_value":
            return _text(value.string_value, _LONG)
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "double_value":
            # JSON knows neither infinity nor what is no number.
            return value.double_value if math.isfinite(value.double_value) else str(value.double_value)
        case "bytes_value":
            return value.bytes_value[:_LONG].hex()
        case "array_value" if depth < _DEEP:
            ones = value.array_value.values[:_MANY]
            return [_value(one, one.WhichOneof("value"), depth + 1) for one in ones]
        case "kvlist_value" if depth < _DEEP:
            pairs = value.kvlist_value.values[:_MANY]
            return {
                _text(pair.key, _NAME): _value(pair.value, pair.value.WhichOneof("value"), depth + 1) for pair in pairs
            }
    return None


def _text(text: str, longest: int) -> str:
    """Bound a text, and leave out the one character that PostgreSQL can't store."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if len(text) <= longest else text[:longest] + "…"


def _time(nano: int) -> datetime:
    return datetime.fromtimestamp(nano / _NANO, UTC)


def _district(value: object) -> int:
    return value if isinstance(value, int) and value in _DISTRICTS else 0


def _unit(value: object, district: int) -> int | None:
    """Read a unit, unless it lies in another district than the span: then somebody would see it who should not."""
    try:
        unit = units.parse(str(value)) if value else None
    except ValueError:
        return None
    return unit if unit is not None and district and units.district(unit) == district else None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) and len(value) == 36 else None  # noqa: PLR2004 as it is written
    except ValueError:
        return None
