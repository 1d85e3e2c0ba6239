"""Who is told of a ticket's longer life, and as what; one ticket, told of by events as tickets sends them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.conftest import MICRO, STREET

from linli import units
from linli.events import Event
from linli.events.files import FileChanged
from linli.events.tickets import (
    TicketAnswered,
    TicketAssigned,
    TicketAssigneeLeft,
    TicketClosed,
    TicketEscalated,
    TicketFolded,
    TicketNoted,
    TicketOpened,
    TicketOverdue,
    TicketRated,
    TicketReopened,
    TicketResolved,
    TicketReturned,
    TicketSplit,
    TicketUnfolded,
    TicketWaiting,
    TicketWithdrawn,
)
from linli.events.whistles import (
    TicketWhistled,
    WhistleActed,
    WhistleCalledOff,
    WhistleMissed,
    WhistleRated,
    WhistleReported,
)
from linli.testing import Running, eventually, tell

REPORTER, ASSIGNEE, MANAGER, FOLLOWER, MEMBER = (uuid4() for _ in range(5))
PEOPLE = {REPORTER: "reporter", ASSIGNEE: "assignee", MANAGER: "manager", FOLLOWER: "follower", MEMBER: "member"}
NOBODY = UUID(int=0)
TICKET = uuid4()
AT = datetime(2026, 2, 27, 16, 30, tzinfo=UTC)
OF: dict[str, Any] = {"ticket": TICKET, "unit": units.parse(MICRO), "sequence": 3}
BOTH: dict[str, Any] = {**OF, "reporter": REPORTER, "assignee": ASSIGNEE}
CALL: dict[str, Any] = {**OF, "whistle": uuid4(), "department": "urban_management"}
PHOTO: dict[str, Any] = {"file": uuid4(), "kind": "jpeg", "size": 1}
ABOVE: dict[str, Any] = {"handler": units.parse(STREET), "supervisors": (MANAGER,)}


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (TicketOpened(**OF, reporter=MANAGER, category="other", parent=uuid4()), {}),
        (
            TicketAssigned(**OF, reporter=MANAGER, assignee=ASSIGNEE, assigned_by=MANAGER, parent=uuid4()),
            {"assignee": "ticket_assigned_to_you"},
        ),
        (TicketResolved(**OF, reporter=MANAGER, resolved_by=ASSIGNEE, parent=uuid4()), {}),
        (TicketClosed(**OF, reporter=MANAGER, closed_by=NOBODY, outcome="fixed", parent=uuid4()), {}),
        (
            TicketEscalated(
                **OF, **ABOVE, reporter=REPORTER, level="street", escalated_by=NOBODY, clock="solve", parent=uuid4()
            ),
            {"manager": "ticket_escalated_to_you"},
        ),
        (
            TicketOpened(**OF, reporter=MANAGER, category="other", parent=uuid4(), members=(MEMBER,)),
            {"member": "ticket_for_your_department"},
        ),
        (
            TicketOpened(**OF, reporter=REPORTER, category="other", members=(MEMBER,)),
            {"reporter": "ticket_opened", "member": "ticket_for_your_department"},
        ),
        (
            TicketAssigned(**BOTH, assigned_by=MANAGER, taken_from=MEMBER),
            {"reporter": "ticket_assigned", "assignee": "ticket_assigned_to_you", "member": "ticket_taken_from_you"},
        ),
        (
            TicketAssigned(**BOTH, assigned_by=MANAGER, taken_from=MANAGER),
            {"reporter": "ticket_assigned", "assignee": "ticket_assigned_to_you"},
        ),
        (
            TicketOverdue(**BOTH, clock="street", due_at=AT, supervisors=(MANAGER,)),
            {"manager": "ticket_street_overdue", "assignee": "ticket_street_overdue"},
        ),
        (TicketAssigneeLeft(**BOTH, supervisors=(MANAGER,)), {"manager": "ticket_assignee_left"}),
        (TicketWaiting(**BOTH, asked_by=ASSIGNEE), {"reporter": "ticket_asked"}),
        (TicketAnswered(**BOTH, answered_by=REPORTER), {"assignee": "ticket_answered"}),
        (TicketAnswered(**BOTH, answered_by=ASSIGNEE), {}),
        (
            TicketAnswered(**OF, reporter=REPORTER, answered_by=REPORTER, asked_by=MANAGER),
            {"manager": "ticket_answered"},
        ),
        (
            TicketEscalated(**BOTH, **ABOVE, level="street", escalated_by=NOBODY, clock="solve"),
            {"reporter": "ticket_escalated", "manager": "ticket_escalated_to_you"},
        ),
        (
            TicketReturned(**BOTH, **ABOVE, level="community", returned_by=uuid4()),
            {"manager": "ticket_returned_to_you", "assignee": "ticket_returned_to_you"},
        ),
        (
            TicketReturned(
                **BOTH, **ABOVE, level="community", returned_by=FOLLOWER, members=(MEMBER, ASSIGNEE, FOLLOWER)
            ),
            {
                "manager": "ticket_returned_to_you",
                "assignee": "ticket_returned_to_you",
                "member": "ticket_for_your_department",
            },
        ),
        (
            TicketResolved(**BOTH, resolved_by=ASSIGNEE, followers=(FOLLOWER,), confirm_by=AT),
            {"reporter": "ticket_resolved", "follower": "ticket_followed_resolved"},
        ),
        (
            TicketReopened(**BOTH, **ABOVE, reopened_by=REPORTER, times=1, followers=(FOLLOWER, REPORTER)),
            {
                "reporter": "ticket_reopened",
                "follower": "ticket_followed_reopened",
                "assignee": "ticket_reopened_to_you",
                "manager": "ticket_reopened_to_you",
            },
        ),
        (
            TicketClosed(**BOTH, closed_by=REPORTER, outcome="fixed", confirmed=True, followers=(FOLLOWER,)),
            {"reporter": "ticket_closed", "follower": "ticket_followed_ended"},
        ),
        (TicketClosed(**BOTH, closed_by=REPORTER, outcome="not_fixed"), {"reporter": "ticket_closed_not_fixed"}),
        (TicketClosed(**BOTH, closed_by=NOBODY, outcome="no_answer"), {"reporter": "ticket_closed_unanswered"}),
        (
            TicketWithdrawn(**BOTH, followers=(FOLLOWER,)),
            {"assignee": "ticket_withdrawn", "follower": "ticket_followed_ended"},
        ),
        (TicketWithdrawn(**OF, reporter=REPORTER), {}),
        (TicketRated(**OF, reporter=REPORTER, resolved_by=ASSIGNEE, rating=5), {"assignee": "ticket_rated"}),
        (
            TicketRated(**OF, reporter=REPORTER, resolved_by=ASSIGNEE, rating=1, supervisors=(MANAGER,)),
            {"assignee": "ticket_rated", "manager": "ticket_rated_poorly"},
        ),
        (
            TicketRated(**OF, reporter=REPORTER, resolved_by=ASSIGNEE, rating=1, supervisors=(MANAGER, ASSIGNEE)),
            {"assignee": "ticket_rated_poorly", "manager": "ticket_rated_poorly"},
        ),
        (
            TicketFolded(**{**BOTH, "ticket": uuid4(), "assignee": None}, into=TICKET, folded_by=MANAGER),
            {"reporter": "ticket_folded"},
        ),
        (TicketFolded(**{**BOTH, "ticket": uuid4()}, into=TICKET, folded_by=ASSIGNEE), {"reporter": "ticket_folded"}),
        (
            TicketFolded(
                **{**OF, "ticket": uuid4()}, reporter=REPORTER, assignee=REPORTER, into=TICKET, folded_by=MANAGER
            ),
            {"reporter": "ticket_folded"},
        ),
        (
            TicketUnfolded(**BOTH, **ABOVE, withdrawn=uuid4(), followers=(FOLLOWER, REPORTER)),
            {
                "follower": "ticket_followed_replaced",
                "reporter": "ticket_unfolded",
                "assignee": "ticket_unfolded_to_you",
                "manager": "ticket_unfolded_to_you",
            },
        ),
        (
            TicketUnfolded(
                **{**BOTH, "assignee": None},
                **ABOVE,
                withdrawn=uuid4(),
                workers=(ASSIGNEE,),
                members=(MEMBER, ASSIGNEE),
            ),
            {
                "reporter": "ticket_unfolded",
                "assignee": "ticket_unfolded_to_you",
                "manager": "ticket_unfolded_to_you",
                "member": "ticket_for_your_department",
            },
        ),
        (TicketSplit(**OF, reporter=REPORTER, parts=(uuid4(),), split_by=MANAGER), {"reporter": "ticket_split"}),
        (
            TicketSplit(**BOTH, parts=(uuid4(),), split_by=MANAGER),
            {"reporter": "ticket_split", "assignee": "ticket_split_from_you"},
        ),
        (TicketSplit(**BOTH, parts=(uuid4(),), split_by=ASSIGNEE), {"reporter": "ticket_split"}),
        (
            TicketSplit(**OF, reporter=REPORTER, assignee=REPORTER, parts=(uuid4(),), split_by=MANAGER),
            {"reporter": "ticket_split"},
        ),
        (TicketNoted(**BOTH, noted_by=REPORTER), {"assignee": "ticket_noted"}),
        # The photo that the place was taken from is told of by itself.
        (TicketNoted(**BOTH, noted_by=REPORTER, file=PHOTO["file"]), {}),
        (FileChanged(**BOTH, **PHOTO, step="added", changed_by=REPORTER), {"assignee": "ticket_noted"}),
        (FileChanged(**BOTH, **PHOTO, step="added", changed_by=ASSIGNEE), {"reporter": "ticket_noted"}),
        (FileChanged(**BOTH, **PHOTO, step="removed", changed_by=MANAGER), {}),
        (TicketWhistled(**CALL, called_by=MANAGER, members=(MEMBER,), due_at=AT), {"member": "whistle_blown"}),
        (WhistleReported(**CALL, called_by=MANAGER, reported_by=MEMBER, late=True), {"manager": "whistle_reported"}),
        (WhistleActed(**CALL, called_by=MANAGER, acted_by=MEMBER), {"manager": "whistle_acted"}),
        (
            WhistleRated(**CALL, acted_by=ASSIGNEE, rated_by=MANAGER, members=(MEMBER,), rating=4),
            {"member": "whistle_rated", "assignee": "whistle_rated"},
        ),
        (
            WhistleMissed(**CALL, called_by=MANAGER, members=(MEMBER,), supervisors=(ASSIGNEE,), due_at=AT),
            {"member": "whistle_missed", "manager": "whistle_missed", "assignee": "whistle_missed"},
        ),
        (WhistleCalledOff(**CALL, members=(MEMBER,)), {"member": "whistle_called_off"}),
    ],
    ids=lambda value: value.type if isinstance(value, Event) else "",
)
async def test_who_is_told_of_a_step(notifications: Running, event: Event, told: dict[str, str]) -> None:
    await tell(notifications, event)
    received = "SELECT count(*) > 0 FROM inbox WHERE event_id = $1"
    await eventually(lambda: notifications.database.fetchval(received, event.id))
    rows = await notifications.database.fetch(
        "SELECT recipient, kind, subject FROM notification WHERE event_id = $1", event.id
    )
    assert {PEOPLE[row["recipient"]]: row["kind"] for row in rows} == told
    assert {row["subject"] for row in rows} <= {TICKET}


async def test_whoever_had_what_is_folded_is_told_of_that_and_not_of_the_other(notifications: Running) -> None:
    """He may not see the other one."""
    event = TicketFolded(**BOTH, into=uuid4(), folded_by=MANAGER)
    await tell(notifications, event)
    told = "SELECT recipient, kind, subject FROM notification WHERE event_id = $1"

    async def all_told() -> set[tuple[object, ...]]:
        return {tuple(row) for row in await notifications.database.fetch(told, event.id)}

    await eventually(all_told)
    assert await all_told() == {
        (REPORTER, "ticket_folded", event.into),
        (ASSIGNEE, "ticket_folded_from_you", event.ticket),
    }
