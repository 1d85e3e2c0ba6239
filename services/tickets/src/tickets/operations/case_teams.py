"""Use cases of case teams (调解团队): who takes the disputes of which grade where."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli import audit, units
from linli.db import NOBODY, require_unit
from linli.events.cases import CaseTeamEmptied
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import Conflict, PreconditionFailed, Unprocessable
from linli.security import PERMISSIONS, Principal
from tickets.models.cases import CaseTeam
from tickets.models.offices import KnownAssignment
from tickets.operations.offices import in_office
from tickets.sight import widened

WORKING: Final = frozenset(role for role, permissions in PERMISSIONS.items() if "cases.work" in permissions)
"""The roles in which cases are worked on."""
KEEPING: Final = frozenset(role for role, permissions in PERMISSIONS.items() if "cases.teams" in permissions)
"""The roles that say who is on a team."""
_PLATFORM: Final = Principal(id=NOBODY, client="tickets", roles=frozenset(), unit=0, grids=())


class NoTeam(Conflict):
    """No team takes cases of grade {grade} in {unit}. The street or the district must name one first."""

    title_zh = "没有相应的调解团队"
    detail_zh = "{unit} 没有受理 {grade} 级个案的团队，请先由街道或区设置。"


class NotInOffice(Unprocessable):
    """Who is on a team works on its cases: in office in the district, as staff or as a volunteer."""

    title_zh = "成员不在岗"
    detail_zh = "团队成员须在本区任职（工作人员或志愿者），方可办理个案。"


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
        NotInOffice: 422, for members who could not work on a case.
        PreconditionFailed: 412, when somebody else named the unit's first team this moment.
    """
    able = await _able(session, units.district(unit), members)
    strangers = [number for number, member in enumerate(members) if member not in able]
    if strangers:
        raise NotInOffice(errors=[{"pointer": f"#/members/{number}", **_STRANGER} for number in strangers])
    before = set(team.people) if team else set()
    team = team or CaseTeam(id=uuid7(), district=units.district(unit), unit=unit, grade=grade)
    team.name, team.active, team.people = name, active, members
    session.add(team)
    try:
        await session.flush()
    except IntegrityError as error:
        raise PreconditionFailed(etag="another") from error
    # Teams are locked first, then cases, then the district's chain, here as everywhere: all of it until the end.
    changed = sorted(before ^ set(members))
    await audit.record(session, caller, "cases.team", unit=unit, subjects=changed, fields=["members"])
    return team


async def pick_team(session: AsyncSession, unit: int, grade: int) -> CaseTeam:
    """Pick the nearest team, the unit's own or that of the unit above which has one: it stays as it is until the end.

    Before its case is locked, as in `set_team`.

    Raises:
        NoTeam: 409.
    """
    above: list[int] = []
    at: int | None = unit
    while at:
        above.append(at)
        at = units.parent(at)
    nearest = (
        select(CaseTeam)
        .where(
            CaseTeam.district == units.district(unit),
            CaseTeam.unit.in_(above),
            CaseTeam.grade == grade,
            CaseTeam.active,
        )
        .order_by(CaseTeam.unit.desc())  # what lies deeper has the higher code
        .limit(1)
        .with_for_update(read=True, key_share=True)
    )
    async with widened(session):  # whoever locks a team could change it, and who works on cases keeps none
        team: CaseTeam | None = await session.scalar(nearest)
    if team is None:
        raise NoTeam(unit=units.short(unit), grade=grade)
    return team


async def leave(session: AsyncSession, district: int) -> None:
    """Take those off a district's teams who are in office no more: nobody sees or is told of a case by what he was.

    A team that nobody is left on takes no new cases, and who keeps it is told: nobody sees the ones that it has.
    """
    locked = select(CaseTeam).where(CaseTeam.district == district).order_by(CaseTeam.id).with_for_update()
    teams = (await session.scalars(locked)).all()
    able = await _able(session, district, {person for team in teams for person in team.people})
    left = {team: gone for team in teams if (gone := [person for person in team.people if person not in able])}
    for team in left:
        team.people = [person for person in team.people if person in able]
        team.active = team.active and bool(team.people)
    await session.flush()  # all of them, with their cases, before the chain, as in `set_team`
    for team, gone in left.items():
        await audit.record(session, _PLATFORM, "cases.team", unit=team.unit, subjects=gone, fields=["members"])
        if not team.people:
            keepers = await in_office(session, team.unit, KEEPING)
            emptied = CaseTeamEmptied(team=team.id, unit=team.unit, sequence=team.version, supervisors=keepers)
            await publish(session, emptied)


async def _able(session: AsyncSession, district: int, people: Collection[UUID]) -> set[UUID]:
    """Tell who of some people may work on cases of the district, wherever in it he is in office."""
    found = select(KnownAssignment.staff).where(
        KnownAssignment.district == district,
        KnownAssignment.staff.in_(people),
        KnownAssignment.role.in_(WORKING),
        KnownAssignment.active,
    )
    return set(await session.scalars(found))


_STRANGER: Final = {
    "detail": "is in no office of the district in which cases are worked on",
    "detail_zh": "在本区没有可办理个案的在岗任职",
}
