"""What tickets tell of departments that are called to one (吹哨报到)."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from linli.events import Code, Event
from linli.events.tickets import Supervisors


class TicketWhistled(Event, type="tickets.whistled.v1", aggregate="ticket"):
    """A department was called to the ticket (吹哨); one event for each that was.

    Attributes:
        members: those who answer for the department.
        due_at: when it must have reported.
    """

    ticket: UUID
    whistle: UUID
    department: Code
    called_by: UUID
    members: Supervisors = ()
    due_at: AwareDatetime


class WhistleReported(Event, type="tickets.whistle_reported.v1", aggregate="ticket"):
    """The department that was called is there (应哨), in time or late."""

    ticket: UUID
    whistle: UUID
    department: Code
    called_by: UUID
    reported_by: UUID
    late: bool


class WhistleActed(Event, type="tickets.whistle_acted.v1", aggregate="ticket"):
    """The department has done its part."""

    ticket: UUID
    whistle: UUID
    department: Code
    called_by: UUID
    acted_by: UUID


class WhistleRated(Event, type="tickets.whistle_rated.v1", aggregate="ticket"):
    """Those who called the department said how well it did its part, from 1 to 5."""

    ticket: UUID
    whistle: UUID
    department: Code
    acted_by: UUID
    rated_by: UUID
    members: Supervisors = ()
    rating: Annotated[int, Field(ge=1, le=5)]


class WhistleCalledOff(Event, type="tickets.whistle_called_off.v1", aggregate="ticket"):
    """The ticket has ended before the department had acted, and nothing remains to be done (撤哨).

    Attributes:
        members: those who answer for the department.
    """

    ticket: UUID
    whistle: UUID
    department: Code
    members: Supervisors = ()


class WhistleMissed(Event, type="tickets.whistle_missed.v1", aggregate="ticket"):
    """The department did not report in time; it may still.

    Attributes:
        members: those who answer for the department.
        supervisors: those in office who see to it that the ticket goes on.
    """

    ticket: UUID
    whistle: UUID
    department: Code
    called_by: UUID
    members: Supervisors = ()
    supervisors: Supervisors = ()
    due_at: AwareDatetime
