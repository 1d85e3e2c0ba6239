"""The use case of time: what a clock that runs out does to a ticket."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from linli.db import NOBODY
from linli.events.tickets import TicketOverdue
from linli.outbox import publish
from linli.timers import Timer
from tickets.models.moves import MOVES, Clock, Move
from tickets.operations.endings import close_unanswered
from tickets.operations.levels import raise_ticket
from tickets.operations.offices import supervisors_of
from tickets.operations.rules import hold_rules
from tickets.operations.tickets import enter, find_ticket


async def run_out(session: AsyncSession, timer: Timer, now: datetime) -> bool:
    """Note that a clock has run out (超时), tell of it, and raise the ticket by a level if there is one above.

    Returns:
        Whether the ticket is overdue from now on.
    """
    clock = Clock(timer.kind)
    await hold_rules(session, timer.district)  # before the ticket, as in `api.moves`
    ticket = await find_ticket(session, timer.aggregate, to_change=True)
    if not ticket.is_waiting(clock):
        return False
    if clock is Clock.CONFIRM:
        await close_unanswered(session, ticket)
        return False
    ticket.clocks = {name: value for name, value in (ticket.clocks or {}).items() if name != clock.value}
    ticket.touch()
    await enter(session, ticket, clock.overdue, NOBODY, None)
    await publish(
        session,
        TicketOverdue(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            supervisors=await supervisors_of(session, ticket),
            clock=clock.value,
            due_at=timer.due_at,
        ),
    )
    if MOVES[Move.ESCALATE].legal(ticket):
        ticket.move(Move.ESCALATE, None)
        await raise_ticket(session, ticket, NOBODY, None, now, clock=clock)
    return True
