"""What a ticket says is possible (可执行操作) is the caller's to do, with the token that he has."""

from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, STREET, employ

from linli.testing import Running

BODIES: dict[str, dict[str, object]] = {
    "assign": {"assignee": str(UUID(int=1))},
    "rate": {"rating": 4},
    "split": {"parts": [{"title": "灯", "description": "灯"}] * 2},
    "whistle": {"departments": ["nobody"]},
    "case": {"grade": 3},
    "hand_down": {"unit": GRID},
}
STEPS = {"open": 0, "assigned": 1, "resolved": 2, "closed": 3}


async def moved(client: httpx.AsyncClient, ticket: str, move: str, **body: object) -> httpx.Response:
    return await client.post(f"/tickets/v1/tickets/{ticket}/{move}", json=body, headers={"If-Match": "*"})


async def opened(tickets: Running, who: UUID, state: str) -> str:
    """Have somebody report a matter, be given it, and bring it to a state."""
    manager = tickets.client("community_manager", COMMUNITY, await employ(tickets, "community_manager", COMMUNITY))
    body = {"unit": COMMUNITY, "title": "路灯不亮", "description": "路灯不亮"}
    reporter = tickets.client("resident", STREET[:6], who)
    ticket = str((await reporter.post("/tickets/v1/tickets", json=body)).json()["id"])
    steps = ((manager, "assign"), (manager, "resolve"), (reporter, "close"))
    for client, move in steps[: STEPS[state]]:
        said = {"assignee": str(who)} if move == "assign" else {}
        assert (await moved(client, ticket, move, **said)).status_code == 200
    return ticket


@pytest.mark.parametrize("state", STEPS)
@pytest.mark.parametrize(
    ("role", "kept_from"),
    [
        ("resident", {"ask", "escalate", "resolve"}),
        ("app", {"ask", "escalate", "resolve", "rate"}),
        ("department_staff", {"withdraw", "close", "reopen", "rate"}),
        ("community_manager", set()),
    ],
)
async def test_nobody_is_offered_what_his_token_does_not_permit(
    tickets: Running, role: str, kept_from: set[str], state: str
) -> None:
    """The caller has reported the matter and was given it, but with another role than what that takes."""
    who = await employ(tickets, "grid_worker", COMMUNITY)
    ticket = await opened(tickets, who, state)
    caller = tickets.client(role, COMMUNITY, who)
    stands = await caller.get(f"/tickets/v1/tickets/{ticket}")
    if stands.status_code == 404:
        assert (role, state) == ("department_staff", "open")
        return
    possible = set(stands.json()["possible"])
    assert "note" in possible
    assert not possible & kept_from
    for move in possible:
        # Of another version than the ticket's: what is permitted is refused for that alone.
        body = {"into": ticket} if move == "fold" else BODIES.get(move, {"note": "说明"})
        path = f"/tickets/v1/tickets/{ticket}/{move}"
        answer = await caller.post(path, json=body, headers={"If-Match": '"0"'})
        assert answer.status_code == 412, (move, answer.text)


async def test_who_reported_it_is_offered_what_is_his(tickets: Running) -> None:
    who = uuid4()
    ticket = await opened(tickets, who, "open")
    for role, offered in (("resident", ["withdraw", "note"]), ("app", ["withdraw", "note"])):
        stands = await tickets.client(role, STREET, who).get(f"/tickets/v1/tickets/{ticket}")
        assert stands.json()["possible"] == offered
