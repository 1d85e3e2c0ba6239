"""Who reported the same as another: what he is told, which ticket he follows, and who sees what he has said."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET, employ
from services.tickets.tests.test_moves import done, moved, opened, read, told

from linli.testing import Running

UNITS = (MICRO, MICRO, SIBLING, MICRO)
PARTS = [{"title": "修灯", "description": "更换灯泡"}, {"title": "修路", "description": "填平路面"}]


@pytest.fixture
def residents(tickets: Running) -> list[httpx.AsyncClient]:
    return [tickets.client("resident", "310104", uuid4()) for _ in range(4)]


@pytest.fixture
def district(tickets: Running) -> httpx.AsyncClient:
    return tickets.client("district_admin", "310104")


@pytest.fixture
async def public(district: httpx.AsyncClient) -> str:
    body = {"name": "路灯", "name_en": "Lamps", "visibility": "public"}
    answer = await district.put("/tickets/v1/categories/lamp", json=body, headers={"If-Match": "*"})
    assert answer.status_code in {200, 201}, answer.text
    return "lamp"


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


async def test_what_others_follow_from_now_on_is_written_and_told(
    tickets: Running, residents: list[httpx.AsyncClient], district: httpx.AsyncClient
) -> None:
    one, two, three, four = [await opened(client, unit=unit) for client, unit in zip(residents, UNITS, strict=True)]
    await done(district, four, "fold", into=three)
    await done(district, two, "fold", into=one)
    await done(district, three, "fold", into=one)
    await done(residents[0], one, "withdraw")
    stands = [await read(client, ticket) for client, ticket in zip(residents, (one, two, three, four), strict=True)]
    assert [ticket["folded_into"] for ticket in stands] == [None, None, two, three]
    assert [ticket["version"] for ticket in stands[2:]] == [2 + 1, 2], "it is no step of theirs"
    (event,) = await told(tickets, two, "unfolded")
    assert event["followers"] == sorted(ticket["reporter"] for ticket in stands[2:])


async def test_what_becomes_a_case_takes_along_what_was_folded_into_it(
    tickets: Running, residents: list[httpx.AsyncClient], district: httpx.AsyncClient, public: str
) -> None:
    app, manager = tickets.client("app", "310104"), tickets.client("community_manager", COMMUNITY)
    team = {"name": "调解队", "members": [str(await employ(tickets, "community_manager", COMMUNITY))]}
    assert (await district.put(f"/tickets/v1/case-teams/{STREET}/1", json=team)).status_code == 200
    one, two, three = [
        await opened(client, unit=unit, category=public)
        for client, unit in zip(residents, (MICRO, MICRO, SIBLING), strict=False)
    ]
    await done(district, three, "fold", into=two)
    await done(district, two, "fold", into=one)
    assert [(await app.get(f"/tickets/v1/tickets/{ticket}")).status_code for ticket in (one, two, three)] == [200] * 3
    assert (await moved(manager, one, "case", grade=1)).status_code == 201
    for client, ticket in zip(residents, (one, two, three), strict=False):
        assert (await app.get(f"/tickets/v1/tickets/{ticket}")).status_code == 404
        assert (await read(client, ticket))["visibility"] == "private"
    path = "/tickets/open311/v2/requests.json"
    listed = (await residents[0].get(path, params={"jurisdiction_id": "310104"})).json()
    assert {one, two, three}.isdisjoint(found["service_request_id"] for found in listed)


async def test_what_is_folded_into_what_is_private_is_private(
    tickets: Running, residents: list[httpx.AsyncClient], district: httpx.AsyncClient, public: str
) -> None:
    app = tickets.client("app", "310104")
    body = {"name": "家事", "name_en": "Family", "visibility": "private"}
    assert (await district.put("/tickets/v1/categories/family", json=body)).status_code == 201
    one = await opened(residents[0], category="family")
    two, three = [await opened(client, category=public) for client in residents[1:3]]
    await done(district, three, "fold", into=two)
    folded = await done(district, two, "fold", into=one)
    assert (folded["visibility"], folded["version"]) == ("private", 3)
    assert await read(district, two) | {"possible": []} == folded | {"possible": []}
    assert [(await app.get(f"/tickets/v1/tickets/{ticket}")).status_code for ticket in (two, three)] == [404] * 2
    # It stays so: it is the same matter.
    await done(residents[0], one, "withdraw")
    assert (await read(residents[1], two))["visibility"] == "private"


async def test_folding_into_what_is_private_waits_for_no_work_on_its_parts(
    tickets: Running, residents: list[httpx.AsyncClient], district: httpx.AsyncClient
) -> None:
    family = {"name": "家事", "name_en": "Family", "visibility": "private"}
    await district.put("/tickets/v1/categories/family", json=family, headers={"If-Match": "*"})
    worker_id = await employ(tickets, "grid_worker", GRID)
    worker = tickets.client("grid_worker", GRID, worker_id)
    for _ in range(5):
        whole = await opened(residents[0], category="family")
        parts = [part["id"] for part in (await done(district, whole, "split", parts=PARTS * 5))["items"]]
        for part in (parts[0], parts[-1]):
            await done(district, part, "assign", assignee=str(worker_id))
        same = await opened(residents[1])
        answers = await asyncio.gather(
            moved(district, same, "fold", into=whole),
            *(moved(worker, part, "resolve") for part in (parts[-1], parts[0])),
        )
        assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_who_withdrew_what_had_followed_is_told_no_more_and_not_taken_up(
    tickets: Running, residents: list[httpx.AsyncClient], district: httpx.AsyncClient
) -> None:
    """What once followed another was followed by that in turn, and has ended."""
    worker = await employ(tickets, "grid_worker", GRID)
    twice, once, third = residents[:3]
    one, two, three = await opened(twice), await opened(twice), await opened(once, unit=SIBLING)
    await done(district, three, "fold", into=two)
    await done(district, two, "fold", into=one)
    await done(twice, one, "withdraw")
    assert (await read(twice, two))["folded_into"] == three
    await done(once, three, "withdraw")
    assert ((await read(twice, two))["state"], (await read(twice, two))["followers"]) == ("open", 0)
    same = await opened(third, unit=SIBLING)
    await done(district, same, "fold", into=two)
    await done(district, two, "assign", assignee=str(worker))
    await done(tickets.client("grid_worker", GRID, worker), two, "resolve")
    await done(twice, two, "reopen", note="又灭了")
    for what in ("resolved", "reopened"):
        (event,) = await told(tickets, two, what)
        assert event["followers"] == [(await read(third, same))["reporter"]], "though the worker does not see it"
    assert "withdraw" in (await read(twice, two))["possible"]
    await done(twice, two, "withdraw")
    assert (await read(third, same))["state"] == "open"
    assert (await read(once, three))["outcome"] == "withdrawn"


@pytest.mark.parametrize("how", ["hotline", "app"])
async def test_who_took_reports_down_for_many_ends_one_of_them_alone(
    tickets: Running, district: httpx.AsyncClient, how: str
) -> None:
    """They have one reporter, and are of several people: the other one's goes on."""
    desk_id = await employ(tickets, "community_manager", COMMUNITY)
    client, source = {
        "hotline": (tickets.client("community_manager", COMMUNITY, desk_id), "hotline"),
        "app": (tickets.client("app", "310104", uuid4()), "app"),
    }[how]
    one, two = [await opened(client, source=source, reference=str(uuid4())) for _ in range(2)]
    await done(district, two, "fold", into=one)
    await done(client, one, "withdraw")
    assert (await read(client, two))["state"] == "open"


async def test_who_reported_twice_ends_both(residents: list[httpx.AsyncClient], district: httpx.AsyncClient) -> None:
    one, two = [await opened(residents[0]) for _ in range(2)]
    await done(district, two, "fold", into=one)
    await done(residents[0], one, "withdraw")
    assert (await read(residents[0], two))["state"] == "closed"
