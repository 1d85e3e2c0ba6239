"""What notifications hears from others, and who is told of it."""

from sqlalchemy.ext.asyncio import AsyncSession

from linli.events.bookings import BookingCancelled, SeatBooked
from linli.events.points import PointsAwarded
from linli.events.tickets import (
    TicketAssigned,
    TicketClosed,
    TicketOpened,
    TicketOverdue,
    TicketRated,
    TicketResolved,
)
from linli.inbox import Subscriptions
from notifications.models import Kind
from notifications.operations import notify

subscriptions = Subscriptions("notifications")


@subscriptions.on(TicketOpened)
async def ticket_opened(session: AsyncSession, event: TicketOpened) -> None:
    """Tell the reporter that the report has arrived."""
    await notify(session, event, event.ticket, {event.reporter: Kind.TICKET_OPENED})


@subscriptions.on(TicketAssigned)
async def ticket_assigned(session: AsyncSession, event: TicketAssigned) -> None:
    """Tell the reporter that somebody answers, and that one that it is him; who is both is told what he has to do."""
    recipients = {event.reporter: Kind.TICKET_ASSIGNED, event.assignee: Kind.TICKET_ASSIGNED_TO_YOU}
    await notify(session, event, event.ticket, recipients)


@subscriptions.on(TicketOverdue, since="0.2")
async def ticket_overdue(session: AsyncSession, event: TicketOverdue) -> None:
    """Tell those who can see to it that the matter goes on: whom it was given to, and the managers in office there."""
    kind = {"answer": Kind.TICKET_ANSWER_OVERDUE, "solve": Kind.TICKET_SOLVE_OVERDUE}[event.clock]
    people = {*event.supervisors, *([event.assignee] if event.assignee else ())}
    if people:
        due_at = event.due_at.isoformat()
        await notify(session, event, event.ticket, dict.fromkeys(people, kind), due_at=due_at)


@subscriptions.on(TicketResolved)
async def ticket_resolved(session: AsyncSession, event: TicketResolved) -> None:
    """Tell the reporter that the matter is said to be settled."""
    await notify(session, event, event.ticket, {event.reporter: Kind.TICKET_RESOLVED})


@subscriptions.on(TicketClosed)
async def ticket_closed(session: AsyncSession, event: TicketClosed) -> None:
    """Tell the reporter that the ticket is closed and can be rated."""
    await notify(session, event, event.ticket, {event.reporter: Kind.TICKET_CLOSED})


@subscriptions.on(TicketRated)
async def ticket_rated(session: AsyncSession, event: TicketRated) -> None:
    """Tell whoever resolved the ticket how it was rated."""
    await notify(session, event, event.ticket, {event.resolved_by: Kind.TICKET_RATED}, rating=event.rating)


@subscriptions.on(SeatBooked)
async def seat_booked(session: AsyncSession, event: SeatBooked) -> None:
    """Tell the person that he has a seat."""
    starts_at = event.starts_at.isoformat()
    await notify(session, event, event.booking, {event.person: Kind.SEAT_BOOKED}, starts_at=starts_at)


@subscriptions.on(BookingCancelled)
async def booking_cancelled(session: AsyncSession, event: BookingCancelled) -> None:
    """Tell the person that the seat is given back."""
    await notify(session, event, event.booking, {event.person: Kind.BOOKING_CANCELLED})


@subscriptions.on(PointsAwarded)
async def points_awarded(session: AsyncSession, event: PointsAwarded) -> None:
    """Tell the holder what he earned; it is about the ticket he earned it by, if there is one."""
    subject = event.ticket or event.transfer
    params = {"amount": event.amount, "balance": event.balance}
    await notify(session, event, subject, {event.holder: Kind.POINTS_AWARDED}, **params)
