"""What residents are shown of others' reports before they open one: no more than Open311 shows to everybody."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET
from services.tickets.tests.test_moves import opened
from services.tickets.tests.test_open311 import ROOT, new_key, posted

from linli.testing import Running

PLACE = {"latitude": 31.21, "longitude": 121.44}
SAID: dict[str, Any] = {"title": "我家楼下的灯", **PLACE, "subject_kind": "resident", "subject": "resident-7"}


@pytest.fixture
async def lamp(tickets: Running) -> str:
    body = {"name": "路灯", "name_en": "Lamps", "visibility": "public"}
    code = f"lamp_{uuid4().hex[:8]}"
    answer = await tickets.client("district_admin", "310104").put(f"/tickets/v1/categories/{code}", json=body)
    assert answer.status_code == 201, answer.text
    return code


@pytest.fixture
def neighbour(tickets: Running) -> httpx.AsyncClient:
    return tickets.client("resident", "310104", uuid4())


async def similar(client: httpx.AsyncClient, **params: str | float) -> list[dict[str, Any]]:
    answer = await client.get("/tickets/v1/tickets/similar", params={"unit": MICRO, **params})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_of_what_others_reported_residents_are_shown_what_everybody_is(
    tickets: Running, neighbour: httpx.AsyncClient, lamp: str
) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter, **SAID, category=lamp)
    (found,) = await similar(neighbour, category=lamp)
    assert found == {
        "id": ticket,
        "unit": COMMUNITY,
        "title": None,
        "latitude": None,
        "longitude": None,
        "category": lamp,
        "state": "open",
        "opened_at": found["opened_at"],
    }
    for client, unit in ((reporter, "310104"), (tickets.client("community_manager", COMMUNITY), COMMUNITY)):
        (found,) = await similar(client, category=lamp, unit=unit)
        assert (found["title"], found["latitude"], found["unit"]) == (SAID["title"], 31.21, MICRO)


@pytest.mark.parametrize(
    "asked",
    [
        {"unit": GRID[:12] + "999"},
        {"latitude": 31.21, "longitude": 121.44},
        {"latitude": 31.25, "longitude": 121.44},
        {"subject": "resident-7"},
        {"subject": "resident-8"},
    ],
    ids=str,
)
async def test_nobody_finds_out_by_asking_where_it_is_or_whom_it_is_about(
    tickets: Running, neighbour: httpx.AsyncClient, lamp: str, asked: dict[str, str | float]
) -> None:
    """What is in the community is there, whatever is asked for in it."""
    ticket = await opened(tickets.client("resident", "310104", uuid4()), **SAID, category=lamp)
    assert [found["id"] for found in await similar(neighbour, category=lamp, **asked)] == [ticket]
    assert await similar(neighbour, category=lamp, **asked | {"unit": SIBLING}) == []


async def test_what_came_through_open311_was_published(
    tickets: Running, neighbour: httpx.AsyncClient, lamp: str
) -> None:
    key = (await new_key(tickets))["key"]
    ticket = await posted(tickets.client(), key, service_code=lamp, address_id=MICRO, lat="31.21", long="121.44")
    (shown,) = (await neighbour.get(f"{ROOT}/requests/{ticket}.json", params={"jurisdiction_id": STREET})).json()
    (found,) = await similar(neighbour, category=lamp, **PLACE)
    assert (found["id"], found["title"], found["latitude"]) == (ticket, shown["description"], shown["lat"])
    assert (found["unit"], shown["address_id"]) == (COMMUNITY, COMMUNITY)
    assert await similar(neighbour, category=lamp, **PLACE | {"latitude": 31.25}) == []
    (found,) = await similar(tickets.client("community_manager", COMMUNITY), category=lamp)
    assert found["unit"] == MICRO


@pytest.mark.parametrize(
    "asked",
    [{"unit": MICRO}, {"unit": GRID[:12] + "999"}, {"subject": "resident-7"}, {"latitude": 31.25, "longitude": 121.44}],
    ids=str,
)
async def test_nobody_finds_out_by_asking_at_which_door_that_was(
    tickets: Running, neighbour: httpx.AsyncClient, lamp: str, asked: dict[str, str | float]
) -> None:
    """What came without coordinates is in its community, and not more exactly anywhere."""
    key = (await new_key(tickets))["key"]
    ticket = await posted(tickets.client(), key, service_code=lamp, address_id=MICRO)
    assert [(found["id"], found["unit"]) for found in await similar(neighbour, category=lamp, **asked)] == [
        (ticket, COMMUNITY)
    ]
    assert await similar(neighbour, category=lamp, **asked | {"unit": SIBLING}) == []


async def test_an_app_finds_what_it_sees(tickets: Running, lamp: str) -> None:
    ticket = await opened(tickets.client("resident", "310104", uuid4()), **SAID, category=lamp)
    app = tickets.client("app", "310104")
    (found,) = await similar(app, category=lamp, **PLACE)
    assert (found["id"], found["title"]) == (ticket, SAID["title"])
    assert await similar(app, category=lamp, **PLACE | {"latitude": 31.25}) == []
