import json
from typing import Any
from uuid import uuid4

from services.residents.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, OTHER_GRID, build, id_number, person

from linli.limits import BODY
from linli.testing import Running

URL = "/residents/v1/imports"


def home(building: object, door: str, *people: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"building": str(building), "door": door, "residents": list(people), **more}


async def rows(residents: Running, building: object) -> tuple[int, int]:
    """Count a building's households and residents."""
    found = await residents.database.fetchrow(
        "SELECT count(DISTINCT h.id), count(r.id) FROM household h LEFT JOIN resident r ON r.household_id = h.id"
        " WHERE building_id = $1",
        building,
    )
    return found[0], found[1]


async def test_an_import_registers_households_with_their_people(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    building = await build(residents)
    batch = [
        home(building, "101", person(phone="13812341234"), person(id_number=id_number(), gender=None, born_on=None)),
        home(building, "102", staircase=3),
    ]
    answer = await manager.post(URL, json={"households": batch})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "households_created": 2,
        "households_existing": 0,
        "residents_created": 2,
        "residents_existing": 0,
    }
    found = await manager.post("/residents/v1/residents/search", json={"phone": "13812341234"})
    assert MICRO in {row["unit"] for row in found.json()["items"]}
    event = (await residents.events("residents.imported.v1"))[-1]
    assert (event["households"], event["residents"], event["unit"]) == (2, 2, COMMUNITY)


async def test_an_import_with_ids_is_safe_to_run_twice(residents: Running) -> None:
    worker = residents.client("grid_worker", GRID)
    building = await build(residents)
    first = person(id=str(uuid4()), id_number=id_number("19490101"))
    batch = [home(building, "101", first, id=str(uuid4()))]
    await worker.post(URL, json={"households": batch})
    told = len(await residents.events())
    again = await worker.post(URL, json={"households": batch})
    assert list(again.json().values()) == [0, 1, 0, 1], again.text
    assert len(await residents.events()) == told
    batch[0]["residents"].append(person(id=str(uuid4())))
    grown = await worker.post(URL, json={"households": batch})
    assert list(grown.json().values()) == [0, 1, 1, 1]
    assert await rows(residents, building) == (1, 2)


async def test_the_same_idempotency_key_gives_the_first_answer(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    building = await build(residents)
    body = {"households": [home(building, "101", person())]}
    key = {"Idempotency-Key": str(uuid4())}
    first = await manager.post(URL, json=body, headers=key)
    assert (await manager.post(URL, json=body, headers=key)).json() == first.json()
    assert await rows(residents, building) == (1, 1)


async def test_wrong_rows_are_named_and_nothing_is_half_applied(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    building, number = await build(residents), id_number()
    known = {"id_number": number, "gender": None, "born_on": None}
    await manager.post(URL, json={"households": [home(building, "1", person(**known))]})
    for status, batch, pointers in (
        (
            422,
            [home(building, "2", person(phone="123"), person(name=""))],
            ["0/residents/0/phone", "0/residents/1/name"],
        ),
        (404, [home(building, "2"), home(uuid4(), "3")], ["1/building"]),
        (409, [home(building, "2"), home(building, "1"), home(building, "2")], ["1/door", "2/door"]),
        (409, [home(building, "2", person(), person(**known))], ["0/residents/1/id_number"]),
    ):
        answer = await manager.post(URL, json={"households": batch})
        assert answer.status_code == status, answer.text
        found = [error["pointer"] for error in answer.json()["errors"]]
        assert set(found) == {f"#/households/{pointer}" for pointer in pointers}
        assert await rows(residents, building) == (1, 1)


async def test_one_id_number_twice_in_an_import_is_named(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    twin = person(id_number=id_number(), gender=None, born_on=None)
    batch = [home(await build(residents), "1", twin, twin)]
    answer = await manager.post(URL, json={"households": batch})
    assert answer.status_code == 409
    assert [error["pointer"][-22:] for error in answer.json()["errors"]] in (
        ["/residents/0/id_number"],
        ["/residents/1/id_number"],
    )


async def test_an_id_given_twice_is_refused(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    building, id_ = await build(residents), str(uuid4())
    answer = await manager.post(URL, json={"households": [home(building, "1", id=id_), home(building, "2", id=id_)]})
    assert answer.status_code == 422
    assert "id stands twice" in answer.json()["errors"][0]["detail"]


async def test_ids_of_rows_out_of_sight_are_not_found(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    hidden_household, hidden_person = str(uuid4()), str(uuid4())
    elsewhere = home(await build(residents, OTHER_GRID), "1", person(id=hidden_person), id=hidden_household)
    assert (await manager.post(URL, json={"households": [elsewhere]})).status_code == 200
    worker = residents.client("grid_worker", GRID)
    building = await build(residents)
    for batch in ([home(building, "1", id=hidden_household)], [home(building, "1", person(id=hidden_person))]):
        answer = await worker.post(URL, json={"households": batch})
        assert answer.status_code == 404, answer.text
    assert await rows(residents, building) == (0, 0)


async def test_an_import_belongs_to_the_callers_district(residents: Running) -> None:
    manager = residents.client("district_admin", "310104")
    building = await build(residents, FOREIGN)
    assert (await manager.post(URL, json={"households": [home(building, "1")]})).status_code == 404


async def test_an_import_may_fill_a_whole_body_and_no_more(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    building = await build(residents)
    batch = [home(building, str(n), *(person(phone=f"1380000{n:04}") for _ in range(3))) for n in range(2200)]
    size = len(json.dumps({"households": batch}, ensure_ascii=False).encode())
    assert 0.7 * BODY < size < BODY
    answer = await manager.post(URL, json={"households": batch})
    assert answer.status_code == 200, answer.text
    assert answer.json()["residents_created"] == 6600
    assert (await manager.post(URL, json={"households": batch * 2})).status_code == 413
