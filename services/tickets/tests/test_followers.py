"""Who reported the same as another: what he is told, which ticket he follows, and who sees what he has said."""

from uuid import uuid4

import httpx
import pytest
from services.tickets.tests.conftest import GRID, employ
from services.tickets.tests.test_moves import done, moved, opened, read, told

from linli.testing import Running

PARTS = [{"title": "修灯", "description": "更换灯泡"}, {"title": "修路", "description": "填平路面"}]


@pytest.fixture
def residents(tickets: Running) -> list[httpx.AsyncClient]:
    return [tickets.client("resident", "310104", uuid4()) for _ in range(4)]


@pytest.fixture
def district(tickets: Running) -> httpx.AsyncClient:
    return tickets.client("district_admin", "310104")


async def test_followers_are_told_that_it_is_taken_up_again(
    tickets: Running, residents: list[httpx.AsyncClient], district: httpx.AsyncClient
) -> None:
    one, two = [await opened(client) for client in residents[:2]]
    await done(district, two, "fold", into=one)
    await done(district, one, "assign", assignee=str(await employ(tickets, "grid_worker", GRID)))
    await done(district, one, "resolve")
    await done(residents[0], one, "reopen", note="又灭了")
    await done(district, one, "resolve")
    await done(residents[0], one, "close")
    await done(residents[0], one, "rate", rating=1)
    follower = (await read(residents[1], two))["reporter"]
    assert [event["followers"] for event in await told(tickets, one, "reopened")] == [[follower]] * 2


async def test_nothing_is_folded_into_a_part(residents: list[httpx.AsyncClient], district: httpx.AsyncClient) -> None:
    """It ends before the matter does, and nobody who reported that is asked of it."""
    whole, same = [await opened(client) for client in residents[:2]]
    (part, _) = (await done(district, whole, "split", parts=PARTS))["items"]
    refused = await moved(district, same, "fold", into=part["id"])
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:not-foldable")
    assert (await read(residents[1], same))["state"] == "open"
    assert (await done(district, same, "fold", into=whole))["folded_into"] == whole
