"""Staff and their roles over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from directory.api.units import Pages
from directory.models import Assignment, Staff
from directory.operations import staff as operations
from directory.operations.lookup import find
from directory.schemas import AssignmentIn, AssignmentOut, Role, StaffChange, StaffIn, StaffOut
from linli.etags import IfMatch, set_etag
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within

router = Router(prefix="/directory/v1", tags=["staff"])
Reader = Annotated[Principal, require("staff.read")]
Writer = Annotated[Principal, require("staff.write")]
Having = Annotated[Role | None, Query(description="Only with this role (岗位)")]


@router.get("/staff")
async def list_staff(
    session: Transaction,
    principal: Reader,
    page: Pages,
    request: Request,
    response: Response,
    within: Within,
    role: Having = None,
) -> Paged[StaffOut]:
    """List the staff (人员) whose home is at or below a unit, your own by default."""
    found = await operations.staff_within(session, principal.unit if within is None else within, role)
    rows, following = await page.of(session, found, key=(Staff.id,), request=request, response=response)
    return Paged(items=[StaffOut.model_validate(row) for row in rows], next=following)


@router.post("/staff", status_code=201)
async def engage(body: StaffIn, session: Transaction, principal: Writer, response: Response) -> StaffOut:
    """Take somebody on the staff of a unit; issuer and subject are his account at the district's OIDC provider."""
    staff = await operations.engage(session, principal, unit=body.unit, name=body.name, login=body.login)
    response.headers["Location"] = f"/directory/v1/staff/{staff.id}"
    set_etag(response, staff)
    return StaffOut.model_validate(staff)


@router.get("/staff/{staff}")
async def get_staff(staff: UUID, session: Transaction, _: Reader, response: Response) -> StaffOut:
    """Look up a member of staff."""
    found = await find(session, Staff, staff, "staff")
    set_etag(response, found)
    return StaffOut.model_validate(found)


@router.patch("/staff/{staff}")
async def change_staff(
    staff: UUID, body: StaffChange, session: Transaction, principal: Writer, match: IfMatch, response: Response
) -> StaffOut:
    """Rename a member of staff, or move him to another home unit, which ends his roles at the old one."""
    found = await find(session, Staff, staff, "staff", lock=True)
    match.check(found)
    found = await operations.change_staff(session, principal, found, name=body.name, unit=body.unit)
    set_etag(response, found)
    return StaffOut.model_validate(found)


@router.get("/staff/{staff}/assignments")
async def list_assignments_of(
    staff: UUID, session: Transaction, _: Reader, page: Pages, request: Request, response: Response
) -> Paged[AssignmentOut]:
    """List all roles a member of staff has or had."""
    found = operations.assignments_of(await find(session, Staff, staff, "staff"))
    rows, following = await page.of(session, found, key=(Assignment.id,), request=request, response=response)
    return Paged(items=[AssignmentOut.model_validate(row) for row in rows], next=following)


@router.post("/staff/{staff}/assignments", status_code=201)
async def assign(
    staff: UUID, body: AssignmentIn, session: Transaction, principal: Writer, response: Response
) -> AssignmentOut:
    """Give a member of staff a role at a unit: one below your own, inside your scope."""
    found = await find(session, Staff, staff, "staff")
    assignment = await operations.assign(session, principal, found, body.role, body.unit)
    set_etag(response, assignment)
    return AssignmentOut.model_validate(assignment)


@router.get("/assignments")
async def list_assignments(
    session: Transaction,
    principal: Reader,
    page: Pages,
    request: Request,
    response: Response,
    within: Within,
    role: Having = None,
) -> Paged[AssignmentOut]:
    """List the roles that are held now at or below a unit, your own by default."""
    found = await operations.assignments_within(session, principal.unit if within is None else within, role)
    rows, following = await page.of(session, found, key=(Assignment.id,), request=request, response=response)
    return Paged(items=[AssignmentOut.model_validate(row) for row in rows], next=following)


@router.post("/assignments/{assignment}/end")
async def end_assignment(
    assignment: UUID, session: Transaction, principal: Writer, match: IfMatch, response: Response
) -> AssignmentOut:
    """End a role."""
    found = await find(session, Assignment, assignment, "assignment", lock=True)
    match.check(found)
    found = await operations.end_assignment(session, principal, found)
    set_etag(response, found)
    return AssignmentOut.model_validate(found)
