"""What tickets (诉求) tell: each step of the closed loop."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import AwareDatetime, Field

from linli.events import Code, Event
from linli.units import UnitCode

SUPERVISORS: Final = 50
"""How many are told at the most that a ticket is overdue, or comes to them."""
FOLLOWERS: Final = 500
"""How many reports of the same may be folded into one ticket: all of them are told how it goes on."""
PARTS: Final = 20
"""Into how many parts a ticket may be split."""

Supervisors = Annotated[tuple[UUID, ...], Field(max_length=SUPERVISORS)]
Followers = Annotated[tuple[UUID, ...], Field(max_length=FOLLOWERS)]


class TicketOpened(Event, type="tickets.opened.v1", aggregate="ticket"):
    """Somebody reported a matter.

    Attributes:
        parent: the ticket that this one is a part of; its reporter is then who split that.
        members: those who answer for the department that it is for.
    """

    ticket: UUID
    reporter: UUID
    category: Code
    assignee: UUID | None = None
    parent: UUID | None = None
    members: Supervisors = ()


class TicketAssigned(Event, type="tickets.assigned.v1", aggregate="ticket"):
    """The matter was given to somebody.

    Attributes:
        parent: the ticket that this one is a part of.
        taken_from: who had it before (改派).
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID
    assigned_by: UUID
    parent: UUID | None = None
    taken_from: UUID | None = None


class TicketAssigneeLeft(Event, type="tickets.assignee_left.v1", aggregate="ticket"):
    """Whoever the matter was given to left office, before he was done with it (受派人离岗).

    Attributes:
        assignee: who left; the matter is still with him.
        supervisors: those in office who can give it to somebody else (承办单位负责人).
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID
    supervisors: Supervisors = ()


class TicketOverdue(Event, type="tickets.overdue.v1", aggregate="ticket"):
    """One of the ticket's clocks has run out, and what it is for was still to be done.

    Attributes:
        supervisors: those in office who see to it that the matter goes on (负责人).
        clock: `answer` (接单), `solve` (办结), or the level that it was raised to: `street`, `district`.
        due_at: when it ran out.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    supervisors: Supervisors = ()
    clock: Code
    due_at: AwareDatetime


class TicketResolved(Event, type="tickets.resolved.v1", aggregate="ticket"):
    """The matter was settled, says who settled it.

    Attributes:
        followers: who reported the same.
        confirm_by: until when the reporter may say that it is not.
        parent: the ticket that this one is a part of.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    resolved_by: UUID
    followers: Followers = ()
    confirm_by: AwareDatetime | None = None
    parent: UUID | None = None


class TicketClosed(Event, type="tickets.closed.v1", aggregate="ticket"):
    """The matter was closed.

    Attributes:
        closed_by: all zeros when the reporter let the time for an answer pass.
        outcome: `fixed`, `not_fixed` or `no_answer`.
        confirmed: whether the outcome is the reporter's own word.
        followers: who reported the same.
        parent: the ticket that this one is a part of.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    closed_by: UUID
    outcome: Code | None = None
    confirmed: bool | None = None
    followers: Followers = ()
    parent: UUID | None = None


class TicketRated(Event, type="tickets.rated.v1", aggregate="ticket"):
    """The reporter said how well the matter was settled, from 1 to 5.

    Attributes:
        supervisors: those in office who see to it, when it was settled poorly and is not taken up again: above where it
            lies, if anybody is.
    """

    ticket: UUID
    reporter: UUID
    resolved_by: UUID
    rating: Annotated[int, Field(ge=1, le=5)]
    supervisors: Supervisors = ()


class TicketWaiting(Event, type="tickets.waiting.v1", aggregate="ticket"):
    """The reporter was asked for something, and the clocks stand still until he answers (等待诉求人)."""

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    asked_by: UUID


class TicketAnswered(Event, type="tickets.answered.v1", aggregate="ticket"):
    """What the reporter was asked for was said, and the clocks go on.

    Attributes:
        asked_by: who asked last: that may have been before anybody had the matter.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    answered_by: UUID
    asked_by: UUID | None = None


class TicketEscalated(Event, type="tickets.escalated.v1", aggregate="ticket"):
    """The matter was raised to the level above (升级): by hand, or because a clock ran out.

    Attributes:
        level: `street` or `district`.
        handler: the unit that answers for it from now on.
        supervisors: those in office there who see to it that it goes on.
        escalated_by: all zeros when a clock ran out, or a poor rating raised it.
        clock: the one that ran out.
        parent: the ticket that this one is a part of.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    level: Code
    handler: UnitCode
    supervisors: Supervisors = ()
    escalated_by: UUID
    clock: Code | None = None
    parent: UUID | None = None


class TicketReturned(Event, type="tickets.returned.v1", aggregate="ticket"):
    """The matter was given back to the level below (退回), or handed down to a unit below (下派), where it lies now.

    Attributes:
        level: `community` or `street`.
        handler: the unit that answers for it from now on.
        supervisors: those in office there who see to it that it goes on, and of a grid its workers, if they see it.
        members: those who answer for the department that it is for, and see it only now.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    level: Code
    handler: UnitCode
    supervisors: Supervisors = ()
    returned_by: UUID
    members: Supervisors = ()


class TicketReopened(Event, type="tickets.reopened.v1", aggregate="ticket"):
    """The matter was not settled after all, and is taken up again by who had it (重新办理).

    Attributes:
        assignee: who had it.
        handler: the unit that answers for it.
        supervisors: those in office there who see to it that it goes on.
        reopened_by: all zeros when a poor rating did.
        times: how often it was reopened by now.
        followers: who reported the same.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    handler: UnitCode
    supervisors: Supervisors = ()
    reopened_by: UUID
    times: int
    followers: Followers = ()


class TicketWithdrawn(Event, type="tickets.withdrawn.v1", aggregate="ticket"):
    """The reporter took the matter back (撤回).

    Attributes:
        followers: who reported the same and whose matter ended with it; now it goes on, as `TicketUnfolded` tells.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    followers: Followers = ()


class TicketFolded(Event, type="tickets.folded.v1", aggregate="ticket"):
    """The matter is one with another that was reported (并单), and its reporter will be told how that goes on."""

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    into: UUID
    folded_by: UUID


class TicketUnfolded(Event, type="tickets.unfolded.v1", aggregate="ticket"):
    """The one that this matter was folded into was withdrawn, and this one is taken up again (恢复办理).

    Attributes:
        assignee: who has it.
        handler: the unit that answers for it.
        supervisors: those in office there who see to it that the matter goes on.
        withdrawn: the one that it was folded into.
        followers: who else followed that, and follows this from now on.
        workers: where it has moved down with that, the workers of its grid, if they see it.
        members: those who answer for the department that it is for, and see it only now.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    handler: UnitCode
    supervisors: Supervisors = ()
    withdrawn: UUID
    followers: Followers = ()
    workers: Supervisors = ()
    members: Supervisors = ()


class TicketSplit(Event, type="tickets.split.v1", aggregate="ticket"):
    """The matter was split into parts (拆单), which are tickets of their own; it is resolved when all of them are.

    Attributes:
        assignee: who had the whole.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    parts: Annotated[tuple[UUID, ...], Field(max_length=PARTS)]
    split_by: UUID


class TicketNoted(Event, type="tickets.noted.v1", aggregate="ticket"):
    """Somebody added a word to the matter (补充说明).

    Attributes:
        file: the photo that the matter's place was taken from, of which `FileChanged` tells.
    """

    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    noted_by: UUID
    file: UUID | None = None
