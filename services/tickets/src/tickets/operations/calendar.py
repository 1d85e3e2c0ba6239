"""Use cases of a district's working days (工作日历): one function each, inside the caller's transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, TextClause, literal, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from linli.etags import Match
from linli.problems import PreconditionRequired
from linli.security import Principal
from tickets.calendar import DAY, Calendar
from tickets.models.calendar import WorkDay
from tickets.models.errands import Errand
from tickets.models.moves import Clock
from tickets.models.whistles import Stage, Whistle
from tickets.models.wishes import Wish
from tickets.operations import case_parts, errands, wishes
from tickets.operations.rules import change_rules, lock_rules

_BATCH: Final = 2000
_RUNNING: Final = text(
    "SELECT timer.aggregate, timer.kind, timer.due_at, ticket.clocks -> timer.kind ->> 'since' AS since,"
    " (ticket.clocks -> timer.kind ->> 'minutes')::int AS minutes"
    " FROM ticket JOIN timer ON timer.district = ticket.district AND timer.aggregate = ticket.id"
    " WHERE timer.district = :district AND timer.fired_at IS NULL AND timer.kind = ANY(:kinds)"
    " ORDER BY ticket.id FOR NO KEY UPDATE OF ticket"
)
_MOVE: Final = text(
    "UPDATE timer SET due_at = new.due_at, try_at = CASE WHEN try_at IS NOT NULL THEN new.due_at END, attempts = 0"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:due AS timestamptz[])) AS new (id, due_at)"
    " WHERE timer.district = :district AND timer.kind = :kind AND timer.aggregate = new.id"
)


def corrections_of(district: int) -> Select[tuple[WorkDay]]:
    """Select the days that a district has corrected."""
    return select(WorkDay).where(WorkDay.district == district)


async def find_day(session: AsyncSession, district: int, day: date) -> WorkDay | None:
    """Read what a district has said of a day, if anything."""
    found: WorkDay | None = await session.scalar(corrections_of(district).where(WorkDay.day == day))
    return found


async def put_day(  # noqa: PLR0913 a correction is these facts
    session: AsyncSession, caller: Principal, day: date, match: Match | None, *, working: bool, note: str
) -> WorkDay:
    """Say whether a day is worked (调整工作日): all deadlines of the district that follow from it move at once.

    Raises:
        PreconditionRequired: 428, for a day that was corrected before, without its ETag.
        PreconditionFailed: 412.
    """
    await lock_rules(session, caller.district)
    corrected = await find_day(session, caller.district, day)
    if corrected is None:
        corrected = WorkDay(
            district=caller.district, unit=caller.district * 10**12, day=day, working=working, note=note
        )
        session.add(corrected)
    else:
        if match is None:
            raise PreconditionRequired
        match.check(corrected)
        corrected.working, corrected.note = working, note
    rules = await change_rules(session, caller.district)
    await move_deadlines(session, caller.district, rules.calendar)
    for deadline in _DEADLINES:
        await _move(session, caller.district, rules.calendar, deadline)
    await case_parts.reschedule(session, caller, caller.district, rules.calendar)
    return corrected


async def move_deadlines(session: AsyncSession, district: int, calendar: Calendar) -> None:
    """Move every deadline of a district's tickets that has not passed yet to where its calendar puts it.

    It takes no step in the tickets' trails: their clocks are as long as they were.
    """
    where = {"district": district, "kinds": list(Clock)}
    running = (await session.execute(_RUNNING, where)).all()
    due: dict[tuple[str, int], datetime] = {}
    for number, row in enumerate(running):
        if number % _BATCH == 0:
            await asyncio.sleep(0)  # others' requests are answered meanwhile
        if row.since and (row.since, row.minutes) not in due:
            due[row.since, row.minutes] = calendar.due_after(datetime.fromisoformat(row.since), row.minutes)
    for clock in Clock:
        moved = [
            (row.aggregate, at)
            for row in running
            if row.kind == clock.value and (at := due.get((row.since, row.minutes))) not in {None, row.due_at}
        ]
        await _write(session, district, clock.value, _SHOW[clock], moved)


@dataclass(frozen=True)
class _Deadline:
    """What has one deadline of working time, and shows it.

    Attributes:
        kind: its clock.
        since: when that began.
        minutes: how many it has.
        due: when it runs out.
        runs: whether it does.
    """

    row: type[Whistle] | type[Wish] | type[Errand]
    kind: str
    since: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]
    minutes: ColumnElement[int] | InstrumentedAttribute[int]
    due: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]
    runs: ColumnElement[bool]


_DEADLINES: Final = (
    _Deadline(
        Whistle,
        Whistle.REPORT,
        Whistle.called_at,
        Whistle.report_minutes,
        Whistle.report_due_at,
        Whistle.state == Stage.CALLED.value,
    ),
    _Deadline(Wish, wishes.CLAIM, Wish.claimed_at, literal(wishes.CLAIM_DAYS * DAY), Wish.claim_due_at, true()),
    _Deadline(Errand, errands.NEXT_STEP, Errand.stepped_at, literal(errands.STEP_DAYS * DAY), Errand.due_at, true()),
)


async def _move(session: AsyncSession, district: int, calendar: Calendar, deadline: _Deadline) -> None:
    """Move deadlines of a kind that are still to come; it is no step of anybody's, so versions stay."""
    row, due = deadline.row, deadline.due
    running = select(row.id, deadline.since.label("since"), deadline.minutes.label("minutes"), due.label("due_at"))
    to_come = running.where(row.district == district, due > datetime.now(UTC), deadline.runs)
    moved = [
        (found.id, at)
        for found in await session.execute(to_come.order_by(row.id).with_for_update())
        if (at := calendar.due_after(found.since, found.minutes)) != found.due_at
    ]
    await _write(session, district, deadline.kind, _showing(row.__tablename__, due.key), moved)


async def _write(
    session: AsyncSession, district: int, kind: str, show: TextClause, moved: Sequence[tuple[UUID, datetime]]
) -> None:
    for start in range(0, len(moved), _BATCH):
        ids, times = zip(*moved[start : start + _BATCH], strict=True)
        new = {"district": district, "kind": kind, "ids": list(ids), "due": list(times)}
        await session.execute(_MOVE, new)
        await session.execute(show, new)


def _showing(table: str, column: str) -> TextClause:
    return text(
        f"UPDATE {table} SET {column} = new.due_at"  # noqa: S608 names of ours
        " FROM unnest(CAST(:ids AS uuid[]), CAST(:due AS timestamptz[])) AS new (id, due_at)"
        f" WHERE {table}.district = :district AND {table}.id = new.id"
    )


_SHOW: Final = {clock: _showing("ticket", clock.column) for clock in Clock}
