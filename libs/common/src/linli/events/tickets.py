"""What tickets (诉求) tell: each step of the closed loop."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import AwareDatetime, Field

from linli.events import Code, Event

SUPERVISORS: Final = 50
"""How many are told at the most that a ticket is overdue."""


class TicketOpened(Event, type="tickets.opened.v1", aggregate="ticket"):
    """Somebody reported a matter."""

    ticket: UUID
    reporter: UUID
    category: Code
    assignee: UUID | None = None


class TicketAssigned(Event, type="tickets.assigned.v1", aggregate="ticket"):
    """The matter was given to somebody."""

    ticket: UUID
    reporter: UUID
    assignee: UUID
    assigned_by: UUID


class TicketOverdue(Event, type="tickets.overdue.v1", aggregate="ticket"):
    """One of the ticket's clocks has run out, and what it is for was still to be done.

    Attributes:
        supervisors: those in office who see to it that the matter goes on (负责人).
        clock: `answer` (接单) or `solve` (办结).
        due_at: when it ran out.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    supervisors: Annotated[tuple[UUID, ...], Field(max_length=SUPERVISORS)] = ()
    clock: Code
    due_at: AwareDatetime


class TicketResolved(Event, type="tickets.resolved.v1", aggregate="ticket"):
    """The matter was settled, says who settled it."""

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    resolved_by: UUID


class TicketClosed(Event, type="tickets.closed.v1", aggregate="ticket"):
    """The matter was closed."""

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    closed_by: UUID


class TicketRated(Event, type="tickets.rated.v1", aggregate="ticket"):
    """The reporter said how well the matter was settled, from 1 to 5."""

    ticket: UUID
    reporter: UUID
    resolved_by: UUID
    rating: Annotated[int, Field(ge=1, le=5)]
