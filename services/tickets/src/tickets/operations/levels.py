"""Use cases of the three levels (三级处置): a ticket goes up by hand, or when a clock runs out, and down again."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.db import require_unit
from linli.events.tickets import SUPERVISORS, TicketEscalated, TicketReturned
from linli.outbox import publish
from linli.security import Principal
from tickets.models.files import File
from tickets.models.moves import Clock, Level, Move, State
from tickets.models.open311 import Update
from tickets.models.tickets import Entry, Follower, Ticket
from tickets.models.whistles import Whistle
from tickets.operations.offices import newly_answering, supervisors_of, workers_of
from tickets.operations.rules import rules_of
from tickets.operations.tickets import enter

_OF_LEVEL: Final = {
    Level.COMMUNITY.value: Clock.ANSWER,
    Level.STREET.value: Clock.STREET,
    Level.DISTRICT.value: Clock.DISTRICT,
}
"""The clock in which whoever a ticket comes to takes it up."""


async def escalate_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, note: str) -> None:
    """Raise a ticket to the level above (升级), which answers for it from now on; whoever it was given to keeps it.

    Raises:
        NotYours: 403, for all but the assignee and those who manage the unit that it is with.
        IllegalMove: 409, when there is no level above, too.
    """
    ticket.move(Move.ESCALATE, caller)
    await raise_ticket(session, ticket, caller.id, note, datetime.now(UTC))


async def return_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, note: str) -> None:
    """Give a ticket back to the level below (退回).

    Raises:
        NotYours: 403.
        IllegalMove: 409, when there is no level below, too.
    """
    ticket.move(Move.RETURN, caller)
    await _arrive(session, ticket, ticket.next_level(Move.RETURN), datetime.now(UTC), None)
    await enter(session, ticket, Move.RETURN, caller.id, note, level=ticket.level)
    await _tell_below(session, caller, ticket, await supervisors_of(session, ticket))


async def hand_down_ticket(
    session: AsyncSession, caller: Principal, ticket: Ticket, unit: int, note: str | None
) -> None:
    """Hand a ticket down to a unit below its own (下派), whose people see it and answer for it from now on.

    What belongs to it moves with it: its trail, files, followers, calls and clocks are seen where it lies.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
        Unprocessable: 422, for a unit that does not lie below the ticket's.
        UnknownUnit: 422.
    """
    await require_unit(session, unit)
    before, level = ticket.unit, Level.of(unit)
    ticket.hand_down(caller, unit)
    if level.value != ticket.level:
        await _arrive(session, ticket, level, datetime.now(UTC), None)
    await move_house(session, ticket)  # the first to flush: all of it is one change, and one step of the trail
    facts = {"from": units.short(before), "to": units.short(unit), "level": ticket.level}
    await enter(session, ticket, Move.HAND_DOWN, caller.id, note, **facts)
    people = dict.fromkeys((*await supervisors_of(session, ticket), *await workers_of(session, ticket)))
    members = await newly_answering(session, ticket, before)
    await _tell_below(session, caller, ticket, tuple(people)[:SUPERVISORS], members)


async def _tell_below(
    session: AsyncSession,
    caller: Principal,
    ticket: Ticket,
    people: tuple[UUID, ...],
    members: tuple[UUID, ...] = (),
) -> None:
    await publish(
        session,
        TicketReturned(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            level=ticket.level,
            handler=ticket.handler,
            supervisors=people,
            returned_by=caller.id,
            members=members,
        ),
    )


_BELONGING: Final = (Entry, File, Follower, Update, Whistle)
_MOVE_CLOCKS: Final = text(
    "UPDATE timer SET unit = :unit WHERE district = :district AND kind = ANY (CAST(:kinds AS text[]))"
    " AND aggregate = ANY (ARRAY(SELECT CAST(:ticket AS uuid)"
    " UNION ALL SELECT id FROM whistle WHERE district = :district AND ticket_id = :ticket))"
)


async def move_house(session: AsyncSession, ticket: Ticket) -> None:
    """Have what belongs to a ticket lie where that does: all of it is seen by its own unit."""
    for part in _BELONGING:
        own = update(part).where(part.district == ticket.district, part.ticket_id == ticket.id)
        await session.execute(own.values(unit=ticket.unit).execution_options(synchronize_session=False))
    of_it = {"district": ticket.district, "ticket": ticket.id, "unit": ticket.unit}
    await session.execute(_MOVE_CLOCKS, {**of_it, "kinds": [*(clock.value for clock in Clock), Whistle.REPORT]})


async def raise_ticket(  # noqa: PLR0913 these facts are told
    session: AsyncSession,
    ticket: Ticket,
    actor: UUID,
    note: str | None,
    now: datetime,
    *,
    clock: Clock | None = None,
) -> None:
    """Give a ticket to the level above, of which there is one, and tell those in office there.

    Args:
        session: an open transaction in which the ticket was locked.
        ticket: which may be escalated.
        actor: who did it, `NOBODY` for a clock.
        note: why.
        now: since when that level's clock runs.
        clock: the one that has run out.
    """
    await _arrive(session, ticket, ticket.next_level(Move.ESCALATE), now, clock)
    facts = {"level": ticket.level} | ({"clock": clock.value} if clock else {})
    await enter(session, ticket, Move.ESCALATE, actor, note, **facts)
    await publish(
        session,
        TicketEscalated(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            level=ticket.level,
            handler=ticket.handler,
            supervisors=await supervisors_of(session, ticket),
            escalated_by=actor,
            clock=clock.value if clock else None,
            parent=ticket.parent,
        ),
    )


async def _arrive(
    session: AsyncSession, ticket: Ticket, level: Level | None, now: datetime, fired: Clock | None
) -> None:
    """Change the level, stop the clock of the one before, unless it is what ran out, and start the new one's."""
    rules = await rules_of(session, ticket.district)
    # One that has run out is no longer among them, and stays: the ticket is overdue until somebody takes it up.
    stopped = [clock for clock in _OF_LEVEL.values() if clock.value in (ticket.clocks or {}) and clock is not fired]
    if fired and ticket.answer_due_at and ticket.answer_due_at <= now and Clock.ANSWER in stopped:
        stopped.remove(Clock.ANSWER)  # It has run out as well, and its turn comes: nobody was given the ticket in time.
    ticket.stop(stopped)
    assert level is not None  # noqa: S101 the move was legal
    ticket.level = level.value
    clock = _OF_LEVEL[ticket.level]
    due = {}
    if clock is not Clock.ANSWER or ticket.state == State.OPEN:
        minutes = rules.kind(ticket.category).minutes[clock]
        due = {clock.value: ticket.run(clock, minutes, now, rules.calendar)}
    if stopped:
        await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=stopped)
    if due:
        await timers.set(session, aggregate=ticket.id, unit=ticket.unit, due=due)
