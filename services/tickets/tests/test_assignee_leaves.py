"""What becomes of tickets whose assignee leaves office: those who can give them to somebody else are told."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET, employ
from services.tickets.tests.test_moves import done, moved, opened, read, trail
from services.tickets.tests.test_moves import told as heard
from services.tickets.tests.test_open311 import ROOT, new_key, posted
from services.tickets.tests.test_similar import lamp

from linli import units
from linli.db import Scope, transaction
from linli.events.directory import AssignmentChanged
from linli.testing import Running, eventually, tell
from tickets.subscribers import keep_assignments

__all__ = ["lamp"]
TICKETS = "/tickets/v1/tickets"
DISTRICT = "310104"


@pytest.fixture(autouse=True)
async def nobody_else(tickets: Running) -> None:
    """Let nobody be in office but whom a test employs."""
    await tickets.database.execute("UPDATE known_assignment SET active = false")


async def given(tickets: Running, assignee: UUID, *moves: tuple[str, dict[str, Any]]) -> str:
    """Report something, give it to somebody and go on with it."""
    report = {"unit": MICRO, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
    ticket = (await tickets.client("resident", "310104").post(TICKETS, json=report)).json()["id"]
    manager = tickets.client("street_admin", STREET)
    for move, body in (("assign", {"assignee": str(assignee)}), *moves):
        made = await manager.post(f"{TICKETS}/{ticket}/{move}", json=body, headers={"If-Match": "*"})
        assert made.status_code == 200, made.text
    return str(ticket)


async def leave(tickets: Running, staff: UUID, unit: str) -> AssignmentChanged:
    """End somebody's office at a unit, as the directory tells."""
    office = await tickets.database.fetchrow(
        "SELECT * FROM known_assignment WHERE staff = $1 AND unit = $2 AND active", staff, units.parse(unit)
    )
    place = {name: office[name] for name in ("unit", "staff", "role")}
    ended = AssignmentChanged(assignment=office["id"], **place, sequence=office["sequence"] + 1, active=False)
    await tell(tickets, ended)
    await eventually(
        lambda: tickets.database.fetchval("SELECT NOT active FROM known_assignment WHERE id = $1", office["id"])
    )
    return ended


async def told(tickets: Running, ticket: str) -> list[dict[str, Any]]:
    return [
        event
        for event in await tickets.events()
        if event.get("ticket") == ticket and event["headers"]["ce-type"] == "tickets.assignee_left.v1"
    ]


async def test_those_who_manage_a_ticket_are_told_that_its_assignee_left_office(tickets: Running) -> None:
    leaving, manager = await employ(tickets, "grid_worker", GRID), await employ(tickets, "community_manager", COMMUNITY)
    await employ(tickets, "community_manager", SIBLING[:12])  # of another community
    ticket = await given(tickets, leaving)
    waiting = await given(tickets, leaving, ("ask", {"note": "哪一盏灯？"}))
    await leave(tickets, leaving, GRID)
    for one in (ticket, waiting):
        (event,) = await told(tickets, one)
        assert (event["assignee"], event["supervisors"]) == (str(leaving), [str(manager)])
    trail = (await tickets.client("community_manager", COMMUNITY).get(f"{TICKETS}/{ticket}/timeline")).json()["items"]
    assert [step["move"] for step in trail] == ["open", "assign", "assignee_left"]
    assert (trail[2]["actor"], trail[2]["facts"], trail[2]["state"]) == (
        str(UUID(int=0)),
        {"assignee": str(leaving)},
        "assigned",
    )
    following = {"assignee": str(await employ(tickets, "grid_worker", GRID))}
    client = tickets.client("community_manager", COMMUNITY)
    assert (await client.post(f"{TICKETS}/{ticket}/assign", json=following, headers={"If-Match": "*"})).is_success


async def test_what_is_done_or_still_covered_by_another_office_is_nobodys_loss(tickets: Running) -> None:
    leaving, staying = [await employ(tickets, "grid_worker", GRID) for _ in range(2)]
    await employ(tickets, "community_manager", COMMUNITY, staying)
    done = await given(tickets, leaving, ("resolve", {"note": "已更换"}))
    covered, lost = await given(tickets, staying), await given(tickets, leaving)
    await leave(tickets, staying, GRID)
    await leave(tickets, leaving, GRID)
    assert len(await told(tickets, lost)) == 1
    assert await told(tickets, done) == await told(tickets, covered) == []


async def test_where_the_last_manager_himself_leaves_those_above_are_told(tickets: Running) -> None:
    leaving, above = (
        await employ(tickets, "community_manager", COMMUNITY),
        await employ(tickets, "street_admin", STREET),
    )
    ticket = await given(tickets, leaving)
    await leave(tickets, leaving, COMMUNITY)
    (event,) = await told(tickets, ticket)
    assert event["supervisors"] == [str(above)]


async def test_what_was_raised_to_an_empty_desk_is_told_to_those_above_who_can_give_it_away(tickets: Running) -> None:
    leaving, below, above = [
        await employ(tickets, role, unit)
        for role, unit in (("grid_worker", GRID), ("community_manager", COMMUNITY), ("district_admin", DISTRICT))
    ]
    ticket = await given(tickets, leaving, ("escalate", {"note": "需要街道协调"}))
    await leave(tickets, leaving, GRID)
    assert [event["supervisors"] for event in await told(tickets, ticket)] == [[str(above)]]
    following = {"assignee": str(await employ(tickets, "grid_worker", GRID))}
    for role, unit, manager, status in (
        ("community_manager", COMMUNITY, below, 403),
        ("district_admin", DISTRICT, above, 200),
    ):
        client = tickets.client(role, unit, manager)
        gives = await client.post(f"{TICKETS}/{ticket}/assign", json=following, headers={"If-Match": "*"})
        assert gives.status_code == status, gives.text


async def test_the_leader_of_a_grid_can_give_nothing_away_and_those_above_are_told(tickets: Running) -> None:
    leaving, leader = await employ(tickets, "grid_worker", GRID), await employ(tickets, "community_manager", GRID)
    above = await employ(tickets, "street_admin", STREET)
    ticket = await given(tickets, leaving)
    await leave(tickets, leaving, GRID)
    assert [event["supervisors"] for event in await told(tickets, ticket)] == [[str(above)]]
    following = {"assignee": str(await employ(tickets, "grid_worker", GRID))}
    client = tickets.client("community_manager", GRID, leader)
    refused = await client.post(f"{TICKETS}/{ticket}/assign", json=following, headers={"If-Match": "*"})
    assert refused.status_code == 403


async def test_where_nobody_who_can_give_it_away_is_in_office_those_below_are_told(tickets: Running) -> None:
    leaving, below = await employ(tickets, "grid_worker", GRID), await employ(tickets, "community_manager", COMMUNITY)
    ticket = await given(tickets, leaving, ("escalate", {"note": "需要街道协调"}))
    await leave(tickets, leaving, GRID)
    assert [event["supervisors"] for event in await told(tickets, ticket)] == [[str(below)]]


async def test_a_word_that_is_delivered_again_is_told_of_once(tickets: Running) -> None:
    leaving = await employ(tickets, "grid_worker", GRID)
    ticket = await given(tickets, leaving)
    ended = await leave(tickets, leaving, GRID)
    marker = ended.model_copy(update={"id": uuid4(), "assignment": uuid4(), "staff": uuid4(), "sequence": 1})
    for again in (ended.model_copy(update={"id": uuid4()}), marker):
        await tell(tickets, again)
    await eventually(
        lambda: tickets.database.fetchrow("SELECT * FROM known_assignment WHERE id = $1", marker.assignment)
    )
    assert len(await told(tickets, ticket)) == 1


@pytest.mark.parametrize(
    ("state", "back"),
    [
        ("reopen", [("reopen", {"note": "又灭了"})]),
        ("poorly_rated", [("close", {}), ("rate", {"rating": 1})]),
    ],
)
async def test_those_who_manage_are_told_of_what_comes_back_to_who_has_left(
    tickets: Running, state: str, back: list[tuple[str, dict[str, Any]]]
) -> None:
    leaving, manager = await employ(tickets, "grid_worker", GRID), await employ(tickets, "community_manager", COMMUNITY)
    reporter, client = tickets.client("resident", "310104", uuid4()), tickets.client("community_manager", COMMUNITY)
    ticket = await opened(reporter)
    await done(client, ticket, "assign", assignee=str(leaving))
    await done(client, ticket, "resolve")
    await leave(tickets, leaving, GRID)
    assert await told(tickets, ticket) == []
    for move, body in back:
        await done(reporter, ticket, move, **body)
    (event,) = await told(tickets, ticket)
    assert (event["assignee"], event["supervisors"]) == (str(leaving), [str(manager)])
    steps = await trail(client, ticket)
    assert [(step["move"], step["state"]) for step in steps[-2:]] == [
        (state, "assigned"),
        ("assignee_left", "assigned"),
    ]
    assert [step["sequence"] for step in steps] == list(range(1, len(steps) + 1))


async def test_what_also_goes_up_is_told_to_those_it_goes_up_to(tickets: Running) -> None:
    leaving, above = await employ(tickets, "grid_worker", GRID), await employ(tickets, "street_admin", STREET)
    reporter, client = tickets.client("resident", "310104", uuid4()), tickets.client("community_manager", COMMUNITY)
    ticket = await opened(reporter)
    await employ(tickets, "community_manager", COMMUNITY)
    await done(client, ticket, "assign", assignee=str(leaving))
    for number in range(2):
        await done(client, ticket, "resolve")
        await done(reporter, ticket, "close")
        if number:
            await leave(tickets, leaving, GRID)
        stands = await done(reporter, ticket, "rate", rating=1)
    assert stands["level"] == "street"
    (event,) = await told(tickets, ticket)
    assert event["supervisors"] == [str(above)]


async def test_what_is_taken_up_again_in_the_hands_of_who_has_left_is_told_of(tickets: Running) -> None:
    """He had it before it was folded."""
    leaving, manager = await employ(tickets, "grid_worker", GRID), await employ(tickets, "community_manager", COMMUNITY)
    reporter, neighbour = [tickets.client("resident", "310104", uuid4()) for _ in range(2)]
    district = tickets.client("district_admin", "310104")
    one, two = await opened(reporter, unit=SIBLING), await opened(neighbour)
    await done(district, two, "assign", assignee=str(leaving))
    await done(district, two, "fold", into=one)
    await leave(tickets, leaving, GRID)
    await done(reporter, one, "withdraw")
    assert (await read(neighbour, two))["assignee"] == str(leaving)
    (event,) = await told(tickets, two)
    assert (event["assignee"], event["supervisors"]) == (str(leaving), [str(manager)])
    assert [step["move"] for step in await trail(neighbour, two)][-2:] == ["unfold", "assignee_left"]


async def test_an_answer_to_who_has_left_is_told_to_those_who_manage(tickets: Running) -> None:
    leaving, manager = await employ(tickets, "grid_worker", GRID), await employ(tickets, "community_manager", COMMUNITY)
    reporter = tickets.client("resident", "310104", uuid4())
    client, worker = tickets.client("community_manager", COMMUNITY), tickets.client("grid_worker", GRID, leaving)
    ticket = await opened(reporter)
    await done(client, ticket, "assign", assignee=str(leaving))
    await done(worker, ticket, "ask", note="哪一盏灯？")
    await leave(tickets, leaving, GRID)
    await done(reporter, ticket, "answer", note="北门")
    events = await told(tickets, ticket)
    assert [event["supervisors"] for event in events] == [[str(manager)]] * 2
    assert [(step["move"], step["state"]) for step in await trail(client, ticket)][-3:] == [
        ("assignee_left", "waiting"),
        ("answer", "assigned"),
        ("assignee_left", "assigned"),
    ]


@pytest.mark.parametrize("had", [1, 0])
async def test_what_waits_may_be_given_to_somebody_else_and_goes_on_waiting(tickets: Running, had: int) -> None:
    """Whether or not anybody had it."""
    leaving, other = [await employ(tickets, "grid_worker", GRID) for _ in range(2)]
    reporter, client = tickets.client("resident", "310104", uuid4()), tickets.client("community_manager", COMMUNITY)
    ticket = await opened(reporter)
    for _ in range(had):
        await done(client, ticket, "assign", assignee=str(leaving))
    await done(client, ticket, "ask", note="哪一盏灯？")
    await leave(tickets, leaving, GRID)
    assert "assign" in (await read(client, ticket))["possible"]
    given = await done(client, ticket, "assign", assignee=str(other))
    assert (given["state"], given["assignee"]) == ("waiting", str(other))
    running = "SELECT array_agg(kind ORDER BY kind) FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(running, UUID(ticket)) is None
    assert (await done(reporter, ticket, "answer", note="北门"))["state"] == "assigned"
    assert await tickets.database.fetchval(running, UUID(ticket)) == ["solve"]
    (event,) = await heard(tickets, ticket, "answered")
    assert event["assignee"] == str(other)
    assert len(await told(tickets, ticket)) == had


async def test_nothing_is_given_to_somebody_who_is_just_leaving(tickets: Running) -> None:
    """Who gives it waits for what becomes of his office, and keeps nobody from the ticket meanwhile."""
    having, leaving = [await employ(tickets, "grid_worker", GRID) for _ in range(2)]
    ticket = await given(tickets, having)
    client, database = tickets.client("community_manager", COMMUNITY), tickets.database
    async with database.transaction():
        await database.execute("UPDATE known_assignment SET active = false WHERE staff = ANY ($1)", [having, leaving])
        giving = asyncio.create_task(moved(client, ticket, "assign", assignee=str(leaving)))
        await eventually(lambda: database.fetchval("SELECT true FROM pg_locks WHERE NOT granted LIMIT 1"))
        # As for all that is still to be done of somebody who leaves.
        await database.execute("SELECT FROM ticket WHERE id = $1 FOR NO KEY UPDATE NOWAIT", UUID(ticket))
    refused = await giving
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:linli:problem:nobody-there")


@pytest.mark.parametrize(("move", "body"), [("reopen", {"note": "又灭了"}), ("rate", {"rating": 1}), ("withdraw", {})])
async def test_nothing_comes_back_unnoted_to_somebody_who_is_just_leaving(
    tickets: Running, move: str, body: dict[str, Any]
) -> None:
    """Whoever takes it up again waits for what becomes of his office, and keeps nobody from the ticket meanwhile."""
    leaving, database = await employ(tickets, "grid_worker", GRID), tickets.database
    manager = await employ(tickets, "community_manager", COMMUNITY)
    reporter, neighbour = [tickets.client("resident", "310104", uuid4()) for _ in range(2)]
    client = tickets.client("district_admin", DISTRICT)
    ticket = named = await opened(reporter)
    await done(client, ticket, "assign", assignee=str(leaving))
    if move == "withdraw":
        reporter, named = neighbour, await opened(neighbour, unit=SIBLING)
        await done(client, ticket, "fold", into=named)
    else:
        await done(client, ticket, "resolve")
    if move == "rate":
        await done(reporter, ticket, "close")
    async with database.transaction():
        await database.execute("UPDATE known_assignment SET active = false WHERE staff = $1", leaving)
        coming = asyncio.create_task(moved(reporter, named, move, **body))
        await eventually(lambda: database.fetchval("SELECT true FROM pg_locks WHERE NOT granted LIMIT 1"))
        await database.execute("SELECT FROM ticket WHERE id = $1 FOR NO KEY UPDATE NOWAIT", UUID(named))
    assert (await coming).status_code == 200
    (event,) = await told(tickets, ticket)
    assert (event["assignee"], event["supervisors"]) == (str(leaving), [str(manager)])


async def test_nothing_comes_back_unnoted_through_open311_either(tickets: Running, lamp: str) -> None:
    leaving, database = await employ(tickets, "grid_worker", GRID), tickets.database
    client, key = tickets.client("district_admin", DISTRICT), (await new_key(tickets))["key"]
    ticket = await posted(tickets.client(), key, service_code=lamp)
    await done(client, ticket, "assign", assignee=str(leaving))
    await done(client, ticket, "resolve")
    update = {
        "api_key": key,
        "jurisdiction_id": STREET,
        "service_request_id": ticket,
        "update_id": "1",
        "updated_datetime": "2026-11-22T08:00:00+08:00",
        "status": "open",
        "description": "又灭了",
    }
    async with database.transaction():
        await database.execute("UPDATE known_assignment SET active = false WHERE staff = $1", leaving)
        coming = asyncio.create_task(tickets.client().post(f"{ROOT}/servicerequestupdates.json", data=update))
        await eventually(lambda: database.fetchval("SELECT true FROM pg_locks WHERE NOT granted LIMIT 1"))
    assert (await coming).status_code == 200
    assert [event["assignee"] for event in await told(tickets, ticket)] == [str(leaving)]


async def test_what_several_had_who_leave_is_locked_by_its_ids(tickets: Running) -> None:
    """As corrections of the calendar and folds do: otherwise they could wait for each other."""
    early, late = sorted([uuid4(), uuid4()])
    database = tickets.database
    people = [await employ(tickets, "grid_worker", GRID) for _ in range(2)]
    first, second = [await given(tickets, staff) for staff in people]
    for office, staff in ((late, people[0]), (early, people[1])):  # the later ticket is of who is noted earlier
        await database.execute("UPDATE known_assignment SET id = $1 WHERE staff = $2", office, staff)
    ended = [
        AssignmentChanged(
            assignment=office, staff=staff, unit=units.parse(GRID), role="grid_worker", sequence=2, active=False
        )
        for office, staff in ((early, people[1]), (late, people[0]))
    ]
    async with database.transaction():
        await database.execute("SELECT FROM ticket WHERE id = $1 FOR NO KEY UPDATE", UUID(first))
        leaving = asyncio.create_task(left_together(tickets, ended))
        await eventually(lambda: database.fetchval("SELECT true FROM pg_locks WHERE NOT granted LIMIT 1"))
        await database.execute("SELECT FROM ticket WHERE id = $1 FOR NO KEY UPDATE NOWAIT", UUID(second))
    await leaving
    for ticket in (first, second):
        assert len(await told(tickets, ticket)) == 1


async def test_who_leaves_two_offices_at_once_is_noted_once(tickets: Running) -> None:
    leaving = await employ(tickets, "community_manager", COMMUNITY)
    await employ(tickets, "grid_worker", GRID, leaving)
    ticket = await given(tickets, leaving)
    offices = await tickets.database.fetch("SELECT * FROM known_assignment WHERE staff = $1", leaving)
    ended = [
        AssignmentChanged(
            assignment=one["id"], staff=leaving, unit=one["unit"], role=one["role"], sequence=2, active=False
        )
        for one in offices
    ]
    await left_together(tickets, ended)
    assert len(await told(tickets, ticket)) == 1


async def left_together(tickets: Running, ended: list[AssignmentChanged]) -> None:
    """Have the directory's word of several offices come at once."""
    async with transaction(tickets.app.state.sessions, Scope.of_district(310104)) as session:
        await keep_assignments(session, ended)
