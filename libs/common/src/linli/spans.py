"""Spans (跨度) that cost little: made by the ten thousand, a few for every request and event.

A span of the SDK's tracer asks a sampler, bounds each attribute and locks itself; these are a dictionary and two times,
handed to the SDK's own processors when they end. What is sampled and who is whose parent follows the SDK's rules
(`ParentBased(TraceIdRatioBased)`), but for requests whose caller records nothing:
docs/decisions/0008-spans-that-cost-less.md
"""

import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

DISTRICT: Final = "linli.district"
UNIT: Final = "linli.unit"
SUBJECT: Final = "linli.subject"
"""The ticket, booking or whatever a request is about."""

IDS: Final = frozenset({SUBJECT, "linli.aggregate", "messaging.message.id"})
"""Attributes that are another one for each request or event."""
VARYING: Final = IDS | {UNIT, "url.path", "db.operation.batch.size"}
"""Attributes that are not the same for all of a kind."""

Attributes = dict[str, AttributeValue]

MADE_BY: Final = InstrumentationScope("linli")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_OWN: Final = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")
_traceparent: Final = TraceContextTextMapPropagator()
_random: Final = random.Random()  # noqa: S311 an id to find a trace by, no secret


class Work(Span, ReadableSpan):
    """A span that is recorded when it ends; what is said to it after that is lost."""

    def __init__(  # noqa: PLR0913, PLR0917 what a span is
        self,
        provider: TracerProvider,
        name: str,
        kind: SpanKind,
        own: SpanContext,
        parent: SpanContext | None,
        attributes: Attributes,
        since: int | None = None,
    ) -> None:
        ReadableSpan.__init__(
            self,
            name,
            own,
            parent,
            provider.resource,
            attributes,
            kind=kind,
            start_time=since or time.time_ns(),
            instrumentation_scope=MADE_BY,
        )
        self._said = attributes
        self._provider = provider

    def get_span_context(self) -> SpanContext:
        """Give its ids."""
        assert self._context is not None  # noqa: S101 it was made with one
        return self._context

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self._end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Say something of it."""
        self._said[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Say some things of it."""
        self._said.update(attributes)

    def add_event(
        self, name: str, attributes: Mapping[str, AttributeValue] | None = None, timestamp: int | None = None
    ) -> None:
        """Nothing: what happens within work is a span or a log line of its own."""

    def record_exception(self, exception: BaseException, *_: object, **__: object) -> None:
        """Say what kind of error it was; its own words may quote what residents said."""
        self._said["error.type"] = type(exception).__name__

    def update_name(self, name: str) -> None:
        """Name it otherwise."""
        self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say whether it went well."""
        self._status = status if isinstance(status, Status) else Status(status, description)

    def end(self, end_time: int | None = None) -> None:
        """Record it, once."""
        if self._end_time is None:
            self._end_time = end_time or time.time_ns()
            self._provider._active_span_processor.on_end(self)  # noqa: SLF001 what the SDK's own spans do


ROOT: Final = SpanContext(0, 0, is_remote=False)
"""Nothing led to it."""


def begin(
    name: str,
    kind: SpanKind,
    attributes: Attributes | None = None,
    *,
    cause: SpanContext | None = None,
    since: int | None = None,
) -> Span:
    """Begin a span below another; end it.

    Args:
        name: without what varies.
        kind: of the span.
        attributes: which it keeps, and adds to.
        cause: what led to it, `ROOT` for nothing; without it what is under way here.
        since: when it began, in nanoseconds of the epoch, if not now.

    Returns:
        One that records nothing when its trace is not recorded, or tracing is off.
    """
    provider = trace.get_tracer_provider()
    above = trace.get_current_span()
    parent = above.get_span_context() if cause is None else cause
    if not isinstance(provider, TracerProvider) or provider._disabled:  # noqa: SLF001 as its tracers look
        return NonRecordingSpan(parent)
    span_id = _random.getrandbits(64)
    trace_id, flags = parent.trace_id, parent.trace_flags
    # An app that records nothing of its own is no reason not to see what happened here.
    if not parent.is_valid or (kind is SpanKind.SERVER and not flags.sampled):
        trace_id = trace_id or _random.getrandbits(128)
        decision = provider.sampler.should_sample(None, trace_id, name, kind).decision
        flags = _SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.get_default()
    own = SpanContext(trace_id, span_id, False, flags, parent.trace_state)  # noqa: FBT003
    if not own.trace_flags.sampled:
        return NonRecordingSpan(own)
    said = {} if attributes is None else attributes
    if cause is None and isinstance(above, ReadableSpan) and DISTRICT not in said:
        # Whose trace it is must not hang on one span of it.
        district = (above.attributes or {}).get(DISTRICT)
        if district is not None:
            said[DISTRICT] = district
    return Work(provider, name, kind, own, parent if parent.is_valid else None, said, since)


@contextmanager
def at(span: Span) -> Iterator[Span]:
    """Let what is done in the block be part of a span; it goes on afterwards."""
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield span
    finally:
        context.detach(token)


def cause_of(headers: Mapping[str, str]) -> SpanContext:
    """Give what led to something, by its `traceparent`; one that is not valid when that says nothing."""
    if "traceparent" not in headers:
        return ROOT
    # Nearly all of them are such as `inject` writes.
    if (own := _OWN.fullmatch(headers["traceparent"])) and "tracestate" not in headers:
        return SpanContext(int(own[1], 16), int(own[2], 16), True, TraceFlags(int(own[3], 16)))  # noqa: FBT003
    return trace.get_current_span(_traceparent.extract(headers)).get_span_context()


def inject(headers: dict[str, str], span: Span | None = None) -> None:
    """Let what is caused say what its cause was: this span, or what is under way here."""
    own = (span or trace.get_current_span()).get_span_context()
    if own.is_valid:
        headers["traceparent"] = f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"
        if own.trace_state:
            headers["tracestate"] = own.trace_state.to_header()


def failed(span: Span, error: str) -> None:
    """Say that it went wrong, and how: the name of an error, never its words."""
    span.set_status(Status(StatusCode.ERROR, error))
