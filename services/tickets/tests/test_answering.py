"""Who answers for a department where a ticket lies: only they are called, told, and given what is for it."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, SIBLING, STREET, employ
from services.tickets.tests.test_departments import DISTRICT, join, made
from services.tickets.tests.test_sight import describe, moved, opened
from services.tickets.tests.test_whistles import post, told

from linli import units
from linli.testing import Running

ELSEWHERE = SIBLING[:9]


async def joined(tickets: Running, code: str, *units: str) -> list[UUID]:
    """Make a department with one who answers for it in each of some units."""
    await made(tickets, code)
    staff = [await employ(tickets, "department_staff", unit) for unit in units]
    for one in staff:
        await join(tickets, code, one)
    return staff


@pytest.mark.parametrize("offices", [(), (ELSEWHERE,)], ids=["nobody", "elsewhere"])
async def test_nothing_is_for_a_department_where_nobody_answers_for_it(
    tickets: Running, offices: tuple[str, ...]
) -> None:
    here, away = f"here_{len(offices)}", f"away_{len(offices)}"
    await joined(tickets, here, STREET)
    await joined(tickets, away, *offices)
    manager = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(tickets, "other")
    parts = [{"title": code, "description": code, "department": code} for code in (here, away)]
    for move, body, pointer in (
        ("whistle", {"departments": [here, away]}, "#/departments/1"),
        ("split", {"parts": parts}, "#/parts/1/department"),
    ):
        refused = await post(manager, f"tickets/{ticket}/{move}", body)
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:linli:problem:nobody-answers"), refused.text
        assert refused.json()["errors"][0]["pointer"] == pointer
    assert (await manager.get(f"/tickets/v1/tickets/{ticket}")).json()["version"] == 1
    assert (await manager.get(f"/tickets/v1/tickets/{ticket}/whistles")).json()["items"] == []


async def test_of_a_call_only_those_are_told_who_see_the_ticket(tickets: Running) -> None:
    near, wide, away = await joined(tickets, "spread", STREET, DISTRICT, ELSEWHERE)
    was_here = (
        "INSERT INTO known_assignment (district, id, unit, staff, role, active, sequence)"
        " SELECT district, $2, $3, staff, role, false, 2 FROM known_assignment WHERE staff = $1"
    )
    await tickets.database.execute(was_here, away, uuid4(), units.parse(STREET))
    manager = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(tickets, "other")
    (whistle,) = await moved(manager, ticket, "whistle", departments=["spread"])
    department = tickets.client("department_staff", DISTRICT, wide)
    for client, step, body in (
        (department, "report", {}),
        (department, "act", {"note": "x"}),
        (manager, "rate", {"rating": 5}),
    ):
        assert (await post(client, f"whistles/{whistle['id']}/{step}", body)).status_code == 200
    for name in ("whistled", "whistle_rated"):
        (event,) = await told(tickets, ticket, name)
        assert event["members"] == sorted([str(near), str(wide)])


async def test_who_manages_a_ticket_gives_it_to_its_department_wherever_that_sits(tickets: Running) -> None:
    near, wide, away = await joined(tickets, "housing_office", STREET, DISTRICT, ELSEWHERE)
    (other,) = await joined(tickets, "water_office", DISTRICT)
    above = await employ(tickets, "district_admin", DISTRICT)
    await describe(tickets, "leaks", department="housing_office")
    community, street = tickets.client("community_manager", COMMUNITY), tickets.client("street_admin", STREET)
    routed, whole = await opened(tickets, "leaks"), await opened(tickets, "other")
    parts = [{"title": code, "description": code, "department": code} for code in ("housing_office", "water_office")]
    part = (await moved(community, whole, "split", parts=parts))["items"][0]["id"]
    for ticket, manager in ((routed, community), (part, street)):
        for staff in (away, other, above):
            refused = await post(manager, f"tickets/{ticket}/assign", {"assignee": str(staff)})
            assert (refused.status_code, refused.json()["type"]) == (404, "urn:linli:problem:nobody-there")
        for staff, unit in ((near, STREET), (wide, DISTRICT)):
            assert (await moved(manager, ticket, "assign", assignee=str(staff)))["state"] == "assigned"
            client = tickets.client("department_staff", unit, staff)
            assert "resolve" in (await client.get(f"/tickets/v1/tickets/{ticket}")).json()["possible"]
        given = [(event["assignee"], event["taken_from"]) for event in await told(tickets, ticket, "assigned")]
        assert given == [(str(near), None), (str(wide), str(near))]
        await moved(client, ticket, "resolve", note="已处理")
    assert (await post(community, f"tickets/{await opened(tickets, 'other')}/assign", {"assignee": str(wide)})).is_error


@pytest.mark.parametrize(
    ("role", "unit"), [("resident", DISTRICT), ("grid_worker", GRID), ("community_manager", COMMUNITY)]
)
async def test_who_answers_for_a_department_is_told_of_what_is_opened_for_it(
    tickets: Running, role: str, unit: str
) -> None:
    code = f"told_of_{role}"
    near, wide, _ = await joined(tickets, code, STREET, DISTRICT, ELSEWHERE)
    await describe(tickets, code, department=code)
    client = tickets.client(role, unit, uuid4())
    assert await members(tickets, await opened(tickets, code, client)) == sorted([str(near), str(wide)])
    assert await members(tickets, await opened(tickets, "other", client)) == []


async def test_who_answers_for_a_department_is_told_of_the_part_that_is_for_it(tickets: Running) -> None:
    (staff,) = await joined(tickets, "roads_office", DISTRICT)
    parts: list[dict[str, Any]] = [{"title": "路", "description": "路"}, {"title": "灯", "description": "灯"}]
    parts[0]["department"] = "roads_office"
    manager = tickets.client("community_manager", COMMUNITY)
    road, lamp = (await moved(manager, await opened(tickets, "other"), "split", parts=parts))["items"]
    assert (await members(tickets, road["id"]), await members(tickets, lamp["id"])) == ([str(staff)], [])


async def members(tickets: Running, ticket: str) -> list[str]:
    (event,) = await told(tickets, ticket, "opened")
    found: list[str] = event["members"]
    return found


async def test_a_department_that_categories_in_use_are_for_stays_in_use(tickets: Running) -> None:
    await joined(tickets, "busy", STREET)
    await describe(tickets, "busy_lamps", department="busy")
    client = tickets.client("district_admin", DISTRICT)
    path = "/tickets/v1/departments/busy"
    facts = {"unit": DISTRICT, "name": "城管", "name_en": "Urban management", "active": False}
    refused = await client.put(path, json=facts, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:still-named"), refused.text
    assert refused.json()["categories"] == "busy_lamps"
    assert (await client.put(path, json={**facts, "active": True}, headers={"If-Match": "*"})).status_code == 200
    other = {"name": "路灯", "name_en": "Lamps", "department": "busy", "active": False}
    category = "/tickets/v1/categories/busy_lamps"
    assert (await client.put(category, json=other, headers={"If-Match": "*"})).status_code == 200
    assert (await client.put(path, json=facts, headers={"If-Match": "*"})).status_code == 200
    back = await client.put(category, json={**other, "active": True}, headers={"If-Match": "*"})
    assert (back.status_code, back.json()["type"]) == (422, "urn:linli:problem:unknown-department")


async def test_a_department_is_not_retired_while_a_category_for_it_is_just_coming(tickets: Running) -> None:
    client = tickets.client("district_admin", DISTRICT)
    for number in range(10):
        code = f"racing_{number}"
        await made(tickets, code)
        facts = {"unit": DISTRICT, "name": "城管", "name_en": "Urban management", "active": False}
        category = {"name": "路灯", "name_en": "Lamps", "department": code}
        retired, named = await asyncio.gather(
            client.put(f"/tickets/v1/departments/{code}", json=facts, headers={"If-Match": "*"}),
            client.put(f"/tickets/v1/categories/{code}", json=category),
        )
        assert (retired.status_code, named.status_code) in {(200, 422), (409, 201)}
