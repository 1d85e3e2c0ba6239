"""What tickets tell of wishes (微心愿), and of projects that needs and resources become (三张清单)."""

from uuid import UUID

from pydantic import AwareDatetime

from linli.events import Code, Event


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
    """

    wish: UUID
    wisher: UUID
    claimer: UUID
    reason: Code


class WishWithdrawn(Event, type="tickets.wish_withdrawn.v1", aggregate="wish"):
    """A wish was taken off the list: by the one who wished, or by staff."""

    wish: UUID
    wisher: UUID
    withdrawn_by: UUID


class WishFulfilled(Event, type="tickets.wish_fulfilled.v1", aggregate="wish"):
    """The claimer says that the wish has come true."""

    wish: UUID
    wisher: UUID
    claimer: UUID


class WishConfirmed(Event, type="tickets.wish_confirmed.v1", aggregate="wish"):
    """The one who wished says so, too."""

    wish: UUID
    wisher: UUID
    claimer: UUID


class ProjectStarted(Event, type="tickets.project_started.v1", aggregate="project"):
    """A need and a resource were matched, and became a project.

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
