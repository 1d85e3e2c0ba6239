"""Lists of department staff: a page costs a page, however many tickets their departments and the district have had."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from services.tickets.tests.conftest import GRID, STREET
from services.tickets.tests.test_departments import join
from services.tickets.tests.test_whistles import staffed

from linli import units
from linli.db import Scope
from linli.testing import Running, Stage, rows_read
from tickets.app import create_app

LIMIT = 20
# A fifth is for the department, and it was called to a fifth, to some of both and to some twice; a few are with
# somebody who answers for it. Others have had nothing for long, one of them a lot before that.
_TICKETS = """
    INSERT INTO ticket (district, id, unit, title, description, category, state, department, reporter, assignee,
                        opened_at, version)
    SELECT 310104, uuidv7(n * interval '-1 minute'), $1, '路灯不亮', '三天不亮',
           CASE WHEN n % 4 = 0 THEN 'noise' ELSE 'lighting' END, CASE WHEN n % 500 = 1 THEN 'assigned' ELSE 'open' END,
           CASE WHEN n % 5 = 0 THEN 'busy' WHEN n > 29997 THEN 'idle' END, gen_random_uuid(),
           CASE WHEN n % 500 = 1 THEN $2::uuid END, now(), 1
    FROM generate_series(1, 30000) AS n"""
_CALLS = """
    INSERT INTO whistle (district, id, unit, ticket_id, department, weight, caller_unit, called_by, state, called_at,
                         report_minutes, report_due_at, reported_at, reported_by, report_took, acted_at, acted_by,
                         act_took, rated_at, rated_by, rating, version)
    SELECT 310104, uuidv7(n * interval '-1 minute'), unit, id, called, 1, unit, id, 'rated', now(), 1, now(), now(), id,
           1, now(), id, 1, now(), id, 5, 1
    FROM (SELECT *, row_number() OVER (ORDER BY id DESC) AS n FROM ticket) AS ticket,
         LATERAL (SELECT 'busy' AS called WHERE n % 5 = 2 OR n % 25 = 0
                  UNION ALL SELECT 'busy' WHERE n % 25 = 2
                  UNION ALL SELECT 'idle' WHERE n > 29990
                  UNION ALL SELECT 'past' WHERE n % 5 = 3 AND n > 20000) AS calls"""
_COLLEAGUES = """
    INSERT INTO department_member (district, id, unit, department, staff)
    SELECT 310104, gen_random_uuid(), unit, code, gen_random_uuid() FROM department, generate_series(1, 2000)
    WHERE code = 'new'"""
_SEEN = """
    SELECT id FROM ticket
    WHERE (department = ANY ($1) OR assignee = $2 OR id IN (SELECT ticket_id FROM whistle WHERE department = ANY ($1)))
      AND category LIKE $3
    ORDER BY id DESC"""


@pytest.fixture(scope="module")
async def tickets(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("tickets", create_app) as running:
        await running.know_units(GRID)
        yield running


@pytest.fixture(scope="module")
async def staff(tickets: Running) -> dict[str, UUID]:
    """Fill the tables; gives who answers for which departments."""
    found = {code: await staffed(tickets, code) for code in ("busy", "idle", "past")}
    found["busy idle"] = await staffed(tickets, "new")
    for code in ("busy", "idle"):
        await join(tickets, code, found["busy idle"])
    await tickets.database.execute(_TICKETS, units.parse(GRID), found["busy"])
    await tickets.database.execute(_CALLS)
    await tickets.database.execute(_COLLEAGUES)
    for table in ("ticket", "whistle", "department_member"):
        await tickets.database.execute(f"VACUUM ANALYZE {table}")
    return found


def of(tickets: Running, staff: UUID) -> tuple[httpx.AsyncClient, Scope]:
    scope = Scope.of_unit(units.parse(STREET), staff, called=True)
    return tickets.client("department_staff", STREET, staff), scope


@pytest.mark.parametrize("category", [None, "noise"])
@pytest.mark.parametrize("whose", ["busy", "idle", "past", "busy idle"])
async def test_each_ticket_of_theirs_is_listed_once_and_no_other(
    tickets: Running, staff: dict[str, UUID], whose: str, category: str | None
) -> None:
    client, _ = of(tickets, staff[whose])
    wanted = await tickets.database.fetch(_SEEN, whose.split(), staff[whose], category or "%")
    listed: list[str] = []
    question: dict[str, str | int] = {"limit": 200} | ({"category": category} if category else {})
    while "cursor" not in question or question["cursor"]:
        page = (await client.get("/tickets/v1/tickets", params=question)).raise_for_status().json()
        listed += [item["id"] for item in page["items"]]
        question["cursor"] = page["next"]
    assert listed == [str(row["id"]) for row in wanted]


@pytest.mark.parametrize("more", [{}, {"category": "noise"}])
@pytest.mark.parametrize("whose", ["busy", "idle", "past", "busy idle"])
async def test_a_page_of_tickets_is_read_from_its_end(
    tickets: Running, staff: dict[str, UUID], whose: str, more: dict[str, str]
) -> None:
    client, scope = of(tickets, staff[whose])
    question: dict[str, str | int] = {"limit": LIMIT, **more}
    for _ in range(3):
        request = client.get("/tickets/v1/tickets", params=question)
        _, read = await rows_read(tickets, scope, request)
        # By each way a page of tickets, four times as many where a quarter is asked for; with each the call that led to
        # it, and what shows that it is for the caller.
        assert read <= 16 * (LIMIT + 1)
        question["cursor"] = (await client.get("/tickets/v1/tickets", params=question)).json()["next"] or ""
        if not question["cursor"]:
            break


@pytest.mark.parametrize("whose", ["busy", "idle", "past", "busy idle"])
async def test_a_page_of_calls_is_read_from_its_end(tickets: Running, staff: dict[str, UUID], whose: str) -> None:
    client, scope = of(tickets, staff[whose])
    asked = client.get("/tickets/v1/whistles", params={"limit": LIMIT})
    _, read = await rows_read(tickets, scope, asked)
    # Beside the page of each department, which departments these are.
    assert read <= (LIMIT + 2) * len(whose.split()) + len(staff)
