"""The table of the notifications service."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Placed, Versioned


class Kind(StrEnum):
    """What a notification tells of; each has its words in `texts`."""

    TICKET_OPENED = "ticket_opened"
    TICKET_ASSIGNED = "ticket_assigned"
    TICKET_ASSIGNED_TO_YOU = "ticket_assigned_to_you"
    TICKET_ANSWER_OVERDUE = "ticket_answer_overdue"
    TICKET_SOLVE_OVERDUE = "ticket_solve_overdue"
    TICKET_RESOLVED = "ticket_resolved"
    TICKET_CLOSED = "ticket_closed"
    TICKET_RATED = "ticket_rated"
    SEAT_BOOKED = "seat_booked"
    BOOKING_CANCELLED = "booking_cancelled"
    POINTS_AWARDED = "points_awarded"


class Notification(Placed, Versioned, Base):
    """A message in a person's in-app inbox (站内信).

    It holds what happened and the numbers of it, never words or personal data; words are found when it is read.

    Attributes:
        subject: what it is about: the ticket or the booking.
        params: ids, codes, numbers and times that the words mention.
        event_id: the event it tells of; a person is told of it once.
    """

    __tablename__ = "notification"
    __table_args__ = (
        UniqueConstraint("district", "event_id", "recipient"),
        Index("ix_notification_recipient", "recipient", "id"),
        Index("ix_notification_unread", "recipient", "id", postgresql_where=text("read_at IS NULL")),
        Index("ix_notification_subject", "subject", "id"),
    )

    recipient: Mapped[UUID]
    kind: Mapped[str]
    subject: Mapped[UUID]
    params: Mapped[dict[str, Any]] = mapped_column(JSONB)
    event_id: Mapped[UUID]
    trace_id: Mapped[str | None]
    occurred_at: Mapped[datetime]
    read_at: Mapped[datetime | None]

    @property
    def read(self) -> bool:
        """Whether the recipient has read it."""
        return self.read_at is not None

    def mark(self, *, read: bool) -> None:
        """Mark as read, keeping the first time, or as unread."""
        if read != self.read:
            self.read_at = datetime.now(UTC) if read else None
