"""Routes of case teams."""

from typing import Annotated

from fastapi import Path, Request, Response

from linli.etags import IfMatchIfAny, set_etag
from linli.paging import Paging
from linli.problems import PreconditionRequired
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from linli.units import UnitCode
from tickets.models.cases import CaseTeam
from tickets.operations import case_teams as operations
from tickets.schemas.cases import TeamIn, TeamOut

router = Router(prefix="/tickets/v1", tags=["cases"])


@router.get("/case-teams", dependencies=[require("cases.write")])
async def list_teams(
    session: Transaction, page: Paging, request: Request, response: Response, within: Within
) -> Paged[TeamOut]:
    """List who takes the cases of which grade where (调解团队): a unit's cases go to the nearest one."""
    rows, following = await page.of(
        session,
        operations.teams_within(within),
        key=(CaseTeam.unit, CaseTeam.grade, CaseTeam.id),
        request=request,
        response=response,
    )
    return Paged(items=[TeamOut.model_validate(row) for row in rows], next=following)


@router.put("/case-teams/{unit}/{grade}")
async def set_team(
    unit: UnitCode,
    grade: Annotated[int, Path(ge=1, le=4)],
    body: TeamIn,
    match: IfMatchIfAny,
    session: Transaction,
    caller: Annotated[Principal, require("cases.teams")],
    response: Response,
) -> TeamOut:
    """Say who takes the cases of a grade in a unit and below; its cases are the new members' from now on."""
    team = await operations.find_team(session, caller, unit, grade)
    if team is not None:
        if match is None:
            raise PreconditionRequired
        match.check(team)
    team = await operations.set_team(session, caller, team, unit=unit, grade=grade, **dict(body))
    set_etag(response, team)
    return TeamOut.model_validate(team)
