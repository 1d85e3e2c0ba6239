"""What goes over HTTP."""

from datetime import datetime
from typing import Final, Self
from uuid import UUID

from pydantic import Field, StrictBool

from linli import units
from linli.schemas import In, Out
from linli.units import UnitCode
from notifications.models import Kind, Notification
from notifications.texts import words_of

_OF_OTHERS: Final = {
    Kind.TICKET_FOLLOWED_RESOLVED,
    Kind.TICKET_FOLLOWED_ENDED,
    Kind.TICKET_FOLLOWED_REOPENED,
    Kind.TICKET_FOLLOWED_REPLACED,
    Kind.WISH_CLAIM_ENDED,
}
"""What tells of somebody else's report, or of a wish that is no longer the reader's to fulfil."""


class NotificationOut(Out):
    """A message in the caller's inbox (站内信)."""

    id: UUID
    unit: UnitCode = Field(description="Where; of what is somebody else's, its community alone (所在单元或社区)")
    kind: Kind
    subject: UUID = Field(
        description="What it is about: a ticket, or as its kind says a case, errand, wish, booking ... (相关事项)"
    )
    title: str
    title_zh: str
    body: str
    body_zh: str
    occurred_at: datetime
    read_at: datetime | None
    trace_id: str | None
    version: int

    @classmethod
    def of(cls, row: Notification) -> Self:
        """Show a notification, in words."""
        kind = Kind(row.kind)
        return cls(
            id=row.id,
            unit=units.community(row.unit) if kind in _OF_OTHERS else row.unit,
            kind=kind,
            subject=row.subject,
            occurred_at=row.occurred_at,
            read_at=row.read_at,
            trace_id=row.trace_id,
            version=row.version,
            **words_of(kind, row.params)._asdict(),
        )


class NotificationChange(In):
    """What a person can change about a message."""

    read: StrictBool = Field(description="Whether it is read (是否已读)")


class Unread(Out):
    """How much waits to be read (未读数)."""

    unread: int


class Told(Out):
    """Who was told of something and when, without what."""

    id: UUID
    unit: UnitCode
    recipient: UUID
    kind: Kind
    subject: UUID
    event_id: UUID
    trace_id: str | None
    occurred_at: datetime
    read_at: datetime | None
