"""What goes over HTTP about errands."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from linli.schemas import In, Line, Out, Text
from linli.units import UnitCode
from tickets.models.errands import ErrandState, ErrandStep, HandedBy, Result


class ErrandIn(In):
    """An errand for somebody who can't come (帮办代办)."""

    unit: UnitCode = Field(description="Where the person served lives (所在单元)")
    served: UUID = Field(description="The person served, who sees how it stands (服务对象)")
    title: Line = Field(description="What for (事项)")
    papers: list[Line] = Field(default=[], max_length=50, description="Which papers are needed (所需材料)")


class PapersIn(In):
    """More papers that are needed (补正材料)."""

    papers: list[Line] = Field(min_length=1, max_length=50)
    note: Text | None = None


class HandIn(In):
    """Who brought a paper (收件)."""

    handed_by: HandedBy


class FileIn(In):
    """Where the papers were handed in (递交)."""

    office: Line
    reference: Line | None = None
    note: Text | None = None


class ErrandNote(In):
    """A word along with a step (备注)."""

    note: Text | None = None


class FinishIn(In):
    """What came of it (办结)."""

    result: Result
    note: Text | None = None


class ErrandOut(Out):
    """An errand as it stands."""

    id: UUID
    unit: UnitCode
    served: UUID
    worker: UUID
    title: str
    state: ErrandState
    office: str | None
    reference: str | None
    result: Result | None
    due_at: datetime | None = Field(description="When the next step must be taken (下一步时限)")
    opened_at: datetime
    filed_at: datetime | None
    done_at: datetime | None
    version: int


class PaperOut(Out):
    """A paper, and who brought it when."""

    id: UUID
    name: str
    asked_at: datetime
    handed_at: datetime | None
    handed_by: HandedBy | None
    received_by: UUID | None


class ErrandEntryOut(Out):
    """One step of an errand; the actor of a clock is nobody: all zeros."""

    sequence: int
    step: ErrandStep
    actor: UUID
    note: str | None
    trace_id: str | None
    at: datetime
