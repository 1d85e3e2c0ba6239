"""The outbox (发件箱): an event commits with the change it tells of, so there is never one without the other."""

import zlib
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from linli import spans, telemetry
from linli.cloudevents import headers_of
from linli.db import ScopedSession
from linli.direct import Database, Direct, later
from linli.events import Event

SHARDS: Final = 8
"""Events of one aggregate share a shard, and one relay at a time works on a shard: so they stay in order."""

_PUT: Final = """
    INSERT INTO outbox (event_id, district, aggregate, shard, subject, payload, headers)
    SELECT event_id, district, aggregate, shard, subject, payload, headers::jsonb
    FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::smallint[], $5::text[], $6::bytea[], $7::text[])
         AS told (event_id, district, aggregate, shard, subject, payload, headers)"""


_IN_ORDER: Final = frozenset({"outbox"})
"""Two inserts of one statement come in any order, and events of a transaction are told in theirs."""

Parcel = tuple[UUID, int, str, int, str, bytes, str]
"""A row of the outbox: event_id, district, aggregate, shard, subject, payload, headers."""


def parcel(event: Event) -> Parcel:
    """Give an event as its row, for a statement that makes the change and tells of it in one."""
    telemetry.about(unit=event.unit, subject=event.aggregate)
    context: dict[str, str] = {}
    spans.inject(context)
    return _row(event, context)


def parcels(events: Sequence[Event]) -> list[list[object]]:
    """Give events as columns of the outbox, in the order of a parcel's; at least one event."""
    context: dict[str, str] = {}
    spans.inject(context)
    if len(events) == 1:
        telemetry.about(unit=events[0].unit, subject=events[0].aggregate)
    return [list(column) for column in zip(*(_row(event, context) for event in events), strict=True)]


def told(database: Database) -> None:
    """Have the relay woken when this transaction has committed."""
    if isinstance(database, Direct):
        database.published = True
    else:
        database.info["published"] = True


async def publish(session: AsyncSession, event: Event) -> None:
    """Tell the other services of something, if and when this transaction commits."""
    await publish_many(session, (event,))


async def publish_many(session: AsyncSession, events: Iterable[Event]) -> None:
    """Tell of many things at once, as imports do; they are one write."""
    events = list(events)
    if not events:
        return
    # The change itself first: it locks the aggregate, so that numbers in the outbox follow the order of commits.
    await session.flush()
    await later(session, _PUT, *parcels(events), rows=_IN_ORDER)
    told(session)


def _row(event: Event, context: dict[str, str]) -> Parcel:
    aggregate = event.aggregate
    return (
        event.id,
        event.district,
        aggregate,
        zlib.crc32(aggregate.encode()) % SHARDS,
        event.subject,
        event.model_dump_json().encode(),
        to_json(headers_of(event) | context).decode(),
    )


def _wake_relay(session: Session) -> None:
    assert isinstance(session, ScopedSession)  # noqa: S101 it listens to no other
    if session.info.pop("published", False):
        session.info["wake"](session.server)


sqlalchemy_event.listen(ScopedSession, "after_commit", _wake_relay)
