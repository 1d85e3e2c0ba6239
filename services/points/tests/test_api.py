import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.points.tests.conftest import COMMUNITY, MICRO, SIBLING, STREET, hear, rated

from linli.testing import Running

RULE = {"min_rating": 5, "points": 20}


async def put(
    client: httpx.AsyncClient, body: dict[str, Any], etag: str | None, unit: str = STREET, code: str = "ticket_rated"
) -> httpx.Response:
    headers = {} if etag is None else {"If-Match": etag}
    return await client.put(f"/points/v1/rules/{unit}/{code}", json=body, headers=headers)


async def test_who_has_earned_nothing_has_no_points(points: Running) -> None:
    person = uuid4()
    resident = points.client("resident", "310104", person)
    nothing = {"holder": str(person), "balance": 0, "unit": None, "opened_at": None}
    assert (await resident.get("/points/v1/me")).json() == nothing
    assert (await resident.get("/points/v1/me/transfers")).json() == {"items": [], "next": None, "balance": 0}


async def test_a_person_reads_his_points_and_what_they_are_for(points: Running) -> None:
    worker = uuid4()
    tickets = [uuid4() for _ in range(3)]
    for ticket in tickets:
        await hear(points, rated(worker, ticket=ticket))
    client = points.client("grid_worker", MICRO[:15], worker)
    account = (await client.get("/points/v1/me")).json()
    assert account["balance"] == 30
    assert account["unit"] == STREET
    statement = (await client.get("/points/v1/me/transfers")).json()
    assert statement["balance"] == 30
    assert [item["cause"] for item in statement["items"]] == [str(ticket) for ticket in tickets[::-1]]
    assert {(item["amount"], item["rule"], item["unit"]) for item in statement["items"]} == {
        (10, "ticket_rated", MICRO)
    }
    of_one = (await client.get("/points/v1/me/transfers", params={"cause": str(tickets[1])})).json()
    assert [item["cause"] for item in of_one["items"]] == [str(tickets[1])]


@pytest.mark.parametrize("path", ["me/transfers", "accounts/{}/transfers"])
async def test_transfers_are_read_page_by_page_to_their_end(points: Running, path: str) -> None:
    worker = uuid4()
    tickets = [uuid4() for _ in range(5)]
    for ticket in tickets:
        await hear(points, rated(worker, ticket=ticket))
    client = points.client("department_staff", STREET, worker)
    seen: list[str] = []
    url: str | None = f"/points/v1/{path.format(worker)}?limit=2"
    while url:
        page = await client.get(url)
        assert page.json()["balance"] == 50
        seen += [item["cause"] for item in page.json()["items"]]
        url = page.links.get("next", {}).get("url")
    assert seen == [str(ticket) for ticket in tickets[::-1]]
    assert (await client.get(f"/points/v1/{path.format(worker)}", params={"cursor": "e30"})).status_code == 400


async def test_a_street_reads_the_points_of_those_who_earned_first_in_it(points: Running) -> None:
    worker, ticket = uuid4(), uuid4()
    await hear(points, rated(worker, ticket=ticket))
    admin = points.client("street_admin", STREET)
    account = (await admin.get(f"/points/v1/accounts/{worker}")).json()
    assert (account["holder"], account["balance"]) == (str(worker), 10)
    statement = (await admin.get(f"/points/v1/accounts/{worker}/transfers?cause={ticket}")).json()
    assert [item["cause"] for item in statement["items"]] == [str(ticket)]


async def test_a_street_sets_its_first_rule_in_place_of_the_default_and_changes_it(points: Running) -> None:
    unit = "310104007"
    await points.know_units(unit)
    admin = points.client("street_admin", unit)
    default = await admin.get(f"/points/v1/rules/{unit}/ticket_rated")
    assert default.json() == {
        "unit": unit,
        "code": "ticket_rated",
        "min_rating": 4,
        "points": 10,
        "active": True,
        "version": 0,
    }
    assert default.headers["etag"] == '"0"'
    first = await put(admin, RULE, default.headers["etag"], unit)
    assert first.status_code == 200, first.text
    assert first.json() == {**default.json(), **RULE, "version": 1}
    stale = await put(admin, {**RULE, "points": 30}, default.headers["etag"], unit)
    assert stale.status_code == 412
    assert stale.json()["etag"] == '"1"'
    second = await put(admin, {**RULE, "active": False}, first.headers["etag"], unit)
    assert second.json() == {**first.json(), "active": False, "version": 2}
    assert (await admin.get(f"/points/v1/rules/{unit}/ticket_rated")).json() == second.json()


async def test_of_two_first_rules_at_once_one_is_refused(points: Running) -> None:
    unit = "310104008"
    await points.know_units(unit)
    admin = points.client("street_admin", unit)
    answers = await asyncio.gather(*(put(admin, {**RULE, "points": n}, '"0"', unit) for n in range(1, 6)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]
    kept = (await admin.get(f"/points/v1/rules/{unit}/ticket_rated")).json()
    assert kept in [answer.json() for answer in answers]


async def test_the_list_of_rules_shows_those_set_and_what_holds_elsewhere(points: Running) -> None:
    streets = ["310106001", "310106002", "310106003"]
    await points.know_units(*streets)
    admin = points.client("district_admin", "310106")
    for unit in streets:
        assert (await put(admin, RULE, '"0"', unit)).status_code == 200
    seen: list[str] = []
    url: str | None = "/points/v1/rules?limit=2"
    while url:
        page = await admin.get(url)
        assert page.json()["defaults"] == [
            {"code": "ticket_rated", "min_rating": 4, "points": 10, "active": True},
            {"code": "wish_confirmed", "min_rating": 1, "points": 20, "active": True},
        ]
        seen += [item["unit"] for item in page.json()["items"]]
        url = page.links.get("next", {}).get("url")
    assert seen == streets
    one = (await points.client("resident", "310106").get("/points/v1/rules", params={"within": streets[1]})).json()
    assert [(item["unit"], item["points"]) for item in one["items"]] == [(streets[1], 20)]


async def test_a_rule_is_changed_only_by_one_who_has_read_it(points: Running) -> None:
    admin = points.client("street_admin", STREET)
    assert (await put(admin, RULE, None)).status_code == 428
    assert (await put(admin, RULE, '"7"')).status_code == 412
    assert await points.database.fetchval("SELECT count(*) FROM earning_rule WHERE unit = $1", int(STREET) * 10**9) == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**RULE, "min_rating": 6}, "#/min_rating"),
        ({**RULE, "points": 0}, "#/points"),
        ({**RULE, "points": 10**9}, "#/points"),
        ({**RULE, "active": "yes"}, "#/active"),
        ({**RULE, "unit": STREET}, "#/unit"),
        ({"points": 1}, "#/min_rating"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused_with_a_pointer(
    points: Running, body: dict[str, Any], pointer: str
) -> None:
    refused = await put(points.client("street_admin", STREET), body, '"0"')
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("unit", "code", "problem"),
    [
        (COMMUNITY, "ticket_rated", "not-a-street"),
        ("310104", "ticket_rated", "not-a-street"),
        ("310104099", "ticket_rated", "unknown-unit"),
        ("310104003", "smiling", "unprocessable"),
        ("31010", "ticket_rated", "unprocessable"),
    ],
)
async def test_rules_are_of_known_streets_and_known_codes(points: Running, unit: str, code: str, problem: str) -> None:
    admin = points.client("district_admin", "310104")
    for answer in (await admin.get(f"/points/v1/rules/{unit}/{code}"), await put(admin, RULE, '"0"', unit, code)):
        assert answer.status_code == 422
        assert answer.json()["type"] == f"urn:linli:problem:{problem}"


@pytest.mark.parametrize("role", ["resident", "grid_worker", "department_staff", "community_manager"])
async def test_only_who_may_set_rules_sets_them(points: Running, role: str) -> None:
    refused = await put(points.client(role, STREET), RULE, '"0"')
    assert refused.status_code == 403
    assert refused.json()["permission"] == "points.rules"


@pytest.mark.parametrize(
    "path", ["me", "me/transfers", f"accounts/{UUID(int=1)}", "rules", f"rules/{STREET}/ticket_rated"]
)
async def test_points_are_for_those_who_take_part(points: Running, path: str) -> None:
    assert (await points.client().get(f"/points/v1/{path}")).status_code == 401
    for role in ("operator", "app"):
        assert (await points.client(role, STREET).get(f"/points/v1/{path}")).status_code == 403


async def test_bad_input_is_named(points: Running) -> None:
    client = points.client("street_admin", STREET)
    for path in ("accounts/me", "me/transfers?cause=x", "me/transfers?limit=201", "rules?within=9", "rules?cursor=%00"):
        answer = await client.get(f"/points/v1/{path}")
        assert answer.status_code in {400, 422}, path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_rule_of_one_street_is_not_shown_as_that_of_another(points: Running) -> None:
    admin = points.client("district_admin", "310104")
    assert (await put(admin, RULE, '"0"', SIBLING[:9])).status_code == 200
    assert (await admin.get(f"/points/v1/rules/{STREET}/ticket_rated")).json()["version"] == 0
