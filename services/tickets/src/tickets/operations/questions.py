"""Use cases of what a reporter is asked (等待诉求人), and of his answer."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers
from linli.events.tickets import TicketAnswered, TicketWaiting
from linli.outbox import publish
from linli.security import Principal
from tickets.models.moves import Move
from tickets.models.tickets import Entry, Source, Ticket
from tickets.operations.offices import note_departure
from tickets.operations.rules import rules_of
from tickets.operations.tickets import enter, entries_of


async def ask_reporter(session: AsyncSession, caller: Principal, ticket: Ticket, note: str) -> None:
    """Ask the reporter for something (等待诉求人): the clocks stand still until he answers.

    Whoever reported through Open311 is asked there, where everybody reads it: staff's other words stay theirs.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    ticket.move(Move.ASK, caller)
    rules = await rules_of(session, ticket.district)
    paused = ticket.pause(datetime.now(UTC), rules.calendar)
    facts = {"open311": True} if ticket.source == Source.OPEN311 else {}
    await enter(session, ticket, Move.ASK, caller.id, note, **facts)
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=paused)
    await publish(
        session,
        TicketWaiting(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            asked_by=caller.id,
        ),
    )


async def answer_for_reporter(
    session: AsyncSession, caller: Principal, ticket: Ticket, note: str, **facts: object
) -> None:
    """Say what the reporter was asked for (补充答复), he or who manages the ticket's unit; the clocks go on.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    # Before anything is changed, which reading would flush: a step is one change.
    asked = entries_of(ticket).where(Entry.move == Move.ASK.value).order_by(Entry.sequence.desc()).limit(1)
    asked_by = await session.scalar(asked.with_only_columns(Entry.actor))
    ticket.move(Move.ANSWER, caller)
    rules = await rules_of(session, ticket.district)
    due = ticket.go_on(datetime.now(UTC), rules.calendar)
    await enter(session, ticket, Move.ANSWER, caller.id, note, **facts)
    if due:
        await timers.set(session, aggregate=ticket.id, unit=ticket.unit, due=due)
    await publish(
        session,
        TicketAnswered(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            answered_by=caller.id,
            asked_by=asked_by,
        ),
    )
    await note_departure(session, ticket)
