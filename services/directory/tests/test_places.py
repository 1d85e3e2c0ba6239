from uuid import uuid4

import httpx
import pytest
from services.directory.tests.conftest import (
    COMMUNITY,
    DISTRICT,
    FAR_MICRO,
    FOREIGN_MICRO,
    GRID,
    MICRO,
    OTHER_GRID,
    OTHER_MICRO,
    SIBLING_MICRO,
    STREET,
    change,
    made,
)

from linli.testing import Running


@pytest.fixture
def manager(directory: Running) -> httpx.AsyncClient:
    return directory.client("community_manager", COMMUNITY)


def named(prefix: str = "天平路") -> str:
    return f"{prefix}{uuid4().hex[:8]}号"


async def staircases(client: httpx.AsyncClient, building: str) -> list[dict[str, object]]:
    answer = await client.get(f"/directory/v1/staircases?building={building}")
    found: list[dict[str, object]] = answer.json()["items"]
    return found


async def test_a_building_has_a_micro_grid_and_staircases(directory: Running, manager: httpx.AsyncClient) -> None:
    group = await made(manager, "/groups", unit=GRID, name=named("第一小组"))
    building = await made(manager, "/buildings", unit=MICRO, name=named(), group=group["id"], staircases=3)
    assert (building["unit"], building["group"]) == (MICRO, group["id"])
    found = await staircases(manager, building["id"])
    assert sorted(str(staircase["number"]) for staircase in found) == ["1", "2", "3"]
    assert {staircase["unit"] for staircase in found} == {MICRO}
    told = (await directory.events("directory.building.v1"))[-1]
    assert (told["building"], told["unit"], told["group"], told["staircases"], told["sequence"], told["active"]) == (
        building["id"], MICRO, group["id"], 3, 1, True,
    )  # fmt: skip
    listed = await manager.get(f"/directory/v1/buildings?within={MICRO}&group={group['id']}")
    assert [item["id"] for item in listed.json()["items"]] == [building["id"]]


async def test_a_building_moves_whole_with_its_staircases(directory: Running, manager: httpx.AsyncClient) -> None:
    building = await made(manager, "/buildings", unit=MICRO, name=named(), staircases=2)
    assert (await manager.patch(f"/directory/v1/buildings/{building['id']}", json={})).status_code == 428
    moved = await change(manager, f"/buildings/{building['id']}", '"1"', unit=OTHER_MICRO)
    assert (moved.json()["unit"], moved.headers["etag"]) == (OTHER_MICRO, '"2"')
    assert {staircase["unit"] for staircase in await staircases(manager, building["id"])} == {OTHER_MICRO}
    assert (await directory.events("directory.building.v1"))[-1]["unit"] == OTHER_MICRO
    assert (await change(manager, f"/buildings/{building['id']}", '"1"', unit=MICRO)).status_code == 412


async def test_a_grid_never_splits_a_residents_group(manager: httpx.AsyncClient) -> None:
    group = await made(manager, "/groups", unit=GRID, name=named("组"))
    answer = await manager.post(
        "/directory/v1/buildings", json={"unit": FAR_MICRO, "name": named(), "group": group["id"]}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:group-would-be-split")
    assert "三不破" in answer.json()["detail_zh"]
    building = await made(manager, "/buildings", unit=MICRO, name=named(), group=group["id"])
    path = f"/buildings/{building['id']}"
    assert (await change(manager, path, unit=FAR_MICRO)).status_code == 409
    assert (await change(manager, path, unit=OTHER_MICRO)).status_code == 200
    assert (await change(manager, path, unit=FAR_MICRO, group=None)).json()["group"] is None
    assert (await change(manager, path, group=group["id"])).status_code == 409


async def test_a_building_belongs_into_an_active_micro_grid_and_a_group_into_a_grid(manager: httpx.AsyncClient) -> None:
    for path, unit in (("/buildings", GRID), ("/groups", MICRO), ("/groups", COMMUNITY)):
        answer = await manager.post(f"/directory/v1{path}", json={"unit": unit, "name": named()})
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:linli:problem:wrong-kind")
    answer = await manager.post("/directory/v1/buildings", json={"unit": GRID + "777", "name": named()})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:linli:problem:unknown-unit")
    answer = await manager.post("/directory/v1/buildings", json={"unit": MICRO, "name": "x", "group": str(uuid4())})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:linli:problem:unknown-group")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/group"]


async def test_names_are_unique_where_people_use_them(manager: httpx.AsyncClient) -> None:
    name = named()
    await made(manager, "/buildings", unit=MICRO, name=name)
    answer = await manager.post("/directory/v1/buildings", json={"unit": FAR_MICRO, "name": name})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:building-exists")
    await made(manager, "/groups", unit=GRID, name=name)
    await made(manager, "/groups", unit=OTHER_GRID, name=name)
    answer = await manager.post("/directory/v1/groups", json={"unit": GRID, "name": name})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:group-exists")


async def test_an_import_of_buildings_may_run_twice_and_moves_by_name(manager: httpx.AsyncClient) -> None:
    prefix = named()
    rows = [{"unit": MICRO, "name": f"{prefix}{number}", "staircases": 2} for number in range(300)]
    rows[0]["id"] = str(uuid4())

    async def run() -> dict[str, int]:
        answer = await manager.post("/directory/v1/buildings/import", json={"buildings": rows})
        assert answer.status_code == 200, answer.text
        counts: dict[str, int] = answer.json()
        return counts

    assert await run() == {"created": 300, "updated": 0, "unchanged": 0}
    assert await run() == {"created": 0, "updated": 0, "unchanged": 300}
    rows[0]["unit"] = rows[1]["unit"] = FAR_MICRO
    rows[2]["staircases"] = 1
    assert await run() == {"created": 0, "updated": 3, "unchanged": 297}
    moved = await manager.get(f"/directory/v1/buildings/{rows[0]['id']}")
    assert moved.json()["unit"] == FAR_MICRO
    found = await staircases(manager, str(rows[0]["id"]))
    assert {staircase["unit"] for staircase in found} == {FAR_MICRO}


async def test_wrong_building_rows_are_named_and_nothing_is_taken_over(manager: httpx.AsyncClient) -> None:
    group = await made(manager, "/groups", unit=GRID, name=named("组"))
    name = named()
    taken = await made(manager, "/buildings", unit=MICRO, name=named())
    rows = [
        {"unit": MICRO, "name": name},
        {"unit": MICRO, "name": name},
        {"unit": GRID, "name": named()},
        {"unit": GRID + "777", "name": named()},
        {"unit": FAR_MICRO, "name": named(), "group": group["id"]},
        {"unit": MICRO, "name": taken["name"], "id": str(uuid4())},
    ]
    answer = await manager.post("/directory/v1/buildings/import", json={"buildings": rows})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "#/buildings/1/name",
        "#/buildings/2/unit",
        "#/buildings/3/unit",
        "#/buildings/4/group",
        "#/buildings/5/name",
    ]
    rows.insert(1, {"unit": MICRO, "name": named(), "group": str(uuid4())})
    answer = await manager.post("/directory/v1/buildings/import", json={"buildings": rows})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:linli:problem:unknown-group")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/buildings/1/group"]
    assert (await made(manager, "/buildings", unit=MICRO, name=name))["version"] == 1


async def test_a_staircase_gets_a_head_and_shows_without_one(manager: httpx.AsyncClient) -> None:
    building = await made(manager, "/buildings", unit=MICRO, name=named(), staircases=2)
    head = await made(manager, "/staff", unit=COMMUNITY, name="楼组长")
    first, second = await staircases(manager, building["id"])
    path = f"/staircases/{first['id']}"
    nobody = await change(manager, path, head=str(uuid4()))
    assert (nobody.status_code, nobody.json()["type"]) == (404, "urn:linli:problem:unknown-staff")
    assert [error["pointer"] for error in nobody.json()["errors"]] == ["#/head"]
    appointed = await change(manager, path, '"1"', head=head["id"])
    assert (appointed.json()["head"], appointed.headers["etag"]) == (head["id"], '"2"')
    without = await manager.get(f"/directory/v1/staircases?building={building['id']}&unstaffed=true")
    assert [item["id"] for item in without.json()["items"]] == [second["id"]]
    assert (await change(manager, path, head=None)).json()["head"] is None


async def test_a_building_grows_and_loses_staircases_and_keeps_the_heads_that_stay(manager: httpx.AsyncClient) -> None:
    building = await made(manager, "/buildings", unit=MICRO, name=named(), staircases=2)
    head = await made(manager, "/staff", unit=COMMUNITY, name="楼组长")
    first = next(item for item in await staircases(manager, building["id"]) if item["number"] == 1)
    await change(manager, f"/staircases/{first['id']}", head=head["id"])
    for count in (4, 1):
        await change(manager, f"/buildings/{building['id']}", staircases=count)
        found = await staircases(manager, building["id"])
        assert sorted(str(item["number"]) for item in found) == [str(number + 1) for number in range(count)]
        assert next(item for item in found if item["number"] == 1)["head"] == head["id"]


async def test_a_building_that_is_pulled_down_is_told(directory: Running, manager: httpx.AsyncClient) -> None:
    building = await made(manager, "/buildings", unit=MICRO, name=named())
    assert (await change(manager, f"/buildings/{building['id']}", active=False)).json()["active"] is False
    assert (await directory.events("directory.building.v1"))[-1]["active"] is False


@pytest.mark.parametrize("unit", [SIBLING_MICRO, FOREIGN_MICRO])
async def test_places_out_of_reach_are_neither_seen_nor_made_nor_moved(directory: Running, unit: str) -> None:
    owner = directory.client("district_admin", unit[:6])
    theirs = await made(owner, "/buildings", unit=unit, name=named(), staircases=1)
    staircase = (await staircases(owner, theirs["id"]))[0]
    group = await made(owner, "/groups", unit=unit[:15], name=named())
    client = directory.client("street_admin", STREET)
    bodies: dict[str, dict[str, object]] = {"/buildings": {"name": "x"}, "/staircases": {"head": None}}
    for (path, body), id_ in zip(bodies.items(), (theirs["id"], staircase["id"]), strict=True):
        absent = str(uuid4())
        foreign, missing = [await change(client, f"{path}/{found}", **body) for found in (id_, absent)]
        assert (foreign.status_code, missing.status_code) == (404, 404)
        assert foreign.json()["detail"].replace(str(id_), "") == missing.json()["detail"].replace(absent, "")
    assert (await client.get(f"/directory/v1/buildings/{theirs['id']}")).status_code == 404
    for path in ("/buildings", "/groups", "/staircases"):
        assert (await client.get(f"/directory/v1{path}?within={unit}")).status_code == 403
    for site in ({"unit": unit, "name": named()}, {"unit": unit, "name": named(), "group": group["id"]}):
        assert (await client.post("/directory/v1/buildings", json=site)).status_code == 403
        assert (await client.post("/directory/v1/buildings/import", json={"buildings": [site]})).status_code == 403
    mine = await made(client, "/buildings", unit=MICRO, name=named())
    assert (await change(client, f"/buildings/{mine['id']}", unit=unit)).status_code in {403, 422}
    answers = [await change(client, f"/buildings/{mine['id']}", group=id_) for id_ in (group["id"], str(uuid4()))]
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {
        (404, "urn:linli:problem:unknown-group")
    }
    stolen = {"id": theirs["id"], "unit": MICRO, "name": named()}
    answer = await client.post("/directory/v1/buildings/import", json={"buildings": [stolen]})
    assert answer.status_code in {403, 409, 200}
    assert (await owner.get(f"/directory/v1/buildings/{theirs['id']}")).json() == theirs


async def test_everybody_finds_his_building_and_only_managers_make_one(directory: Running) -> None:
    for role, unit in (("resident", DISTRICT), ("grid_worker", GRID)):
        client = directory.client(role, unit)
        assert (await client.get(f"/directory/v1/buildings?within={MICRO}")).status_code == 200
        answer = await client.post("/directory/v1/buildings", json={"unit": MICRO, "name": "x"})
        assert answer.status_code == 403
