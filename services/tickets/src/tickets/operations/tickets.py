"""Use cases of tickets: one function each, inside the caller's transaction."""

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import ColumnElement, Exists, Select, and_, exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.db import NOBODY, require_unit
from linli.events.tickets import (
    SUPERVISORS,
    TicketAssigned,
    TicketClosed,
    TicketOpened,
    TicketOverdue,
    TicketRated,
    TicketResolved,
)
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from linli.telemetry import trace_id
from tickets.models.moves import Clock, Level, Move, Outcome, State
from tickets.models.tickets import Entry, KnownAssignment, Ticket


class NobodyThere(NotFound):
    """There is no {assignee} in an office that covers the ticket's unit {unit}."""

    title_zh = "受派人不在岗"
    detail_zh = "{assignee} 没有覆盖单元 {unit} 的在岗任职。"


async def open_ticket(  # noqa: PLR0913 a report is these facts
    session: AsyncSession, caller: Principal, *, unit: int, title: str, description: str, category: str
) -> Ticket:
    """Take in a report (上报).

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    ticket = Ticket(
        district=units.district(unit),
        unit=unit,
        title=title,
        description=description,
        category=category,
        state=State.OPEN.value,
        reporter=caller.id,
        opened_at=datetime.now(UTC),
    )
    due = {
        clock.value: ticket.opened_at + timedelta(days=days) for clock, days in ((Clock.ANSWER, 1), (Clock.SOLVE, 7))
    }
    ticket.answer_due_at, ticket.solve_due_at = due.values()
    session.add(ticket)
    await enter(session, ticket, Move.OPEN, caller.id, None)
    await timers.set(session, aggregate=ticket.id, unit=unit, due=due)
    await publish(
        session,
        TicketOpened(
            ticket=ticket.id,
            unit=unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            category=category,
        ),
    )
    return ticket


async def find_ticket(session: AsyncSession, ticket_id: UUID, *, to_change: bool = False) -> Ticket:
    """Read a ticket; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Ticket).where(Ticket.id == ticket_id)
    ticket = await session.scalar(statement.with_for_update() if to_change else statement)
    if ticket is None:
        raise NotFound(kind="ticket", id=str(ticket_id))
    return ticket


def tickets_within(
    unit: int | None, state: State | None, assignee: UUID | None, reporter: UUID | None, *, overdue: bool = False
) -> Select[tuple[Ticket]]:
    """Select tickets by where they are, how they stand, whose they are, and whether a clock has run out on them."""
    statement = select(Ticket)
    if unit is not None:
        statement = statement.where(Ticket.unit.between(*units.span(unit)))
    if state is not None:
        statement = statement.where(Ticket.state == state.value)
    if assignee is not None:
        statement = statement.where(Ticket.assignee == assignee)
    if reporter is not None:
        statement = statement.where(Ticket.reporter == reporter)
    if overdue:
        statement = statement.where(tuple_(Ticket.district, Ticket.id).in_(timers.overdue(*Clock)))
    return statement


def entries_of(ticket: Ticket) -> Select[tuple[Entry]]:
    """Select a ticket's trail, but for steps that only a newer version knows: one may write beside this one."""
    known = Entry.move.in_([move.value for move in Move])
    return select(Entry).where(Entry.district == ticket.district, Entry.ticket_id == ticket.id, known)


async def assign_ticket(
    session: AsyncSession, caller: Principal, ticket: Ticket, assignee: UUID, note: str | None
) -> None:
    """Give a ticket to somebody who answers for it (派单).

    Raises:
        NobodyThere: 404, when the assignee has no active assignment that covers the ticket's unit.
        IllegalMove: 409.
    """
    ticket.assign(caller, assignee)
    if not await session.scalar(select(_answers_for(ticket, assignee))):
        raise NobodyThere(assignee=str(assignee), unit=units.short(ticket.unit), errors=[_ASSIGNEE])
    await enter(session, ticket, Move.ASSIGN, caller.id, note)
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=[Clock.ANSWER])
    await publish(
        session,
        TicketAssigned(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=assignee,
            assigned_by=caller.id,
        ),
    )


_ASSIGNEE = {
    "pointer": "#/assignee",
    "detail": "no active assignment covers the ticket's unit",
    "detail_zh": "没有覆盖该工单单元的在岗任职",
}


def _answers_for(ticket: Ticket, staff: UUID) -> Exists:
    return exists().where(KnownAssignment.staff == staff, _in_office(ticket, KnownAssignment.ANSWERING))


def _in_office(ticket: Ticket, roles: AbstractSet[str]) -> ColumnElement[bool]:
    above: list[int] = []
    unit: int | None = ticket.unit
    while unit:
        above.append(unit)
        unit = units.parent(unit)
    return and_(
        KnownAssignment.district == ticket.district,
        KnownAssignment.active,
        KnownAssignment.role.in_(roles),
        KnownAssignment.unit.in_(above),
    )


async def resolve_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, note: str | None) -> None:
    """Say that the matter is dealt with (办结): the assignee, or one who may assign.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    ticket.resolve(caller, caller.id)
    await enter(session, ticket, Move.RESOLVE, caller.id, note)
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=Clock)
    await publish(
        session,
        TicketResolved(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            resolved_by=caller.id,
        ),
    )


async def close_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, note: str | None) -> None:
    """End a resolved ticket (结案): its reporter, or one who may assign.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    ticket.close(Move.CLOSE, caller, Outcome.FIXED)
    await enter(session, ticket, Move.CLOSE, caller.id, note)
    await publish(
        session,
        TicketClosed(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            closed_by=caller.id,
        ),
    )


async def rate_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, rating: int, note: str | None) -> None:
    """Say how well the matter was answered (评价), 1 to 5.

    Raises:
        NotYours: 403, for anybody but the reporter.
        IllegalMove: 409, before it is closed.
        AlreadyRated: 409.
    """
    ticket.rate(caller, rating)
    await enter(session, ticket, Move.RATE, caller.id, note)
    await publish(
        session,
        TicketRated(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            resolved_by=cast("UUID", ticket.resolved_by),  # a closed ticket has one: ck_ticket_resolved
            rating=rating,
        ),
    )


async def run_out(session: AsyncSession, ticket_id: UUID, clock: Clock, due_at: datetime) -> bool:
    """Note that a clock has run out (超时) and tell of it; tells whether the ticket was still waiting."""
    ticket = await find_ticket(session, ticket_id, to_change=True)
    if not ticket.is_waiting(clock):
        return False
    ticket.touch()
    await enter(session, ticket, clock.overdue, NOBODY, None)
    in_office = _in_office(ticket, {KnownAssignment.SUPERVISING[Level(ticket.level)]})
    supervisors = select(KnownAssignment.staff).where(in_office).distinct().order_by(KnownAssignment.staff)
    await publish(
        session,
        TicketOverdue(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            supervisors=tuple(await session.scalars(supervisors.limit(SUPERVISORS))),
            clock=clock.value,
            due_at=due_at,
        ),
    )
    return True


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
    session.add(
        Entry(
            district=ticket.district,
            unit=ticket.unit,
            ticket_id=ticket.id,
            reporter=ticket.reporter,
            sequence=ticket.version,
            move=move.value,
            state=ticket.state,
            facts=facts or None,
            actor=actor,
            note=note,
            trace_id=trace_id(),
            at=datetime.now(UTC),
        )
    )
