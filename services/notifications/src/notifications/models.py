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
    TICKET_FOR_YOUR_DEPARTMENT = "ticket_for_your_department"
    TICKET_ASSIGNED = "ticket_assigned"
    TICKET_ASSIGNED_TO_YOU = "ticket_assigned_to_you"
    TICKET_ASSIGNEE_LEFT = "ticket_assignee_left"
    TICKET_TAKEN_FROM_YOU = "ticket_taken_from_you"
    TICKET_ANSWER_OVERDUE = "ticket_answer_overdue"
    TICKET_SOLVE_OVERDUE = "ticket_solve_overdue"
    TICKET_STREET_OVERDUE = "ticket_street_overdue"
    TICKET_DISTRICT_OVERDUE = "ticket_district_overdue"
    TICKET_ASKED = "ticket_asked"
    TICKET_ANSWERED = "ticket_answered"
    TICKET_ESCALATED = "ticket_escalated"
    TICKET_ESCALATED_TO_YOU = "ticket_escalated_to_you"
    TICKET_RETURNED_TO_YOU = "ticket_returned_to_you"
    TICKET_RESOLVED = "ticket_resolved"
    TICKET_CLOSED = "ticket_closed"
    TICKET_CLOSED_NOT_FIXED = "ticket_closed_not_fixed"
    TICKET_CLOSED_UNANSWERED = "ticket_closed_unanswered"
    TICKET_REOPENED = "ticket_reopened"
    TICKET_REOPENED_TO_YOU = "ticket_reopened_to_you"
    TICKET_WITHDRAWN = "ticket_withdrawn"
    TICKET_FOLDED = "ticket_folded"
    TICKET_FOLDED_FROM_YOU = "ticket_folded_from_you"
    TICKET_UNFOLDED = "ticket_unfolded"
    TICKET_UNFOLDED_TO_YOU = "ticket_unfolded_to_you"
    TICKET_FOLLOWED_RESOLVED = "ticket_followed_resolved"
    TICKET_FOLLOWED_ENDED = "ticket_followed_ended"
    TICKET_FOLLOWED_REOPENED = "ticket_followed_reopened"
    TICKET_FOLLOWED_REPLACED = "ticket_followed_replaced"
    TICKET_SPLIT = "ticket_split"
    TICKET_SPLIT_FROM_YOU = "ticket_split_from_you"
    TICKET_NOTED = "ticket_noted"
    TICKET_RATED = "ticket_rated"
    TICKET_RATED_POORLY = "ticket_rated_poorly"
    WHISTLE_BLOWN = "whistle_blown"
    WHISTLE_REPORTED = "whistle_reported"
    WHISTLE_ACTED = "whistle_acted"
    WHISTLE_RATED = "whistle_rated"
    WHISTLE_MISSED = "whistle_missed"
    WHISTLE_CALLED_OFF = "whistle_called_off"
    CASE_OPENED = "case_opened"
    CASE_STEPPED = "case_stepped"
    CASE_GRADED = "case_graded"
    CASE_FOLLOW_UP_DUE = "case_follow_up_due"
    CASE_FOLLOW_UP_OVERDUE = "case_follow_up_overdue"
    CASE_CLOSED = "case_closed"
    CASE_TEAM_EMPTIED = "case_team_emptied"
    ERRAND_OPENED = "errand_opened"
    ERRAND_PAPERS_ASKED = "errand_papers_asked"
    ERRAND_PAPER_HANDED = "errand_paper_handed"
    ERRAND_TAKEN_OVER = "errand_taken_over"
    ERRAND_FILED = "errand_filed"
    ERRAND_OVERDUE = "errand_overdue"
    ERRAND_DONE = "errand_done"
    WISH_CLAIMED = "wish_claimed"
    WISH_RETURNED = "wish_returned"
    WISH_CLAIM_ENDED = "wish_claim_ended"
    WISH_WITHDRAWN = "wish_withdrawn"
    WISH_FULFILLED = "wish_fulfilled"
    WISH_TO_CONFIRM = "wish_to_confirm"
    WISH_CONFIRMED = "wish_confirmed"
    NEED_MATCHED = "need_matched"
    NEED_MET = "need_met"
    NEED_RETURNED = "need_returned"
    LISTING_WITHDRAWN = "listing_withdrawn"
    PROJECT_STEPPED = "project_stepped"
    PROJECT_STARTED = "project_started"
    PROJECT_ENDED = "project_ended"
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
