"""Who is told of cases, errands, wishes and projects: a table, as each event names its people itself."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from linli.events import Event
from linli.events.cases import (
    CaseClosed,
    CaseFollowUpDue,
    CaseGraded,
    CaseOpened,
    CaseStepped,
    CaseTeamEmptied,
    ErrandDone,
    ErrandFiled,
    ErrandOpened,
    ErrandOverdue,
    ErrandPaperHanded,
    ErrandPapersAsked,
    ErrandTakenOver,
)
from linli.events.wishes import (
    ListChanged,
    ProjectEnded,
    ProjectStarted,
    ProjectStepChanged,
    WishClaimed,
    WishConfirmed,
    WishFulfilled,
    WishReturned,
    WishWithdrawn,
)
from linli.inbox import Subscriptions
from notifications.models import Kind
from notifications.operations import notify, tell

TOLD: Final[Mapping[type[Event], Mapping[str, Kind]]] = {
    CaseOpened: {"members": Kind.CASE_OPENED},
    CaseGraded: {"members": Kind.CASE_GRADED},
    CaseClosed: {"members": Kind.CASE_CLOSED},
    CaseTeamEmptied: {"supervisors": Kind.CASE_TEAM_EMPTIED},
    ErrandOpened: {"served": Kind.ERRAND_OPENED},
    ErrandPapersAsked: {"served": Kind.ERRAND_PAPERS_ASKED},
    ErrandPaperHanded: {"served": Kind.ERRAND_PAPER_HANDED},
    ErrandTakenOver: {"served": Kind.ERRAND_TAKEN_OVER},
    ErrandFiled: {"served": Kind.ERRAND_FILED},
    ErrandOverdue: {"worker": Kind.ERRAND_OVERDUE, "supervisors": Kind.ERRAND_OVERDUE},
    ErrandDone: {"served": Kind.ERRAND_DONE},
    WishClaimed: {"wisher": Kind.WISH_CLAIMED},
    WishReturned: {"claimer": Kind.WISH_CLAIM_ENDED, "wisher": Kind.WISH_RETURNED},
    WishWithdrawn: {"wisher": Kind.WISH_WITHDRAWN},
    WishFulfilled: {
        "listed_by": Kind.WISH_TO_CONFIRM,
        "supervisors": Kind.WISH_TO_CONFIRM,
        "wisher": Kind.WISH_FULFILLED,  # last: who manages and has wished himself says so himself
    },
    WishConfirmed: {"claimer": Kind.WISH_CONFIRMED},
    ProjectStarted: {"provider": Kind.PROJECT_STARTED},
    ProjectEnded: {"provider": Kind.PROJECT_ENDED},
}
"""Which of an event's people are told of it, and as what."""


_LISTED: Final = {
    "matched": Kind.NEED_MATCHED,
    "met": Kind.NEED_MET,
    "returned": Kind.NEED_RETURNED,
    "withdrawn": Kind.LISTING_WITHDRAWN,
}


def listen(subscriptions: Subscriptions) -> None:
    """Tell people of all of these from now on."""
    for contract in TOLD:
        subscriptions.on(contract, since="0.2")(_tell)
    subscriptions.on(CaseFollowUpDue, since="0.2")(_follow_up)
    subscriptions.on(CaseStepped, since="0.2")(_case_step)
    subscriptions.on(ListChanged, since="0.2")(_listing)
    subscriptions.on(ProjectStepChanged, since="0.2")(_project_step)


async def _tell(session: AsyncSession, event: Event) -> None:
    told = {person: kind for name, kind in TOLD[type(event)].items() for person in _people(getattr(event, name))}
    due = {"due_at": event.due_at.isoformat()} if isinstance(event, WishClaimed | ErrandOverdue) else {}
    await notify(session, event, UUID(event.aggregate), told, **due)


async def _follow_up(session: AsyncSession, event: CaseFollowUpDue) -> None:
    """Tell the team that a follow-up is due, or nobody has seen to it yet."""
    kind = Kind.CASE_FOLLOW_UP_OVERDUE if event.overdue else Kind.CASE_FOLLOW_UP_DUE
    await notify(session, event, event.case, dict.fromkeys(event.members, kind))


async def _case_step(session: AsyncSession, event: CaseStepped) -> None:
    """Tell the others of the team that there is news, which they read in the case."""
    await tell(session, event, event.case, event.members, Kind.CASE_STEPPED, but=(event.taken_by,))


async def _listing(session: AsyncSession, event: ListChanged) -> None:
    """Tell whoever listed it what others did with it."""
    if kind := _LISTED.get(event.step):
        await tell(session, event, event.listing, (event.owner,), kind, but=(event.changed_by,))


async def _project_step(session: AsyncSession, event: ProjectStepChanged) -> None:
    """Tell whose resource it is how the project goes on."""
    await tell(session, event, event.project, (event.provider,), Kind.PROJECT_STEPPED, but=(event.changed_by,))


def _people(found: UUID | tuple[UUID, ...] | None) -> tuple[UUID, ...]:
    return found if isinstance(found, tuple) else (found,) if found else ()
