"""Routes of projects."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from tickets.models.lists import Need, Project, ProjectState, ProjectStep
from tickets.operations import projects as operations
from tickets.operations.lists import find_listed
from tickets.schemas.lists import EndIn, MatchIn, ProjectOut, StepIn, StepOut

router = Router(prefix="/tickets/v1", tags=["lists"])

Keeper = Annotated[Principal, require("lists.write")]


@router.post("/needs/{need_id}/match", status_code=201)
async def start_project(
    need_id: UUID, body: MatchIn, match: IfMatch, session: Transaction, caller: Keeper, response: Response
) -> ProjectOut:
    """Match a need with a resource (对接): together they are a project from then on."""
    need = await find_listed(session, Need, need_id, to_change=True)
    match.check(need)
    steps = [(step.title, step.due_on) for step in body.steps]
    project = await operations.start_project(
        session, caller, need, resource=body.resource, ends_on=body.ends_on, steps=steps
    )
    response.headers["Location"] = f"/tickets/v1/projects/{project.id}"
    return _answer(project, response)


@router.get("/projects")
async def list_projects(
    session: Transaction,
    caller: Annotated[Principal, require("lists.read")],
    page: Paging,
    request: Request,
    response: Response,
    within: Within,
    state: ProjectState | None = None,
) -> Paged[ProjectOut]:
    """List projects (项目清单), newest first; a partner sees those with his resources."""
    rows, following = await page.of(
        session,
        operations.projects_within(caller.district, within, state),
        key=(Project.id.desc(),),
        request=request,
        response=response,
    )
    return Paged(items=[ProjectOut.model_validate(row) for row in rows], next=following)


@router.get("/projects/{project_id}", dependencies=[require("lists.read")])
async def read_project(project_id: UUID, session: Transaction, response: Response) -> ProjectOut:
    """Read one project."""
    return _answer(await operations.find_project(session, project_id), response)


@router.get("/projects/{project_id}/steps", dependencies=[require("lists.read")])
async def list_steps(
    project_id: UUID, session: Transaction, page: Paging, request: Request, response: Response
) -> Paged[StepOut]:
    """List the steps of a project."""
    project = await operations.find_project(session, project_id)
    rows, following = await page.of(
        session, operations.steps_of(project), key=(ProjectStep.id,), request=request, response=response
    )
    return Paged(items=[StepOut.model_validate(row) for row in rows], next=following)


@router.post("/projects/{project_id}/steps", status_code=201)
async def add_step(
    project_id: UUID, body: StepIn, match: IfMatch, session: Transaction, caller: Keeper, response: Response
) -> StepOut:
    """Add a step to a project, with the project's ETag."""
    project = await _found(session, project_id, match)
    step = await operations.add_step(session, caller, project, title=body.title, due_on=body.due_on)
    set_etag(response, project)
    return StepOut.model_validate(step)


@router.post("/projects/{project_id}/steps/{step_id}/finish")
async def finish_step(
    project_id: UUID, step_id: UUID, match: IfMatch, session: Transaction, caller: Keeper, response: Response
) -> StepOut:
    """Say that a step is done, with the project's ETag."""
    project = await _found(session, project_id, match)
    step = await operations.finish_step(session, caller, project, step_id)
    set_etag(response, project)
    return StepOut.model_validate(step)


@router.post("/projects/{project_id}/end")
async def end_project(
    project_id: UUID, body: EndIn, match: IfMatch, session: Transaction, caller: Keeper, response: Response
) -> ProjectOut:
    """End a project (结项): its need is met, or on the list again."""
    project = await _found(session, project_id, match)
    await operations.end_project(session, caller, project, body.outcome)
    return _answer(project, response)


async def _found(session: Transaction, project_id: UUID, match: IfMatch) -> Project:
    project = await operations.find_project(session, project_id, to_change=True)
    match.check(project)
    return project


def _answer(project: Project, response: Response) -> ProjectOut:
    set_etag(response, project)
    return ProjectOut.model_validate(project)
