"""Whistles over HTTP."""

from datetime import datetime
from uuid import UUID

from pydantic import AliasChoices, Field

from linli.schemas import In, Out, Text
from linli.units import UnitCode
from tickets.models.whistles import Stage
from tickets.schemas.departments import DepartmentCode


class Blow(In):
    """Who is called to a ticket (吹哨)."""

    departments: list[DepartmentCode] = Field(min_length=1, max_length=10)
    note: Text | None = None


class Act(In):
    """What a department has done (处置)."""

    note: Text


class WhistleOut(Out):
    """One department's call, as it stands."""

    id: UUID
    ticket: UUID = Field(validation_alias=AliasChoices("ticket", "ticket_id"))
    unit: UnitCode
    department: str
    state: Stage
    note: str | None
    caller_unit: UnitCode
    called_by: UUID
    called_at: datetime
    report_due_at: datetime = Field(description="When the department must have reported (应哨时限)")
    missed_at: datetime | None = Field(description="When that clock ran out (未按时应哨)")
    reported_at: datetime | None
    reported_by: UUID | None
    acted_at: datetime | None
    acted_by: UUID | None
    rated_at: datetime | None
    rating: int | None
    called_off_at: datetime | None = Field(description="When its ticket ended before it had acted (撤哨)")
    version: int
