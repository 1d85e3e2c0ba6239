"""The clocks of tickets, driven by a clock of the tests' own."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, SIBLING, STREET, employ

from linli import clockwork, units
from linli.testing import Running, eventually
from tickets import clocks
from tickets.calendar import DAY as WORKDAY
from tickets.calendar import Calendar

Wait = Callable[[timedelta | datetime], None]
DAY = timedelta(days=1)
CHINA = Calendar()
REPORT = {"unit": MICRO, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Let time pass for the clocks."""
    passed = timedelta(0)

    def pass_(time: timedelta | datetime) -> None:
        """Let so much time pass, or all until a moment."""
        nonlocal passed
        passed = time - datetime.now(UTC) if isinstance(time, datetime) else passed + time

    monkeypatch.setattr(clockwork, "POLL", 0.05)
    monkeypatch.setattr(clocks.timers, "now", lambda: datetime.now(UTC) + passed)
    return pass_


async def opened(client: httpx.AsyncClient, **changes: str) -> dict[str, Any]:
    answer = await client.post("/tickets/v1/tickets", json={**REPORT, **changes})
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def move(client: httpx.AsyncClient, ticket: dict[str, Any], step: str, **body: object) -> None:
    path = f"/tickets/v1/tickets/{ticket['id']}/{step}"
    answer = await client.post(path, json=body, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text


async def overdue(client: httpx.AsyncClient) -> list[str]:
    answer = await client.get("/tickets/v1/tickets", params={"overdue": "true", "limit": 200})
    return [ticket["id"] for ticket in answer.json()["items"]]


async def read(client: httpx.AsyncClient, ticket: dict[str, Any]) -> dict[str, Any]:
    stands: dict[str, Any] = (await client.get(f"/tickets/v1/tickets/{ticket['id']}")).json()
    return stands


async def told(
    tickets: Running, ticket: dict[str, Any], what: str = "overdue", at_least: int = 1
) -> list[dict[str, Any]]:
    """List what was told of a ticket, if it is that much."""
    found = [event for event in await tickets.events(f"tickets.{what}.v1") if event["ticket"] == ticket["id"]]
    return found if len(found) >= at_least else []


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def all_looked(tickets: Running) -> None:
    """Wait until the clockwork has looked, and nothing is due any more."""
    marker = uuid4()
    unit = units.parse(FOREIGN)
    await tickets.database.execute(
        "INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at) VALUES ($1, 'answer', $2, $3, $4, $4)",
        *(units.district(unit), marker, unit, clocks.timers.now()),
    )
    # It is of no ticket: its handler fails, and that is written down.
    look = "SELECT attempts > 0 FROM timer WHERE aggregate = $1"
    await eventually(lambda: tickets.database.fetchval(look, marker))
    await tickets.database.execute("DELETE FROM timer WHERE aggregate = $1", marker)
    nothing_due = "SELECT count(*) = 0 FROM timer WHERE try_at <= $1"
    await eventually(lambda: tickets.database.fetchval(nothing_due, clocks.timers.now()))


async def test_a_new_ticket_says_until_when_it_must_be_answered_and_solved(tickets: Running) -> None:
    ticket = await opened(tickets.client("resident", "310104"))
    at = moment(ticket["opened_at"])
    assert moment(ticket["answer_due_at"]) == CHINA.due_after(at, WORKDAY)
    assert moment(ticket["solve_due_at"]) == CHINA.due_after(at, 5 * WORKDAY)


async def test_a_ticket_nobody_answers_for_is_told_of_once_and_goes_up(tickets: Running, wait: Wait) -> None:
    manager = await employ(tickets, "community_manager", COMMUNITY)
    elsewhere = await employ(tickets, "community_manager", "310104003002")
    await employ(tickets, "grid_worker", GRID)
    client = tickets.client("community_manager", COMMUNITY, manager)
    ticket = await opened(tickets.client("resident", "310104"))
    wait(moment(ticket["answer_due_at"]) - timedelta(minutes=1))
    await all_looked(tickets)
    assert await told(tickets, ticket) == []
    assert ticket["id"] not in await overdue(client)
    wait(moment(ticket["answer_due_at"]))
    (event,) = await eventually(lambda: told(tickets, ticket))
    assert (event["clock"], event["due_at"], event["assignee"]) == ("answer", ticket["answer_due_at"], None)
    assert str(manager) in event["supervisors"]
    assert str(elsewhere) not in event["supervisors"]
    assert ticket["id"] in await overdue(client)
    trail = (await client.get(f"/tickets/v1/tickets/{ticket['id']}/timeline")).json()["items"]
    assert [(step["move"], step["sequence"]) for step in trail] == [("open", 1), ("answer_overdue", 2), ("escalate", 3)]
    assert {step["actor"] for step in trail[1:]} == {str(UUID(int=0))}
    assert event["sequence"] == 2
    wait(timedelta(minutes=10))
    await all_looked(tickets)
    assert len(await told(tickets, ticket)) == 1


async def test_each_level_has_a_clock_of_its_own_and_its_people_are_told(tickets: Running, wait: Wait) -> None:
    street = await employ(tickets, "street_admin", STREET)
    district = await employ(tickets, "district_admin", "310104")
    ticket = await opened(tickets.client("resident", "310104"))
    client = tickets.client("district_admin", "310104", district)
    due = moment(ticket["answer_due_at"])
    for times, level, handler, who in ((1, "street", STREET, street), (2, "district", "310104", district)):
        wait(due)
        events = await eventually(partial(told, tickets, ticket, "escalated", times))
        event = events[-1]
        assert (event["level"], event["handler"], event["escalated_by"]) == (level, handler, str(UUID(int=0)))
        assert event["supervisors"] == [str(who)]
        stands = await read(client, ticket)
        assert (stands["level"], stands["handler"], stands["state"]) == (level, handler, "open")
        assert moment(stands["level_due_at"]) > due
        due = moment(stands["level_due_at"])
    wait(due)
    await eventually(lambda: told(tickets, ticket, "overdue", 3))
    await all_looked(tickets)
    assert [event["clock"] for event in await told(tickets, ticket)] == ["answer", "street", "district"]
    assert (await read(client, ticket))["level"] == "district"


async def test_a_ticket_answered_in_time_has_until_its_solution(tickets: Running, wait: Wait) -> None:
    worker = await employ(tickets, "grid_worker", GRID)
    client = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(client)
    await move(client, ticket, "assign", assignee=str(worker))
    wait(moment(ticket["solve_due_at"]) - timedelta(minutes=1))
    await all_looked(tickets)
    assert await told(tickets, ticket) == []
    wait(moment(ticket["solve_due_at"]))
    (event,) = await eventually(lambda: told(tickets, ticket))
    assert (event["clock"], event["assignee"]) == ("solve", str(worker))
    assert ticket["id"] in await overdue(client)
    # The street answers for it now, and whoever was at work goes on.
    assert (await read(client, ticket))["level"] == "street"
    await move(tickets.client("grid_worker", GRID, worker), ticket, "resolve")
    assert ticket["id"] not in await overdue(client)


async def test_a_ticket_answered_late_is_no_longer_overdue(tickets: Running, wait: Wait) -> None:
    worker = await employ(tickets, "grid_worker", GRID)
    community = tickets.client("community_manager", COMMUNITY)
    street = tickets.client("street_admin", STREET)
    ticket = await opened(community)
    wait(moment(ticket["answer_due_at"]))
    await eventually(lambda: told(tickets, ticket, "escalated"))
    path = f"/tickets/v1/tickets/{ticket['id']}/assign"
    body, headers = {"assignee": str(worker)}, {"If-Match": "*"}
    assert (await community.post(path, json=body, headers=headers)).status_code == 403
    assert (await street.post(path, json=body, headers=headers)).status_code == 200
    assert ticket["id"] not in await overdue(street)
    running = await tickets.database.fetch("SELECT kind FROM timer WHERE aggregate = $1", UUID(ticket["id"]))
    assert [row["kind"] for row in running] == ["solve"]


async def test_a_reporter_who_says_nothing_is_taken_to_be_content(tickets: Running, wait: Wait) -> None:
    worker = await employ(tickets, "grid_worker", GRID)
    client = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(tickets.client("resident", "310104"))
    await move(client, ticket, "assign", assignee=str(worker))
    await move(client, ticket, "resolve")
    resolved = await read(client, ticket)
    assert moment(resolved["confirm_due_at"]) == CHINA.due_after(moment(resolved["resolved_at"]), 5 * WORKDAY)
    wait(moment(resolved["confirm_due_at"]) - timedelta(minutes=1))
    await all_looked(tickets)
    assert (await read(client, ticket))["state"] == "resolved"
    wait(moment(resolved["confirm_due_at"]))
    (event,) = await eventually(lambda: told(tickets, ticket, "closed"))
    assert (event["outcome"], event["confirmed"], event["closed_by"]) == ("no_answer", False, str(UUID(int=0)))
    await all_looked(tickets)
    assert await told(tickets, ticket) == []
    assert not await tickets.database.fetchval("SELECT count(*) FROM timer WHERE aggregate = $1", UUID(ticket["id"]))
    closed = await read(client, ticket)
    assert (closed["state"], closed["outcome"], closed["confirmed"]) == ("closed", "no_answer", False)


async def test_clocks_stand_still_while_the_reporter_is_asked(tickets: Running, wait: Wait) -> None:
    resident = tickets.client("resident", "310104", uuid4())
    manager = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(resident)
    await move(manager, ticket, "ask", note="哪一盏灯？")
    asked = await read(manager, ticket)
    assert (asked["state"], asked["answer_due_at"], asked["solve_due_at"]) == ("waiting", None, None)
    wait(30 * DAY)
    await all_looked(tickets)
    assert await told(tickets, ticket) == []
    # Half an hour of work was left of the one, ten hours of the other, when he was asked.
    left = {"answer": {"minutes": 30, "since": None}, "solve": {"minutes": 600, "since": None}}
    id_ = UUID(ticket["id"])
    await tickets.database.execute("UPDATE ticket SET clocks = $2 WHERE id = $1", id_, json.dumps(left))
    before = datetime.now(UTC)
    await move(resident, ticket, "answer", note="北门左边那盏")
    after = datetime.now(UTC)
    goes_on = await read(manager, ticket)
    assert goes_on["state"] == "open"
    for name, minutes in (("answer", 30), ("solve", 600)):
        due = moment(goes_on[f"{name}_due_at"])
        assert CHINA.due_after(before, minutes) <= due <= CHINA.due_after(after, minutes)
        look = "SELECT due_at FROM timer WHERE aggregate = $1 AND kind = $2"
        assert await tickets.database.fetchval(look, id_, name) == due


async def test_what_was_left_of_a_clock_is_kept(tickets: Running) -> None:
    manager = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(manager)
    since = CHINA.due_after(datetime.now(UTC), 1) - timedelta(days=20)
    clock = {"answer": {"minutes": 100_000, "since": since.isoformat()}}
    id_ = UUID(ticket["id"])
    await tickets.database.execute("UPDATE ticket SET clocks = $2 WHERE id = $1", id_, json.dumps(clock))
    await move(manager, ticket, "ask", note="哪一盏灯？")
    kept = json.loads(await tickets.database.fetchval("SELECT clocks FROM ticket WHERE id = $1", id_))
    assert kept["answer"]["since"] is None
    assert abs(kept["answer"]["minutes"] - CHINA.left(since, 100_000, datetime.now(UTC))) <= 1


async def test_a_clock_that_code_without_clocks_did_not_stop_does_nothing(tickets: Running, wait: Wait) -> None:
    """While an upgrade runs, code of the release before assigns and resolves too, and stops no clock."""
    ticket = await opened(tickets.client("resident", "310104"))
    id_ = UUID(ticket["id"])
    await tickets.database.execute(
        "UPDATE ticket SET state = 'resolved', assignee = reporter, resolved_by = reporter, resolved_at = now()"
        " WHERE id = $1",
        id_,
    )
    wait(30 * DAY)
    gone = "SELECT count(*) = 0 FROM timer WHERE aggregate = $1"
    await eventually(lambda: tickets.database.fetchval(gone, id_))
    assert await told(tickets, ticket) == []


async def test_a_ticket_of_the_release_before_has_no_clocks(tickets: Running) -> None:
    client = tickets.client("resident", "310104", uuid4())
    ticket = await opened(client)
    await tickets.database.execute(
        "UPDATE ticket SET answer_due_at = NULL, solve_due_at = NULL WHERE id = $1", UUID(ticket["id"])
    )
    shown = (await client.get(f"/tickets/v1/tickets/{ticket['id']}")).json()
    assert (shown["answer_due_at"], shown["solve_due_at"]) == (None, None)


async def test_who_sees_which_tickets_are_overdue(tickets: Running, wait: Wait) -> None:
    reporter = uuid4()
    ticket = await opened(tickets.client("resident", "310104", reporter))
    wait(moment(ticket["answer_due_at"]))
    await eventually(lambda: told(tickets, ticket))
    for role, unit, person in (
        ("resident", "310104", reporter),
        ("grid_worker", GRID, None),
        ("community_manager", COMMUNITY, None),
        ("street_admin", STREET, None),
        ("district_admin", "310104", None),
    ):
        assert ticket["id"] in await overdue(tickets.client(role, unit, person)), role
    for role, unit, person in (
        ("resident", "310104", uuid4()),
        ("grid_worker", SIBLING, None),
        ("street_admin", "310104004", None),
        ("district_admin", "310115", None),
    ):
        assert ticket["id"] not in await overdue(tickets.client(role, unit, person)), (role, unit)
