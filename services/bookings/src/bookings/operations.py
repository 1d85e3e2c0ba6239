"""Use cases of bookings: one function each, inside the caller's transaction."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Select, Update, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bookings.models import Booking, Centre, Session, State
from bookings.problems import AlreadyBooked, SessionFull
from linli import units
from linli.db import require_unit
from linli.events.bookings import BookingCancelled, SeatBooked, SessionScheduled
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal


async def create_centre(db: AsyncSession, caller: Principal, *, unit: int, name: str, address: str) -> Centre:
    """Open a neighbourhood centre (邻里中心).

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    await require_unit(db, unit)
    centre = Centre(district=units.district(unit), unit=unit, name=name, address=address)
    db.add(centre)
    await db.flush()
    return centre


async def find_centre(db: AsyncSession, centre_id: UUID, *, to_change: bool = False) -> Centre:
    """Read a centre; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Centre).where(Centre.id == centre_id)
    centre = await db.scalar(statement.with_for_update() if to_change else statement)
    if centre is None:
        raise NotFound(kind="centre", id=str(centre_id))
    return centre


def centres_within(unit: int | None) -> Select[tuple[Centre]]:
    """Select centres by where they are."""
    statement = select(Centre)
    return statement if unit is None else statement.where(Centre.unit.between(*units.span(unit)))


async def change_centre(
    db: AsyncSession, centre: Centre, *, name: str | None, address: str | None, active: bool | None
) -> None:
    """Rename, move, close or reopen a centre; None leaves as is."""
    centre.name = centre.name if name is None else name
    centre.address = centre.address if address is None else address
    centre.active = centre.active if active is None else active
    await db.flush()


async def schedule_session(  # noqa: PLR0913 a session is these facts
    db: AsyncSession, centre: Centre, *, title: str, starts_at: datetime, ends_at: datetime, seats: int
) -> Session:
    """Offer a session (场次) at a centre.

    Raises:
        CentreClosed: 409.
        TimesWrong: 422.
    """
    centre.must_be_open()
    session = Session(district=centre.district, unit=centre.unit, centre_id=centre.id, title=title, seats=seats)
    session.set_times(starts_at, ends_at)
    db.add(session)
    await _tell_scheduled(db, session)
    return session


async def find_session(db: AsyncSession, session_id: UUID, *, to_change: bool = False) -> Session:
    """Read a session; `to_change` holds off bookings until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Session).where(Session.id == session_id)
    session = await db.scalar(statement.with_for_update() if to_change else statement)
    if session is None:
        raise NotFound(kind="session", id=str(session_id))
    return session


def sessions_within(
    unit: int | None, centre: UUID | None, since: datetime | None, until: datetime | None
) -> Select[tuple[Session]]:
    """Select sessions by where they are and when they start: from `since`, before `until`."""
    statement = select(Session)
    if unit is not None:
        statement = statement.where(Session.unit.between(*units.span(unit)))
    if centre is not None:
        statement = statement.where(Session.centre_id == centre)
    if since is not None:
        statement = statement.where(Session.starts_at >= since)
    if until is not None:
        statement = statement.where(Session.starts_at < until)
    return statement


async def change_session(  # noqa: PLR0913 each field may change
    db: AsyncSession,
    session: Session,
    *,
    title: str | None,
    starts_at: datetime | None,
    ends_at: datetime | None,
    seats: int | None,
) -> None:
    """Change a session that lies ahead; None leaves as is.

    Raises:
        SessionStarted: 409.
        FewerSeatsThanBooked: 409.
        TimesWrong: 422.
    """
    session.must_lie_ahead()
    session.title = session.title if title is None else title
    if starts_at or ends_at:
        session.set_times(starts_at or session.starts_at, ends_at or session.ends_at)
    if seats is not None:
        session.set_seats(seats)
    if db.is_modified(session):
        await _tell_scheduled(db, session)


async def book_seat(db: AsyncSession, caller: Principal, session_id: UUID) -> Booking:
    """Take a seat for oneself (预约).

    Raises:
        NotFound: 404.
        CentreClosed, SessionStarted, AlreadyBooked, SessionFull: 409.
    """
    session = await find_session(db, session_id)
    (await find_centre(db, session.centre_id)).must_be_open()
    session.must_lie_ahead()
    booking = await _enter(db, session, caller.id)
    starts_at = await _take_seat(db, session)
    await publish(
        db,
        SeatBooked(
            booking=booking.id,
            session=session.id,
            unit=booking.unit,
            sequence=booking.version,
            person=booking.person,
            starts_at=starts_at,
        ),
    )
    return booking


async def find_booking(db: AsyncSession, booking_id: UUID) -> Booking:
    """Read a booking and lock it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    booking = await db.scalar(select(Booking).where(Booking.id == booking_id).with_for_update())
    if booking is None:
        raise NotFound(kind="booking", id=str(booking_id))
    return booking


def bookings_of(person: UUID) -> Select[tuple[Booking]]:
    """Select a person's bookings, cancelled ones too."""
    return select(Booking).where(Booking.person == person)


def bookings_in(session: Session) -> Select[tuple[Booking]]:
    """Select the bookings of a session, cancelled ones too."""
    return select(Booking).where(Booking.district == session.district, Booking.session_id == session.id)


async def cancel_booking(db: AsyncSession, booking: Booking) -> None:
    """Give a seat back (取消预约), for somebody else to take.

    Raises:
        AlreadyCancelled, SessionStarted: 409.
    """
    booking.cancel()
    session = await find_session(db, booking.session_id)
    session.must_lie_ahead()
    await db.flush()
    await db.execute(_of(session).values(booked=Session.booked - 1))
    await publish(
        db,
        BookingCancelled(
            booking=booking.id,
            session=booking.session_id,
            unit=booking.unit,
            sequence=booking.version,
            person=booking.person,
        ),
    )


async def _enter(db: AsyncSession, session: Session, person: UUID) -> Booking:
    """Write the booking down unless the person has one; waits for another attempt of the same person."""
    statement = (
        insert(Booking)
        .values(
            district=session.district,
            unit=session.unit,
            session_id=session.id,
            person=person,
            state=State.BOOKED.value,
            booked_at=datetime.now(UTC),
            version=1,
        )
        .on_conflict_do_nothing(
            index_elements=["district", "session_id", "person"], index_where=Booking.state == State.BOOKED.value
        )
        .returning(Booking)
    )
    booking = await db.scalar(statement)
    if booking is None:
        raise AlreadyBooked
    return booking


async def _take_seat(db: AsyncSession, session: Session) -> datetime:
    """Count one more seat as taken, if there is one: a single statement, so that no two take the last.

    Returns:
        When the session starts: staff may have moved it since it was read.
    """
    taken = _of(session).where(Session.booked < Session.seats).values(booked=Session.booked + 1)
    starts_at: datetime | None = await db.scalar(taken.returning(Session.starts_at))
    if starts_at is None:
        raise SessionFull(seats=session.seats)
    return starts_at


def _of(session: Session) -> Update:
    """Change the session's row as it is then, not as it was read; its version stays."""
    statement = update(Session).where(Session.district == session.district, Session.id == session.id)
    return statement.execution_options(synchronize_session=False)


async def _tell_scheduled(db: AsyncSession, session: Session) -> None:
    await db.flush()
    await publish(
        db,
        SessionScheduled(
            session=session.id,
            centre=session.centre_id,
            unit=session.unit,
            sequence=session.version,
            starts_at=session.starts_at,
            seats=session.seats,
        ),
    )
