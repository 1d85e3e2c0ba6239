"""People are told of cases, errands, wishes and projects, in words, and of no more than concerns them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.conftest import MICRO, inbox
from services.notifications.tests.test_subscribers import told

from linli import units
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
from linli.events.points import PointsAwarded
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
from linli.testing import Running, eventually, tell
from notifications.case_subscribers import TOLD

AT = datetime(2026, 2, 27, 16, 30, tzinfo=UTC)
ME, OTHER = uuid4(), uuid4()
_PLACE: dict[str, Any] = {"unit": units.parse(MICRO), "sequence": 2}
_TEAM: dict[str, Any] = {**_PLACE, "case": uuid4(), "members": (ME,)}
_ERRAND: dict[str, Any] = {**_PLACE, "errand": uuid4()}
_WISH: dict[str, Any] = {**_PLACE, "wish": uuid4()}
_NEED: dict[str, Any] = {**_PLACE, "listing": uuid4(), "what": "need", "kind": "haircut"}
_PROJECT: dict[str, Any] = {
    **_PLACE, "project": uuid4(), "need": uuid4(), "resource": uuid4(), "started_by": OTHER,
}  # fmt: skip
EVENTS = [
    (CaseOpened(**_TEAM), "case_opened"),
    (CaseGraded(**_TEAM), "case_graded"),
    (CaseClosed(**_TEAM), "case_closed"),
    (CaseTeamEmptied(**_PLACE, team=uuid4(), supervisors=(ME,)), "case_team_emptied"),
    (CaseStepped(**_TEAM, step="agreement", about=uuid4(), taken_by=OTHER), "case_stepped"),
    (CaseFollowUpDue(**_TEAM, follow_up=uuid4(), overdue=False), "case_follow_up_due"),
    (CaseFollowUpDue(**_TEAM, follow_up=uuid4(), overdue=True), "case_follow_up_overdue"),
    (ErrandOpened(**_ERRAND, served=ME, worker=OTHER), "errand_opened"),
    (ErrandPapersAsked(**_ERRAND, served=ME, worker=OTHER), "errand_papers_asked"),
    (ErrandPaperHanded(**_ERRAND, served=ME, worker=OTHER, paper=uuid4()), "errand_paper_handed"),
    (ErrandTakenOver(**_ERRAND, served=ME, worker=OTHER), "errand_taken_over"),
    (ErrandFiled(**_ERRAND, served=ME, worker=OTHER), "errand_filed"),
    (ErrandDone(**_ERRAND, served=ME, worker=OTHER, result="granted"), "errand_done"),
    (ErrandOverdue(**_ERRAND, served=OTHER, worker=ME, due_at=AT), "errand_overdue"),
    (ErrandOverdue(**_ERRAND, served=OTHER, worker=uuid4(), supervisors=(ME,), due_at=AT), "errand_overdue"),
    (WishClaimed(**_WISH, wisher=ME, claimer=OTHER, due_at=AT), "wish_claimed"),
    (WishReturned(**_WISH, wisher=ME, claimer=uuid4(), reason="expire"), "wish_returned"),
    (WishReturned(**_WISH, wisher=uuid4(), claimer=ME, reason="deny"), "wish_claim_ended"),
    (WishWithdrawn(**_WISH, wisher=ME, withdrawn_by=OTHER), "wish_withdrawn"),
    (WishFulfilled(**_WISH, wisher=ME, claimer=OTHER), "wish_fulfilled"),
    (WishFulfilled(**_WISH, wisher=uuid4(), claimer=OTHER, listed_by=ME), "wish_to_confirm"),
    (WishFulfilled(**_WISH, wisher=uuid4(), claimer=OTHER, supervisors=(ME,)), "wish_to_confirm"),
    (WishConfirmed(**_WISH, wisher=OTHER, claimer=ME), "wish_confirmed"),
    (ProjectStarted(**_PROJECT, provider=ME), "project_started"),
    (ProjectEnded(**_PROJECT, provider=ME, outcome="met"), "project_ended"),
    (ListChanged(**_NEED, step="matched", owner=ME, changed_by=OTHER), "need_matched"),
    (ListChanged(**_NEED, step="met", owner=ME, changed_by=OTHER), "need_met"),
    (ListChanged(**_NEED, step="returned", owner=ME, changed_by=OTHER), "need_returned"),
    (ListChanged(**_NEED, step="withdrawn", owner=ME, changed_by=OTHER), "listing_withdrawn"),
    (
        ProjectStepChanged(**_PLACE, project=uuid4(), project_step=uuid4(), provider=ME, step="done", changed_by=OTHER),
        "project_stepped",
    ),
]
OWN: list[Event] = [
    CaseStepped(**_TEAM, step="note", taken_by=ME),
    ListChanged(**_NEED, step="listed", owner=ME, changed_by=ME),
    ListChanged(**_NEED, step="matched", owner=ME, changed_by=ME),
    ListChanged(**_NEED, step="of_a_newer_version", owner=ME, changed_by=OTHER),
    ProjectStepChanged(**_PLACE, project=uuid4(), project_step=uuid4(), provider=ME, step="added", changed_by=ME),
]


def test_each_event_of_the_table_is_tried() -> None:
    assert {type(event) for event, _ in EVENTS} == {*TOLD, CaseFollowUpDue, *map(type, OWN)}


@pytest.mark.parametrize("event", OWN, ids=lambda event: event.type)
async def test_nobody_is_told_of_what_he_did_himself_or_there_are_no_words_for(
    notifications: Running, event: Event
) -> None:
    await tell(notifications, event)
    received = "SELECT count(*) > 0 FROM inbox WHERE event_id = $1"
    await eventually(lambda: notifications.database.fetchval(received, event.id))
    assert not await notifications.database.fetchval("SELECT count(*) FROM notification WHERE event_id = $1", event.id)


async def test_who_manages_and_has_wished_himself_is_told_of_his_own_wish(notifications: Running) -> None:
    me = uuid4()
    await tell(notifications, WishFulfilled(**_WISH, wisher=me, claimer=OTHER, supervisors=(me, uuid4())))
    (message,) = await told(notifications, me, 1)
    assert message["kind"] == "wish_fulfilled"


@pytest.mark.parametrize(("event", "kind"), EVENTS, ids=[kind for _, kind in EVENTS])
async def test_whom_it_concerns_is_told_in_both_languages(notifications: Running, event: Event, kind: str) -> None:
    me = uuid4()
    changed = {name: me if value == ME else (me,) for name, value in event if value in (ME, (ME,))}
    await tell(notifications, event.model_copy(update={"id": uuid4(), **changed}))
    (message,) = await told(notifications, me, 1)
    assert (message["kind"], message["subject"]) == (kind, event.aggregate)
    assert all(message[part] for part in ("title", "title_zh", "body", "body_zh"))
    if hasattr(event, "due_at"):
        assert "2026-02-28 00:30" in message["body"]
        assert "2026-02-28 00:30" in message["body_zh"]
    if kind != "wish_returned":
        assert await inbox(notifications.client("resident", "310104", OTHER)) == []


async def test_points_for_a_wish_are_about_the_wish(notifications: Running) -> None:
    person, wish = uuid4(), uuid4()
    award = PointsAwarded(
        **_PLACE, transfer=uuid4(), holder=person, wish=wish, rule="wish_confirmed", amount=20, balance=20
    )
    await tell(notifications, award)
    (message,) = await told(notifications, person, 1)
    assert UUID(message["subject"]) == wish
