"""Use cases of projects (项目清单): what a need and a resource become, step by step."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.events.wishes import ProjectEnded, ProjectStarted, ProjectStepChanged
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from tickets.models.lists import (
    ListStep,
    Need,
    NeedState,
    OtherKind,
    Project,
    ProjectOutcome,
    ProjectState,
    ProjectStep,
    Resource,
)
from tickets.operations.lists import find_listed, tell_step


async def start_project(  # noqa: PLR0913 a match is these facts
    session: AsyncSession,
    caller: Principal,
    need: Need,
    *,
    resource: UUID,
    ends_on: date | None,
    steps: Sequence[tuple[str, date | None]],
) -> Project:
    """Match a locked need with a resource (对接): together they are a project from now on.

    Raises:
        NotFound: 404, for the resource.
        NotListed: 409, when either is not on its list.
        OtherKind: 409.
    """
    found = await find_listed(session, Resource, resource)
    need.must_be_listed()
    found.must_be_listed()
    if found.kind != need.kind:
        raise OtherKind(need=need.kind, resource=found.kind)
    need.become(NeedState.MATCHED)
    project = Project(
        id=uuid7(),
        district=need.district,
        unit=need.unit,
        need_id=need.id,
        resource_id=found.id,
        provider=found.provider,
        state=ProjectState.RUNNING.value,
        started_by=caller.id,
        started_at=datetime.now(UTC),
        ends_on=ends_on,
    )
    session.add(project)
    await session.flush()
    session.add_all([_step(project, title, due_on) for title, due_on in steps])
    await tell_step(session, caller, need, ListStep.MATCHED)
    await publish(
        session,
        ProjectStarted(
            project=project.id,
            unit=project.unit,
            sequence=project.version,
            need=need.id,
            resource=found.id,
            provider=found.provider,
            started_by=caller.id,
        ),
    )
    return project


async def find_project(session: AsyncSession, project_id: UUID, *, to_change: bool = False) -> Project:
    """Read a project; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Project).where(Project.id == project_id)
    project = await session.scalar(statement.with_for_update() if to_change else statement)
    if project is None:
        raise NotFound(kind="project", id=str(project_id))
    return project


def projects_within(district: int, unit: int | None, state: ProjectState | None) -> Select[tuple[Project]]:
    """Select a district's projects by where they are and whether they go on."""
    statement = select(Project).where(Project.district == district)
    if unit is not None:
        statement = statement.where(Project.unit.between(*units.span(unit)))
    return statement if state is None else statement.where(Project.state == state.value)


def steps_of(project: Project) -> Select[tuple[ProjectStep]]:
    """Select a project's steps."""
    return select(ProjectStep).where(ProjectStep.district == project.district, ProjectStep.project_id == project.id)


async def add_step(
    session: AsyncSession, caller: Principal, project: Project, *, title: str, due_on: date | None
) -> ProjectStep:
    """Add a step to a locked project.

    Raises:
        ProjectEnded: 409.
    """
    project.touch()
    step = _step(project, title, due_on)
    session.add(step)
    await _tell(session, caller, project, step, "added")
    return step


async def finish_step(session: AsyncSession, caller: Principal, project: Project, step_id: UUID) -> ProjectStep:
    """Say that a step of a locked project is done.

    Raises:
        NotFound: 404.
        ProjectEnded: 409.
        StepDone: 409.
    """
    step = await session.scalar(steps_of(project).where(ProjectStep.id == step_id))
    if step is None:
        raise NotFound(kind="step", id=str(step_id))
    project.touch()
    step.finish(caller.id)
    await _tell(session, caller, project, step, "done")
    return step


async def _tell(session: AsyncSession, caller: Principal, project: Project, step: ProjectStep, what: str) -> None:
    await session.flush()
    await publish(
        session,
        ProjectStepChanged(
            project=project.id,
            unit=project.unit,
            sequence=project.version,
            project_step=step.id,
            provider=project.provider,
            step=what,
            changed_by=caller.id,
        ),
    )


async def end_project(session: AsyncSession, caller: Principal, project: Project, outcome: ProjectOutcome) -> None:
    """End a locked project (结项): its need is met, or on the list again.

    Raises:
        ProjectEnded: 409.
    """
    project.end(outcome)
    need = await find_listed(session, Need, project.need_id, to_change=True)
    met = outcome is ProjectOutcome.MET
    need.become(NeedState.MET if met else NeedState.LISTED)
    await tell_step(session, caller, need, ListStep.MET if met else ListStep.RETURNED)
    await publish(
        session,
        ProjectEnded(
            project=project.id,
            unit=project.unit,
            sequence=project.version,
            need=project.need_id,
            resource=project.resource_id,
            provider=project.provider,
            started_by=project.started_by,
            outcome=outcome.value,
        ),
    )


def _step(project: Project, title: str, due_on: date | None) -> ProjectStep:
    return ProjectStep(
        id=uuid7(),
        district=project.district,
        unit=project.unit,
        project_id=project.id,
        provider=project.provider,
        title=title,
        due_on=due_on,
    )
