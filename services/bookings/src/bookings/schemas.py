"""What goes over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from bookings.models import State
from linli.schemas import In, Line, Moment, Out
from linli.units import UnitCode

Seats = Annotated[int, Field(ge=1, le=10_000, description="How many may come (名额)")]


class CentreIn(In):
    """A new neighbourhood centre (邻里中心)."""

    unit: UnitCode = Field(description="Whom it serves: a street or a community, say (服务单元)")
    name: Line
    address: Line


class CentreChange(In):
    """What becomes different at a centre; what is absent or null stays."""

    name: Line | None = None
    address: Line | None = None
    active: bool | None = Field(default=None, description="Whether it offers anything now (是否启用)")


class CentreOut(Out):
    """A neighbourhood centre."""

    id: UUID
    unit: UnitCode
    name: str
    address: str
    active: bool
    version: int


class SessionIn(In):
    """A new session (场次)."""

    title: Line
    starts_at: Moment
    ends_at: Moment
    seats: Seats


class SessionChange(In):
    """What becomes different about a session that lies ahead; what is absent or null stays."""

    title: Line | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    seats: Seats | None = None


class SessionOut(Out):
    """A session, with how many of its seats are taken."""

    id: UUID
    unit: UnitCode
    centre_id: UUID
    title: str
    starts_at: datetime
    ends_at: datetime
    seats: int
    booked: int
    version: int


class BookingOut(Out):
    """A person's seat in a session (预约)."""

    id: UUID
    unit: UnitCode
    session_id: UUID
    person: UUID
    state: State
    booked_at: datetime
    cancelled_at: datetime | None
    version: int
