"""A question (询问) to whoever reported through Open311, or as an app, is read and answered there."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, STREET, employ

from linli.testing import Running

ROOT = "/tickets/open311/v2"
IN_STREET = {"jurisdiction_id": STREET}
QUESTION = "是哪一根灯杆?"


@pytest.fixture
async def manager(tickets: Running) -> httpx.AsyncClient:
    who = await employ(tickets, "community_manager", COMMUNITY)
    return tickets.client("community_manager", COMMUNITY, who)


async def moved(client: httpx.AsyncClient, ticket: str, move: str, **body: object) -> httpx.Response:
    return await client.post(f"/tickets/v1/tickets/{ticket}/{move}", json=body, headers={"If-Match": "*"})


@pytest.fixture
async def key(tickets: Running) -> str:
    admin = tickets.client("district_admin", STREET[:6])
    body = {"name": "路灯", "name_en": "Lamp", "visibility": "public"}
    await admin.put("/tickets/v1/categories/lamp", json=body, headers={"If-None-Match": "*"})
    return str((await admin.post("/tickets/v1/open311-keys", json={"name": "某应用", "unit": STREET})).json()["key"])


async def reported(tickets: Running, key: str) -> str:
    body = {**IN_STREET, "api_key": key, "service_code": "lamp", "description": "路灯不亮", "address_id": COMMUNITY}
    answer = await tickets.client().post(f"{ROOT}/requests.json", data=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()[0]["service_request_id"])


async def updated(tickets: Running, key: str, ticket: str, **said: str) -> str:
    body = {
        **IN_STREET,
        "api_key": key,
        "service_request_id": ticket,
        "updated_datetime": "2026-11-22T08:00:00Z",
        "status": "open",
        **said,
    }
    answer = await tickets.client().post(f"{ROOT}/servicerequestupdates.json", data=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()[0]["update_id"])


async def updates_of(tickets: Running, ticket: str) -> list[str]:
    found = (await tickets.client().get(f"{ROOT}/servicerequestupdates.json", params=IN_STREET)).json()
    return [one["description"] for one in found if one["service_request_id"] == ticket]


async def read(tickets: Running, ticket: str) -> dict[str, Any]:
    (found,) = (await tickets.client().get(f"{ROOT}/requests/{ticket}.json", params=IN_STREET)).json()
    seen: dict[str, Any] = found
    return seen


async def test_a_question_is_read_and_answered_through_open311(
    tickets: Running, key: str, manager: httpx.AsyncClient
) -> None:
    ticket = await reported(tickets, key)
    assert (await moved(manager, ticket, "ask", note="先问一句")).status_code == 200
    await updated(tickets, key, ticket, update_id="first", description="说")
    assert (await moved(manager, ticket, "ask", note=QUESTION)).status_code == 200
    stands = await read(tickets, ticket)
    assert (stands["status"], stands["status_notes"]) == (
        "open",
        f"等待诉求人补充 Waiting for the reporter: {QUESTION}",
    )
    assert (await updates_of(tickets, ticket))[-1] == QUESTION
    running = "SELECT array_agg(kind ORDER BY kind) FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(running, ticket) is None
    made = await updated(tickets, key, ticket, update_id="second", description="17 号")
    assert await updated(tickets, key, ticket, update_id="second", description="17 号") == made
    row = await tickets.database.fetchrow("SELECT state, version FROM ticket WHERE id = $1", ticket)
    assert tuple(row) == ("open", 5)
    assert await tickets.database.fetchval(running, ticket) == ["answer", "solve"]
    assert (await updates_of(tickets, ticket))[-1] == "17 号"
    assert QUESTION not in (await read(tickets, ticket))["status_notes"]
    told = [one["ticket"] for one in await tickets.events("tickets.answered.v1")]
    assert told.count(ticket) == 2


async def test_what_was_asked_of_a_resident_is_not_published(
    tickets: Running, key: str, manager: httpx.AsyncClient
) -> None:
    assert key
    resident = tickets.client("resident", STREET[:6], uuid4())
    body = {"unit": COMMUNITY, "title": "路灯不亮", "description": "我家楼下", "category": "lamp"}
    ticket = str((await resident.post("/tickets/v1/tickets", json=body)).json()["id"])
    assert (await moved(manager, ticket, "ask", note=QUESTION)).status_code == 200
    assert (await read(tickets, ticket))["status_notes"] == "等待诉求人补充 Waiting for the reporter"
    assert await updates_of(tickets, ticket) == ["已受理 Received", "等待诉求人补充 Waiting for the reporter"]
    assert (await moved(resident, ticket, "answer", note="三单元门口")).status_code == 200
    assert (await updates_of(tickets, ticket))[-1] == "诉求人已补充 The reporter has answered"


async def test_an_app_answers_ends_and_takes_back_what_it_has_reported(
    tickets: Running, manager: httpx.AsyncClient
) -> None:
    app, other = tickets.client("app", STREET, uuid4()), tickets.client("app", STREET, uuid4())
    body = {"unit": COMMUNITY, "title": "路灯不亮", "description": "路灯不亮"}
    worker = await employ(tickets, "grid_worker", COMMUNITY)

    async def opened() -> str:
        return str((await app.post("/tickets/v1/tickets", json=body)).json()["id"])

    ticket = await opened()
    assert (await moved(manager, ticket, "ask", note=QUESTION)).status_code == 200
    assert (await moved(other, ticket, "answer", note="不知道")).status_code == 403
    assert (await moved(app, ticket, "answer", note="17 号")).status_code == 200
    await moved(manager, ticket, "assign", assignee=str(worker))
    for move, said in (("reopen", {"note": "又灭了"}), ("close", {})):
        assert (await moved(manager, ticket, "resolve")).status_code == 200
        assert (await moved(other, ticket, move, **said)).status_code == 403
        assert (await moved(app, ticket, move, **said)).status_code == 200
    taken_back = await opened()
    assert (await moved(other, taken_back, "withdraw")).status_code == 403
    assert (await moved(app, taken_back, "withdraw")).status_code == 200
