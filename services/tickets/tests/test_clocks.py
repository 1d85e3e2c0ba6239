"""The clocks of tickets, driven by a clock of the tests' own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, SIBLING, STREET, employ

from linli import clockwork, units
from linli.testing import Running, eventually
from tickets import clocks

Wait = Callable[[timedelta], None]
DAY = timedelta(days=1)
REPORT = {"unit": MICRO, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Let time pass for the clocks."""
    passed = timedelta(0)

    def pass_(time: timedelta) -> None:
        nonlocal passed
        passed += time

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


async def told(tickets: Running, ticket: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in await tickets.events("tickets.overdue.v1") if event["ticket"] == ticket["id"]]


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
    at = datetime.fromisoformat(ticket["opened_at"])
    assert datetime.fromisoformat(ticket["answer_due_at"]) == at + DAY
    assert datetime.fromisoformat(ticket["solve_due_at"]) == at + 7 * DAY


async def test_a_ticket_nobody_answers_for_is_overdue_and_told_of_once(tickets: Running, wait: Wait) -> None:
    manager = await employ(tickets, "community_manager", COMMUNITY)
    elsewhere = await employ(tickets, "community_manager", "310104003002")
    await employ(tickets, "grid_worker", GRID)
    client = tickets.client("community_manager", COMMUNITY, manager)
    ticket = await opened(tickets.client("resident", "310104"))
    wait(DAY - timedelta(minutes=1))
    await all_looked(tickets)
    assert await told(tickets, ticket) == []
    assert ticket["id"] not in await overdue(client)
    wait(timedelta(minutes=1))
    (event,) = await eventually(lambda: told(tickets, ticket))
    assert (event["clock"], event["due_at"], event["assignee"]) == ("answer", ticket["answer_due_at"], None)
    assert str(manager) in event["supervisors"]
    assert str(elsewhere) not in event["supervisors"]
    assert ticket["id"] in await overdue(client)
    trail = (await client.get(f"/tickets/v1/tickets/{ticket['id']}/timeline")).json()["items"]
    assert [(step["move"], step["sequence"]) for step in trail] == [("open", 1), ("answer_overdue", 2)]
    assert trail[1]["actor"] == str(UUID(int=0))
    assert event["sequence"] == 2
    wait(DAY)
    await all_looked(tickets)
    assert len(await told(tickets, ticket)) == 1


async def test_a_ticket_answered_in_time_has_until_its_solution(tickets: Running, wait: Wait) -> None:
    worker = await employ(tickets, "grid_worker", GRID)
    client = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(client)
    await move(client, ticket, "assign", assignee=str(worker))
    wait(6 * DAY)
    await all_looked(tickets)
    assert await told(tickets, ticket) == []
    wait(DAY)
    (event,) = await eventually(lambda: told(tickets, ticket))
    assert (event["clock"], event["assignee"]) == ("solve", str(worker))
    assert ticket["id"] in await overdue(client)
    await move(client, ticket, "resolve")
    assert ticket["id"] not in await overdue(client)


async def test_a_ticket_answered_late_is_no_longer_overdue(tickets: Running, wait: Wait) -> None:
    worker = await employ(tickets, "grid_worker", GRID)
    client = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(client)
    wait(2 * DAY)
    await eventually(lambda: told(tickets, ticket))
    await move(client, ticket, "assign", assignee=str(worker))
    assert ticket["id"] not in await overdue(client)


async def test_a_ticket_resolved_in_time_is_never_overdue(tickets: Running, wait: Wait) -> None:
    worker = await employ(tickets, "grid_worker", GRID)
    client = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(client)
    await move(client, ticket, "assign", assignee=str(worker))
    await move(client, ticket, "resolve")
    assert not await tickets.database.fetchval("SELECT count(*) FROM timer WHERE aggregate = $1", UUID(ticket["id"]))
    wait(30 * DAY)
    await all_looked(tickets)
    assert await told(tickets, ticket) == []


async def test_a_clock_that_code_without_clocks_did_not_stop_does_nothing(tickets: Running, wait: Wait) -> None:
    """While an upgrade runs, code of the release before assigns and resolves too, and stops no clock."""
    ticket = await opened(tickets.client("resident", "310104"))
    id_ = UUID(ticket["id"])
    await tickets.database.execute(
        "UPDATE ticket SET state = 'resolved', assignee = reporter, resolved_by = reporter, resolved_at = now()"
        " WHERE id = $1",
        id_,
    )
    wait(8 * DAY)
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
    wait(DAY)
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
