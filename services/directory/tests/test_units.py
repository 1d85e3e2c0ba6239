from typing import Any

import httpx
import pytest
from services.directory.tests.conftest import (
    COMMUNITY,
    DISTRICT,
    FOREIGN,
    GRID,
    MICRO,
    SIBLING,
    STREET,
    change,
    grow,
    made,
    move,
)

from linli.testing import Running


def rows(*codes: str, name: str = "单元") -> list[dict[str, str]]:
    return [{"code": code, "name": name + code} for code in codes]


async def imported(client: httpx.AsyncClient, units: list[dict[str, str]]) -> httpx.Response:
    return await client.post("/directory/v1/units/import", json={"units": units})


async def pages(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    following: str | None = f"/directory/v1{path}"
    while following:
        answer = await client.get(following)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        following = answer.links.get("next", {}).get("url")
    return found


async def test_what_a_unit_is_follows_from_its_code(directory: Running) -> None:
    await grow(directory, "310104900001901001", "310104003901")
    client = directory.client("district_admin", DISTRICT)
    expected = {
        DISTRICT: ("district", None),
        STREET: ("street", DISTRICT),
        COMMUNITY: ("community", STREET),
        "310104003901": ("block", STREET),
        GRID: ("grid", COMMUNITY),
        "310104900001901": ("special_grid", "310104900001"),
        MICRO: ("micro_grid", GRID),
    }
    for code, (kind, parent) in expected.items():
        answer = await client.get(f"/directory/v1/units/{code}")
        assert (answer.json()["code"], answer.json()["kind"], answer.json()["parent"]) == (code, kind, parent)
        assert answer.headers["etag"] == '"1"'


async def test_children_come_in_pages(directory: Running) -> None:
    codes = [f"310104008{number:03}" for number in range(1, 22)]
    await grow(directory, *codes)
    client = directory.client("street_admin", "310104008")
    assert [unit["code"] for unit in await pages(client, "/units/310104008/children?limit=8")] == codes


async def test_the_platform_has_the_districts_as_children(directory: Running) -> None:
    codes = [unit["code"] for unit in await pages(directory.client("operator", "0"), "/units/0/children")]
    assert codes == [DISTRICT, FOREIGN]


async def test_an_import_counts_what_it_did_and_may_run_twice(directory: Running) -> None:
    client = directory.client("district_admin", DISTRICT)
    units = rows("310104010", "310104010001", "310104010001001")
    assert (await imported(client, units)).json() == {"created": 3, "updated": 0, "unchanged": 0}
    before = len(await directory.events("directory.unit.v1"))
    assert (await imported(client, units)).json() == {"created": 0, "updated": 0, "unchanged": 3}
    assert len(await directory.events("directory.unit.v1")) == before
    units[1]["name"] = "新名居委会"
    assert (await imported(client, units)).json() == {"created": 0, "updated": 1, "unchanged": 2}
    told = (await directory.events("directory.unit.v1"))[-1]
    assert (told["unit"], told["name"], told["sequence"], told["active"]) == ("310104010001", "新名居委会", 2, True)
    assert told["kind"] == "community"


async def test_wrong_rows_are_named_one_by_one_and_nothing_is_taken_over(directory: Running) -> None:
    client = directory.client("district_admin", DISTRICT)
    units = rows("310104011", "310104012001", "310104011", "310104011001")
    answer = await imported(client, units)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:linli:problem:wrong-rows"
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/units/1/code", "#/units/2/code"]
    assert all(error["detail_zh"] for error in answer.json()["errors"])
    assert (await client.get("/directory/v1/units/310104011")).status_code == 404
    answer = await imported(client, [*rows("310104011"), {"code": "31010", "name": ""}, {"code": "310104000001"}])
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "#/units/1/code",
        "#/units/1/name",
        "#/units/2/code",
        "#/units/2/name",
    }


async def test_five_thousand_units_are_one_import_and_one_more_is_refused(directory: Running) -> None:
    codes = [f"3101040030011{grid:02}{micro:03}" for grid in range(10, 60) for micro in range(1, 100)]
    grids = [f"3101040030011{grid:02}" for grid in range(10, 60)]
    client = directory.client("street_admin", STREET)
    answer = await imported(client, rows(*grids, *codes))
    assert answer.json() == {"created": 5000, "updated": 0, "unchanged": 0}, answer.text
    answer = await imported(client, rows(*grids, *codes, "310104003001200"))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/units"


async def test_a_unit_is_created_under_an_active_parent_only(directory: Running) -> None:
    client = directory.client("district_admin", DISTRICT)
    answer = await client.post("/directory/v1/units", json={"code": "310104020001", "name": "无上级"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:linli:problem:parent-missing")
    await made(client, "/units", code="310104020", name="某街道")
    answer = await client.post("/directory/v1/units", json={"code": "310104020", "name": "某街道"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:unit-exists")
    assert (await change(client, "/units/310104020", active=False)).json()["active"] is False
    answer = await client.post("/directory/v1/units", json={"code": "310104020001", "name": "上级已停用"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:linli:problem:parent-missing")
    answer = await imported(client, rows("310104020001"))
    assert answer.json()["errors"][0]["pointer"] == "#/units/0/code"


async def test_the_database_itself_refuses_a_unit_without_parent(directory: Running) -> None:
    with pytest.raises(Exception, match="fk_unit_parent"):
        await directory.database.execute(
            "INSERT INTO unit (district, unit, name) VALUES (310104, 310104777001000000, 'x')"
        )
    with pytest.raises(Exception, match="parent"):
        await directory.database.execute("UPDATE unit SET parent = 310104004000000000 WHERE unit = 310104003001000000")


async def test_a_unit_in_use_is_not_closed(directory: Running) -> None:
    client = directory.client("district_admin", DISTRICT)
    answer = await change(client, f"/units/{GRID}", active=False)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:unit-in-use")


async def test_a_change_needs_the_etag_and_tells_others(directory: Running) -> None:
    client = directory.client("district_admin", DISTRICT)
    await made(client, "/units", code="310104021", name="旧名")
    path = "/directory/v1/units/310104021"
    assert (await client.patch(path, json={"name": "新名"})).status_code == 428
    answer = await change(client, "/units/310104021", '"1"', name="新名")
    assert (answer.json()["name"], answer.headers["etag"], answer.json()["kind"]) == ("新名", '"2"', "street")
    assert (await change(client, "/units/310104021", '"1"', name="别名")).status_code == 412
    told = (await directory.events("directory.unit.v1"))[-1]
    assert (told["unit"], told["name"], told["sequence"]) == ("310104021", "新名", 2)
    again = await change(client, "/units/310104021", '"2"', name="新名")
    assert again.headers["etag"] == '"2"'


async def test_nobody_is_the_master_of_his_own_unit(directory: Running) -> None:
    client = directory.client("street_admin", STREET)
    assert (await change(client, f"/units/{STREET}", name="我的街道")).status_code == 403
    assert (await imported(client, rows(STREET))).status_code == 403
    assert (await change(client, f"/units/{COMMUNITY}", name="上海新村居委会")).status_code == 200


async def test_units_without_staff_are_listed_until_somebody_is_assigned(directory: Running) -> None:
    await grow(directory, "310104030001001001")
    client = directory.client("district_admin", DISTRICT)
    path = "/units?within=310104030&unstaffed=true"
    codes = ["310104030001", "310104030001001", "310104030001001001"]
    assert [unit["code"] for unit in await pages(client, path)] == codes
    for role, code in zip(("community_manager", "grid_worker", "grid_worker"), list(codes), strict=True):
        staff = await made(client, "/staff", name="某人", unit=code)
        held = await made(client, f"/staff/{staff['id']}/assignments", role=role, unit=code)
        codes.remove(code)
        assert [unit["code"] for unit in await pages(client, path)] == codes
    assert (await move(client, f"/assignments/{held['id']}/end")).status_code == 200
    micro_grids = [unit["code"] for unit in await pages(client, path + "&kind=micro_grid")]
    assert micro_grids == ["310104030001001001"]
    assert (await directory.client("resident", DISTRICT).get(f"/directory/v1{path}")).status_code == 403


@pytest.mark.parametrize(
    ("role", "unit"), [("resident", DISTRICT), ("volunteer", DISTRICT), ("grid_worker", GRID), ("app", STREET)]
)
async def test_everybody_sees_the_units_of_his_district_and_changes_none(
    directory: Running, role: str, unit: str
) -> None:
    client = directory.client(role, unit)
    assert (await client.get(f"/directory/v1/units/{COMMUNITY}")).status_code == 200
    assert (await client.get(f"/directory/v1/units/{FOREIGN}")).status_code == 404
    answer = await client.post("/directory/v1/units", json={"code": COMMUNITY, "name": "x"})
    assert answer.status_code == 403


@pytest.mark.parametrize("code", [FOREIGN, SIBLING, DISTRICT, "0", "310104999"])
async def test_units_out_of_reach_look_like_units_that_are_not_there(directory: Running, code: str) -> None:
    client = directory.client("street_admin", STREET)
    for path in (f"/units/{code}", f"/units/{code}/children"):
        answer = await client.get(f"/directory/v1{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"There is no unit {code}, or you may not see it."
    answer = await client.get(f"/directory/v1/units?within={code}")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:linli:problem:outside-scope")
    assert (await change(client, f"/units/{code}", name="x")).status_code == 404
    for body in (rows(f"{code}001"), rows(f"{code[:6]}777")):
        if len(body[0]["code"]) in {9, 12} and code != "0":
            assert (await imported(client, body)).status_code == 403
            assert (await client.post("/directory/v1/units", json=body[0])).status_code == 403
