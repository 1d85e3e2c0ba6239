"""Who answers for a department where a ticket lies: only they are called, told, and given what is for it."""

from uuid import UUID

import pytest
from services.tickets.tests.conftest import COMMUNITY, SIBLING, STREET, employ
from services.tickets.tests.test_departments import DISTRICT, join, made
from services.tickets.tests.test_sight import moved, opened
from services.tickets.tests.test_whistles import post, told

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
    near, wide, _ = await joined(tickets, "spread", STREET, DISTRICT, ELSEWHERE)
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
