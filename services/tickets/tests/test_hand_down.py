"""A ticket is handed down (下派) to a unit below its own, with all that belongs to it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET, employ
from services.tickets.tests.test_departments import join, made
from services.tickets.tests.test_moves import People, done, moved, people, read, told, trail
from services.tickets.tests.test_whistles import staffed

from linli import units
from linli.testing import Running

__all__ = ["people"]
RUNNING = "SELECT array_agg(kind ORDER BY kind) FROM timer WHERE aggregate = $1"


async def opened(client: httpx.AsyncClient, unit: str, **facts: object) -> str:
    body = {"unit": unit, "title": "路灯不亮", "description": "小区北门路灯三天不亮", **facts}
    answer = await client.post("/tickets/v1/tickets", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_what_came_to_a_street_gets_to_a_grid_and_its_worker(tickets: Running, people: People) -> None:
    ticket = await opened(people.resident, STREET)
    await done(people.street, ticket, "note", note="在永嘉路")
    assert (await people.community.get(f"/tickets/v1/tickets/{ticket}")).status_code == 404
    assert "hand_down" in (await read(people.street, ticket))["possible"]
    below = await done(people.street, ticket, "hand_down", unit=COMMUNITY, note="属地办理")
    assert (below["unit"], below["level"], below["handler"], below["state"]) == (
        *(COMMUNITY, "community", COMMUNITY),
        "open",
    )
    assert await tickets.database.fetchval(RUNNING, UUID(ticket)) == ["answer", "solve"]
    steps = [(entry["sequence"], entry["move"]) for entry in await trail(people.community, ticket)]
    assert steps == [(1, "open"), (2, "note"), (3, "hand_down")]
    assert below["version"] == 3
    assert (await moved(people.community, ticket, "assign", assignee=str(people.worker))).status_code == 404
    assert (await people.grid.get(f"/tickets/v1/tickets/{ticket}")).status_code == 404
    assert (await done(people.community, ticket, "hand_down", unit=GRID))["handler"] == COMMUNITY
    await done(people.community, ticket, "assign", assignee=str(people.worker))
    await done(people.grid, ticket, "resolve", note="已更换灯泡")
    assert [entry["facts"] for entry in await trail(people.grid, ticket) if entry["move"] == "hand_down"] == [
        {"from": STREET, "to": COMMUNITY, "level": "community"},
        {"from": COMMUNITY, "to": GRID, "level": "community"},
    ]
    assert await tickets.database.fetchval(RUNNING, UUID(ticket)) == ["confirm"]
    first, second = await told(tickets, ticket, "returned")
    manager = await tickets.database.fetch(
        "SELECT staff::text FROM known_assignment WHERE role = 'community_manager' AND unit = $1",
        units.parse(COMMUNITY),
    )
    assert first["unit"] == COMMUNITY
    assert set(first["supervisors"]) <= {row["staff"] for row in manager}
    assert first["supervisors"]
    assert str(people.worker) in second["supervisors"]


@pytest.mark.parametrize("visibility", ["district", "private"])
async def test_who_can_give_it_away_is_told_and_only_who_sees_it_besides(
    tickets: Running, people: People, visibility: str
) -> None:
    category = {"name": "邻里", "name_en": "Neighbours", "visibility": visibility}
    described = await people.district.put(f"/tickets/v1/categories/of_{visibility}", json=category)
    assert described.status_code == 201, described.text
    manager = await manager_id(tickets)
    ticket = await opened(people.resident, STREET, category=f"of_{visibility}")
    await done(people.street, ticket, "hand_down", unit=GRID)
    (event,) = await told(tickets, ticket, "returned")
    sees = (await people.grid.get(f"/tickets/v1/tickets/{ticket}")).status_code == 200
    assert sees is (visibility == "district")
    assert (str(people.worker) in event["supervisors"]) is sees
    assert manager in event["supervisors"]


@pytest.mark.parametrize(
    ("moves", "what"),
    [
        ([("hand_down", {"unit": "310104779001001"})], "returned"),
        ([("escalate", {"note": "需要区里协调"}), ("return", {"note": "属地办理"})], "returned"),
        ([("resolve", {}), ("reopen", {"note": "又灭了"})], "reopened"),
    ],
)
async def test_the_leader_of_a_grid_can_give_nothing_away_and_those_above_are_told_beside_him(
    tickets: Running, moves: list[tuple[str, dict[str, Any]]], what: str
) -> None:
    street, grid = "310104779", "310104779001001"
    await tickets.know_units(grid)
    await tickets.database.execute("UPDATE known_assignment SET active = false WHERE unit / 1000000000 = 310104779")
    above, leader = await employ(tickets, "street_admin", street), await employ(tickets, "community_manager", grid)
    worker, following = [str(await employ(tickets, "grid_worker", grid)) for _ in range(2)]
    resident, district = tickets.client("resident", "310104", uuid4()), tickets.client("district_admin", "310104")
    ticket = await opened(resident, street if moves[0][0] == "hand_down" else grid)
    if what == "reopened":
        await done(district, ticket, "assign", assignee=worker)
    for move, body in moves:
        await done(district, ticket, move, **body)
    (event,) = await told(tickets, ticket, what)
    assert event["supervisors"][:2] == [str(above), str(leader)]
    for role, unit, who, status in (("community_manager", grid, leader, 403), ("street_admin", street, above, 200)):
        gives = await moved(tickets.client(role, unit, who), ticket, "assign", assignee=following)
        assert gives.status_code == status, gives.text


async def test_staff_of_its_department_who_see_it_only_there_are_told(tickets: Running, people: People) -> None:
    await made(tickets, "lamps")
    told_before, below = [await employ(tickets, "department_staff", unit) for unit in ("310104", STREET)]
    for staff in (told_before, below):
        await join(tickets, "lamps", staff)
    category = {"name": "灯", "name_en": "Lamps", "department": "lamps"}
    described = await people.district.put("/tickets/v1/categories/lamps", json=category)
    assert described.status_code == 201, described.text
    ticket = await opened(people.resident, "310104", category="lamps")
    client = tickets.client("department_staff", STREET, below)
    assert (await client.get(f"/tickets/v1/tickets/{ticket}")).status_code == 404
    await done(people.district, ticket, "hand_down", unit=COMMUNITY)
    assert (await client.get(f"/tickets/v1/tickets/{ticket}")).status_code == 200
    await done(people.community, ticket, "hand_down", unit=GRID)
    assert [event["members"] for event in await told(tickets, ticket, "opened")] == [[str(told_before)]]
    assert [event["members"] for event in await told(tickets, ticket, "returned")] == [[str(below)], []]


async def test_all_that_belongs_to_it_lies_where_it_does(tickets: Running, people: People) -> None:
    await staffed(tickets, "lights")
    ticket = await opened(people.resident, STREET)
    same = await opened(people.resident, STREET)
    await done(people.street, same, "fold", into=ticket)
    called = await moved(people.street, ticket, "whistle", departments=["lights"])
    assert called.status_code == 201, called.text
    await tickets.database.execute(
        "INSERT INTO ticket_file"
        " (district, id, unit, ticket_id, reporter, slot, uploader, kind, size, added_at, version)"
        " SELECT district, $2, unit, id, reporter, 1, reporter, 'pdf', 1, now(), 1 FROM ticket WHERE id = $1",
        *(UUID(ticket), uuid4()),
    )
    await done(people.street, ticket, "hand_down", unit=COMMUNITY)
    for table in ("ticket_entry", "ticket_file", "ticket_follower", "whistle"):
        lies = f"SELECT array_agg(DISTINCT unit) FROM {table} WHERE ticket_id = $1"  # noqa: S608 of constants
        assert await tickets.database.fetchval(lies, UUID(ticket)) == [units.parse(COMMUNITY)], table
    timers = await tickets.database.fetch(
        "SELECT kind, unit FROM timer"
        " WHERE aggregate = $1 OR aggregate IN (SELECT id FROM whistle WHERE ticket_id = $1)",
        UUID(ticket),
    )
    assert {(row["kind"], row["unit"]) for row in timers} == {
        (kind, units.parse(COMMUNITY)) for kind in ("answer", "solve", "report")
    }
    await done(people.community, ticket, "assign", assignee=await manager_id(tickets))
    assert await tickets.database.fetchval(RUNNING, UUID(ticket)) == ["solve"]


async def test_who_reported_the_same_goes_on_where_it_was_handed_down_to(tickets: Running, people: People) -> None:
    own = [tickets.client("resident", "310104", uuid4()) for _ in range(3)]
    one, two, three = [await opened(client, STREET) for client in own]
    await done(people.street, two, "fold", into=one)
    await done(people.street, three, "fold", into=one)
    await done(people.street, one, "hand_down", unit=GRID)
    await done(people.community, one, "assign", assignee=str(people.worker))
    await done(own[0], one, "withdraw")
    stands = await read(own[1], two)
    assert (stands["unit"], stands["level"], stands["state"], stands["assignee"]) == (
        *(GRID, "community", "assigned"),
        str(people.worker),
    )
    steps = await trail(people.grid, two)
    assert [(step["sequence"], step["move"]) for step in steps] == [(1, "open"), (2, "fold"), (3, "unfold")]
    assert stands["version"] == 3
    assert steps[-1]["facts"] == {"withdrawn": one, "assignee": str(people.worker), "from": STREET, "to": GRID}
    assert await tickets.database.fetchval(RUNNING, UUID(two)) == ["solve"]
    for table, of in (("ticket_entry", "ticket_id"), ("ticket_follower", "ticket_id"), ("timer", "aggregate")):
        lies = f"SELECT array_agg(DISTINCT unit) FROM {table} WHERE {of} = $1"  # noqa: S608 of constants
        assert await tickets.database.fetchval(lies, UUID(two)) == [units.parse(GRID)], table
    (event,) = await told(tickets, two, "unfolded")
    assert (event["unit"], event["assignee"], len(event["supervisors"]) > 0) == (GRID, str(people.worker), True)
    await done(people.grid, two, "resolve")
    assert (await read(own[2], three))["folded_into"] == two


@pytest.mark.parametrize("visibility", ["district", "private"])
async def test_who_sees_what_goes_on_only_where_it_was_handed_down_to_is_told(
    tickets: Running, people: People, visibility: str
) -> None:
    code = await made(tickets, f"goes_on_{visibility}")
    told_before, below = [await employ(tickets, "department_staff", unit) for unit in ("310104", COMMUNITY)]
    for staff in (told_before, below):
        await join(tickets, code, staff)
    category = {"name": "灯", "name_en": "Lamps", "department": code, "visibility": visibility}
    assert (await people.district.put(f"/tickets/v1/categories/{code}", json=category)).status_code == 201
    own = [tickets.client("resident", "310104", uuid4()) for _ in range(2)]
    one, two = [await opened(client, STREET, category=code) for client in own]
    await done(people.street, two, "fold", into=one)
    await done(people.street, one, "hand_down", unit=GRID)
    await done(own[0], one, "withdraw")
    (event,) = await told(tickets, two, "unfolded")
    assert event["members"] == [str(below)]
    sees = (await people.grid.get(f"/tickets/v1/tickets/{two}")).status_code == 200
    assert sees is (visibility == "district")
    assert (str(people.worker) in event["workers"]) is sees


async def manager_id(tickets: Running) -> str:
    return str(await employ(tickets, "community_manager", COMMUNITY))


async def test_clocks_go_on_where_the_level_stays(people: People) -> None:
    ticket = await opened(people.resident, COMMUNITY)
    due = (await read(people.community, ticket))["answer_due_at"]
    below = await done(people.community, ticket, "hand_down", unit=MICRO)
    assert (below["unit"], below["answer_due_at"]) == (MICRO, due)
    assert "hand_down" not in (await read(people.community, ticket))["possible"]


async def test_what_was_raised_is_handed_down_with_who_has_it(tickets: Running, people: People) -> None:
    ticket = await opened(people.resident, COMMUNITY)
    manager = await manager_id(tickets)
    await done(people.community, ticket, "assign", assignee=manager)
    await done(people.community, ticket, "escalate", note="需要街道协调")
    assert (await moved(people.community, ticket, "hand_down", unit=GRID)).status_code == 403
    below = await done(people.street, ticket, "hand_down", unit=GRID, note="请网格办理")
    assert (below["level"], below["assignee"], below["state"]) == ("community", manager, "assigned")
    assert await tickets.database.fetchval(RUNNING, UUID(ticket)) == ["solve"]


@pytest.mark.parametrize("unit", [STREET, "310104", SIBLING, "310104003999", "310115005001"])
async def test_only_a_unit_below_it_that_is_there_takes_it_over(people: People, unit: str) -> None:
    ticket = await opened(people.resident, STREET)
    refused = await moved(people.street, ticket, "hand_down", unit=unit)
    assert refused.status_code == 422, refused.text
    assert (await read(people.street, ticket))["unit"] == STREET
    assert (await moved(people.resident, ticket, "hand_down", unit=COMMUNITY)).status_code == 403
    assert (await moved(people.grid, ticket, "hand_down", unit=COMMUNITY)).status_code in {403, 404}


async def test_each_step_counts_where_the_ticket_lay_then(tickets: Running, people: People) -> None:
    """What a past day came to stays, and what is open is counted once, where it is."""
    street = "310104777"
    community = f"{street}001"
    (ticket,) = await opened_days_ago(tickets, [people.resident], street, community)
    before = await figures(people.district, street)
    await done(people.district, ticket, "hand_down", unit=community)
    after = await figures(people.district, street)
    today = max(after)
    assert {day: cells for day, cells in after.items() if day != today} == {
        day: cells for day, cells in before.items() if day != today
    }
    assert after[today] == {community: (0, 1)}
    await done(people.district, ticket, "assign", assignee=str(await employ(tickets, "district_admin", "310104")))
    await done(people.district, ticket, "resolve")
    await done(people.resident, ticket, "close")
    assert (await figures(people.district, street))[today] == {community: (0, 0)}


async def test_each_step_counts_where_the_ticket_lay_before_it_was_taken_up_elsewhere(
    tickets: Running, people: People
) -> None:
    street = "310104778"
    community = f"{street}001"
    own = [tickets.client("resident", "310104", uuid4()) for _ in range(2)]
    one, two = await opened_days_ago(tickets, own, street, community)
    before = await figures(people.district, street)
    await done(people.district, two, "fold", into=one)
    await done(people.district, one, "hand_down", unit=community)
    await done(own[0], one, "withdraw")
    after = await figures(people.district, street)
    today = max(after)
    assert {day: cells for day, cells in after.items() if day != today} == {
        day: cells for day, cells in before.items() if day != today
    }
    assert after[today] == {street: (0, 0), community: (0, 1)}


async def opened_days_ago(
    tickets: Running, clients: Sequence[httpx.AsyncClient], street: str, community: str
) -> list[str]:
    """Have something been reported at a street, whose figures begin before."""
    await tickets.know_units(community)
    await tickets.database.execute("DELETE FROM figures_until")
    await tickets.database.execute(
        "INSERT INTO figures_until VALUES (310104, 310104000000000000, $1)",
        (datetime.now(UTC) - timedelta(days=9)).date(),
    )
    made = [await opened(client, street) for client in clients]
    then = datetime.now(UTC) - timedelta(days=2)
    for number, ticket in enumerate(made, start=7):
        earlier = UUID(int=int(then.timestamp() * 1000) << 80 | number)
        await tickets.database.execute(
            "UPDATE ticket_entry SET at = $2, id = $3 WHERE ticket_id = $1", UUID(ticket), then, earlier
        )
    return made


async def figures(client: httpx.AsyncClient, within: str) -> dict[str, dict[str, tuple[int, int]]]:
    """Give how many were opened and open, by day and unit."""
    days: dict[str, Any] = {
        "from": str((datetime.now(UTC) - timedelta(days=4)).date()),
        "to": str((datetime.now(UTC) + timedelta(hours=8)).date()),
    }
    answer = await client.get("/tickets/v1/figures", params={"within": within, "by": "unit", "period": "day", **days})
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for one in answer.json()["items"]:
        found.setdefault(one["start"], {})[one["key"]] = (one["opened"], one["open"])
    return found
