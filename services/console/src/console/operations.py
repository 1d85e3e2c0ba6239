"""What operators ask of traces: lists, one trace whole, and all that happened to one thing."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from console import schemas
from console.models import Kind, Log, Span, Trace
from linli import units
from linli.problems import NotFound

_SPANS: Final = 5_000
_LINES: Final = 1_000
_HAPPENED: Final = {Kind.SERVER: "request", Kind.PRODUCER: "event"}
_NOUN: Final = re.compile(r"/([\w-]+s)(?=/\{|$)")


def item(row: Trace) -> schemas.TraceItem:
    """Show a trace in a list."""
    return schemas.TraceItem(
        trace_id=row.trace_id.hex(),
        service=row.service,
        operation=row.operation,
        started_at=row.started_at,
        duration=row.duration,
        spans=row.spans,
        errors=row.errors,
        services=row.services,
        district=str(row.home) if row.home else None,
        unit=units.short(row.place) if row.place else None,
        subject=row.subject,
        redeliveries=row.redeliveries,
    )


async def read_trace(session: AsyncSession, trace_id: str) -> schemas.Trace:
    """Read what the caller may see of a trace.

    Raises:
        NotFound: 404, also for a trace of other districts alone.
    """
    key = bytes.fromhex(trace_id)
    found = await session.scalars(select(Span).where(Span.trace_id == key).order_by(Span.started_at).limit(_SPANS + 1))
    rows = list({row.span_id: row for row in found}.values())  # one that was sent twice is one
    if not rows:
        raise NotFound(kind="trace", id=trace_id)
    rows, more = rows[:_SPANS], len(rows) > _SPANS
    lines = (await session.scalars(select(Log).where(Log.trace_id == key).order_by(Log.at).limit(_LINES + 1))).all()
    began = rows[0].started_at
    return schemas.Trace(
        trace_id=trace_id,
        started_at=began,
        duration=max(_since(began, row.started_at) + row.duration for row in rows),
        services=sorted({row.service for row in rows}),
        spans=[_span(row, began) for row in rows],
        logs=[_line(row) for row in lines[:_LINES]],
        waits=list(_waits(rows, began)),
        redeliveries=[
            schemas.Redelivery(span_id=row.span_id.hex(), delivery=delivery)
            for row in rows
            if (delivery := _delivery(row) or 1) > 1
        ],
        truncated=more or len(lines) > _LINES,
    )


def _since(began: datetime, at: datetime) -> float:
    return (at - began).total_seconds() * 1000


def _span(row: Span, began: datetime) -> schemas.Span:
    return schemas.Span(
        span_id=row.span_id.hex(),
        parent_id=row.parent_id and row.parent_id.hex(),
        service=row.service,
        instance=row.instance,
        name=row.name,
        kind=Kind.NAMES[row.kind].lower(),
        started_at=row.started_at,
        offset=_since(began, row.started_at),
        duration=row.duration,
        error=row.error,
        status_message=row.status_message or None,
        attributes=row.attributes,
        events=[schemas.SpanEvent.model_validate(event) for event in row.events],
    )


def _delivery(row: Span) -> int | None:
    """Tell for which time a message came; whatever a service says there is not always a number."""
    told = row.attributes.get("linli.delivery")
    return told if isinstance(told, int) else None


def _line(row: Log) -> schemas.Log:
    return schemas.Log(
        at=row.at,
        service=row.service,
        level=row.level,
        logger=row.logger,
        message=row.message,
        span_id=row.span_id and row.span_id.hex(),
        attributes=row.attributes,
    )


def _waits(rows: Sequence[Span], began: datetime) -> list[schemas.Wait]:
    """Tell where time passed between spans: before the relay took the event, and before a consumer took the message."""
    known = {row.span_id: row for row in rows}
    found: list[schemas.Wait] = []
    for row in rows:
        before = known.get(row.parent_id) if row.parent_id else None
        if before is None:
            continue
        offset = _since(began, row.started_at)
        if row.kind == Kind.PRODUCER:
            waited = row.attributes.get("linli.outbox.waited")
            if isinstance(waited, int | float):
                found.append(_wait("outbox", before, row, offset - waited, waited))
        elif row.kind == Kind.CONSUMER and before.kind == Kind.PRODUCER:
            waited = max(0.0, _since(before.started_at, row.started_at) - before.duration)
            found.append(_wait("stream", before, row, offset - waited, waited))
    return found


def _wait(kind: str, before: Span, after: Span, offset: float, duration: float) -> schemas.Wait:
    return schemas.Wait.model_validate(
        {
            "kind": kind,
            "from_span": before.span_id.hex(),
            "to_span": after.span_id.hex(),
            "offset": max(0.0, offset),
            "duration": duration,
        }
    )


def happened_to(subject: UUID) -> Select[tuple[Span]]:
    """Select what was done to a thing, and what followed from that: requests, events, effects."""
    own = select(Span.trace_id, Span.span_id).where(Span.subject == subject, Span.kind != Kind.CLIENT)
    below = own.cte("below", recursive=True)
    following = select(Span.trace_id, Span.span_id).where(
        Span.trace_id == below.c.trace_id, Span.parent_id == below.c.span_id, Span.kind != Kind.CLIENT
    )
    below = below.union(following)
    return select(Span).join(below, (Span.trace_id == below.c.trace_id) & (Span.span_id == below.c.span_id))


def show_subject(subject: UUID, rows: Sequence[Span], following: str | None) -> schemas.Subject:
    """Show what happened to a thing.

    Raises:
        NotFound: 404, when nothing that the caller may see has.
    """
    if not rows:
        raise NotFound(kind="subject", id=subject)
    own = [row for row in rows if row.subject == subject] or rows
    return schemas.Subject(
        subject=subject,
        kind=_kind(own),
        district=next((str(row.district) for row in own if row.district), None),
        items=[_happening(row) for row in rows],
        next=following,
    )


def _kind(rows: Iterable[Span]) -> str | None:
    """Tell what kind of thing this is: what the addresses of its requests name most, as /tickets/{ticket_id}/close.

    Of those named as often the last: /sessions/{session_id}/bookings is about a booking.
    """
    addresses = (row.name for row in rows if row.kind == Kind.SERVER)
    named = Counter(noun for address in addresses for noun in reversed(_NOUN.findall(address)))
    return named.most_common(1)[0][0].removesuffix("s") if named else None


def _happening(row: Span) -> schemas.Happening:
    return schemas.Happening.model_validate(
        {
            "at": row.started_at,
            "trace_id": row.trace_id.hex(),
            "span_id": row.span_id.hex(),
            "parent_id": row.parent_id.hex() if row.parent_id else None,
            "kind": "error" if row.error else _HAPPENED.get(row.kind, "effect"),
            "service": row.service,
            "what": row.name,
            "duration": row.duration,
            "error": row.error,
            "delivery": _delivery(row),
        }
    )
