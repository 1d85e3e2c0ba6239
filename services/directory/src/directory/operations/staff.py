"""Staff (人员) and the roles they are assigned (岗位)."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from directory.models import Assignment, Identity, Staff
from directory.operations.lookup import inside, within_unit
from directory.operations.units import lock_active
from directory.problems import (
    AlreadyAssigned,
    AssignmentEnded,
    RoleTooHigh,
    StaffExists,
    WrongKind,
    naming,
)
from directory.states import assignment_state
from linli import units
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import UnknownUnit
from linli.security import Principal
from linli.units import Kind

RANK: Final = {
    "resident": 0,
    "volunteer": 1,
    "app": 1,
    "grid_worker": 2,
    "department_staff": 3,
    "community_manager": 3,
    "street_admin": 4,
    "district_admin": 5,
    "operator": 6,
}
"""Whoever has a role gives and ends only those of a lower rank."""

_TEAM: Final = (Kind.COMMUNITY, Kind.BLOCK, Kind.GRID, Kind.SPECIAL_GRID)
SEATS: Final[dict[str, tuple[Kind, ...]]] = {
    "volunteer": (Kind.DISTRICT, Kind.STREET, *_TEAM, Kind.MICRO_GRID),
    "grid_worker": (Kind.GRID, Kind.SPECIAL_GRID, Kind.MICRO_GRID),
    "department_staff": (Kind.DISTRICT, Kind.STREET),
    # At a grid this is its leader (网格长).
    "community_manager": _TEAM,
    "street_admin": (Kind.STREET,),
    "district_admin": (Kind.DISTRICT,),
    "app": (Kind.DISTRICT, Kind.STREET, Kind.COMMUNITY, Kind.BLOCK),
    "operator": (Kind.PLATFORM,),
}
"""At which kinds of units a role is held."""


def must_outrank(principal: Principal, roles: Iterable[str]) -> None:
    """Refuse to give or end roles that are not below the caller's own.

    Raises:
        RoleTooHigh: 403.
    """
    own = max(RANK[role] for role in principal.roles if role in RANK)
    for role in roles:
        if RANK[role] >= own:
            raise RoleTooHigh(role=role, permission=role)


def must_seat(role: str, unit: int) -> None:
    """Refuse a role at a kind of unit where it is not held.

    Raises:
        WrongKind: 422.
    """
    if units.kind(unit) not in SEATS[role]:
        needed = ", ".join(kind.value for kind in SEATS[role])
        raise WrongKind(unit=units.short(unit), kind=units.kind(unit).value, needed=needed)


async def staff_within(session: AsyncSession, within: int, role: str | None) -> Select[Any]:
    """Select the staff whose home is at or below a unit, all or those who have a role somewhere.

    Raises:
        NotFound: 404, for a unit that is not there.
    """
    found = await within_unit(session, Staff, within)
    if role is None:
        return found
    held = exists().where(
        Assignment.district == Staff.district,
        Assignment.staff == Staff.id,
        Assignment.role == role,
        Assignment.ended_at.is_(None),
    )
    return found.where(held)


async def assignments_within(session: AsyncSession, within: int, role: str | None) -> Select[Any]:
    """Select the roles that are held at or below a unit.

    Raises:
        NotFound: 404, for a unit that is not there.
    """
    found = (await within_unit(session, Assignment, within)).where(Assignment.ended_at.is_(None))
    return found if role is None else found.where(Assignment.role == role)


def assignments_of(staff: Staff) -> Select[Any]:
    """Select all roles somebody has or had."""
    return select(Assignment).where(Assignment.district == staff.district, Assignment.staff == staff.id)


async def engage(
    session: AsyncSession, principal: Principal, *, unit: int, name: str, login: tuple[str, str] | None
) -> Staff:
    """Take somebody on the staff of a unit.

    Args:
        session: an open transaction.
        principal: who does it.
        unit: the home unit.
        name: the person's name.
        login: issuer and subject of the district's OIDC provider; who has signed in before keeps his id.

    Raises:
        OutsideScope: 403.
        UnknownUnit: 422.
        StaffExists: 409.
    """
    await _must_be_active(session, principal, unit)
    district = units.district(unit)
    person = uuid7() if login is None else await person_of(session, district, *login)
    staff = Staff(district=district, id=person, unit=unit, name=name)
    session.add(staff)
    with naming(pk_staff=StaffExists()):
        await session.flush()
    return staff


async def person_of(session: AsyncSession, district: int, issuer: str, subject: str) -> UUID:
    """Tell whom a subject of a district's provider stands for; whoever is new gets an id."""
    row = {
        "district": district,
        "issuer": issuer,
        "subject": subject,
        "unit": district * 10**12,
        "person": uuid7(),
    }
    await session.execute(insert(Identity).values(row).on_conflict_do_nothing())
    return (
        await session.scalars(
            select(Identity.person).where(
                Identity.district == district, Identity.issuer == issuer, Identity.subject == subject
            )
        )
    ).one()


async def change_staff(
    session: AsyncSession, principal: Principal, staff: Staff, *, name: str | None, unit: int | None
) -> Staff:
    """Rename a locked member of staff, or move him to another home unit, where he begins without the roles he had.

    Roles at units outside of the home he leaves are kept: somebody may help out elsewhere.

    Raises:
        OutsideScope: 403.
        RoleTooHigh: 403, when a role that would end is not below the caller's own.
        UnknownUnit: 422.
    """
    principal.must_cover(staff.unit)
    if unit is not None and unit != staff.unit:
        if units.district(unit) != staff.district:
            raise UnknownUnit(unit=units.short(unit))
        await _must_be_active(session, principal, unit)
        left = assignments_of(staff).where(*inside(Assignment, staff.unit), Assignment.ended_at.is_(None))
        for assignment in (await session.scalars(left.with_for_update())).all():
            if not units.contains(unit, assignment.unit):
                await end_assignment(session, principal, assignment)
        staff.unit = unit
    staff.name = staff.name if name is None else name
    await session.flush()
    return staff


async def assign(session: AsyncSession, principal: Principal, staff: Staff, role: str, unit: int) -> Assignment:
    """Give a member of staff a role at a unit.

    Raises:
        OutsideScope, RoleTooHigh: 403: one gives lower roles only, inside one's scope.
        UnknownUnit, WrongKind: 422.
        AlreadyAssigned: 409.
    """
    must_outrank(principal, [role])
    principal.must_cover(unit)
    must_seat(role, unit)
    if units.district(unit) != staff.district:
        raise UnknownUnit(unit=units.short(unit))
    await _must_be_active(session, principal, unit)
    assignment = Assignment(district=staff.district, unit=unit, staff=staff.id, role=role)
    session.add(assignment)
    with naming(uq_assignment_active=AlreadyAssigned(role=role, unit=units.short(unit))):
        await session.flush()
    await publish(session, assignment_state(assignment))
    return assignment


async def end_assignment(session: AsyncSession, principal: Principal, assignment: Assignment) -> Assignment:
    """End a role; the tokens it gave run out within ten minutes.

    Raises:
        OutsideScope, RoleTooHigh: 403.
        AssignmentEnded: 409.
    """
    principal.must_cover(assignment.unit)
    must_outrank(principal, [assignment.role])
    if not assignment.active:
        raise AssignmentEnded(assignment=str(assignment.id))
    assignment.ended_at = datetime.now(UTC)
    await session.flush()
    await publish(session, assignment_state(assignment))
    return assignment


async def _must_be_active(session: AsyncSession, principal: Principal, unit: int) -> None:
    principal.must_cover(unit)
    if not await lock_active(session, [unit]):
        raise UnknownUnit(unit=units.short(unit))
