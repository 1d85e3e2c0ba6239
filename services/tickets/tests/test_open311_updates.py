"""Updates through Open311 (进展): whoever follows them alone knows how each request stands, and what was said there."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, STREET, employ
from services.tickets.tests.test_followers import PARTS
from services.tickets.tests.test_moves import People, done, moved, opened, people
from services.tickets.tests.test_open311 import ROOT, new_key, posted
from services.tickets.tests.test_similar import lamp
from services.tickets.tests.test_whistles import staffed

from linli.testing import Running
from tickets.models.moves import MOVES, State

__all__ = ["lamp", "people"]
IN_STREET = {"jurisdiction_id": STREET}


async def updates_of(tickets: Running, ticket: str) -> list[dict[str, Any]]:
    found = (await tickets.client().get(f"{ROOT}/servicerequestupdates.json", params=IN_STREET)).json()
    return [one for one in found if one["service_request_id"] == ticket]


async def test_the_last_update_says_how_a_request_stands(tickets: Running, people: People, lamp: str) -> None:
    one, two, three = [await opened(people.resident, category=lamp) for _ in range(3)]
    other = tickets.client("resident", "310104", uuid4())
    same = await opened(other, category=lamp)

    async def step(client: httpx.AsyncClient, ticket: str, move: str, **body: object) -> Any:  # noqa: ANN401
        answer = await done(client, ticket, move, **body)
        for each in (one, two, three, same):
            (shown,) = (await tickets.client().get(f"{ROOT}/requests/{each}.json", params=IN_STREET)).json()
            assert (await updates_of(tickets, each))[-1]["status"] == shown["status"], (move, shown["status_notes"])
        return answer

    await step(people.community, one, "assign", assignee=str(people.worker))
    await step(people.grid, one, "ask", note="哪一根?")
    await step(people.resident, one, "answer", note="17 号")
    await step(people.grid, one, "resolve")
    await step(people.resident, one, "reopen", note="又灭了")
    for _ in range(2):
        await step(people.grid, one, "resolve")
        await step(people.resident, one, "close")
        await step(people.resident, one, "rate", rating=1)
    await step(people.community, same, "fold", into=two)
    await step(people.resident, two, "withdraw")
    parts = [part["id"] for part in (await step(people.community, three, "split", parts=PARTS))["items"]]
    assert (await updates_of(tickets, three))[-1]["description"] == "多部门处理中 Several departments deal with it"
    for part in parts:
        await step(people.community, part, "assign", assignee=str(people.worker))
        await step(people.grid, part, "resolve")
    await step(people.resident, three, "close")

    made = await tickets.database.fetch("SELECT DISTINCT move FROM ticket_entry")
    changing = {
        move.value for move, rule in MOVES.items() if (rule.after is State.CLOSED) != (rule.before == {State.CLOSED})
    }
    assert changing <= {row["move"] for row in made}


async def test_what_waits_for_its_reporter_still_does_when_it_is_given_to_somebody(
    tickets: Running, people: People, lamp: str
) -> None:
    ticket = await opened(people.resident, category=lamp)
    await done(people.community, ticket, "ask", note="哪一根?")
    await done(people.community, ticket, "assign", assignee=str(people.worker))
    (shown,) = (await tickets.client().get(f"{ROOT}/requests/{ticket}.json", params=IN_STREET)).json()
    assert (await updates_of(tickets, ticket))[-1]["description"] == shown["status_notes"]


@pytest.mark.parametrize(("status", "state"), [("open", "assigned"), ("closed", "closed")])
async def test_what_an_app_says_as_it_confirms_or_reopens_is_shown(
    tickets: Running, people: People, lamp: str, status: str, state: str
) -> None:
    key = (await new_key(tickets))["key"]
    ticket = await posted(tickets.client(), key, service_code=lamp)
    await done(people.community, ticket, "assign", assignee=str(people.worker))
    await staffed(tickets, f"urban_{status}")
    called = await moved(people.community, ticket, "whistle", departments=[f"urban_{status}"])
    assert called.status_code == 201, "it is called off with the end, which is one more step"
    await done(people.grid, ticket, "resolve", note="内部意见")
    said = {"api_key": key, "service_request_id": ticket, "status": status, "update_id": "u-1", "description": "看过了"}
    body = {**IN_STREET, **said, "updated_datetime": "2026-11-22T08:00:00Z"}
    (made,) = (await tickets.client().post(f"{ROOT}/servicerequestupdates.json", data=body)).json()
    assert (await people.community.get(f"/tickets/v1/tickets/{ticket}")).json()["state"] == state
    last = (await updates_of(tickets, ticket))[-1]
    assert (last["update_id"], last["status"], last["description"]) == (made["update_id"], status, "看过了")


async def test_what_others_say_as_they_end_or_reopen_stays_theirs(tickets: Running, people: People, lamp: str) -> None:
    ticket = await opened(people.resident, category=lamp)
    await done(people.community, ticket, "assign", assignee=str(await employ(tickets, "grid_worker", COMMUNITY)))
    for move in ("reopen", "close"):
        await done(people.community, ticket, "resolve", note="内部意见")
        await done(people.resident, ticket, move, note="我家楼下")
    told = [one["description"] for one in await updates_of(tickets, ticket)]
    assert not {"内部意见", "我家楼下"} & set(told)
