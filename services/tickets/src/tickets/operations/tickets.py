"""Use cases of tickets: found and talked about; each inside the caller's transaction."""

import json
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, bindparam, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.direct import later
from linli.events.tickets import TicketNoted
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from linli.telemetry import trace_id
from tickets.models.moves import Clock, Move, State
from tickets.models.tickets import Entry, Ticket

LATE: Final = (Clock.ANSWER, Clock.SOLVE, Clock.STREET, Clock.DISTRICT)
"""The clocks that make a ticket overdue."""


# Made once: to put one together and find it among those that were compiled costs as much as to run it.
_ONE: Final = select(Ticket).where(Ticket.district == bindparam("district"), Ticket.id == bindparam("id"))
# Its key never changes, so that what refers to it may come meanwhile: an entry, another part of the same whole.
_TO_CHANGE: Final = _ONE.with_for_update(key_share=True)


async def find_ticket(session: AsyncSession, ticket_id: UUID, *, to_change: bool = False) -> Ticket:
    """Read a ticket; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    which = {"district": session.info["scope"].district, "id": ticket_id}
    ticket = await session.scalar(_TO_CHANGE if to_change else _ONE, which)
    if ticket is None:
        raise NotFound(kind="ticket", id=str(ticket_id))
    return ticket


def tickets_within(
    district: int, unit: int | None, *, overdue: bool = False, **equal: UUID | str | None
) -> Select[tuple[Ticket]]:
    """Select a district's tickets by where they are, whether a clock has run out, and what their columns hold."""
    # Said though the caller sees no other: with it the newest are found by the key, without it all are sorted.
    statement = select(Ticket).where(Ticket.district == district)
    if unit is not None:
        statement = statement.where(Ticket.unit.between(*units.span(unit)))
    for name, value in equal.items():
        if value is not None:
            statement = statement.where(getattr(Ticket, name) == value)
    # Which follows from the state, as the planner can't know: an index has those that are few among all there were.
    if equal.get("state") not in {None, State.CLOSED}:
        statement = statement.where(Ticket.closed_at.is_(None))
    if overdue:
        statement = statement.where(tuple_(Ticket.district, Ticket.id).in_(timers.overdue(*LATE)))
    return statement


def entries_of(ticket: Ticket) -> Select[tuple[Entry]]:
    """Select a ticket's trail, but for steps that only a newer version knows: one may write beside this one."""
    known = Entry.move.in_([move.value for move in Move])
    return select(Entry).where(Entry.district == ticket.district, Entry.ticket_id == ticket.id, known)


async def note_ticket(
    session: AsyncSession,
    caller: Principal,
    ticket: Ticket,
    note: str | None,
    *,
    file: UUID | None = None,
    **facts: object,
) -> None:
    """Add a word to a ticket (补充说明), whatever its state; `file` is the photo that its place was taken from.

    Raises:
        NotYours: 403.
    """
    ticket.move(Move.NOTE, caller)
    if file:
        facts["file"] = str(file)
    await enter(session, ticket, Move.NOTE, caller.id, note, **facts)
    await publish(
        session,
        TicketNoted(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            noted_by=caller.id,
            file=file,
        ),
    )


async def enter(
    session: AsyncSession, ticket: Ticket, move: Move, actor: UUID, note: str | None, **facts: object
) -> None:
    """Write a step into the ticket's trail (全程留痕); the flush numbers it by the ticket's new version.

    Args:
        session: an open transaction in which the ticket was locked and changed, if only by `ticket.touch()`.
        ticket: whose trail.
        move: what was done.
        actor: who did it, `NOBODY` for a clock.
        note: what was said with it.
        facts: ids, codes and numbers that belong to it.
    """
    await session.flush()
    now = datetime.now(UTC)
    whose = (ticket.district, uuid7(), ticket.unit, ticket.id, ticket.reporter)
    what = (ticket.version, move.value, ticket.state, json.dumps(facts) if facts else None, actor, note)
    await later(session, _ENTER, *whose, *what, trace_id(), now)


_ENTER: Final = (
    "INSERT INTO ticket_entry (district, id, unit, ticket_id, reporter, sequence, move, state, facts, actor, note,"
    " trace_id, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
)
