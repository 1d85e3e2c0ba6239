"""What bookings (预约) tell: sessions in neighbourhood centres and their seats."""

from uuid import UUID

from pydantic import AwareDatetime, PositiveInt

from linli.events import Event


class SessionScheduled(Event, type="bookings.scheduled.v1", aggregate="session"):
    """A centre (邻里中心) offers a session with seats."""

    session: UUID
    centre: UUID
    starts_at: AwareDatetime
    seats: PositiveInt


class SeatBooked(Event, type="bookings.booked.v1", aggregate="booking"):
    """A person has a seat."""

    booking: UUID
    session: UUID
    person: UUID
    starts_at: AwareDatetime


class BookingCancelled(Event, type="bookings.cancelled.v1", aggregate="booking"):
    """A person gave the seat back."""

    booking: UUID
    session: UUID
    person: UUID
