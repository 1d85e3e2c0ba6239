"""Use cases of how a ticket ends (反馈): resolved, confirmed by its reporter, rated, or taken up again."""

from datetime import UTC, datetime
from functools import partial
from typing import cast
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers
from linli.db import NOBODY
from linli.events.tickets import (
    TicketClosed,
    TicketRated,
    TicketReopened,
    TicketResolved,
    TicketUnfolded,
)
from linli.outbox import publish
from linli.security import Principal
from tickets.models.moves import MOVES, TAKEN_UP, Clock, Move, Outcome, State
from tickets.models.tickets import Entry, Ticket
from tickets.operations.followers import followers_of
from tickets.operations.levels import raise_ticket
from tickets.operations.offices import note_departure, supervisors_above, supervisors_of
from tickets.operations.rules import rules_of
from tickets.operations.tickets import LATE, enter, entries_of, find_ticket
from tickets.operations.whistles import call_off
from tickets.sight import widened


async def resolve_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, note: str | None) -> None:
    """Say that the matter is dealt with (办结): the assignee, or who manages the unit that it is with.

    Its reporter says whether it is (确认), within a time. A part is closed at once: of the whole he is asked.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    ticket.resolve(caller, caller.id)
    await _resolved(session, ticket, Move.RESOLVE, caller.id, note)
    if ticket.parent is not None:
        await _close(session, ticket, None, Outcome.FIXED, None)


async def _resolved(session: AsyncSession, ticket: Ticket, move: Move, actor: UUID, note: str | None) -> None:
    ticket.stop(Clock)
    due = None
    if ticket.parent is None:
        rules = await rules_of(session, ticket.district)
        minutes = rules.kind(ticket.category).minutes[Clock.CONFIRM]
        due = ticket.run(Clock.CONFIRM, minutes, datetime.now(UTC), rules.calendar)
    await enter(session, ticket, move, actor, note)
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=LATE)
    if due:
        await timers.set(session, aggregate=ticket.id, unit=ticket.unit, due={Clock.CONFIRM: due})
    await publish(
        session,
        TicketResolved(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            resolved_by=cast("UUID", ticket.resolved_by),
            followers=await followers_of(session, ticket),
            confirm_by=due,
            parent=ticket.parent,
        ),
    )


async def close_ticket(
    session: AsyncSession, caller: Principal, ticket: Ticket, note: str | None, outcome: Outcome, **facts: object
) -> None:
    """End a resolved ticket (结案): its reporter says whether it is fixed, and nobody for him.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    await _close(session, ticket, caller, outcome, note, **facts)


async def close_unanswered(session: AsyncSession, ticket: Ticket) -> None:
    """End a resolved ticket whose reporter let the time pass (逾期未反馈)."""
    await _close(session, ticket, None, Outcome.NO_ANSWER, None)


async def _close(
    session: AsyncSession,
    ticket: Ticket,
    caller: Principal | None,
    outcome: Outcome,
    note: str | None,
    **facts: object,
) -> None:
    ticket.close(Move.CLOSE, caller, outcome)
    ticket.stop([Clock.CONFIRM])
    actor = caller.id if caller else NOBODY
    await enter(session, ticket, Move.CLOSE, actor, note, outcome=outcome.value, confirmed=ticket.confirmed, **facts)
    if caller is not None:  # otherwise it is that clock's own doing, or there is none
        await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=[Clock.CONFIRM])
    await publish(
        session,
        TicketClosed(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            closed_by=actor,
            outcome=outcome.value,
            confirmed=ticket.confirmed,
            followers=await followers_of(session, ticket),
            parent=ticket.parent,
        ),
    )
    await call_off(session, ticket)
    await end_part(session, ticket)


async def end_part(session: AsyncSession, ticket: Ticket) -> None:
    """Resolve the ticket that an ended one is a part of, if it was the last."""
    if ticket.parent is None:
        return
    async with widened(session):  # whoever had the part need not see the whole
        whole = await find_ticket(session, ticket.parent, to_change=True)
        running = exists().where(
            Ticket.district == whole.district, Ticket.parent == whole.id, Ticket.state != State.CLOSED.value
        )
        if whole.state == State.SPLIT and not await session.scalar(select(running)):
            whole.resolve(None, ticket.resolved_by or ticket.reporter)
            await _resolved(session, whole, Move.PARTS_DONE, NOBODY, None)


async def reopen_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, note: str, **facts: object) -> None:
    """Say that it is not dealt with after all (重新办理): it is taken up again by whoever had it, with new clocks.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    ticket.reopen(Move.REOPEN, caller)
    await _reopened(session, ticket, Move.REOPEN, caller.id, note, **facts)
    await note_departure(session, ticket)


async def _reopened(
    session: AsyncSession, ticket: Ticket, move: Move, actor: UUID, note: str | None, **facts: object
) -> None:
    ticket.stop([Clock.CONFIRM])
    event = partial(TicketReopened, reopened_by=actor, times=ticket.reopened)
    await resume(session, ticket, event, move=move, actor=actor, note=note, **facts)
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=[Clock.CONFIRM])


async def resume(  # noqa: PLR0913 these facts are told
    session: AsyncSession,
    ticket: Ticket,
    event: "partial[TicketReopened] | partial[TicketUnfolded]",
    *,
    move: Move,
    actor: UUID = NOBODY,
    note: str | None = None,
    **facts: object,
) -> None:
    """Go on with a ticket that had come to rest: its clocks begin anew, and whoever has it or manages it is told."""
    rules = await rules_of(session, ticket.district)
    minutes = rules.kind(ticket.category).minutes
    clocks = [Clock.SOLVE] if ticket.assignee else [Clock.ANSWER, Clock.SOLVE]
    now = datetime.now(UTC)
    due = {clock.value: ticket.run(clock, minutes[clock], now, rules.calendar) for clock in clocks}
    await enter(session, ticket, move, actor, note, **facts)
    await timers.set(session, aggregate=ticket.id, unit=ticket.unit, due=due)
    await publish(
        session,
        event(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            handler=ticket.handler,
            supervisors=await supervisors_of(session, ticket),
            followers=await followers_of(session, ticket),
        ),
    )


async def rate_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, rating: int, note: str | None) -> None:
    """Say how well the matter was answered (评价), 1 to 5; a poor one takes it up again, or is told above.

    Raises:
        NotYours: 403, for anybody but the reporter.
        IllegalMove: 409, before it is closed.
        AlreadyRated: 409.
    """
    ticket.rate(caller, rating)
    poor = MOVES[Move.POORLY_RATED].legal(ticket)
    before = await _taken_up(session, ticket) if poor else 0
    kept = poor and before == TAKEN_UP
    await enter(session, ticket, Move.RATE, caller.id, note, rating=rating)
    await publish(
        session,
        TicketRated(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            resolved_by=cast("UUID", ticket.resolved_by),  # a closed ticket has one: ck_ticket_resolved
            rating=rating,
            supervisors=await supervisors_above(session, ticket) if kept else (),
        ),
    )
    if poor and not kept:
        ticket.reopen(Move.POORLY_RATED, None)
        await _reopened(session, ticket, Move.POORLY_RATED, NOBODY, None)
        if before and MOVES[Move.ESCALATE].legal(ticket):
            ticket.move(Move.ESCALATE, None)
            await raise_ticket(session, ticket, NOBODY, None, datetime.now(UTC))
        await note_departure(session, ticket)  # last: those who manage it now are told


async def _taken_up(session: AsyncSession, ticket: Ticket) -> int:
    """Count how often a poor rating took a ticket up again; `reopened` counts what people did, too."""
    entries = entries_of(ticket).where(Entry.move == Move.POORLY_RATED.value)
    return len((await session.scalars(entries.limit(TAKEN_UP))).all())
