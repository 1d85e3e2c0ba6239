"""What goes over HTTP of tickets."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from linli.events.tickets import PARTS
from linli.schemas import In, Line, Out, Text
from linli.units import UnitCode
from tickets.models.moves import Level, Move, State
from tickets.models.tickets import SubjectKind

Category = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, description="WGS 84", examples=[31.2123])]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, description="WGS 84", examples=[121.4456])]


class TicketOpen(In):
    """A new report (上报)."""

    unit: UnitCode = Field(
        description="Where it is, as far down as is known: mostly a community, grid or micro-grid (所在单元)"
    )
    title: Line
    description: Text
    category: Category = Field(default="other", description="Code of its kind (类别)")
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    subject_kind: SubjectKind | None = Field(default=None, description="What it is about (对象)")
    subject: Code | None = Field(default=None, description="The id of that")
    answers: dict[str, Any] | None = Field(default=None, description="What the category's form asks for")
    source: Literal["app", "qr", "hotline", "patrol"] = Field(
        default="app", description="How it came; hotline (12345 热线) and patrol (巡查) are not for residents"
    )
    reference: Code | None = Field(
        default=None, description="Its number there, which comes once; of an app or a QR code once from each reporter"
    )

    @model_validator(mode="after")
    def _whole(self) -> "TicketOpen":
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude come together (经纬度须同时提供)")
        if (self.subject_kind is None) != (self.subject is None):
            raise ValueError("subject and subject_kind come together (对象及其类型须同时提供)")
        return self


class Assign(In):
    """Who answers (派单)."""

    assignee: UUID
    note: Text | None = None


class Note(In):
    """A word along with a step (备注)."""

    note: Text | None = None


class Word(In):
    """What must be said: a question, an answer, a reason."""

    note: Text


class HandDown(In):
    """Which unit below takes it over (下派)."""

    unit: UnitCode
    note: Text | None = None


class Close(In):
    """How it ended (结案)."""

    outcome: Literal["fixed", "not_fixed"] = Field(default="fixed", description="Is it dealt with?")
    note: Text | None = None


class Rate(In):
    """How well it was answered (评价)."""

    rating: int = Field(ge=1, le=5, description="Under 3 takes the ticket up again (不满意重办)")
    note: Text | None = None


class Fold(In):
    """Which ticket this one is a duplicate of (并单)."""

    into: UUID
    note: Text | None = None


class Part(In):
    """One part (拆单)."""

    title: Line
    description: Text
    category: Category = "other"
    department: Code | None = Field(default=None, description="Code of the department that it is for, if for one")


class Split(In):
    """The parts that a ticket is split into."""

    parts: list[Part] = Field(min_length=2, max_length=PARTS)
    note: Text | None = None


class TicketOut(Out):
    """A ticket as it stands."""

    id: UUID
    unit: UnitCode
    title: str
    description: str
    category: str
    state: State
    level: Level = Field(description="Who answers for it (处置层级)")
    handler: UnitCode = Field(description="The unit that does (承办单位)")
    department: str | None
    visibility: str
    reporter: UUID
    assignee: UUID | None
    resolved_by: UUID | None
    rating: int | None
    outcome: str | None = Field(description="How it ended: closed is not yet fixed (办理结果)")
    confirmed: bool = Field(description="Whether that is the reporter's own word (诉求人确认)")
    reopened: int = Field(description="How often (重办次数)")
    followers: int = Field(description="How many others reported the same (并单数)")
    parent: UUID | None = Field(description="The ticket that it is a part of (主单)")
    folded_into: UUID | None = Field(description="The ticket that it is a duplicate of (并入)")
    source: str
    reference: str | None
    latitude: float | None
    longitude: float | None
    subject_kind: str | None
    subject: str | None
    answers: dict[str, Any] | None
    opened_at: datetime
    answer_due_at: datetime | None = Field(description="When somebody must answer for it (接单时限)")
    solve_due_at: datetime | None = Field(description="When it must be dealt with (办结时限)")
    level_due_at: datetime | None = Field(description="When the level it was raised to must take it up (升级处置时限)")
    confirm_due_at: datetime | None = Field(description="Until when its reporter may say it is not fixed (确认时限)")
    resolved_at: datetime | None
    closed_at: datetime | None
    version: int


class TicketSeen(TicketOut):
    """A ticket as it stands, with the moves that are the caller's to make."""

    possible: list[Move] = Field(default_factory=list, description="(可执行操作)")


class TicketAlike(Out):
    """A ticket that may be about the same; nothing of it says who reported it.

    Of what the caller does not see otherwise it says no more than Open311 does.
    """

    id: UUID
    unit: UnitCode = Field(description="Its community alone, of what the caller does not see otherwise (社区)")
    title: str | None
    category: str
    state: State
    latitude: float | None
    longitude: float | None
    opened_at: datetime


class EntryOut(Out):
    """One step of a ticket; `trace_id` leads operators to what happened behind it.

    The actor of what nobody did, as a clock ran out, is all zeros. `state` is how the ticket stood after it.
    """

    sequence: int
    move: Move
    state: str | None
    actor: UUID
    note: str | None
    facts: dict[str, Any] | None
    trace_id: str | None
    at: datetime
