from collections.abc import Mapping
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, SIBLING, STREET, employ

from linli.testing import Running

REPORT = {"unit": MICRO, "title": "楼道堆物", "description": "3号楼二楼堆放杂物，影响通行"}


async def opened(client: httpx.AsyncClient, **changes: str) -> httpx.Response:
    answer = await client.post("/tickets/v1/tickets", json={**REPORT, **changes})
    assert answer.status_code == 201, answer.text
    return answer


async def move(
    client: httpx.AsyncClient, ticket: str, step: str, body: Mapping[str, object] | None = None, etag: str = "*"
) -> httpx.Response:
    return await client.post(f"/tickets/v1/tickets/{ticket}/{step}", json=body or {}, headers={"If-Match": etag})


async def test_a_ticket_goes_from_report_to_rating_and_keeps_its_trail(tickets: Running) -> None:
    reporter = uuid4()
    worker = await employ(tickets, "grid_worker", GRID)
    resident = tickets.client("resident", "310104", reporter)
    manager = tickets.client("community_manager", COMMUNITY)
    answer = await opened(resident)
    ticket = answer.json()["id"]
    assert answer.headers["location"] == f"/tickets/v1/tickets/{ticket}"
    assert answer.json()["unit"] == MICRO
    assert answer.json()["state"] == "open"
    assigned = await move(manager, ticket, "assign", {"assignee": str(worker)}, answer.headers["etag"])
    assert assigned.json()["state"] == "assigned", assigned.text
    resolved = await move(tickets.client("grid_worker", GRID, worker), ticket, "resolve", {"note": "已清理"})
    assert resolved.json()["resolved_by"] == str(worker), resolved.text
    assert (await move(resident, ticket, "close")).json()["state"] == "closed"
    rated = await move(resident, ticket, "rate", {"rating": 5})
    assert rated.json()["rating"] == 5
    trail = (await resident.get(f"/tickets/v1/tickets/{ticket}/timeline")).json()["items"]
    assert [entry["move"] for entry in trail] == ["open", "assign", "resolve", "close", "rate"]
    assert [entry["sequence"] for entry in trail] == [1, 2, 3, 4, 5]
    published = [event for event in await tickets.events() if event["ticket"] == ticket]
    assert [event["sequence"] for event in published] == [1, 2, 3, 4, 5]
    assert published[4]["resolved_by"] == str(worker)


@pytest.mark.parametrize(
    ("done", "step", "body"),
    [
        ([], "resolve", {}),
        ([], "close", {}),
        ([], "rate", {"rating": 5}),
        (["assign"], "close", {}),
        (["assign"], "rate", {"rating": 5}),
        (["assign", "resolve"], "assign", None),
        (["assign", "resolve"], "rate", {"rating": 5}),
        (["assign", "resolve", "close"], "resolve", {}),
        (["assign", "resolve", "close"], "close", {}),
        (["assign", "resolve", "close", "rate"], "rate", {"rating": 4}),
    ],
)
async def test_an_illegal_move_is_refused_and_changes_nothing(
    tickets: Running, done: list[str], step: str, body: dict[str, object] | None
) -> None:
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    bodies: dict[str, dict[str, object]] = {"assign": {"assignee": str(manager_id)}, "rate": {"rating": 3}}
    ticket = (await opened(manager)).json()["id"]
    for before in done:
        assert (await move(manager, ticket, before, bodies.get(before))).status_code == 200
    stood = (await manager.get(f"/tickets/v1/tickets/{ticket}")).json()
    refused = await move(manager, ticket, step, bodies[step] if body is None else body)
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] in {"urn:linli:problem:illegal-move", "urn:linli:problem:already-rated"}
    assert (await manager.get(f"/tickets/v1/tickets/{ticket}")).json() == stood


async def test_only_the_assignee_or_a_manager_resolves(tickets: Running) -> None:
    manager = tickets.client("community_manager", COMMUNITY)
    worker = await employ(tickets, "grid_worker", GRID)
    ticket = (await opened(manager)).json()["id"]
    await move(manager, ticket, "assign", {"assignee": str(worker)})
    refused = await move(tickets.client("grid_worker", GRID), ticket, "resolve")
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:linli:problem:not-yours"


async def test_only_the_reporter_rates(tickets: Running) -> None:
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    resident = tickets.client("resident", "310104")
    ticket = (await opened(resident)).json()["id"]
    for client, step, body in (
        (manager, "assign", {"assignee": str(manager_id)}),
        (manager, "resolve", {}),
        (resident, "close", {}),
    ):
        assert (await move(client, ticket, step, body)).status_code == 200
    assert (await move(manager, ticket, "rate", {"rating": 5})).status_code == 403


@pytest.mark.parametrize(
    ("role", "unit"),
    [("grid_worker", SIBLING), ("grid_worker", "310104003001002"), ("resident", "310104003"), (None, "")],
)
async def test_a_ticket_goes_only_to_somebody_in_office_there(tickets: Running, role: str | None, unit: str) -> None:
    manager = tickets.client("community_manager", COMMUNITY)
    ticket = (await opened(manager)).json()["id"]
    assignee = await employ(tickets, role, unit) if role else uuid4()
    refused = await move(manager, ticket, "assign", {"assignee": str(assignee)})
    assert refused.status_code == 404
    assert refused.json()["errors"][0]["pointer"] == "#/assignee"
    assert (await manager.get(f"/tickets/v1/tickets/{ticket}")).json()["state"] == "open"


async def test_a_change_needs_the_etag_it_was_read_with(tickets: Running) -> None:
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    answer = await opened(manager)
    ticket = answer.json()["id"]
    body = {"assignee": str(manager_id)}
    assert (await manager.post(f"/tickets/v1/tickets/{ticket}/assign", json=body)).status_code == 428
    assert (await move(manager, ticket, "assign", body, answer.headers["etag"])).status_code == 200
    stale = await move(manager, ticket, "assign", body, answer.headers["etag"])
    assert stale.status_code == 412
    assert stale.json()["etag"] == '"2"'


async def test_who_sees_a_ticket(tickets: Running) -> None:
    reporter = uuid4()
    ticket = (await opened(tickets.client("resident", "310104", reporter))).json()["id"]
    path = f"/tickets/v1/tickets/{ticket}"
    may = {
        ("resident", "310104", reporter),
        ("grid_worker", GRID, None),
        ("community_manager", COMMUNITY, None),
        ("street_admin", STREET, None),
        ("district_admin", "310104", None),
    }
    may_not = {
        ("resident", "310104", None),
        ("grid_worker", "310104003001002", None),
        ("grid_worker", SIBLING, None),
        ("community_manager", "310104003002", None),
        ("street_admin", "310104004", None),
        ("district_admin", "310115", None),
        ("resident", "310115", reporter),
    }
    for role, unit, person in may:
        assert (await tickets.client(role, unit, person).get(path)).status_code == 200, (role, unit)
    absent = (await tickets.client("street_admin", STREET).get(f"/tickets/v1/tickets/{UUID(int=7)}")).json()
    for role, unit, person in may_not:
        answer = await tickets.client(role, unit, person).get(path)
        assert answer.status_code == 404, (role, unit)
        stripped = {key: value for key, value in answer.json().items() if key != "trace_id"}
        expected = {key: value for key, value in absent.items() if key != "trace_id"}
        assert str(stripped).replace(ticket, str(UUID(int=7))) == str(expected)


@pytest.mark.parametrize("unit", [FOREIGN, "310104004001", "310104"])
async def test_a_street_can_open_tickets_in_no_other_place(tickets: Running, unit: str) -> None:
    before = await tickets.database.fetchval("SELECT count(*) FROM ticket")
    refused = await tickets.client("street_admin", STREET).post("/tickets/v1/tickets", json={**REPORT, "unit": unit})
    assert refused.status_code == 403
    assert await tickets.database.fetchval("SELECT count(*) FROM ticket") == before


async def test_an_unknown_unit_is_named(tickets: Running) -> None:
    refused = await tickets.client("street_admin", STREET).post(
        "/tickets/v1/tickets", json={**REPORT, "unit": "310104003999"}
    )
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:linli:problem:unknown-unit"
    assert refused.json()["unit"] == "310104003999"


async def test_a_list_is_read_page_by_page_to_its_end(tickets: Running) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    made = [(await opened(reporter)).json()["id"] for _ in range(5)]
    seen: list[str] = []
    url: str | None = "/tickets/v1/tickets?limit=2&within=310104003"
    while url:
        page = await reporter.get(url)
        seen += [ticket["id"] for ticket in page.json()["items"]]
        url = page.links.get("next", {}).get("url")
    assert seen == made[::-1]
    cursor = (await reporter.get("/tickets/v1/tickets?limit=2")).json()["next"]
    for bad in (cursor + "x", "e30", "not a cursor", cursor):
        answer = await reporter.get("/tickets/v1/tickets", params={"cursor": bad, "state": "open"})
        assert answer.status_code == 400, bad


async def test_the_list_filters_by_state_and_person(tickets: Running) -> None:
    worker = await employ(tickets, "grid_worker", GRID)
    manager = tickets.client("community_manager", COMMUNITY)
    ticket = (await opened(manager)).json()["id"]
    await opened(manager)
    await move(manager, ticket, "assign", {"assignee": str(worker)})
    answer = await manager.get("/tickets/v1/tickets", params={"state": "assigned", "assignee": str(worker)})
    assert [found["id"] for found in answer.json()["items"]] == [ticket]


async def test_a_ticket_is_not_given_to_the_same_one_again(tickets: Running) -> None:
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    ticket = (await opened(manager)).json()["id"]
    assert (await move(manager, ticket, "assign", {"assignee": str(manager_id)})).status_code == 200
    again = await move(manager, ticket, "assign", {"assignee": str(manager_id)})
    assert (again.status_code, again.json()["type"]) == (409, "urn:linli:problem:ticket-already-assigned")
