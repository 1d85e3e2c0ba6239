"""Tables of the bookings service. A *session* here is a centre's (场次); the database's is called `db`."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from bookings.problems import AlreadyCancelled, CentreClosed, FewerSeatsThanBooked, SessionStarted, TimesWrong
from linli.models import Base, Placed, Versioned


class Centre(Placed, Versioned, Base):
    """A neighbourhood centre (邻里中心); one that is not active offers nothing."""

    __tablename__ = "centre"

    name: Mapped[str]
    address: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True)

    def must_be_open(self) -> None:
        """Refuse what a closed centre can't offer.

        Raises:
            CentreClosed: 409.
        """
        if not self.active:
            raise CentreClosed(centre=str(self.id))


class Session(Placed, Versioned, Base):
    """Something a centre offers at a time, with seats (场次).

    `version` counts what its staff change. `booked` is changed by statements of its own and leaves it alone, so that
    nobody's edit is refused because somebody else took a seat.
    """

    __tablename__ = "session"
    __table_args__ = (
        ForeignKeyConstraint(["district", "centre_id"], ["centre.district", "centre.id"]),
        Index("ix_session_unit", "unit"),
        Index("ix_session_starts_at", "starts_at", "id"),
        Index("ix_session_centre_id", "centre_id", "starts_at", "id"),
    )

    centre_id: Mapped[UUID]
    title: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    seats: Mapped[int]
    booked: Mapped[int] = mapped_column(default=0)

    def must_lie_ahead(self) -> None:
        """Refuse what can be done only before the session starts.

        Raises:
            SessionStarted: 409.
        """
        if self.starts_at <= datetime.now(UTC):
            raise SessionStarted(starts_at=self.starts_at.isoformat())

    def set_times(self, starts_at: datetime, ends_at: datetime) -> None:
        """Say when it takes place: later than now, and ending after it starts.

        Raises:
            TimesWrong: 422.
        """
        if starts_at <= datetime.now(UTC):
            raise TimesWrong("starts_at", "the start has passed", "开始时间已过")
        if ends_at <= starts_at:
            raise TimesWrong("ends_at", "the end must be after the start", "结束时间应晚于开始时间")
        self.starts_at = starts_at
        self.ends_at = ends_at

    def set_seats(self, seats: int) -> None:
        """Say how many may come; never fewer than have booked.

        Raises:
            FewerSeatsThanBooked: 409.
        """
        if seats < self.booked:
            raise FewerSeatsThanBooked(seats=seats, booked=self.booked)
        self.seats = seats


class State(StrEnum):
    """How a booking stands."""

    BOOKED = "booked"
    CANCELLED = "cancelled"


class Booking(Placed, Versioned, Base):
    """A person's seat in a session (预约); at most one that is not cancelled."""

    __tablename__ = "booking"
    __table_args__ = (
        ForeignKeyConstraint(["district", "session_id"], ["session.district", "session.id"]),
        Index("ix_booking_person", "person", "id"),
        Index("ix_booking_session_id", "session_id", "id"),
        Index(
            "uq_booking_active",
            "district",
            "session_id",
            "person",
            unique=True,
            postgresql_where="state = 'booked'",
        ),
    )

    session_id: Mapped[UUID]
    person: Mapped[UUID]
    state: Mapped[str] = mapped_column(default=State.BOOKED.value)
    booked_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]

    def cancel(self) -> None:
        """Give the seat back.

        Raises:
            AlreadyCancelled: 409.
        """
        if self.state == State.CANCELLED:
            raise AlreadyCancelled(booking=str(self.id))
        self.state = State.CANCELLED.value
        self.cancelled_at = datetime.now(UTC)
