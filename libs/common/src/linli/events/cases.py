"""What tickets tell of cases (个案), ids alone as they are confidential, and of errands (帮办代办)."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import AwareDatetime, Field

from linli.events import Code, Event
from linli.events.tickets import Supervisors

MEMBERS: Final = 30
"""How many a team may have at the most."""
Members = Annotated[tuple[UUID, ...], Field(max_length=MEMBERS)]


class CaseOpened(Event, type="tickets.case_opened.v1", aggregate="case"):
    """A dispute became a case of a team."""

    case: UUID
    members: Members


class CaseGraded(Event, type="tickets.case_graded.v1", aggregate="case"):
    """A case was found to be harder or easier, and is its new grade's team's from now on."""

    case: UUID
    members: Members


class CaseStepped(Event, type="tickets.case_stepped.v1", aggregate="case"):
    """Something was added to a case; what, only its team may read.

    Attributes:
        step: `party`, `conference`, `agreement`, `follow_up` (planned), `followed_up` or `note`.
        about: the party, conference, agreement or follow-up, if it was one.
        taken_by: who added it.
    """

    case: UUID
    members: Members
    step: Code
    about: UUID | None = None
    taken_by: UUID


class CaseFollowUpDue(Event, type="tickets.case_follow_up_due.v1", aggregate="case"):
    """It is time to ask whether what was agreed is kept, or past it: `overdue`."""

    case: UUID
    follow_up: UUID
    members: Members
    overdue: bool


class CaseClosed(Event, type="tickets.case_closed.v1", aggregate="case"):
    """A case ended."""

    case: UUID
    members: Members


class CaseTeamEmptied(Event, type="tickets.case_team_emptied.v1", aggregate="team"):
    """Nobody is left on a team, as its last member left office; who sees its cases must be said anew.

    Attributes:
        supervisors: those in office who say who is on it.
    """

    team: UUID
    supervisors: Supervisors


class ErrandOpened(Event, type="tickets.errand_opened.v1", aggregate="errand"):
    """A worker goes an errand for somebody who can't go himself."""

    errand: UUID
    served: UUID
    worker: UUID


class ErrandPapersAsked(Event, type="tickets.errand_papers_asked.v1", aggregate="errand"):
    """Papers are needed from the person served."""

    errand: UUID
    served: UUID
    worker: UUID


class ErrandPaperHanded(Event, type="tickets.errand_paper_handed.v1", aggregate="errand"):
    """A paper that was asked for is there."""

    errand: UUID
    served: UUID
    worker: UUID
    paper: UUID


class ErrandTakenOver(Event, type="tickets.errand_taken_over.v1", aggregate="errand"):
    """Another worker, `worker`, goes the errand from now on."""

    errand: UUID
    served: UUID
    worker: UUID


class ErrandFiled(Event, type="tickets.errand_filed.v1", aggregate="errand"):
    """The papers were filed with the office."""

    errand: UUID
    served: UUID
    worker: UUID


class ErrandOverdue(Event, type="tickets.errand_overdue.v1", aggregate="errand"):
    """The next step of an errand was not taken in time.

    Attributes:
        supervisors: those in office who manage its unit: the worker may have left his.
    """

    errand: UUID
    served: UUID
    worker: UUID
    supervisors: Supervisors = ()
    due_at: AwareDatetime


class ErrandDone(Event, type="tickets.errand_done.v1", aggregate="errand"):
    """An errand ended: `granted`, `refused` or `withdrawn`."""

    errand: UUID
    served: UUID
    worker: UUID
    result: Code
