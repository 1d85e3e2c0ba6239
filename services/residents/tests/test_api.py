from datetime import UTC, date, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest
from services.residents.tests.conftest import (
    COMMUNITY,
    FOREIGN,
    GRID,
    MICRO,
    NEXT_MICRO,
    OTHER_GRID,
    SIBLING,
    STREET,
    build,
    found,
    id_number,
    person,
    register,
    unit_of_its_own,
)

from linli.testing import Running
from residents import identity

TODAY = identity.today()
SIXTY_YEARS_AGO = TODAY.replace(year=TODAY.year - 60)


async def test_a_household_is_registered_at_a_door_of_a_known_building(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    building = await build(residents)
    body = {"building": str(building), "staircase": 2, "door": " 502 "}
    answer = await manager.post("/residents/v1/households", json=body)
    assert answer.status_code == 201, answer.text
    household = answer.json()
    assert (household["unit"], household["staircase"], household["door"]) == (MICRO, 2, "502")
    assert (household["occupied"], household["residents"]) == (False, 0)
    assert (await manager.get(answer.headers["location"])).json() == household
    again = await manager.post("/residents/v1/households", json=body)
    assert again.status_code == 409
    assert again.json()["type"] == "urn:linli:problem:household-exists"


async def test_buildings_out_of_sight_or_out_of_use_are_not_found(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    buildings = [uuid4(), await build(residents, SIBLING), await build(residents, FOREIGN)]
    for building in [*buildings, await build(residents, active=False)]:
        body = {"building": str(building), "door": "101"}
        answer = await manager.post("/residents/v1/households", json=body)
        assert answer.status_code == 404
        assert answer.json()["id"] == str(building)
        answer = await manager.post("/residents/v1/imports", json={"households": [{**body, "residents": []}]})
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["pointer"] == "#/households/0/building"


async def test_a_resident_is_registered_and_shown_masked(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, await build(residents))
    number = id_number("19500315", male=True)
    body = {"household": household, "name": "王建国", "phone": "138 1234 5678", "id_number": number.lower()}
    answer = await manager.post("/residents/v1/residents", json=body)
    assert answer.status_code == 201, answer.text
    resident = answer.json()
    assert resident["phone"] == "138****5678"
    assert resident["id_number"] == f"{number[0]}****************{number[-1]}"
    assert (resident["born_on"], resident["gender"]) == ("1950-03-15", "male")
    read = await manager.get(answer.headers["location"])
    assert read.json() == resident
    assert read.headers["etag"] == '"1"'
    (event,) = [one for one in await residents.events() if one.get("resident") == resident["id"]]
    assert (event["household"], event["unit"], event["sequence"]) == (household, MICRO, 1)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"phone": "12812341234"}, "#/phone"),
        ({"id_number": "110105194912310021"}, "#/id_number"),
        ({"born_on": None}, "#"),
        ({"gender": None}, "#"),
        ({"gender": "male", "born_on": None, "id_number": "11010519491231002X"}, "#"),
        ({"born_on": "2999-01-01"}, "#/born_on"),
        ({"name": ""}, "#/name"),
        ({"name": "a\x00b"}, "#/name"),
        ({"nickname": "x"}, "#/nickname"),
    ],
)
async def test_a_wrong_field_is_named(residents: Running, changes: dict[str, object], pointer: str) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    answer = await manager.post("/residents/v1/residents", json=person(household=str(uuid4()), **changes))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert answer.json()["errors"][0]["detail"]


async def test_a_child_is_registered_on_the_day_of_birth_as_it_is_in_china(
    residents: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, await build(residents))
    night = datetime(2026, 11, 28, 16, 30, tzinfo=UTC)  # half past midnight on the 29th
    monkeypatch.setattr(identity, "datetime", SimpleNamespace(now=night.astimezone))
    one = await register(manager, household, born_on="2026-11-29")
    assert one["born_on"] == "2026-11-29"
    await register(manager, household, born_on=None, gender=None, id_number=id_number("20261129"))
    for later in ({"born_on": "2026-11-30"}, {"born_on": None, "id_number": id_number("20261130")}):
        answer = await manager.post("/residents/v1/residents", json=person(household=household, **later))
        assert answer.status_code == 422


async def test_an_id_number_is_registered_once_in_a_district(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    elsewhere = residents.client("community_manager", SIBLING[:12])
    number = id_number()
    await register(manager, await found(manager, await build(residents)), id_number=number)
    household = await found(elsewhere, await build(residents, SIBLING))
    body = person(household=household, id_number=number)
    answer = await elsewhere.post("/residents/v1/residents", json=body)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:linli:problem:duplicate-id-number"
    foreign = residents.client("community_manager", FOREIGN[:12])
    await register(foreign, await found(foreign, await build(residents, FOREIGN)), id_number=number)


async def test_residents_are_found_by_phone_id_number_and_the_beginning_of_a_name(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, await build(residents))
    number = id_number()
    one = await register(manager, household, name="欧阳秋水", phone="13987654321", id_number=number)
    await register(manager, household, name="欧文", phone="13987654322")
    for body in (
        {"phone": "+86 139-8765-4321"},
        {"id_number": f" {number.lower()} "},
        {"name": "欧阳"},
        {"name": "欧阳秋水", "within": GRID},
    ):
        answer = await manager.post("/residents/v1/residents/search", json=body)
        assert [row["id"] for row in answer.json()["items"]] == [one["id"]], answer.text
        assert answer.headers["cache-control"] == "no-store"
    both = await manager.post("/residents/v1/residents/search", json={"name": "欧"})
    assert len(both.json()["items"]) == 2
    elsewhere = residents.client("community_manager", SIBLING[:12])
    answer = await elsewhere.post("/residents/v1/residents/search", json={"phone": "13987654321"})
    assert answer.json()["items"] == []
    for bad in ({}, {"phone": "13987654321", "name": "欧"}, {"within": GRID}):
        assert (await manager.post("/residents/v1/residents/search", json=bad)).status_code == 422


async def test_what_was_sought_is_not_kept_for_a_repetition(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    key = {"Idempotency-Key": str(uuid4())}
    await manager.post("/residents/v1/residents/search", json={"phone": "13987654321"}, headers=key)
    rows = await residents.database.fetchval(
        "SELECT count(*) FROM idempotency_key WHERE key = $1", key["Idempotency-Key"]
    )
    assert rows == 0


async def test_residents_are_listed_by_unit_and_household_page_by_page(residents: Running) -> None:
    micro = await unit_of_its_own(residents, 310106)
    manager = residents.client("community_manager", micro[:12])
    household = await found(manager, await build(residents, micro))
    ids = {(await register(manager, household, name=f"住户{n}"))["id"] for n in range(5)}
    seen: list[str] = []
    url: str | None = f"/residents/v1/residents?within={micro}&limit=2"
    while url:
        answer = await manager.get(url)
        seen += [row["id"] for row in answer.json()["items"]]
        url = answer.links["next"]["url"] if "next" in answer.links else None
    assert len(seen) == 5
    assert set(seen) == ids
    by_household = await manager.get(f"/residents/v1/residents?household={household}")
    assert {row["id"] for row in by_household.json()["items"]} == ids
    assert (await manager.get("/residents/v1/residents?within=310107")).status_code == 403


async def test_changes_need_the_etag_that_was_read(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    building = await build(residents)
    household, other = await found(manager, building), await found(manager, building, "102")
    one = await register(manager, household, phone="13712341234")
    url = f"/residents/v1/residents/{one['id']}"
    assert (await manager.patch(url, json={"name": "林梅"})).status_code == 428
    number = id_number("19601201", male=True)
    changes = {"name": "林枫", "phone": None, "id_number": number, "lives_here": False, "household": other}
    changed = await manager.patch(url, json=changes, headers={"If-Match": '"1"'})
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == '"2"'
    body = changed.json()
    assert (body["name"], body["phone"], body["household"]) == ("林枫", None, other)
    assert (body["born_on"], body["gender"], body["lives_here"]) == ("1960-12-01", "male", False)
    assert (await manager.patch(url, json={"name": "x"}, headers={"If-Match": '"1"'})).status_code == 412
    for bad in ({}, {"name": None}, {"household": None}):
        assert (await manager.patch(url, json=bad, headers={"If-Match": '"2"'})).status_code == 422
    lost = await manager.patch(url, json={"household": str(uuid4())}, headers={"If-Match": '"2"'})
    assert lost.status_code == 404
    counted = await manager.get(f"/residents/v1/households/{household}")
    assert counted.json()["residents"] == 0


async def test_somebody_who_moves_to_another_grid_is_seen_there(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, await build(residents))
    new_home = await found(manager, await build(residents, OTHER_GRID))
    one = await register(manager, household)
    url = f"/residents/v1/residents/{one['id']}"
    moved = await manager.patch(url, json={"household": new_home}, headers={"If-Match": "*"})
    assert moved.json()["unit"] == OTHER_GRID
    assert (await residents.client("grid_worker", GRID).get(url)).status_code == 404
    assert (await residents.client("grid_worker", OTHER_GRID[:15]).get(url)).status_code == 200


@pytest.mark.parametrize(
    ("role", "unit", "sees"),
    [
        ("grid_worker", GRID, True),
        ("grid_worker", OTHER_GRID[:15], False),
        ("community_manager", COMMUNITY, True),
        ("community_manager", "310104003002", False),
        ("street_admin", STREET, True),
        ("street_admin", "310104004", False),
        ("district_admin", "310104", True),
        ("district_admin", "310115", False),
    ],
)
async def test_a_resident_is_seen_by_those_who_answer_for_the_place(
    residents: Running, role: str, unit: str, *, sees: bool
) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    one = await register(manager, await found(manager, await build(residents)))
    answer = await residents.client(role, unit).get(f"/residents/v1/residents/{one['id']}")
    assert answer.status_code == (200 if sees else 404)


@pytest.mark.parametrize("role", ["resident", "volunteer", "department_staff", "app", "operator"])
async def test_others_see_nobody(residents: Running, role: str) -> None:
    client = residents.client(role, "310104")
    for path in ("residents", f"residents/{uuid4()}", f"units/{STREET}/counts", "audit"):
        assert (await client.get(f"/residents/v1/{path}")).status_code == 403
    assert (await client.post("/residents/v1/residents/search", json={"name": "林"})).status_code == 403
    assert (await residents.client().get("/residents/v1/residents")).status_code == 401


async def test_a_grid_worker_registers_people_in_his_own_grid_only(residents: Running) -> None:
    worker = residents.client("grid_worker", GRID)
    one = await register(worker, await found(worker, await build(residents)), phone="13612341234")
    assert one["unit"] == MICRO
    foreign = await build(residents, OTHER_GRID)
    body = {"building": str(foreign), "door": "101"}
    assert (await worker.post("/residents/v1/households", json=body)).status_code == 404
    answer = await worker.post("/residents/v1/residents/search", json={"phone": "13612341234"})
    assert [row["id"] for row in answer.json()["items"]] == [one["id"]]


async def test_a_unit_knows_its_figures(residents: Running) -> None:
    micro = await unit_of_its_own(residents, 310107)
    manager = residents.client("community_manager", micro[:12])
    building = await build(residents, micro)
    await build(residents, micro, active=False)
    old, young = "1945-01-01", "1999-01-01"
    couple, alone, family, empty, student = [await found(manager, building, door) for door in "12345"]
    for household, born, lives_here in (
        (couple, old, True),
        (couple, SIXTY_YEARS_AGO.isoformat(), True),
        (couple, young, False),
        (alone, old, True),
        (family, old, True),
        (family, young, True),
        (empty, old, False),
        (student, young, True),
    ):
        await register(manager, household, born_on=born, lives_here=lives_here)
    counts = (await manager.get(f"/residents/v1/units/{micro[:12]}/counts")).json()
    assert counts == {
        "unit": micro[:12],
        "buildings": 1,
        "households": 5,
        "occupied_households": 4,
        "residents": 8,
        "living_alone": 2,
        "living_alone_elderly": 1,
        "all_elderly": 3,
    }
    shown = (await manager.get(f"/residents/v1/households/{couple}")).json()
    assert (shown["residents"], shown["living"], shown["all_elderly"]) == (3, 2, True)


async def test_somebody_becomes_elderly_on_the_sixtieth_birthday(
    residents: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "today", lambda: date(2026, 2, 28))  # midnight may pass while this runs
    micro = await unit_of_its_own(residents, 310109)
    manager = residents.client("community_manager", micro[:12])
    await register(manager, await found(manager, await build(residents, micro)), born_on="1966-03-01")
    counts = (await manager.get(f"/residents/v1/units/{micro}/counts")).json()
    assert (counts["living_alone"], counts["all_elderly"]) == (1, 0)
    monkeypatch.setattr(identity, "today", lambda: date(2026, 3, 1))
    counts = (await manager.get(f"/residents/v1/units/{micro}/counts")).json()
    assert (counts["living_alone"], counts["all_elderly"]) == (1, 1)


async def test_figures_of_other_units_are_refused_and_unknown_ones_not_found(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    assert (await manager.get(f"/residents/v1/units/{SIBLING}/counts")).status_code == 403
    assert (await manager.get(f"/residents/v1/units/{STREET}/counts")).status_code == 403
    assert (await manager.get(f"/residents/v1/units/{COMMUNITY}999/counts")).status_code == 404
    assert (await manager.get("/residents/v1/units/nonsense/counts")).status_code == 422
    worker = residents.client("grid_worker", GRID)
    assert (await worker.get(f"/residents/v1/units/{GRID}/counts")).status_code == 200
    assert (await worker.get(f"/residents/v1/units/{NEXT_MICRO}/counts")).status_code == 200
