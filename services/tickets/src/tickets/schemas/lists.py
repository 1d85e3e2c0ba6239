"""What goes over HTTP about needs, resources and projects."""

from datetime import date, datetime
from uuid import UUID

from pydantic import AliasChoices, Field

from linli.schemas import Day, In, Line, Out, Text
from linli.units import UnitCode
from tickets.models.lists import NeedState, ProjectOutcome, ProjectState, ResourceState
from tickets.schemas.tickets import Category


class NeedIn(In):
    """What a unit needs (需求)."""

    unit: UnitCode = Field(description="Who needs it (需求单元)")
    kind: Category = Field(description="Code of its kind: what a resource must have, too (类别)")
    title: Line
    description: Text


class NeedOut(Out):
    """A need as it stands."""

    id: UUID
    unit: UnitCode
    kind: str
    title: str
    description: str
    listed_by: UUID
    state: NeedState
    listed_at: datetime
    version: int


class ResourceIn(In):
    """What the caller offers (资源)."""

    unit: UnitCode = Field(description="For whom first (服务单元)")
    kind: Category = Field(description="Code of its kind (类别)")
    title: Line
    description: Text


class ResourceOut(Out):
    """A resource as it stands."""

    id: UUID
    unit: UnitCode
    kind: str
    title: str
    description: str
    provider: UUID
    state: ResourceState
    listed_at: datetime
    version: int


class StepIn(In):
    """A step of a project (步骤)."""

    title: Line
    due_on: Day | None = None


class MatchIn(In):
    """Which resource meets the need, and how (对接)."""

    resource: UUID
    ends_on: Day | None = None
    steps: list[StepIn] = Field(default=[], max_length=50)


class ProjectOut(Out):
    """A project as it stands."""

    id: UUID
    unit: UnitCode
    need: UUID = Field(validation_alias=AliasChoices("need", "need_id"))
    resource: UUID = Field(validation_alias=AliasChoices("resource", "resource_id"))
    provider: UUID
    state: ProjectState
    outcome: ProjectOutcome | None
    started_by: UUID
    started_at: datetime
    ends_on: date | None
    ended_at: datetime | None
    version: int


class StepOut(Out):
    """A step as it stands."""

    id: UUID
    title: str
    due_on: date | None
    done_at: datetime | None
    done_by: UUID | None


class EndIn(In):
    """How the project ended (结项)."""

    outcome: ProjectOutcome
