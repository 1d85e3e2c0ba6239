"""Routes of departments, who answers for them, and how they answer."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction
from tickets.models.departments import Department, Member
from tickets.operations import departments as operations
from tickets.schemas.departments import DepartmentNew, DepartmentOut, DepartmentSet, MemberNew, MemberOut

router = Router(prefix="/tickets/v1/departments", tags=["departments"])


@router.post("", status_code=201)
async def create_department(
    body: DepartmentNew,
    session: Transaction,
    caller: Annotated[Principal, require("departments.write")],
    response: Response,
) -> DepartmentOut:
    """Add a department (部门) that communities can call."""
    department = await operations.create_department(session, caller, **dict(body))
    response.headers["Location"] = f"/tickets/v1/departments/{department.code}"
    return _answer(department, response)


@router.get("", dependencies=[require("departments.read")])
async def list_departments(
    session: Transaction, page: Paging, request: Request, response: Response, *, active: bool | None = None
) -> Paged[DepartmentOut]:
    """List the district's departments, by code."""
    rows, following = await page.of(
        session,
        operations.departments_of(active=active),
        key=(Department.code, Department.id),
        request=request,
        response=response,
    )
    return Paged(items=[DepartmentOut.model_validate(row) for row in rows], next=following)


@router.get("/{code}", dependencies=[require("departments.read")])
async def read_department(code: str, session: Transaction, response: Response) -> DepartmentOut:
    """Read one department."""
    return _answer(await operations.find_department(session, code), response)


@router.put("/{code}")
async def change_department(
    code: str,
    body: DepartmentSet,
    match: IfMatch,
    session: Transaction,
    caller: Annotated[Principal, require("departments.write")],
    response: Response,
) -> DepartmentOut:
    """Rename or move a department, set its clock, or call it no more."""
    department = await operations.find_department(session, code, to_change=True)
    match.check(department)
    await operations.change_department(session, caller, department, **dict(body))
    await session.flush()
    return _answer(department, response)


@router.get("/{code}/members", dependencies=[require("departments.read")])
async def list_members(
    code: str, session: Transaction, page: Paging, request: Request, response: Response
) -> Paged[MemberOut]:
    """List who answers for a department."""
    department = await operations.find_department(session, code)
    rows, following = await page.of(
        session, operations.members_of(department), key=(Member.id,), request=request, response=response
    )
    return Paged(items=[MemberOut.model_validate(row) for row in rows], next=following)


@router.post("/{code}/members", status_code=201, dependencies=[require("departments.write")])
async def add_member(code: str, body: MemberNew, session: Transaction) -> MemberOut:
    """Let one of the department staff answer for a department: he sees what it is called to."""
    department = await operations.find_department(session, code)
    await operations.add_member(session, department, body.staff)
    return MemberOut(staff=body.staff)


@router.delete("/{code}/members/{staff}", status_code=204, dependencies=[require("departments.write")])
async def remove_member(code: str, staff: UUID, match: IfMatch, session: Transaction) -> None:
    """End that somebody answers for a department: he no longer sees what it is called to."""
    department = await operations.find_department(session, code)
    match.check(department)
    await operations.remove_member(session, department, staff)


def _answer(department: Department, response: Response) -> DepartmentOut:
    set_etag(response, department)
    return DepartmentOut.model_validate(department)
