"""Use cases of notifications: one function each, inside the caller's transaction."""

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import outbox
from linli.direct import fetch
from linli.events import Event
from linli.events.notifications import PersonNotified
from linli.problems import NotFound
from linli.telemetry import trace_id
from notifications.models import Kind, Notification

_SAYABLE: Final = Notification.kind.in_([kind.value for kind in Kind])
"""What there are words for: a newer version, beside this one during an upgrade, may have put more into inboxes."""

# For the driver: each event puts some there, and tells of those that were not there before.
_TELL: Final = """
    WITH told AS (
        INSERT INTO notification
               (district, id, unit, recipient, kind, subject, params, event_id, trace_id, occurred_at, version)
        SELECT $1, id, $2, recipient, kind, $3, $4, $5, $6, $7, 1
        FROM unnest($8::uuid[], $9::uuid[], $10::text[]) AS told (id, recipient, kind)
        ON CONFLICT (district, event_id, recipient) DO NOTHING RETURNING id
    )
    INSERT INTO outbox (event_id, district, aggregate, shard, subject, payload, headers)
    SELECT event_id, district, aggregate, shard, parcel.subject, payload, headers::jsonb
    FROM unnest($8::uuid[], $11::uuid[], $12::integer[], $13::text[], $14::smallint[], $15::text[], $16::bytea[],
                $17::text[]) AS parcel (id, event_id, district, aggregate, shard, subject, payload, headers)
    JOIN told USING (id)"""

_RANDOM_BITS: Final = 54
"""Of a UUID of version 7; those before say when it was made."""


async def notify(
    session: AsyncSession, event: Event, subject: UUID, recipients: Mapping[UUID, Kind], **params: str | int
) -> None:
    """Put what happened into people's inboxes; each is told of an event once, and so is the platform.

    Args:
        session: sees the event's district.
        event: what happened.
        subject: the ticket or booking it is about.
        recipients: who is told, and as what.
        params: ids, codes, numbers and times that the words mention; never personal data.
    """
    if not recipients:
        return
    what = (event.district, event.unit, subject, json.dumps(params), event.id, trace_id(), event.occurred_at)
    ids, kinds = [_after(event.id) for _ in recipients], [kind.value for kind in recipients.values()]
    told = [
        PersonNotified(notification=one, unit=event.unit, sequence=1, recipient=recipient, kind=kind, cause=event.id)
        for one, recipient, kind in zip(ids, recipients, kinds, strict=True)
    ]
    await fetch(session, _TELL, *what, ids, [*recipients], kinds, *outbox.parcels(told))
    outbox.told(session)


async def tell(  # noqa: PLR0913 who is told, of what, and as what
    session: AsyncSession,
    event: Event,
    subject: UUID,
    people: Iterable[UUID | None],
    kind: Kind,
    *,
    but: Collection[UUID] = (),
    **params: str | int,
) -> None:
    """Tell all of some people the same, as `notify` does.

    Args:
        session: sees the event's district.
        event: what happened.
        subject: what it is about.
        people: who is told; there may be nobody.
        kind: as what.
        but: who knows already: he did it, or is told as something else.
        params: what the words mention.
    """
    recipients = {person: kind for person in people if person is not None and person not in but}
    if recipients:
        await notify(session, event, subject, recipients, **params)


def _after(event: UUID) -> UUID:
    """Make an id that sorts as the event's, by when it happened, whenever it is heard of.

    An inbox is ordered by it, and not by a time, as cursors are shared with the version before.
    """
    return UUID(int=event.int >> _RANDOM_BITS << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS))


def inbox_of(person: UUID, *, unread: bool, subject: UUID | None) -> Select[tuple[Notification]]:
    """Select a person's messages."""
    statement = select(Notification).where(Notification.recipient == person, _SAYABLE)
    if unread:
        statement = statement.where(Notification.read_at.is_(None))
    return statement if subject is None else statement.where(Notification.subject == subject)


async def count_unread(session: AsyncSession, person: UUID) -> int:
    """Count what a person has not read."""
    statement = select(func.count()).where(Notification.recipient == person, Notification.read_at.is_(None), _SAYABLE)
    return (await session.scalars(statement)).one()


async def find_message(
    session: AsyncSession, person: UUID, notification: UUID, *, to_change: bool = False
) -> Notification:
    """Read one of a person's messages; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Notification).where(Notification.id == notification, Notification.recipient == person, _SAYABLE)
    message = await session.scalar(statement.with_for_update() if to_change else statement)
    if message is None:
        raise NotFound(kind="notification", id=str(notification))
    return message


def told_of(subject: UUID) -> Select[tuple[Notification]]:
    """Select who was told of a ticket or booking."""
    return select(Notification).where(Notification.subject == subject, _SAYABLE)
