"""Places with QR codes, and reports by them."""

import io
import json
import re
from uuid import uuid4
from xml.etree import ElementTree as ET

import httpx
import pytest
import segno
from PIL import Image
from services.tickets.tests.conftest import COMMUNITY, FOREIGN, GRID, SIBLING, STREET

from linli.testing import Running

PLACE = {"unit": GRID, "name": "永嘉路1号垃圾厢房", "latitude": 31.2083, "longitude": 121.435}
REPORT = {"title": "满溢", "description": "湿垃圾桶已满"}


async def made(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    answer = await client.post("/tickets/v1/places", json={**PLACE, **changes})
    assert answer.status_code == 201, answer.text
    return answer


async def test_a_code_opens_a_ticket_for_its_place(tickets: Running) -> None:
    place = (await made(tickets.client("community_manager", COMMUNITY))).json()
    assert place["url"] == f"http://localhost:8080/tickets/r/{place['code']}"
    resident = tickets.client("resident", "310104", uuid4())
    seen = await resident.get(f"/tickets/v1/codes/{place['code']}")
    assert seen.json() == {"id": place["id"], "unit": GRID, "name": PLACE["name"]}
    answer = await resident.post(f"/tickets/v1/codes/{place['code']}/tickets", json=REPORT)
    assert answer.status_code == 201, answer.text
    row = await tickets.database.fetchrow("SELECT * FROM ticket WHERE id = $1", answer.json()["id"])
    assert (row["source"], row["subject_kind"], row["subject"]) == ("qr", "place", place["id"])
    assert (row["latitude"], row["longitude"]) == (31.2083, 121.435)
    assert answer.json()["unit"] == GRID


async def test_a_code_asks_what_the_category_asks(tickets: Running) -> None:
    form = {"type": "object", "required": ["bin"], "properties": {"bin": {"type": "string"}}}
    bins = {"name": "垃圾桶", "name_en": "Bins", "form": form}
    await tickets.client("district_admin", "310104").put("/tickets/v1/categories/bins", json=bins)
    place = (await made(tickets.client("community_manager", COMMUNITY))).json()
    resident, path = tickets.client("resident", "310104", uuid4()), f"/tickets/v1/codes/{place['code']}/tickets"
    assert (await resident.post(path, json={**REPORT, "category": "bins"})).status_code == 422
    answer = await resident.post(path, json={**REPORT, "category": "bins", "answers": {"bin": "湿"}})
    assert answer.status_code == 201, answer.text
    row = await tickets.database.fetchrow("SELECT answers FROM ticket WHERE id = $1", answer.json()["id"])
    assert json.loads(row["answers"]) == {"bin": "湿"}


async def test_nobody_reports_without_a_name(tickets: Running) -> None:
    place = (await made(tickets.client("community_manager", COMMUNITY))).json()
    path = f"/tickets/v1/codes/{place['code']}"
    assert (await tickets.client().get(path)).status_code == 401
    assert (await tickets.client().post(f"{path}/tickets", json=REPORT)).status_code == 401


async def test_a_code_of_another_district_says_nothing(tickets: Running) -> None:
    place = (await made(tickets.client("community_manager", COMMUNITY))).json()
    for role, unit in (("resident", "310115"), ("street_admin", "310104004"), ("app", "310104004")):
        caller = tickets.client(role, unit, uuid4())
        assert (await caller.get(f"/tickets/v1/codes/{place['code']}")).status_code in {403, 404}
        if role != "app":
            refused = await caller.post(f"/tickets/v1/codes/{place['code']}/tickets", json=REPORT)
            assert refused.status_code == 404, refused.text


async def test_an_old_code_and_one_of_a_place_out_of_use_lead_nowhere(tickets: Running) -> None:
    manager = tickets.client("community_manager", COMMUNITY)
    first = await made(manager)
    place, path = first.json(), first.headers["location"]
    resident = tickets.client("resident", "310104", uuid4())
    assert (await manager.post(f"{path}/renew")).status_code == 428
    renewed = await manager.post(f"{path}/renew", headers={"If-Match": first.headers["etag"]})
    assert renewed.json()["code"] != place["code"]
    for code, status in ((place["code"], 404), (renewed.json()["code"], 201)):
        answer = await resident.post(f"/tickets/v1/codes/{code}/tickets", json=REPORT)
        assert answer.status_code == status
    stale = await manager.put(path, json={"name": "新名"}, headers={"If-Match": first.headers["etag"]})
    assert stale.status_code == 412
    ended = await manager.put(path, json={"name": "新名", "active": False}, headers={"If-Match": "*"})
    assert (ended.json()["name"], ended.json()["latitude"]) == ("新名", None)
    assert (await resident.get(f"/tickets/v1/codes/{renewed.json()['code']}")).status_code == 404
    listed = (await manager.get("/tickets/v1/places?active=false")).json()["items"]
    assert place["id"] in {one["id"] for one in listed}


async def test_staff_keep_the_places_of_their_own_units(tickets: Running) -> None:
    path = (await made(tickets.client("community_manager", COMMUNITY))).headers["location"]
    for role, unit, status in (
        ("street_admin", STREET, 200),
        ("street_admin", "310104004", 404),
        ("district_admin", "310115", 404),
        ("resident", "310104", 403),
        ("grid_worker", GRID, 403),
    ):
        assert (await tickets.client(role, unit).get(path)).status_code == status, role
    manager = tickets.client("community_manager", COMMUNITY)
    for unit in (SIBLING, FOREIGN):
        assert (await manager.post("/tickets/v1/places", json={**PLACE, "unit": unit})).status_code == 403
        assert (await manager.get(f"/tickets/v1/places?within={unit}")).status_code == 403
    assert "code" not in (await tickets.client("resident", "310104").get("/tickets/v1/places")).json()["items"][0]


@pytest.mark.parametrize("point", [{"latitude": 91}, {"latitude": 31.2, "longitude": None}, {"longitude": -181}])
async def test_a_point_is_on_the_globe(tickets: Running, point: dict[str, float | None]) -> None:
    manager = tickets.client("community_manager", COMMUNITY)
    body = {"unit": GRID, "name": "门", **point}
    assert (await manager.post("/tickets/v1/places", json=body)).status_code == 422


async def test_a_drawn_code_says_where_its_form_is(tickets: Running) -> None:
    manager = tickets.client("community_manager", COMMUNITY)
    answer = await made(manager)
    matrix = segno.make(answer.json()["url"], error="m", micro=False).matrix
    png = await manager.get(f"{answer.headers['location']}/qr.png")
    assert png.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(png.content)).convert("1")
    drawn = [
        [not image.getpixel((12 * (4 + x) + 6, 12 * (4 + y) + 6)) for x in range(len(matrix))]
        for y in range(len(matrix))
    ]
    assert drawn == [[bool(module) for module in row] for row in matrix]
    svg = await manager.get(f"{answer.headers['location']}/qr.svg")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert ET.fromstring(svg.content).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 our own
    assert (await tickets.client("resident", "310104").get(f"{answer.headers['location']}/qr.svg")).status_code == 403


async def test_sheets_hold_every_place_once_and_nothing_that_runs(tickets: Running) -> None:
    await tickets.know_units("310104003007")
    manager = tickets.client("community_manager", "310104003007")
    names = [f"<script>alert({number})</script> & “门”" for number in range(14)]
    for name in names:
        await made(manager, unit="310104003007", name=name)
    url: str | None = "/tickets/v1/place-sheet.svg?within=310104003007"
    told: list[str] = []
    sheets = 0
    while url:
        sheet = await manager.get(url)
        root = ET.fromstring(sheet.content)  # noqa: S314 our own
        assert root.get("width") == "210mm"
        assert {node.tag.rpartition("}")[2] for node in root.iter()} == {"svg", "rect", "text", "path"}
        assert not re.search(r"style=|href=|<style", sheet.text)
        told += [node.text or "" for node in root.iter() if node.get("font-weight")]
        url = sheet.links.get("next", {}).get("url")
        sheets += 1
    assert sheets == 2
    assert len([line for line in told if line.startswith("<script>")]) == 14


async def test_the_page_of_a_code_loads_nothing_from_elsewhere(tickets: Running) -> None:
    outside = tickets.client()
    page = await outside.get("/tickets/r/abcdefghijklmnop")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script>|<style|style=|\son\w+=|https?://", page.text)
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert (await outside.get(f"/tickets/r/{asset}")).status_code == 200
    assert (await outside.get("/tickets/r/static/../../etc/passwd")).status_code == 404


async def test_a_sheet_can_be_printed_whatever_a_place_is_called(tickets: Running) -> None:
    await tickets.know_units("310104003008")
    manager = tickets.client("community_manager", "310104003008")
    await made(manager, unit="310104003008", name="东门\uffff\ufffe1号 \U0001f6b2")
    sheet = await manager.get("/tickets/v1/place-sheet.svg?within=310104003008")
    root = ET.fromstring(sheet.content)  # noqa: S314 our own
    assert "东门\ufffd\ufffd1号 \U0001f6b2" in [node.text for node in root.iter()]
