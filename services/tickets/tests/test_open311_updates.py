"""Updates through Open311 (进展): whoever follows them alone knows how each request stands."""

from typing import Any
from uuid import uuid4

import httpx
from services.tickets.tests.conftest import STREET
from services.tickets.tests.test_followers import PARTS
from services.tickets.tests.test_moves import People, done, opened, people
from services.tickets.tests.test_open311 import ROOT
from services.tickets.tests.test_similar import lamp

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
