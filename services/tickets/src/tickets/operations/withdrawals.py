"""Use cases of taking a report back (撤回): for who else reported the same it goes on."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.events.tickets import TicketUnfolded, TicketWithdrawn
from linli.models import uuid7
from linli.outbox import publish
from linli.security import Principal
from tickets.models.moves import Clock, Move, Outcome
from tickets.models.tickets import FIRST_HAND, Follower, Ticket
from tickets.operations.endings import end_part, resume
from tickets.operations.followers import reports_of_the_same
from tickets.operations.levels import move_house
from tickets.operations.offices import newly_answering, note_departure, workers_of
from tickets.operations.tickets import enter, find_ticket
from tickets.operations.whistles import call_off
from tickets.sight import widened


async def withdraw_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, note: str | None) -> None:
    """Take a report back (撤回): its reporter, before it is resolved; for who else reported the same it goes on.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    ticket.close(Move.WITHDRAW, caller, Outcome.WITHDRAWN)
    ticket.stop(Clock)
    same = await reports_of_the_same(session, ticket)
    own = await _own(session, caller, ticket, same)
    first = next((one.folded for one in same if one.folded not in own), None)
    facts = {"unfolded": str(first)} if first else {}
    await enter(session, ticket, Move.WITHDRAW, caller.id, note, **facts)
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=Clock)
    await publish(
        session,
        TicketWithdrawn(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
        ),
    )
    await call_off(session, ticket)
    await end_part(session, ticket)
    if first:
        await _unfold(session, ticket, first, [one for one in same if one.folded != first])


async def _own(session: AsyncSession, caller: Principal, ticket: Ticket, same: Sequence[Follower]) -> set[UUID]:
    """Tell which reports of the same are of the same person: not those that somebody, or an app, took down for many."""
    folded = [one.folded for one in same if one.follower == ticket.reporter]
    if not folded or caller.scope.app or ticket.source not in FIRST_HAND:
        return set()
    own = select(Ticket.id).where(
        Ticket.district == ticket.district, Ticket.id.in_(folded), Ticket.source.in_(FIRST_HAND)
    )
    async with widened(session):
        return set(await session.scalars(own))


async def _unfold(session: AsyncSession, withdrawn: Ticket, first: UUID, others: Sequence[Follower]) -> None:
    """Take up the first report of the same again (恢复办理), which the others follow from now on.

    So each report stays its reporter's own: nobody is shown what another has said.
    """
    async with widened(session):  # it is not the caller's, and may lie elsewhere in the district
        ticket = await find_ticket(session, first, to_change=True)
        whose = {"district": ticket.district, "unit": ticket.unit, "ticket_id": ticket.id, "reporter": ticket.reporter}
        rows = [{**whose, "id": uuid7(), "follower": one.follower, "folded": one.folded} for one in others]
        if rows:  # Some followed it before it was folded itself.
            await session.execute(insert(Follower).values(rows).on_conflict_do_nothing())
            theirs = update(Ticket).where(
                Ticket.district == ticket.district,
                Ticket.id.in_([one.folded for one in others]),
                Ticket.folded_into == withdrawn.id,  # Others were folded into one of these before.
            )
            await session.execute(theirs.values(folded_into=ticket.id))
        before = ticket.unit
        ticket.unfold(withdrawn)
        ticket.followers = len(others)
        facts: dict[str, Any] = {"assignee": str(ticket.assignee)} if ticket.assignee else {}
        event = partial(TicketUnfolded, withdrawn=withdrawn.id)
        if moves := ticket.unit != before:
            facts |= {"from": units.short(before), "to": units.short(ticket.unit)}
            with session.no_autoflush:  # all of it is one change, and one step of the trail
                workers, members = await workers_of(session, ticket), await newly_answering(session, ticket, before)
            event = partial(event, workers=workers, members=members)
        await resume(session, ticket, event, move=Move.UNFOLD, withdrawn=str(withdrawn.id), **facts)
        if moves:
            await move_house(session, ticket)
        await note_departure(session, ticket)
