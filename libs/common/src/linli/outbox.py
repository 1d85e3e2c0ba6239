"""The outbox (发件箱): an event commits with the change it tells of, so there is never one without the other."""

import json
import zlib
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from sqlalchemy import Integer, LargeBinary, SmallInteger, Text, Uuid, column, insert, table
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from linli import spans, telemetry
from linli.cloudevents import headers_of
from linli.db import ScopedSession
from linli.direct import Database, Direct
from linli.events import Event

SHARDS: Final = 8
"""Events of one aggregate share a shard, and one relay at a time works on a shard: so they stay in order."""

_OUTBOX: Final = table(
    "outbox",
    column("event_id", Uuid),
    column("district", Integer),
    column("aggregate", Text),
    column("shard", SmallInteger),
    column("subject", Text),
    column("payload", LargeBinary),
    column("headers", JSONB),
)


def parcel(event: Event) -> tuple[UUID, int, str, int, str, bytes, str]:
    """Give an event as a row of the outbox, for a statement of the driver that makes the change and tells of it.

    Returns:
        event_id, district, aggregate, shard, subject, payload, headers.
    """
    context: dict[str, str] = {}
    spans.inject(context)
    telemetry.about(unit=event.unit, subject=event.aggregate)
    row = _row(event, context)
    return (*list(row.values())[:-1], json.dumps(row["headers"]))  # type: ignore[return-value]


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
    """Tell of many things at once, as imports do; in one round trip."""
    context: dict[str, str] = {}
    spans.inject(context)
    events = list(events)
    if not events:
        return
    if len(events) == 1:
        telemetry.about(unit=events[0].unit, subject=events[0].aggregate)
    rows = [_row(event, context) for event in events]
    # The change itself first: it locks the aggregate, so that numbers in the outbox follow the order of commits.
    await session.flush()
    await session.execute(insert(_OUTBOX), rows)
    told(session)


def _row(event: Event, context: dict[str, str]) -> dict[str, object]:
    aggregate = event.aggregate
    return {
        "event_id": event.id,
        "district": event.district,
        "aggregate": aggregate,
        "shard": zlib.crc32(aggregate.encode()) % SHARDS,
        "subject": event.subject,
        "payload": event.model_dump_json().encode(),
        "headers": headers_of(event) | context,
    }


def _wake_relay(session: Session) -> None:
    assert isinstance(session, ScopedSession)  # noqa: S101 it listens to no other
    if session.info.pop("published", False):
        session.info["wake"](session.server)


sqlalchemy_event.listen(ScopedSession, "after_commit", _wake_relay)
