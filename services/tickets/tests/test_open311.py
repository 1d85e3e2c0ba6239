"""Open311 GeoReport v2."""

import asyncio
import importlib
import io
import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import httpx
import pytest
import uvicorn
from georeport import GeoReport  # type: ignore[import-untyped]
from services.tickets.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, SIBLING, STREET, employ

from linli.testing import Running, Stage, eventually
from tickets.app import create_app
from tickets.subscribers import subscriptions

NOBODYS = "nonsense"
ROOT = "/tickets/open311/v2"
DISTRICT = "310104"
FORM = {
    "type": "object",
    "required": ["lamp", "kind"],
    "properties": {
        "lamp": {"type": "integer", "title": "灯杆号", "description": "on the pole"},
        "kind": {"type": "string", "enum": ["dark", "flickers"]},
        "seen": {"type": "array", "items": {"oneOf": [{"const": "am", "title": "早"}, {"const": "pm", "title": "晚"}]}},
        "since": {"type": "string", "format": "date-time"},
        "more": {"type": "string", "maxLength": 2000},
        "again": {"type": "boolean"},
    },
}


@pytest.fixture(scope="module")
async def tickets(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("tickets", create_app, subscriptions) as running:
        await running.know_units(MICRO, SIBLING, FOREIGN)
        for district in (310104, 310115):
            for code, visibility, form in (
                ("lamp", "public", FORM),
                ("litter", "public", None),
                ("street", "public", None),
                ("noise", "district", None),
                ("family", "private", None),
            ):
                await running.database.execute(
                    "INSERT INTO category (district, unit, code, parent, name, name_en, level, visibility, weight,"
                    " active, version, form) VALUES ($1, $2, $3, null, $4, $5, 'community', $6, 1, $7, 1, $8)",
                    *(district, district * 10**12, code, f"类{code}", code.title(), visibility, code != "street"),
                    json.dumps(form) if form else None,
                )
            await running.database.execute(
                "INSERT INTO district_rules VALUES ($1, $2, $3)", district, district * 10**12, uuid4()
            )
        yield running


@pytest.fixture
async def outside(tickets: Running) -> httpx.AsyncClient:
    return tickets.client()


async def new_key(tickets: Running, unit: str = DISTRICT) -> dict[str, Any]:
    admin = tickets.client("district_admin", unit[:6])
    answer = await admin.post("/tickets/v1/open311-keys", json={"name": "某应用", "unit": unit})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture
async def key(tickets: Running) -> str:
    return str((await new_key(tickets))["key"])


def fields(key: str, **others: str) -> dict[str, str]:
    return {
        "api_key": key,
        "jurisdiction_id": STREET,
        "service_code": "litter",
        "description": "人行道上有垃圾",
        "address_id": GRID,
        **others,
    }


async def posted(outside: httpx.AsyncClient, key: str, **others: str) -> str:
    answer = await outside.post(f"{ROOT}/requests.json", data=fields(key, **others))
    assert answer.status_code == 200, answer.text
    (made,) = answer.json()
    assert "token" not in made
    return str(made["service_request_id"])


async def listed(outside: httpx.AsyncClient, jurisdiction: str = STREET, **filters: str) -> list[dict[str, Any]]:
    answer = await outside.get(f"{ROOT}/requests.json", params={"jurisdiction_id": jurisdiction, **filters})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def as_xml(answer: httpx.Response) -> ET.Element:
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    assert answer.content.lower().startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    return ET.fromstring(answer.content)  # noqa: S314 our own


def errors(answer: httpx.Response) -> list[dict[str, Any]]:
    if answer.headers["content-type"] == "application/json; charset=utf-8":
        found: list[dict[str, Any]] = answer.json()
    else:
        root = as_xml(answer)
        assert root.tag == "errors"
        found = [{one.tag: one.text for one in error} for error in root]
    assert found
    for error in found:
        assert set(error) == {"code", "description"}
        assert int(error["code"]) == answer.status_code
        assert error["description"]
        assert "{" not in error["description"]
    return found


async def test_discovery_names_the_endpoint_and_its_formats(outside: httpx.AsyncClient) -> None:
    found = (await outside.get(f"{ROOT}/discovery.json")).json()
    (endpoint,) = found["endpoints"]
    assert endpoint["specification"] == "http://wiki.open311.org/GeoReport_v2"
    assert endpoint["url"] == f"http://localhost:8080{ROOT}"
    root = as_xml(await outside.get(f"{ROOT}/discovery.xml"))
    assert [one.text for one in root.findall("endpoints/endpoint/formats/format")] == endpoint["formats"]
    assert endpoint["formats"] == ["text/xml", "application/json"]


async def test_services_are_the_public_categories_in_use(outside: httpx.AsyncClient) -> None:
    for jurisdiction in (DISTRICT, STREET):
        answer = await outside.get(f"{ROOT}/services.json", params={"jurisdiction_id": jurisdiction})
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert {(one["service_code"], one["metadata"]) for one in answer.json()} == {("lamp", True), ("litter", False)}
        root = as_xml(await outside.get(f"{ROOT}/services.xml", params={"jurisdiction_id": jurisdiction}))
        assert (root.tag, {one.tag for one in root}) == ("services", {"service"})
        assert {(one.findtext("service_code"), one.findtext("metadata")) for one in root} == {
            ("lamp", "true"),
            ("litter", "false"),
        }
        assert {one.findtext("type") for one in root} == {"realtime"}


async def test_a_services_attributes_come_from_its_form(outside: httpx.AsyncClient) -> None:
    found = (await outside.get(f"{ROOT}/services/lamp.json", params={"jurisdiction_id": STREET})).json()
    assert found["service_code"] == "lamp"
    asked = {one["code"]: one for one in found["attributes"]}
    assert {code: (one["datatype"], one["required"]) for code, one in asked.items()} == {
        "lamp": ("number", True),
        "kind": ("singlevaluelist", True),
        "seen": ("multivaluelist", False),
        "since": ("datetime", False),
        "more": ("text", False),
        "again": ("singlevaluelist", False),
    }
    assert [one["order"] for one in found["attributes"]] == [1, 2, 3, 4, 5, 6]
    assert [one["required"] for one in found["attributes"]] == [True] * 2 + [False] * 4
    assert asked["seen"]["values"] == [{"key": "am", "name": "早"}, {"key": "pm", "name": "晚"}]
    root = as_xml(await outside.get(f"{ROOT}/services/lamp.xml", params={"jurisdiction_id": STREET}))
    assert root.tag == "service_definition"
    assert {one.findtext("key") for one in root.findall("attributes/attribute/values/value")} == {
        *("dark", "flickers", "am", "pm", "true", "false")
    }
    for code in ("noise", "street", "none", "family"):
        answer = await outside.get(f"{ROOT}/services/{code}.json", params={"jurisdiction_id": STREET})
        assert answer.status_code == 404
        errors(answer)


async def test_a_report_becomes_a_ticket_and_is_read_again(
    tickets: Running, outside: httpx.AsyncClient, key: str
) -> None:
    attributes = {"attribute[lamp]": "17", "attribute[kind]": "dark", "attribute[again]": "true"}
    several = httpx.QueryParams([*attributes.items(), ("attribute[seen][]", "am"), ("attribute[seen][]", "pm")])
    body = fields(
        key,
        service_code="lamp",
        lat="31.2083",
        long="121.435",
        address_string="永嘉路1号",
        media_url="https://example.org/a.jpg",
        email="zhang@example.org",
        first_name="三",
        last_name="张",
        phone="13800001234",
        device_id="tt222111",
        account_id="42",
    )
    before = datetime.now(UTC).replace(microsecond=0)
    answer = await outside.post(
        f"{ROOT}/requests.xml",
        content=f"{httpx.QueryParams(body)}&{several}",
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
    )
    assert answer.status_code == 200, answer.text
    made = as_xml(answer).findtext("request/service_request_id")
    row = await tickets.database.fetchrow("SELECT * FROM ticket WHERE id = $1", made)
    assert (row["source"], row["category"], row["unit"]) == ("open311", "lamp", int(GRID.ljust(18, "0")))
    assert json.loads(row["answers"]) == {"lamp": 17, "kind": "dark", "again": True, "seen": ["am", "pm"]}
    assert row["description"].splitlines() == [
        "人行道上有垃圾",
        "地址 Address: 永嘉路1号",
        "媒体 Media: https://example.org/a.jpg",
    ]
    kept = str(dict(row)) + str([dict(one) for one in await tickets.database.fetch("SELECT * FROM ticket_entry")])
    for personal in ("zhang@example.org", "张", "13800001234", "tt222111"):
        assert personal not in kept
    (read,) = (await outside.get(f"{ROOT}/requests/{made}.json", params={"jurisdiction_id": STREET})).json()
    assert (read["status"], read["service_code"]) == ("open", "lamp")
    assert read["address_id"] == COMMUNITY
    assert (read["lat"], read["long"]) == (31.2083, 121.435)
    assert before <= datetime.fromisoformat(read["requested_datetime"]) <= datetime.now(UTC)
    assert read["requested_datetime"].endswith("Z")
    root = as_xml(await outside.get(f"{ROOT}/requests/{made}.xml", params={"jurisdiction_id": DISTRICT}))
    assert (root.tag, [one.tag for one in root]) == ("service_requests", ["request"])
    token = (await outside.get(f"{ROOT}/tokens/{made}.json", params={"jurisdiction_id": STREET})).json()
    assert token == [{"service_request_id": made, "token": made}]


@pytest.mark.parametrize("jurisdiction", ["", "310104999", "310104003001", "0", "city.gov", "31 0104", "x" * 90])
async def test_a_jurisdiction_is_a_district_or_street_that_is_there(
    outside: httpx.AsyncClient, key: str, jurisdiction: str
) -> None:
    status = 404 if jurisdiction else 400
    for path in ("services", "services/lamp", f"tokens/{uuid4()}", "requests", f"requests/{uuid4()}"):
        for form in ("xml", "json"):
            answer = await outside.get(f"{ROOT}/{path}.{form}", params={"jurisdiction_id": jurisdiction})
            assert answer.status_code == status, answer.text
            assert "jurisdiction_id" in errors(answer)[0]["description"]
    answer = await outside.post(f"{ROOT}/requests.json", data=fields(key, jurisdiction_id=jurisdiction))
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"service_code": ""}, 400),
        ({"service_code": "none"}, 404),
        ({"service_code": "noise"}, 404),
        ({"address_id": ""}, 400),
        ({"address_id": "", "lat": "31.2"}, 400),
        ({"address_id": "", "lat": "x", "long": "y"}, 400),
        ({"address_id": "", "lat": "nan", "long": "nan"}, 400),
        ({"address_id": "", "lat": "91", "long": "0"}, 400),
        ({"address_id": SIBLING}, 400),
        ({"address_id": FOREIGN}, 400),
        ({"address_id": "310104003998"}, 400),
        ({"address_id": str(uuid4())}, 400),
        ({"address_id": "nonsense"}, 400),
        ({"description": "x" * 4001}, 400),
        ({"description": "a\0b"}, 400),
        ({"media_url": "javascript:alert(1)"}, 400),
        ({"attribute[lamp]": "1"}, 400),
        ({"service_code": "lamp"}, 400),
        ({"service_code": "lamp", "attribute[lamp]": "x", "attribute[kind]": "dark"}, 400),
        ({"service_code": "lamp", "attribute[lamp]": "1", "attribute[kind]": "blue"}, 400),
        ({"service_code": "lamp", "attribute[lamp]": "1", "attribute[kind]": "dark", "attribute[x]": "1"}, 400),
        ({"api_key": ""}, 403),
        ({"api_key": NOBODYS}, 403),
        ({"api_key": "x" * 501}, 400),
    ],
)
async def test_a_report_that_cannot_be_taken_is_refused_as_specified(
    tickets: Running, outside: httpx.AsyncClient, key: str, changes: dict[str, str], status: int
) -> None:
    before = await tickets.database.fetchval("SELECT count(*) FROM ticket")
    for form in ("xml", "json"):
        answer = await outside.post(f"{ROOT}/requests.{form}", data=fields(key, **changes))
        assert answer.status_code == status, answer.text
        errors(answer)
    assert await tickets.database.fetchval("SELECT count(*) FROM ticket") == before


async def test_a_report_needs_one_kind_of_place(tickets: Running, outside: httpx.AsyncClient, key: str) -> None:
    by_point = await posted(outside, key, address_id="", lat="31.2", long="121.4")
    by_words = await posted(outside, key, address_id="", address_string="永嘉路1号")
    body = {"unit": GRID, "name": "垃圾厢房", "latitude": 31.5, "longitude": 121.5}
    place = (await tickets.client("community_manager", COMMUNITY).post("/tickets/v1/places", json=body)).json()
    at_place = await posted(outside, key, address_id=place["id"])
    found = {
        str(row["id"]): (row["unit"], row["latitude"], row["subject"])
        for row in await tickets.database.fetch("SELECT * FROM ticket WHERE source = 'open311'")
    }
    street, grid = int(STREET.ljust(18, "0")), int(GRID.ljust(18, "0"))
    assert found[by_point] == (street, 31.2, None)
    assert found[by_words] == (street, None, None)
    assert found[at_place] == (grid, 31.5, place["id"])


async def test_what_is_not_public_is_never_shown(tickets: Running, outside: httpx.AsyncClient) -> None:
    resident = tickets.client("resident", DISTRICT, uuid4())
    report = {"unit": MICRO, "title": "住处", "description": "我住3号楼顶层", "latitude": 31.2, "longitude": 121.4}
    ids = {}
    for category in ("noise", "family", "other", "unheard_of", "litter"):
        answer = await resident.post("/tickets/v1/tickets", json={**report, "category": category})
        assert answer.status_code == 201, answer.text
        ids[category] = answer.json()["id"]
    public = ids.pop("litter")
    seen = await listed(outside)
    assert not {one["service_request_id"] for one in seen} & set(ids.values())
    assert not await listed(outside, service_request_id=",".join(ids.values()))
    updates = (await outside.get(f"{ROOT}/servicerequestupdates.json", params={"jurisdiction_id": STREET})).json()
    assert not {one["service_request_id"] for one in updates} & set(ids.values())
    for hidden in ids.values():
        for path in ("requests", "tokens"):
            answer = await outside.get(f"{ROOT}/{path}/{hidden}.json", params={"jurisdiction_id": STREET})
            absent = await outside.get(f"{ROOT}/{path}/{UUID(int=7)}.json", params={"jurisdiction_id": STREET})
            assert (answer.status_code, answer.content) == (404, absent.content)
    # What a resident has said to his street is not published with what it is about.
    (shown,) = [one for one in seen if one["service_request_id"] == public]
    assert (shown["description"], shown["lat"], shown["long"], shown["address_id"]) == (None, None, None, COMMUNITY)
    assert "顶层" not in json.dumps(seen, ensure_ascii=False)


async def test_a_street_shows_only_what_is_its_own(tickets: Running, outside: httpx.AsyncClient, key: str) -> None:
    here = await posted(outside, key)
    there = await posted(outside, key, jurisdiction_id="310104004", address_id=SIBLING)
    other = str((await new_key(tickets, "310115"))["key"])
    foreign = await posted(outside, other, jurisdiction_id="310115", address_id=FOREIGN)
    seen = {
        jurisdiction: {one["service_request_id"] for one in await listed(outside, jurisdiction)}
        for jurisdiction in (STREET, "310104004", DISTRICT, "310115")
    }
    for made, jurisdictions in ((here, {STREET, DISTRICT}), (there, {"310104004", DISTRICT}), (foreign, {"310115"})):
        assert {one for one, ids in seen.items() if made in ids} == jurisdictions
        for jurisdiction in seen:
            params = {"jurisdiction_id": jurisdiction}
            answer = await outside.get(f"{ROOT}/requests/{made}.json", params=params)
            assert answer.status_code == (200 if jurisdiction in jurisdictions else 404)
            named = await listed(outside, jurisdiction, service_request_id=made)
            assert bool(named) == (jurisdiction in jurisdictions)


async def test_a_key_is_good_in_its_unit_until_it_is_revoked(tickets: Running, outside: httpx.AsyncClient) -> None:
    made = await new_key(tickets, STREET)
    await posted(outside, made["key"])
    for elsewhere in (DISTRICT, "310104004", "310115"):
        data = fields(made["key"], jurisdiction_id=elsewhere, address_id="", address_string="某处")
        answer = await outside.post(f"{ROOT}/requests.json", data=data)
        assert answer.status_code == 403
        errors(answer)
    admin = tickets.client("district_admin", DISTRICT)
    stored = await tickets.database.fetchrow("SELECT * FROM open311_key WHERE id = $1", made["id"])
    assert made["key"].encode() not in str(dict(stored)).encode()
    assert "key" not in (await admin.get(f"/tickets/v1/open311-keys/{made['id']}")).json()
    path = f"/tickets/v1/open311-keys/{made['id']}/revoke"
    assert (await tickets.client("street_admin", STREET).post(path, headers={"If-Match": "*"})).status_code == 403
    assert (await tickets.client("district_admin", "310115").post(path, headers={"If-Match": "*"})).status_code == 404
    assert (await admin.post(path, headers={"If-Match": "*"})).json()["revoked_at"]
    assert (await admin.post(path, headers={"If-Match": "*"})).status_code == 409
    assert (await outside.post(f"{ROOT}/requests.json", data=fields(made["key"]))).status_code == 403
    for unit, status in (("310115", 403), (COMMUNITY, 422), ("310104999", 422)):
        answer = await admin.post("/tickets/v1/open311-keys", json={"name": "某应用", "unit": unit})
        assert answer.status_code == status


async def test_requests_are_filtered_as_specified(tickets: Running, outside: httpx.AsyncClient, key: str) -> None:
    lamp = {"service_code": "lamp", "attribute[lamp]": "1", "attribute[kind]": "dark"}
    one, two = await posted(outside, key), await posted(outside, key, **lamp)
    old = await posted(outside, key)
    then = datetime.now(UTC) - timedelta(days=120)
    aged = UUID(int=(int(then.timestamp() * 1000) << 80) | (UUID(old).int & (1 << 80) - 1))
    async with tickets.database.transaction():
        await tickets.database.execute("SET LOCAL session_replication_role = replica")
        await tickets.database.execute("UPDATE ticket SET id = $2, opened_at = $3 WHERE id = $1", old, aged, then)
        await tickets.database.execute("UPDATE ticket_entry SET ticket_id = $2 WHERE ticket_id = $1", old, aged)

    async def ids(**filters: str) -> set[str]:
        return {found["service_request_id"] for found in await listed(outside, **filters)} & {one, two, str(aged)}

    def day(days: float) -> str:
        return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")

    assert await ids() == {one, two}
    assert await ids(service_code="lamp") == {two}
    assert await ids(service_code="lamp,litter") == {one, two}
    assert await ids(status="open") == {one, two}
    assert await ids(status="closed") == set()
    assert await ids(status="open,closed") == {one, two}
    assert await ids(start_date=day(-121), end_date=day(-119)) == {str(aged)}
    assert await ids(start_date=day(-121)) == {str(aged)}
    assert await ids(end_date=day(-100)) == {str(aged)}
    assert await ids(start_date=day(-1), end_date=day(1)) == {one, two}
    # Ids override all other filters.
    assert await ids(service_request_id=f"{one},{aged}", status="closed", start_date=day(-1)) == {one, str(aged)}
    for wrong in (
        {"start_date": day(-91.1), "end_date": day(0)},
        {"start_date": day(1), "end_date": day(0)},
        {"start_date": "yesterday"},
        {"start_date": "2026-01-01T00:00:00"},
        {"start_date": "01-02-2026"},
        {"end_date": "9999-12-31T23:59:59Z", "start_date": "9999-12-31T23:59:58Z"},
        {"status": "solved"},
        {"service_request_id": ",".join(["x"] * 1001)},
    ):
        answer = await outside.get(f"{ROOT}/requests.json", params={"jurisdiction_id": STREET, **wrong})
        assert answer.status_code == 400, (wrong, answer.text)
        errors(answer)
    for extreme in (
        {"end_date": "0001-01-01T00:00:00Z"},
        {"start_date": "0001-01-01T00:00:00Z"},
        {"end_date": "9999-12-31T23:59:59Z"},
        {"start_date": "9999-12-31T00:00:00+14:00"},
        {"end_date": "9999-12-31T23:59:59-14:00"},
    ):
        answer = await outside.get(f"{ROOT}/requests.json", params={"jurisdiction_id": STREET, **extreme})
        assert answer.status_code in {200, 400}


async def test_at_most_a_thousand_are_listed(tickets: Running, outside: httpx.AsyncClient, key: str) -> None:
    made = await posted(outside, key, jurisdiction_id="310104004", address_id=SIBLING)
    columns = [
        row["column_name"]
        for row in await tickets.database.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'ticket'"
            " AND is_generated = 'NEVER' AND column_name <> 'id'"
        )
    ]
    names = ", ".join(columns)
    await tickets.database.execute(
        f"INSERT INTO ticket (id, {names})"  # noqa: S608 of the catalogue
        " SELECT (substr(id::text, 1, 24) || lpad(to_hex(number), 12, '0'))::uuid,"
        f" {names} FROM ticket, generate_series(1, 1100) AS number WHERE id = $1",
        made,
    )
    assert len(await listed(outside, "310104004")) == 1000


async def test_closed_is_told_apart_from_dealt_with(tickets: Running, outside: httpx.AsyncClient, key: str) -> None:
    made = await posted(outside, key)
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    seen = []

    async def look() -> None:
        (shown,) = await listed(outside, service_request_id=made)
        seen.append(shown["status"])
        assert shown["status_notes"]

    for step, body in (
        ("assign", {"assignee": str(manager_id), "note": "internal: call Mr Zhang"}),
        ("resolve", {"note": "internal"}),
    ):
        path = f"/tickets/v1/tickets/{made}/{step}"
        answer = await manager.post(path, json=body, headers={"If-Match": "*"})
        assert answer.status_code == 200, answer.text
        await look()
    confirmed = {"api_key": key, "jurisdiction_id": STREET, "service_request_id": made, "status": "closed"}
    update = {**confirmed, "update_id": "1", "updated_datetime": "2026-11-22T08:00:00+08:00", "description": "已修好"}
    answer = await outside.post(f"{ROOT}/servicerequestupdates.json", data=update)
    assert answer.status_code == 200, answer.text
    await look()
    assert seen == ["open", "open", "closed"]
    assert made in {one["service_request_id"] for one in await listed(outside, status="closed")}
    params = {"jurisdiction_id": STREET}
    updates = (await outside.get(f"{ROOT}/servicerequestupdates.json", params=params)).json()
    own = [one for one in updates if one["service_request_id"] == made]
    assert [one["status"] for one in own] == ["open", "open", "open", "closed"]
    assert "internal" not in json.dumps(updates)
    root = as_xml(await outside.get(f"{ROOT}/servicerequestupdates.xml", params=params))
    assert (root.tag, {one.tag for one in root}) == ("service_request_updates", {"request_update"})


async def test_an_update_sent_twice_has_one_effect(tickets: Running, outside: httpx.AsyncClient, key: str) -> None:
    made = await posted(outside, key)
    update = {
        "api_key": key,
        "jurisdiction_id": STREET,
        "service_request_id": made,
        "update_id": "u-1",
        "updated_datetime": "2026-11-22T08:00:00+08:00",
        "status": "OPEN",
        "description": "还没有人来",
    }
    path = f"{ROOT}/servicerequestupdates.json"
    first = await outside.post(path, data=update)
    assert first.status_code == 200, first.text
    again = await outside.post(path, data=update)
    assert again.json() == first.json()
    steps = await tickets.database.fetch("SELECT move, note FROM ticket_entry WHERE ticket_id = $1 ORDER BY at", made)
    assert [(step["move"], step["note"]) for step in steps] == [("open", None), ("note", "还没有人来")]
    listed_updates = (await outside.get(path, params={"jurisdiction_id": STREET})).json()
    (own,) = [one for one in listed_updates if one["update_id"] == first.json()[0]["update_id"]]
    assert (own["service_request_id"], own["description"]) == (made, "还没有人来")
    for changes, status in (
        ({"description": "别的事"}, 400),
        ({"update_id": ""}, 400),
        ({"status": "fixed"}, 400),
        ({"status": ","}, 400),
        ({"updated_datetime": "now"}, 400),
        ({"service_request_id": str(uuid4())}, 404),
        ({"service_request_id": "x"}, 404),
        ({"api_key": "x"}, 403),
        ({"api_key": str((await new_key(tickets))["key"]), "update_id": "u-2"}, 403),
    ):
        answer = await outside.post(path, data={**update, **changes})
        assert answer.status_code == status, (changes, answer.text)
        errors(answer)


async def test_an_app_confirms_or_reopens_what_it_has_reported(
    tickets: Running, outside: httpx.AsyncClient, key: str
) -> None:
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    made = await posted(outside, key)
    for number, (status, state) in enumerate((("open", "assigned"), ("closed", "closed"))):
        for step, body in (("assign", {"assignee": str(manager_id)}), ("resolve", {})):
            if number == 0 or step == "resolve":
                answer = await manager.post(f"/tickets/v1/tickets/{made}/{step}", json=body, headers={"If-Match": "*"})
                assert answer.status_code == 200, answer.text
        update = {
            "api_key": key,
            "jurisdiction_id": STREET,
            "service_request_id": made,
            "status": status,
            "update_id": f"c-{number}",
            "updated_datetime": "2026-11-22T08:00:00Z",
            "description": "看过了",
        }
        answer = await outside.post(f"{ROOT}/servicerequestupdates.xml", data=update)
        assert answer.status_code == 200, answer.text
        assert as_xml(answer).findtext("request_update/update_id")
        assert (await manager.get(f"/tickets/v1/tickets/{made}")).json()["state"] == state


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing.json", 404),
        ("GET", "nothing", 404),
        ("GET", "services.yaml", 400),
        ("GET", "", 404),
        ("DELETE", "services.json", 405),
        ("PUT", "requests.xml", 405),
        ("GET", f"requests/{UUID(int=7)}.xml?jurisdiction_id=310104003", 404),
        ("GET", "requests/a%00b.json?jurisdiction_id=310104003", 404),
        ("GET", "services/a%00b.json?jurisdiction_id=310104003", 404),
    ],
)
async def test_every_refusal_is_written_as_specified(
    outside: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await outside.request(method, f"{ROOT}/{path}")
    assert answer.status_code == status, answer.text
    errors(answer)
    if status == 405:
        assert answer.headers["allow"]


async def test_a_giant_form_is_refused(outside: httpx.AsyncClient) -> None:
    for body, status in ((b"a=" + b"x" * (1024 * 1024), 413), (b"a=" + b"x" * 20_000, 400), (b"a=1&" * 300, 400)):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await outside.post(f"{ROOT}/requests.json", content=body, headers=headers)
        assert answer.status_code == status, answer.text
        errors(answer)


async def test_what_xml_cannot_hold_is_replaced(outside: httpx.AsyncClient, key: str) -> None:
    made = await posted(outside, key, description="a\x01b <b>&amp; 垃圾")
    root = as_xml(await outside.get(f"{ROOT}/requests/{made}.xml", params={"jurisdiction_id": STREET}))
    assert (root.findtext("request/description") or "").startswith("a\ufffdb <b>&amp; 垃圾")


@pytest.fixture
async def served(tickets: Running) -> AsyncIterator[str]:
    """Serve it on a real port, for clients that know HTTP only."""
    server = uvicorn.Server(uvicorn.Config(tickets.app, port=0, lifespan="off", log_level="error"))
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}{ROOT}"
    server.should_exit = True
    await task


@pytest.mark.parametrize("form", ["json", "xml"])
async def test_the_client_georeport_works_with_it(
    outside: httpx.AsyncClient, served: str, key: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    made, other = await posted(outside, key), await posted(outside, key)
    city = GeoReport(served, jurisdiction=STREET, output_format=form)
    services = await asyncio.to_thread(city.get_service_list)
    assert {one["service_code"] for one in services} == {"lamp", "litter"}
    definition = await asyncio.to_thread(city.get_service_definition, "lamp")
    assert definition["service_code"] == "lamp"
    found = await asyncio.to_thread(city.get_service_requests, service_code="litter", status="open")
    assert {made, other} <= {one["service_request_id"] for one in found}
    read = await asyncio.to_thread(city.get_service_request, made)
    assert (read["service_request_id"], read["status"], read["description"]) == (made, "open", "人行道上有垃圾")


async def test_the_client_three_works_with_it(served: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(itertools, "ifilter", filter, raising=False)  # it was written for Python 2
    three = importlib.import_module("three")
    city = three.Three(served, api_key=key, jurisdiction=STREET)

    def use() -> None:
        assert city.discovery()["endpoints"][0]["formats"] == ["text/xml", "application/json"]
        assert {one["service_code"] for one in city.services()} == {"lamp", "litter"}
        assert city.services("lamp")["attributes"]
        said = {"attribute[lamp]": "1", "attribute[kind]": "dark", "name": "三 张", "phone": "13800001234"}
        (made,) = city.post("lamp", address="永嘉路1号", description="灯不亮", **said)
        (read,) = city.request(made["service_request_id"])
        assert read["service_code"] == "lamp"
        today = datetime.now(UTC)
        between = [(today + timedelta(days=days)).strftime("%m-%d-%Y") for days in (-1, 1)]
        assert made["service_request_id"] in {
            one["service_request_id"] for one in city.requests("lamp", between=between)
        }
        assert city.token(made["service_request_id"]) == [{**made_of(made), "token": made["service_request_id"]}]
        picture = io.BytesIO(b"not looked at")
        (other,) = city.post("litter", address="永嘉路1号", description="垃圾", media=picture)
        assert other["service_request_id"]
        assert city.post("none", address="永嘉路1号")[0]["code"] == 404

    def made_of(made: dict[str, str]) -> dict[str, str]:
        return {"service_request_id": made["service_request_id"]}

    await asyncio.to_thread(use)
