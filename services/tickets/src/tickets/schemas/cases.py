"""What goes over HTTP about cases."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, field_validator, model_validator

from linli.db import NOBODY
from linli.events.cases import MEMBERS
from linli.schemas import Day, In, Line, Moment, Out, Text
from linli.units import UnitCode
from tickets.models.cases import CaseOutcome, CaseState, CaseStep, Effect, Side

_FROM, _UNTIL = 2000, 2100
"""Years for which working days are told."""
Grade = Annotated[int, Field(ge=1, le=4, description="How hard it is, 1 to 4 (难度等级)")]


class TeamIn(In):
    """Who takes the cases of a grade (调解团队)."""

    name: Line
    active: StrictBool = Field(default=True, description="Whether it takes new cases (是否启用)")
    members: list[UUID] = Field(min_length=1, max_length=MEMBERS, description="Who sees its cases, nobody else (成员)")

    @field_validator("members")
    @classmethod
    def _of_people(cls, members: list[UUID]) -> list[UUID]:
        if NOBODY in members:
            raise ValueError("all zeros is nobody, who could take no case (全零编号不是人员)")
        return members


def _people(members: list[UUID]) -> list[UUID]:
    """Leave out the platform, which is one of every team."""
    return [person for person in members if person != NOBODY]


class TeamOut(Out):
    """A team as it stands."""

    id: UUID
    unit: UnitCode
    grade: Grade
    name: str
    active: bool
    members: Annotated[list[UUID], BeforeValidator(_people)]
    version: int


class CaseIn(In):
    """A dispute to take up (立案)."""

    unit: UnitCode = Field(description="Where it is: community, grid or micro-grid (所在单元)")
    grade: Grade
    summary: Text


class TicketCase(In):
    """What a ticket becomes (转为个案); without a summary its own words are taken."""

    grade: Grade
    summary: Text | None = None


class CaseOut(Out):
    """A case as it stands, for its team."""

    id: UUID
    unit: UnitCode
    grade: Grade
    team: UUID
    members: list[UUID]
    ticket: UUID | None = Field(description="The ticket that it began as (来源工单)")
    summary: str
    state: CaseState
    outcome: CaseOutcome | None
    effect: Effect | None = Field(description="Whether what was agreed is kept, as last found (成效)")
    opened_by: UUID
    opened_at: datetime
    closed_at: datetime | None
    version: int


class CaseItem(Out):
    """A case in a list, without its words."""

    id: UUID
    unit: UnitCode
    grade: Grade
    state: CaseState
    outcome: CaseOutcome | None
    effect: Effect | None
    opened_at: datetime
    closed_at: datetime | None
    version: int


class GradeIn(In):
    """How hard the case is after all (调整等级)."""

    grade: Grade
    note: Text | None = None


class NoteIn(In):
    """A word for the trail (记录)."""

    note: Text


class CloseIn(In):
    """How the case ended (结案)."""

    outcome: CaseOutcome
    note: Text | None = None


class PartyIn(In):
    """Somebody whom the dispute is between: a registered resident's id, or a name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"side": "applicant", "name": "林阿婆"}]})

    side: Side
    resident: UUID | None = None
    name: Line | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.resident is None) == (self.name is None):
            raise ValueError("give a resident or a name (请提供居民编号或姓名之一)")
        return self


class PartyOut(Out):
    """A party."""

    id: UUID
    side: Side
    resident: UUID | None
    name: str | None


class ConferenceIn(In):
    """A meeting that was held, and what was said (调解会)."""

    held_at: Moment
    minutes: Text


class ConferenceOut(Out):
    """A conference."""

    id: UUID
    held_at: datetime
    minutes: str


class DutyIn(In):
    """Who does what by when (义务)."""

    who: Line
    what: Text
    due_on: Day | None = None


class AgreementIn(In):
    """What the parties agreed (调解协议)."""

    signed_on: Day
    duties: list[DutyIn] = Field(min_length=1, max_length=50)


class DutyOut(Out):
    """A duty."""

    who: str
    what: str
    due_on: date | None


class AgreementOut(Out):
    """An agreement."""

    id: UUID
    signed_on: date
    duties: list[DutyOut]


class FollowUpIn(In):
    """When to look whether what was agreed is kept (回访计划)."""

    due_at: Moment

    @field_validator("due_at")
    @classmethod
    def _in_our_time(cls, due_at: datetime) -> datetime:
        if not _FROM <= due_at.year <= _UNTIL:
            raise ValueError(
                f"a follow-up is due between {_FROM} and {_UNTIL} (回访时间应在 {_FROM} 至 {_UNTIL} 年之间)"
            )
        return due_at


class FindingsIn(In):
    """What a follow-up found (回访结果)."""

    effect: Effect | None = None
    findings: Text


class FollowUpOut(Out):
    """A follow-up."""

    id: UUID
    due_at: datetime
    done_at: datetime | None
    done_by: UUID | None
    effect: Effect | None
    findings: str | None
    version: int


class CaseEntryOut(Out):
    """One step of a case; the actor of a clock is nobody: all zeros."""

    sequence: int
    step: CaseStep
    actor: UUID
    about: UUID | None = Field(description="What it concerns: a party, a conference, the ticket it began as (涉及对象)")
    grade: int | None
    note: str | None
    trace_id: str | None
    at: datetime
