"""Use cases of departments: one function each, inside the caller's transaction."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import Select, delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.db import require_unit
from linli.models import uuid7
from linli.problems import NotFound
from linli.security import Principal
from tickets.models.categories import Category
from tickets.models.departments import (
    CodeTaken,
    Department,
    Member,
    NobodyAnswers,
    NoSuchStaff,
    StillNamed,
    UnknownDepartment,
)
from tickets.models.offices import STAFF, KnownAssignment
from tickets.operations.offices import answering_for


async def create_department(  # noqa: PLR0913 a department is these facts
    session: AsyncSession,
    caller: Principal,
    *,
    code: str,
    unit: int,
    name: str,
    name_en: str | None,
    report_minutes: int,
    active: bool,
) -> Department:
    """Add a department (部门) that can be called from now on.

    Raises:
        OutsideScope: 403.
        UnknownUnit: 422.
        CodeTaken: 409.
    """
    department = Department(district=units.district(unit), code=code)
    await change_department(
        session,
        caller,
        department,
        unit=unit,
        name=name,
        name_en=name_en,
        report_minutes=report_minutes,
        active=active,
    )
    session.add(department)
    try:
        await session.flush()
    except IntegrityError as error:
        raise CodeTaken(code=code) from error
    return department


async def change_department(  # noqa: PLR0913 as above
    session: AsyncSession,
    caller: Principal,
    department: Department,
    *,
    unit: int,
    name: str,
    name_en: str | None,
    report_minutes: int,
    active: bool,
) -> None:
    """Set what a district says of a department; one that is not active is called no more.

    Raises:
        OutsideScope: 403.
        UnknownUnit: 422.
        StillNamed: 409, when it is to be called no more, and categories in use are for it.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    if not active and (named := await _categories_for(session, department)):
        raise StillNamed(department=department.code, categories=", ".join(named))
    department.unit, department.name, department.name_en = unit, name, name_en
    department.report_minutes, department.active = report_minutes, active


async def _categories_for(session: AsyncSession, department: Department) -> list[str]:
    its = Category.district == department.district, Category.department == department.code
    found = select(Category.code).where(*its, Category.active).order_by(Category.code).limit(_SHOWN)
    return list(await session.scalars(found))


_SHOWN: Final = 20
"""Of the categories that keep a department in use, how many are named at the most."""


async def find_department(session: AsyncSession, code: str, *, to_change: bool = False) -> Department:
    """Read a department of the caller's district; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Department).where(Department.code == code)
    # Its code never changes, so that tickets may come to it meanwhile.
    department = await session.scalar(statement.with_for_update(key_share=True) if to_change else statement)
    if department is None:
        raise NotFound(kind="department", id=code)
    return department


async def require_department(session: AsyncSession, code: str, pointer: str, *, to_stay: bool = False) -> Department:
    """Read a department that something is to be for: one of the caller's district that is called still.

    Args:
        session: an open transaction.
        code: as it was given.
        pointer: where in the body, such as `#/department`.
        to_stay: have it called until this transaction ends; whoever ends that just now is waited for.

    Raises:
        UnknownDepartment: 422.
    """
    statement = select(Department).where(Department.code == code, Department.active)
    department = await session.scalar(statement.with_for_update(read=True) if to_stay else statement)
    if department is None:
        raise UnknownDepartment(department=code, errors=[{"pointer": pointer, **_UNKNOWN}])
    return department


async def require_answering(session: AsyncSession, code: str, unit: int, pointer: str) -> Department:
    """Read a department that is to do something in a unit: one that somebody answers for there.

    Raises:
        UnknownDepartment: 422.
        NobodyAnswers: 422, when nobody who does so sees what lies there.
    """
    department = await require_department(session, code, pointer)
    if not await answering_for(session, code, unit):
        raise NobodyAnswers(department=code, unit=units.short(unit), errors=[{"pointer": pointer, **_NOBODY}])
    return department


_UNKNOWN: Final = {
    "detail": "the district has no such department, or calls it no more",
    "detail_zh": "本区没有该部门，或该部门已停用",
}
_NOBODY: Final = {
    "detail": "nobody in office there answers for this department",
    "detail_zh": "该部门没有覆盖此处的在岗人员",
}


def departments_of(*, active: bool | None) -> Select[tuple[Department]]:
    """Select the departments of the caller's district."""
    statement = select(Department)
    return statement if active is None else statement.where(Department.active == active)


async def add_member(session: AsyncSession, department: Department, staff: UUID) -> None:
    """Let somebody answer for a department; one who does already, goes on.

    Raises:
        NoSuchStaff: 404, when he is not in office as department staff in the district.
    """
    in_office = exists().where(
        KnownAssignment.district == department.district,
        KnownAssignment.staff == staff,
        KnownAssignment.role == STAFF,
        KnownAssignment.active,
    )
    if not await session.scalar(select(in_office)):
        raise NoSuchStaff(staff=str(staff))
    row = {"district": department.district, "id": uuid7(), "unit": department.unit}
    added = insert(Member).values(**row, department=department.code, staff=staff)
    await session.execute(added.on_conflict_do_nothing())


async def remove_member(session: AsyncSession, department: Department, staff: UUID) -> None:
    """End that somebody answers for a department.

    Raises:
        NotFound: 404.
    """
    gone = delete(Member).where(
        Member.district == department.district, Member.department == department.code, Member.staff == staff
    )
    if not (await session.execute(gone.returning(Member.id))).first():
        raise NotFound(kind="member", id=str(staff))


def members_of(department: Department) -> Select[tuple[Member]]:
    """Select who answers for a department."""
    return select(Member).where(Member.district == department.district, Member.department == department.code)


async def is_member(session: AsyncSession, district: int, department: str, staff: UUID) -> bool:
    """Tell whether somebody answers for a department."""
    is_one = exists().where(Member.district == district, Member.department == department, Member.staff == staff)
    return bool(await session.scalar(select(is_one)))


async def leave(session: AsyncSession, district: int, staff: Collection[UUID]) -> None:
    """End that those answer for departments who left office: nobody is told of what he may not see."""
    in_office = exists().where(
        KnownAssignment.district == Member.district,
        KnownAssignment.staff == Member.staff,
        KnownAssignment.role == STAFF,
        KnownAssignment.active,
    )
    await session.execute(delete(Member).where(Member.district == district, Member.staff.in_(staff), ~in_office))
