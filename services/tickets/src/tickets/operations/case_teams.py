"""Use cases of case teams (调解团队): who takes the disputes of which grade where."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli import audit, units
from linli.db import require_unit
from linli.models import uuid7
from linli.problems import Conflict, PreconditionFailed
from linli.security import Principal
from tickets.models.cases import CaseTeam


class NoTeam(Conflict):
    """No team takes cases of grade {grade} in {unit}. The street or the district must name one first."""

    title_zh = "没有相应的调解团队"
    detail_zh = "{unit} 没有受理 {grade} 级个案的团队，请先由街道或区设置。"


def teams_within(unit: int | None) -> Select[tuple[CaseTeam]]:
    """Select the teams of a district, or of a part of it."""
    statement = select(CaseTeam)
    return statement if unit is None else statement.where(CaseTeam.unit.between(*units.span(unit)))


async def find_team(session: AsyncSession, caller: Principal, unit: int, grade: int) -> CaseTeam | None:
    """Read and lock the team of a unit's grade, if it has one of its own.

    Raises:
        OutsideScope: 403.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    team: CaseTeam | None = await session.scalar(
        select(CaseTeam)
        .where(CaseTeam.district == units.district(unit), CaseTeam.unit == unit, CaseTeam.grade == grade)
        .with_for_update()
    )
    return team


async def set_team(  # noqa: PLR0913 a team is these facts
    session: AsyncSession,
    caller: Principal,
    team: CaseTeam | None,
    *,
    unit: int,
    grade: int,
    name: str,
    active: bool,
    members: list[UUID],
) -> CaseTeam:
    """Say who takes the cases of a grade; its cases, open and closed, are the new members' from now on.

    Raises:
        PreconditionFailed: 412, when somebody else named the unit's first team this moment.
    """
    before = set(team.people) if team else set()
    team = team or CaseTeam(id=uuid7(), district=units.district(unit), unit=unit, grade=grade)
    team.name, team.active, team.people = name, active, members
    session.add(team)
    try:
        await session.flush()
    except IntegrityError as error:
        raise PreconditionFailed(etag="another") from error
    # After its cases were locked, as everywhere: the district's chain is held until the end.
    changed = sorted(before ^ set(members))
    await audit.record(session, caller, "cases.team", unit=unit, subjects=changed, fields=["members"])
    return team


async def pick_team(session: AsyncSession, unit: int, grade: int) -> CaseTeam:
    """Pick the nearest team: the unit's own, or that of the unit above which has one.

    Raises:
        NoTeam: 409.
    """
    above: list[int] = []
    at: int | None = unit
    while at:
        above.append(at)
        at = units.parent(at)
    team: CaseTeam | None = await session.scalar(
        select(CaseTeam)
        .where(
            CaseTeam.district == units.district(unit),
            CaseTeam.unit.in_(above),
            CaseTeam.grade == grade,
            CaseTeam.active,
        )
        .order_by(CaseTeam.unit.desc())  # what lies deeper has the higher code
        .limit(1)
    )
    if team is None:
        raise NoTeam(unit=units.short(unit), grade=grade)
    return team
