"""What tickets tell of wishes (微心愿), of needs and resources, and of the projects they become (三张清单)."""

from uuid import UUID

from pydantic import AwareDatetime

from linli.events import Code, Event
from linli.events.tickets import Supervisors


class WishListed(Event, type="tickets.wish_listed.v1", aggregate="wish"):
    """Somebody made a wish."""

    wish: UUID
    wisher: UUID
    kind: Code


class WishClaimed(Event, type="tickets.wish_claimed.v1", aggregate="wish"):
    """Somebody promised to fulfil a wish, until `due_at`."""

    wish: UUID
    wisher: UUID
    claimer: UUID
    due_at: AwareDatetime


class WishReturned(Event, type="tickets.wish_returned.v1", aggregate="wish"):
    """A wish is on the list again: its claimer gave it back, ran out of time, or had not fulfilled it after all.

    Attributes:
        claimer: who had claimed it.
        reason: `give_back`, `expire` or `deny`.
        recorded_by: the staff who recorded that the wisher denies it, if he did not say so himself.
    """

    wish: UUID
    wisher: UUID
    claimer: UUID
    reason: Code
    recorded_by: UUID | None = None


class WishWithdrawn(Event, type="tickets.wish_withdrawn.v1", aggregate="wish"):
    """A wish was taken off the list: by the one who wished, or by staff."""

    wish: UUID
    wisher: UUID
    withdrawn_by: UUID


class WishFulfilled(Event, type="tickets.wish_fulfilled.v1", aggregate="wish"):
    """The claimer says that the wish has come true.

    Attributes:
        listed_by: the staff who wrote it down for the one who wished, and ask him (代许愿人员), if they may record his
            word: not who has left office there, or is the claimer.
        supervisors: those in office who manage its unit, and ask him instead.
    """

    wish: UUID
    wisher: UUID
    claimer: UUID
    listed_by: UUID | None = None
    supervisors: Supervisors = ()


class WishConfirmed(Event, type="tickets.wish_confirmed.v1", aggregate="wish"):
    """The one who wished says so, too.

    Attributes:
        recorded_by: the staff who recorded his word, if he did not say so himself.
    """

    wish: UUID
    wisher: UUID
    claimer: UUID
    recorded_by: UUID | None = None


class ListChanged(Event, type="tickets.list_changed.v1", aggregate="listing"):
    """A need or a resource came onto its list, or moved there (需求清单、资源清单).

    Attributes:
        listing: the need or the resource.
        what: `need` or `resource`.
        kind: of need or resource.
        step: `listed`; `matched` with a resource, `met`, or `returned` to the list, as the need's project went;
            `withdrawn`.
        owner: who put it on the list.
        changed_by: who took the step.
    """

    listing: UUID
    what: Code
    kind: Code
    step: Code
    owner: UUID
    changed_by: UUID


class ProjectStarted(Event, type="tickets.project_started.v1", aggregate="project"):
    """A need and a resource were matched, and became a project, perhaps with steps already.

    Attributes:
        provider: whose resource it is.
    """

    project: UUID
    need: UUID
    resource: UUID
    provider: UUID
    started_by: UUID


class ProjectEnded(Event, type="tickets.project_ended.v1", aggregate="project"):
    """A project ended, and the need was met or not: `outcome` is `met` or `unmet`."""

    project: UUID
    need: UUID
    resource: UUID
    provider: UUID
    started_by: UUID
    outcome: Code


class ProjectStepChanged(Event, type="tickets.project_step_changed.v1", aggregate="project"):
    """A step was added to a project that runs, or is done.

    Attributes:
        project_step: which.
        provider: whose resource it is.
        step: `added` or `done`.
        changed_by: who did so.
    """

    project: UUID
    project_step: UUID
    provider: UUID
    step: Code
    changed_by: UUID
