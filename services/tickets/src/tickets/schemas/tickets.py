"""What goes over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from linli.schemas import In, Line, Out, Text
from linli.units import UnitCode
from tickets.models.moves import Move, State

Category = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]


class TicketOpen(In):
    """A new report (上报)."""

    unit: UnitCode = Field(description="Where it is: community, grid or micro-grid (所在单元)")
    title: Line
    description: Text
    category: Category = Field(default="other", description="Code of its kind (类别)")


class Assign(In):
    """Who answers (派单)."""

    assignee: UUID
    note: Text | None = None


class Note(In):
    """A word along with a step (备注)."""

    note: Text | None = None


class Rate(In):
    """How well it was answered (评价)."""

    rating: int = Field(ge=1, le=5)
    note: Text | None = None


class TicketOut(Out):
    """A ticket as it stands."""

    id: UUID
    unit: UnitCode
    title: str
    description: str
    category: str
    state: State
    reporter: UUID
    assignee: UUID | None
    resolved_by: UUID | None
    rating: int | None
    opened_at: datetime
    answer_due_at: datetime | None = Field(description="When somebody must answer for it (接单时限)")
    solve_due_at: datetime | None = Field(description="When it must be dealt with (办结时限)")
    resolved_at: datetime | None
    closed_at: datetime | None
    version: int


class EntryOut(Out):
    """One step of a ticket; `trace_id` leads operators to what happened behind it.

    The actor of a clock that ran out is nobody: all zeros.
    """

    sequence: int
    move: Move
    actor: UUID
    note: str | None
    trace_id: str | None
    at: datetime
