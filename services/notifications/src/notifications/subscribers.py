"""What notifications hears from others, and who is told of it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from linli.events.bookings import BookingCancelled, SeatBooked
from linli.events.files import FileChanged
from linli.events.points import PointsAwarded
from linli.events.tickets import (
    TicketAnswered,
    TicketAssigned,
    TicketAssigneeLeft,
    TicketClosed,
    TicketEscalated,
    TicketFolded,
    TicketNoted,
    TicketOpened,
    TicketOverdue,
    TicketRated,
    TicketReopened,
    TicketResolved,
    TicketReturned,
    TicketSplit,
    TicketUnfolded,
    TicketWaiting,
    TicketWithdrawn,
)
from linli.events.whistles import (
    TicketWhistled,
    WhistleActed,
    WhistleCalledOff,
    WhistleMissed,
    WhistleRated,
    WhistleReported,
)
from linli.inbox import Subscriptions
from notifications.case_subscribers import listen
from notifications.models import Kind
from notifications.operations import notify, tell

subscriptions = Subscriptions("notifications")
listen(subscriptions)
_OVERDUE = {
    "answer": Kind.TICKET_ANSWER_OVERDUE,
    "solve": Kind.TICKET_SOLVE_OVERDUE,
    "street": Kind.TICKET_STREET_OVERDUE,
    "district": Kind.TICKET_DISTRICT_OVERDUE,
}


@subscriptions.on(TicketOpened)
async def ticket_opened(session: AsyncSession, event: TicketOpened) -> None:
    """Tell the department that it has come for, and the reporter that it has."""
    arrived = _report(event.reporter, event.parent, Kind.TICKET_OPENED)
    theirs = dict.fromkeys(event.members, Kind.TICKET_FOR_YOUR_DEPARTMENT)
    await notify(session, event, event.ticket, arrived | theirs)


def _report(reporter: UUID, parent: UUID | None, kind: Kind) -> dict[UUID, Kind]:
    """Tell a reporter how his report goes on; a part is nobody's report, but the work of whoever split the whole."""
    return {reporter: kind} if parent is None else {}


@subscriptions.on(TicketAssigned)
async def ticket_assigned(session: AsyncSession, event: TicketAssigned) -> None:
    """Tell the reporter that somebody answers, that one that it is him, and who had it before that it no longer is.

    Who is both is told what he has to do.
    """
    recipients = _report(event.reporter, event.parent, Kind.TICKET_ASSIGNED)
    if event.taken_from and event.taken_from != event.assigned_by:
        recipients[event.taken_from] = Kind.TICKET_TAKEN_FROM_YOU
    await notify(session, event, event.ticket, recipients | {event.assignee: Kind.TICKET_ASSIGNED_TO_YOU})


@subscriptions.on(TicketResolved)
async def ticket_resolved(session: AsyncSession, event: TicketResolved) -> None:
    """Tell the reporter that the matter is said to be settled, and until when to say whether it is."""
    by = {"confirm_by_at": event.confirm_by.isoformat()} if event.confirm_by else {}
    told = _report(event.reporter, event.parent, Kind.TICKET_RESOLVED)
    await notify(session, event, event.ticket, told, **by)
    await tell(session, event, event.ticket, event.followers, Kind.TICKET_FOLLOWED_RESOLVED, but=(event.reporter,))


@subscriptions.on(TicketClosed)
async def ticket_closed(session: AsyncSession, event: TicketClosed) -> None:
    """Tell the reporter that the ticket is closed, as what, and can be rated."""
    kinds = {"not_fixed": Kind.TICKET_CLOSED_NOT_FIXED, "no_answer": Kind.TICKET_CLOSED_UNANSWERED}
    kind = kinds.get(event.outcome or "", Kind.TICKET_CLOSED)
    await notify(session, event, event.ticket, _report(event.reporter, event.parent, kind))
    await tell(session, event, event.ticket, event.followers, Kind.TICKET_FOLLOWED_ENDED, but=(event.reporter,))


@subscriptions.on(TicketRated)
async def ticket_rated(session: AsyncSession, event: TicketRated) -> None:
    """Tell whoever resolved the ticket how it was rated; and if it is not taken up again, those who answer for it."""
    above = dict.fromkeys(event.supervisors, Kind.TICKET_RATED_POORLY)
    told = {event.resolved_by: Kind.TICKET_RATED} | above  # Who is both has to see to it.
    await notify(session, event, event.ticket, told, rating=event.rating)


@subscriptions.on(TicketAssigneeLeft, since="0.2")
async def ticket_assignee_left(session: AsyncSession, event: TicketAssigneeLeft) -> None:
    """Tell those who can give the ticket to somebody else."""
    await tell(session, event, event.ticket, event.supervisors, Kind.TICKET_ASSIGNEE_LEFT)


@subscriptions.on(TicketOverdue, since="0.2")
async def ticket_overdue(session: AsyncSession, event: TicketOverdue) -> None:
    """Tell those who can see to it that the matter goes on: whom it was given to, and the managers in office there."""
    people = (*event.supervisors, event.assignee)
    await tell(session, event, event.ticket, people, _OVERDUE[event.clock], due_at=event.due_at.isoformat())


@subscriptions.on(TicketWaiting, since="0.2")
async def ticket_waiting(session: AsyncSession, event: TicketWaiting) -> None:
    """Tell the reporter that something is asked of him."""
    await tell(session, event, event.ticket, (event.reporter,), Kind.TICKET_ASKED, but=(event.asked_by,))


@subscriptions.on(TicketAnswered, since="0.2")
async def ticket_answered(session: AsyncSession, event: TicketAnswered) -> None:
    """Tell whoever has the ticket that he can go on, and whoever asked."""
    people = (event.assignee, event.asked_by)
    await tell(session, event, event.ticket, people, Kind.TICKET_ANSWERED, but=(event.answered_by,))


@subscriptions.on(TicketEscalated, since="0.2")
async def ticket_escalated(session: AsyncSession, event: TicketEscalated) -> None:
    """Tell those above that the ticket is theirs now, and the reporter that it was raised."""
    above = {person: Kind.TICKET_ESCALATED_TO_YOU for person in event.supervisors if person != event.escalated_by}
    reported = _report(event.reporter, event.parent, Kind.TICKET_ESCALATED)
    await notify(session, event, event.ticket, reported | above)


@subscriptions.on(TicketReturned, since="0.2")
async def ticket_returned(session: AsyncSession, event: TicketReturned) -> None:
    """Tell those below that the ticket is theirs: again, or from now on; and its department, that it has come there.

    Who is both is told what he has to do.
    """
    people, by = (*event.supervisors, event.assignee), (event.returned_by,)
    await tell(session, event, event.ticket, people, Kind.TICKET_RETURNED_TO_YOU, but=by)
    await tell(session, event, event.ticket, event.members, Kind.TICKET_FOR_YOUR_DEPARTMENT, but=by)


@subscriptions.on(TicketReopened, since="0.2")
async def ticket_reopened(session: AsyncSession, event: TicketReopened) -> None:
    """Tell whoever had the ticket, the managers there, and whoever reported it that it is open again."""
    people = (*event.supervisors, event.assignee)
    back = {person: Kind.TICKET_REOPENED_TO_YOU for person in people if person not in (None, event.reopened_by)}
    followers = dict.fromkeys(event.followers, Kind.TICKET_FOLLOWED_REOPENED)
    reported = followers | {event.reporter: Kind.TICKET_REOPENED}
    told = reported | {person: kind for person, kind in back.items() if person}
    await notify(session, event, event.ticket, told, times=event.times)


@subscriptions.on(TicketWithdrawn, since="0.2")
async def ticket_withdrawn(session: AsyncSession, event: TicketWithdrawn) -> None:
    """Tell whoever had the ticket that nothing remains to be done, and those for whom it ended, too, as it once did."""
    followers = {person: Kind.TICKET_FOLLOWED_ENDED for person in event.followers if person != event.reporter}
    had = {event.assignee: Kind.TICKET_WITHDRAWN} if event.assignee else {}
    if told := followers | had:
        await notify(session, event, event.ticket, told)


@subscriptions.on(TicketFolded, since="0.2")
async def ticket_folded(session: AsyncSession, event: TicketFolded) -> None:
    """Tell the reporter that his report goes on with another, and whoever had it that nothing remains to be done."""
    await notify(session, event, event.into, {event.reporter: Kind.TICKET_FOLDED})
    knows = (event.reporter, event.folded_by)
    await tell(session, event, event.ticket, (event.assignee,), Kind.TICKET_FOLDED_FROM_YOU, but=knows)


@subscriptions.on(TicketUnfolded, since="0.2")
async def ticket_unfolded(session: AsyncSession, event: TicketUnfolded) -> None:
    """Tell the reporter that his own report goes on, others of the same that they follow it, and those whose it is.

    And its department, of what that sees only now.
    """
    told = dict.fromkeys(event.followers, Kind.TICKET_FOLLOWED_REPLACED)
    told |= dict.fromkeys(event.members, Kind.TICKET_FOR_YOUR_DEPARTMENT)
    people = (*event.supervisors, *event.workers, event.assignee)
    told |= {one: Kind.TICKET_UNFOLDED_TO_YOU for one in people if one is not None}
    await notify(session, event, event.ticket, told | {event.reporter: Kind.TICKET_UNFOLDED})


@subscriptions.on(TicketSplit, since="0.2")
async def ticket_split(session: AsyncSession, event: TicketSplit) -> None:
    """Tell the reporter that his report is worked on in parts, and whoever had it that nothing remains to be done."""
    parts = len(event.parts)
    await notify(session, event, event.ticket, {event.reporter: Kind.TICKET_SPLIT}, parts=parts)
    had, knows = (event.assignee,), (event.reporter, event.split_by)
    await tell(session, event, event.ticket, had, Kind.TICKET_SPLIT_FROM_YOU, but=knows, parts=parts)


@subscriptions.on(TicketNoted, since="0.2")
async def ticket_noted(session: AsyncSession, event: TicketNoted) -> None:
    """Tell the reporter and whoever has the ticket that something was added; `file_changed` tells of a photo."""
    if event.file is None:
        people = (event.reporter, event.assignee)
        await tell(session, event, event.ticket, people, Kind.TICKET_NOTED, but=(event.noted_by,))


@subscriptions.on(FileChanged, since="0.2")
async def file_changed(session: AsyncSession, event: FileChanged) -> None:
    """Tell the reporter and whoever has the ticket that a photo or file was added."""
    if event.step == "added":
        people = (event.reporter, event.assignee)
        await tell(session, event, event.ticket, people, Kind.TICKET_NOTED, but=(event.changed_by,))


@subscriptions.on(TicketWhistled, since="0.2")
async def ticket_whistled(session: AsyncSession, event: TicketWhistled) -> None:
    """Tell those who answer for the department that it is called, and when it must report."""
    due_at = event.due_at.isoformat()
    await tell(session, event, event.ticket, event.members, Kind.WHISTLE_BLOWN, due_at=due_at)


@subscriptions.on(WhistleReported, since="0.2")
async def whistle_reported(session: AsyncSession, event: WhistleReported) -> None:
    """Tell whoever called the department that it is there."""
    await notify(session, event, event.ticket, {event.called_by: Kind.WHISTLE_REPORTED})


@subscriptions.on(WhistleActed, since="0.2")
async def whistle_acted(session: AsyncSession, event: WhistleActed) -> None:
    """Tell whoever called the department that it has done its part, which is to be rated."""
    await notify(session, event, event.ticket, {event.called_by: Kind.WHISTLE_ACTED})


@subscriptions.on(WhistleRated, since="0.2")
async def whistle_rated(session: AsyncSession, event: WhistleRated) -> None:
    """Tell the department how it was rated."""
    people = (*event.members, event.acted_by)
    await tell(session, event, event.ticket, people, Kind.WHISTLE_RATED, rating=event.rating)


@subscriptions.on(WhistleMissed, since="0.2")
async def whistle_missed(session: AsyncSession, event: WhistleMissed) -> None:
    """Tell the department, whoever called it, and those who see to it that the ticket goes on."""
    people = (*event.members, *event.supervisors, event.called_by)
    await tell(session, event, event.ticket, people, Kind.WHISTLE_MISSED, due_at=event.due_at.isoformat())


@subscriptions.on(WhistleCalledOff, since="0.2")
async def whistle_called_off(session: AsyncSession, event: WhistleCalledOff) -> None:
    """Tell those who answer for the department that nothing remains to be done."""
    await tell(session, event, event.ticket, event.members, Kind.WHISTLE_CALLED_OFF)


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
    """Tell the holder what he earned; it is about the ticket or wish he earned it by, if there is one."""
    subject = event.ticket or event.wish or event.transfer
    params = {"amount": event.amount, "balance": event.balance}
    await notify(session, event, subject, {event.holder: Kind.POINTS_AWARDED}, **params)
