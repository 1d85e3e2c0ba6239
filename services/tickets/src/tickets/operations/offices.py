"""Use cases of who is in office (在岗): a ticket is given to one of them, and others are told how it goes on."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.db import NOBODY
from linli.direct import Database, fetch
from linli.events.tickets import SUPERVISORS, TicketAssigned, TicketAssigneeLeft
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from tickets.models.categories import Visibility
from tickets.models.moves import Clock, Level, Move, State
from tickets.models.offices import STAFF, KnownAssignment
from tickets.models.tickets import Ticket
from tickets.operations.tickets import enter
from tickets.sight import widened


class NobodyThere(NotFound):
    """There is no {assignee} in an office that covers the ticket's unit {unit}."""

    title_zh = "受派人不在岗"
    detail_zh = "{assignee} 没有覆盖单元 {unit} 的在岗任职。"


async def hold_offices(session: AsyncSession, district: int, staff: UUID) -> None:
    """Have somebody leave none of his offices before the transaction ends: what he is given now he is found to have.

    Before the ticket is locked: that of somebody who leaves is locked in this order, too. Otherwise the two would wait
    for each other.
    """
    await fetch(session, _HOLD, district, staff)


_HOLD: Final = "SELECT FROM known_assignment WHERE district = $1 AND staff = $2 AND active ORDER BY id FOR SHARE"


async def hold_assignees(session: AsyncSession, ticket_id: UUID) -> None:
    """Have nobody leave office whom a ticket, or what was folded into it, may come back to in this transaction.

    Otherwise neither would note it: who leaves finds nothing yet that is still to be done, and who takes it up again
    finds him in office. Before the ticket is locked, as `hold_offices`.
    """
    async with widened(session):  # residents hold nobody's office, nor see what was folded into theirs
        await fetch(session, _HOLD_ASSIGNEES, session.info["scope"].district, ticket_id)


_HOLD_ASSIGNEES: Final = """
    SELECT FROM known_assignment
    WHERE district = $1 AND active AND staff = ANY (ARRAY(
        SELECT assignee FROM ticket WHERE district = $1 AND id = $2
        UNION ALL
        SELECT assignee FROM ticket_follower JOIN ticket ON ticket.district = $1 AND ticket.id = folded
        WHERE ticket_follower.district = $1 AND ticket_id = $2
    ))
    ORDER BY id FOR SHARE"""


async def assign_ticket(
    session: AsyncSession, caller: Principal, ticket: Ticket, assignee: UUID, note: str | None
) -> None:
    """Give a ticket to somebody who answers for it (派单): whoever manages the unit that it is with.

    Raises:
        NobodyThere: 404, when the assignee has no active assignment that covers the ticket's unit.
        NotYours: 403.
        IllegalMove: 409.
        TicketAlreadyAssigned: 409.
    """
    answered = (Clock.ANSWER, Clock.STREET, Clock.DISTRICT)
    taken_from = ticket.assignee
    ticket.assign(caller, assignee)
    ticket.stop(answered)
    if not await _answers_for(session, ticket, assignee, caller):
        raise NobodyThere(assignee=str(assignee), unit=units.short(ticket.unit), errors=[_ASSIGNEE])
    await enter(session, ticket, Move.ASSIGN, caller.id, note, assignee=str(assignee))
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=answered)
    await publish(
        session,
        TicketAssigned(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=assignee,
            assigned_by=caller.id,
            parent=ticket.parent,
            taken_from=taken_from,
        ),
    )


_ASSIGNEE: Final = {
    "pointer": "#/assignee",
    "detail": "no active assignment covers the ticket's unit",
    "detail_zh": "没有覆盖该工单单元的在岗任职",
}


_ANSWERS_FOR: Final = """
    SELECT FROM known_assignment AS office
    WHERE district = $1 AND staff = $2 AND active AND role = ANY ($3::text[]) AND unit = ANY ($4::bigint[])
      AND (unit BETWEEN $5 AND $6 OR role = $7 AND EXISTS (
          SELECT FROM department_member AS member
          WHERE member.district = office.district AND member.staff = office.staff AND member.department = $8
      ))
    LIMIT 1"""


async def _answers_for(session: AsyncSession, ticket: Ticket, staff: UUID, caller: Principal) -> bool:
    """Ask whether somebody is in office there, and not above the caller: nobody gives work to those who manage him.

    Who answers for the ticket's own department manages nobody, wherever that sits.
    """
    roles, scope = sorted(KnownAssignment.ANSWERING), caller.scope
    values = (ticket.district, staff, roles, _above(ticket.unit), scope.lo, scope.hi, STAFF, ticket.department)
    return bool(await fetch(session, _ANSWERS_FOR, *values))


async def leave(session: AsyncSession, district: int, ended: Collection[tuple[UUID, int]]) -> None:
    """Note that the assignee is gone (离岗) on what is still to be done of those who left offices, each at a unit.

    All of it is locked by its ids: whoever locks several tickets does so in this order.
    """
    theirs = (and_(Ticket.assignee == staff, Ticket.unit.between(*units.span(unit))) for staff, unit in ended)
    held = (
        select(Ticket)
        .where(
            Ticket.district == district,
            Ticket.state.in_([State.ASSIGNED.value, State.WAITING.value]),
            or_(*theirs),
        )
        .order_by(Ticket.id)
        .with_for_update(key_share=True)
    )
    for ticket in (await session.scalars(held)).all():
        await note_departure(session, ticket)


async def note_departure(session: AsyncSession, ticket: Ticket) -> None:
    """Note that the assignee is gone (离岗) on a ticket that is still to be done, if it has one and he is.

    Not where an office of his covers the ticket. Those who can give it to somebody else are told.
    """
    if ticket.assignee is None:
        return
    if await is_in_office(session, ticket.assignee, ticket.unit, KnownAssignment.ANSWERING):
        return
    ticket.touch()
    await enter(session, ticket, Move.ASSIGNEE_LEFT, NOBODY, None, assignee=str(ticket.assignee))
    left = TicketAssigneeLeft(
        ticket=ticket.id,
        unit=ticket.unit,
        sequence=ticket.version,
        reporter=ticket.reporter,
        assignee=ticket.assignee,
        supervisors=await managers_of(session, ticket),
    )
    await publish(session, left)


def _in_office(unit: int, roles: AbstractSet[str]) -> ColumnElement[bool]:
    return and_(
        KnownAssignment.district == units.district(unit),
        KnownAssignment.active,
        KnownAssignment.role.in_(roles),
        KnownAssignment.unit.in_(_above(unit)),
    )


def _above(unit: int | None) -> list[int]:
    """List a unit and those above it."""
    found: list[int] = []
    while unit:
        found.append(unit)
        unit = units.parent(unit)
    return found


async def workers_of(session: AsyncSession, ticket: Ticket) -> tuple[UUID, ...]:
    """List the grid workers (网格员) in whose grid a ticket lies, unless it is private: they don't see it there."""
    if ticket.visibility == Visibility.PRIVATE.value:
        return ()
    return await in_office(session, ticket.unit, {"grid_worker"})


async def supervisors_of(session: AsyncSession, ticket: Ticket) -> tuple[UUID, ...]:
    """List who sees to it that a ticket goes on (负责人): those who manage it, and in its grid the leader (网格长).

    He may not give it away: somebody who may is told beside him, from above where need be. Where nobody may who is in
    office, those of the level below are told: a ticket that was raised to an empty desk must not be lost.
    """
    managers = await managers_from(session, ticket.handler, Level(ticket.level))
    level: Level | None = Level(ticket.level)
    while level:
        there = await in_office(session, ticket.unit, {KnownAssignment.SUPERVISING[level]})
        if people := dict.fromkeys((*managers, *there)):
            return tuple(people)[:SUPERVISORS]
        level = level.below
    return ()


async def managers_of(session: AsyncSession, ticket: Ticket) -> tuple[UUID, ...]:
    """List who may give a ticket to somebody else (承办单位负责人): in office over the unit that answers for it now.

    The leader of a grid (网格长) may not: its community does. Where nobody may who is in office, it is not lost: those
    who see to it that it goes on.
    """
    managers = await managers_from(session, ticket.handler, Level(ticket.level))
    return managers or await supervisors_of(session, ticket)


async def supervisors_above(session: AsyncSession, ticket: Ticket) -> tuple[UUID, ...]:
    """List who sees to what was answered poorly (督办): in office above it, at the district beside who resolved it.

    The nearest level that has anybody but him; where none has, those who see to it that the ticket goes on.
    """
    above = Level(ticket.level).above or Level.DISTRICT
    nearest = await managers_from(session, ticket.handler, above, but=ticket.resolved_by)
    return nearest or await supervisors_of(session, ticket)


async def managers_from(session: AsyncSession, unit: int, level: Level, *, but: UUID | None = None) -> tuple[UUID, ...]:
    """List who manages a unit (负责人): in office at the nearest level, from one upwards, that anybody is in."""
    at: Level | None = level
    while at:
        if people := await in_office(session, unit, {KnownAssignment.SUPERVISING[at]}, but=but):
            return people
        at = at.above
    return ()


async def is_in_office(session: AsyncSession, staff: UUID, unit: int, roles: AbstractSet[str]) -> bool:
    """Tell whether somebody has one of some roles at a unit or above it."""
    return bool(await session.scalar(select(exists().where(_in_office(unit, roles), KnownAssignment.staff == staff))))


async def in_office(
    session: AsyncSession, unit: int, roles: AbstractSet[str], *, but: UUID | None = None
) -> tuple[UUID, ...]:
    """List who has one of some roles at a unit or above it: as many as are told at the most."""
    found = select(KnownAssignment.staff).where(_in_office(unit, roles))
    if but is not None:
        found = found.where(KnownAssignment.staff != but)
    return tuple(await session.scalars(found.distinct().order_by(KnownAssignment.staff).limit(SUPERVISORS)))


async def answering_for(database: Database, department: str, unit: int) -> tuple[UUID, ...]:
    """List who answers for a department in a unit: nobody else is told of what lies there, as he may not see it."""
    values = (units.district(unit), department, STAFF, _above(unit), SUPERVISORS)
    return tuple(row["staff"] for row in await fetch(database, _ANSWERING, *values))


async def newly_answering(session: AsyncSession, ticket: Ticket, before: int) -> tuple[UUID, ...]:
    """List who answers for a ticket's department where it lies, and did not see it where it lay before."""
    if ticket.department is None:
        return ()
    knew = await answering_for(session, ticket.department, before)
    return tuple(one for one in await answering_for(session, ticket.department, ticket.unit) if one not in knew)


_ANSWERING: Final = """
    SELECT staff FROM department_member AS member
    WHERE district = $1 AND department = $2 AND EXISTS (
        SELECT FROM known_assignment AS office
        WHERE office.district = member.district AND office.staff = member.staff AND office.role = $3 AND office.active
          AND office.unit = ANY ($4::bigint[])
    )
    ORDER BY staff LIMIT $5"""
