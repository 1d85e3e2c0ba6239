"""Use cases of whistles (吹哨报到): one function each, inside the caller's transaction.

Each locks the ticket before the whistle, as its steps go into the ticket's trail.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.db import NOBODY
from linli.direct import fetch
from linli.events.whistles import (
    TicketWhistled,
    WhistleActed,
    WhistleCalledOff,
    WhistleMissed,
    WhistleRated,
    WhistleReported,
)
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from tickets.models.departments import Department
from tickets.models.moves import Move
from tickets.models.tickets import Ticket
from tickets.models.whistles import ENDED, OPEN, AlreadyCalled, NotYourWhistle, Stage, Whistle
from tickets.operations import departments as staffed
from tickets.operations.offices import answering_for, supervisors_of
from tickets.operations.rules import rules_of
from tickets.operations.tickets import enter, find_ticket
from tickets.sight import widened


async def blow_whistle(
    session: AsyncSession, caller: Principal, ticket: Ticket, codes: Sequence[str], note: str | None
) -> list[Whistle]:
    """Call departments to a ticket (吹哨): each must report in its time, act, and is rated.

    Raises:
        NotYours: 403, for those who do not manage the unit that answers for the ticket.
        IllegalMove: 409.
        UnknownDepartment: 422.
        NobodyAnswers: 422, when nobody who sees the ticket answers for it.
        AlreadyCalled: 409.
    """
    blown = []
    for code in dict.fromkeys(codes):
        ticket.move(Move.WHISTLE, caller)
        pointer = f"#/departments/{codes.index(code)}"
        department = await staffed.require_answering(session, code, ticket.unit, pointer)
        blown.append(await _call(session, caller, ticket, department, note))
    return blown


async def _call(
    session: AsyncSession, caller: Principal, ticket: Ticket, department: Department, note: str | None
) -> Whistle:
    code = department.code
    if await session.scalar(whistles_of(ticket).where(Whistle.department == code, Whistle.state.not_in(ENDED))):
        raise AlreadyCalled(department=code)
    rules = await rules_of(session, ticket.district)
    now = datetime.now(UTC)
    whistle = Whistle(
        id=uuid7(),
        district=ticket.district,
        unit=ticket.unit,
        ticket_id=ticket.id,
        department=code,
        weight=rules.kind(ticket.category).weight,
        caller_unit=ticket.handler,
        called_by=caller.id,
        note=note,
        called_at=now,
        report_minutes=department.report_minutes,
        report_due_at=rules.calendar.due_after(now, department.report_minutes),
    )
    session.add(whistle)
    await enter(session, ticket, Move.WHISTLE, caller.id, note, department=code, whistle=str(whistle.id))
    due = {Whistle.REPORT: whistle.report_due_at}
    await timers.set(session, aggregate=whistle.id, unit=whistle.unit, due=due)
    await publish(
        session,
        TicketWhistled(
            **_about(Call(ticket, whistle)),
            called_by=caller.id,
            members=await answering_for(session, code, whistle.unit),
            due_at=whistle.report_due_at,
        ),
    )
    return whistle


class Call(NamedTuple):
    """A whistle with the ticket it was blown for."""

    ticket: Ticket
    whistle: Whistle


async def find_whistle(session: AsyncSession, whistle_id: UUID, *, to_change: bool = False) -> Call:
    """Read a whistle and its ticket; `to_change` locks both until the transaction ends.

    Raises:
        NotFound: 404.
    """
    found = select(Whistle).where(Whistle.id == whistle_id)
    whistle = await session.scalar(found)
    if whistle is None:
        raise NotFound(kind="whistle", id=str(whistle_id))
    ticket = await find_ticket(session, whistle.ticket_id, to_change=to_change)
    if to_change:
        await session.refresh(whistle, with_for_update=True)
    return Call(ticket, whistle)


def whistles_of(ticket: Ticket) -> Select[tuple[Whistle]]:
    """Select the departments' calls to a ticket."""
    return select(Whistle).where(Whistle.district == ticket.district, Whistle.ticket_id == ticket.id)


def whistles_within(
    caller: Principal, unit: int | None, department: str | None, state: Stage | None
) -> Select[tuple[Whistle]]:
    """Select calls by where the ticket is, who was called, and how far it is; department staff see their own only."""
    # Said though the caller sees no other: with it the newest are found by a key, without it all are sorted.
    statement = select(Whistle).where(Whistle.district == caller.district)
    if unit is not None:
        statement = statement.where(Whistle.unit.between(*units.span(unit)))
    if department is not None:
        statement = statement.where(Whistle.department == department)
    return statement if state is None else statement.where(Whistle.state == state.value)


async def report(session: AsyncSession, caller: Principal, call: Call, note: str | None) -> None:
    """Say that the department is there (应哨); it may be late.

    Raises:
        NotYourWhistle: 403, for those who do not answer for the department.
        WhistleElsewhere: 409, also when the ticket has ended.
    """
    whistle = call.whistle
    await _must_answer(session, caller, whistle)
    now = datetime.now(UTC)
    whistle.report(caller.id, now, await _took(session, whistle, now))
    await timers.cancel(session, aggregate=whistle.id, unit=whistle.unit, kinds=[Whistle.REPORT])
    await _enter(session, call, Move.REPORT, caller.id, note)
    event = WhistleReported(
        **_about(call),
        called_by=whistle.called_by,
        reported_by=caller.id,
        late=now > whistle.report_due_at,
    )
    await publish(session, event)


async def act(session: AsyncSession, caller: Principal, call: Call, note: str) -> None:
    """Say that the department has done its part.

    Raises:
        NotYourWhistle: 403, for those who do not answer for the department.
        WhistleElsewhere: 409, before it has reported, or when the ticket has ended.
    """
    whistle = call.whistle
    await _must_answer(session, caller, whistle)
    now = datetime.now(UTC)
    whistle.act(caller.id, now, await _took(session, whistle, now))
    await _enter(session, call, Move.ACT, caller.id, note)
    await publish(session, WhistleActed(**_about(call), called_by=whistle.called_by, acted_by=caller.id))


async def rate(session: AsyncSession, caller: Principal, call: Call, rating: int, note: str | None) -> None:
    """Say how well the department did its part, 1 to 5: those who manage the unit that called it, once.

    Raises:
        NotYourWhistle: 403.
        WhistleElsewhere: 409, before it has acted, or again.
    """
    whistle = call.whistle
    if not caller.covers(whistle.caller_unit):
        raise NotYourWhistle(who="those who manage the unit that blew it (吹哨单位)", permission="tickets.assign")
    whistle.rate(caller.id, datetime.now(UTC), rating)
    await _enter(session, call, Move.RATE_WHISTLE, caller.id, note)
    assert whistle.acted_by is not None  # noqa: S101 ck_whistle_acted
    await publish(
        session,
        WhistleRated(
            **_about(call),
            acted_by=whistle.acted_by,
            rated_by=caller.id,
            members=await answering_for(session, whistle.department, whistle.unit),
            rating=rating,
        ),
    )


async def miss(session: AsyncSession, whistle_id: UUID, due_at: datetime) -> bool:
    """Note that a department did not report in time (未按时应哨); tells whether it still had not."""
    ticket, whistle = call = await find_whistle(session, whistle_id, to_change=True)
    if not whistle.miss(datetime.now(UTC)):
        return False
    await _enter(session, call, Move.REPORT_MISSED, NOBODY, None)
    await publish(
        session,
        WhistleMissed(
            **_about(call),
            called_by=whistle.called_by,
            members=await answering_for(session, whistle.department, whistle.unit),
            supervisors=await supervisors_of(session, ticket),
            due_at=due_at,
        ),
    )
    return True


async def call_off(session: AsyncSession, ticket: Ticket) -> None:
    """Call off the departments that have not acted yet (撤哨), as the ticket has ended; each is told.

    What goes on as another's report of the same has none of them: those who manage it, where it lies, are told and call
    whom it needs, each with a time of its own.

    Args:
        session: an open transaction in which the ticket was locked and has ended.
        ticket: what they were called to.
    """
    if not await fetch(session, _WAS_CALLED, ticket.district, ticket.id):
        return  # as most end; the trail is seen by whoever ends it, and calls are not
    async with widened(session):
        running = whistles_of(ticket).where(Whistle.state.in_(OPEN)).order_by(Whistle.id).with_for_update()
        for whistle in (await session.scalars(running)).all():
            whistle.call_off(datetime.now(UTC))
            await timers.cancel(session, aggregate=whistle.id, unit=whistle.unit, kinds=[Whistle.REPORT])
            call = Call(ticket, whistle)
            await _enter(session, call, Move.CALL_OFF, NOBODY, None)
            members = await answering_for(session, whistle.department, whistle.unit)
            await publish(session, WhistleCalledOff(**_about(call), members=members))


_WAS_CALLED: Final = "SELECT 1 FROM ticket_entry WHERE district = $1 AND ticket_id = $2 AND move = 'whistle' LIMIT 1"


async def _took(session: AsyncSession, whistle: Whistle, now: datetime) -> int:
    """Count the working minutes since the call."""
    rules = await rules_of(session, whistle.district)
    return int(rules.calendar.worked(whistle.called_at, now).total_seconds() // 60)


async def _must_answer(session: AsyncSession, caller: Principal, whistle: Whistle) -> None:
    if not await staffed.is_member(session, whistle.district, whistle.department, caller.id):
        raise NotYourWhistle(who="those who answer for the department (被召集部门人员)", permission="whistles.answer")


async def _enter(session: AsyncSession, call: Call, move: Move, actor: UUID, note: str | None) -> None:
    ticket, whistle = call
    ticket.touch()
    await enter(session, ticket, move, actor, note, department=whistle.department, whistle=str(whistle.id))


def _about(call: Call) -> dict[str, Any]:
    ticket, whistle = call
    return {
        "ticket": ticket.id,
        "unit": ticket.unit,
        "sequence": ticket.version,
        "whistle": whistle.id,
        "department": whistle.department,
    }
