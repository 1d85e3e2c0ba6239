from uuid import uuid4

from services.residents.tests.conftest import COMMUNITY, GRID, MICRO, NEXT_MICRO, found, register

from linli import units
from linli.events.directory import BuildingChanged, UnitChanged
from linli.testing import Running, eventually, tell


def building(unit: str = MICRO, **changes: object) -> BuildingChanged:
    facts = {"building": uuid4(), "unit": unit, "name": "12号楼", "staircases": 3, "active": True, "sequence": 1}
    return BuildingChanged(**{**facts, **changes})


async def unit_of(residents: Running, table: str, id_: object) -> str | None:
    unit = await residents.database.fetchval(f"SELECT unit FROM {table} WHERE id = $1", id_)  # noqa: S608 named in these tests
    return units.short(unit) if unit else None


async def test_a_building_can_be_lived_in_once_the_directory_tells_of_it(residents: Running) -> None:
    told = building()
    await tell(residents, told)
    await eventually(lambda: unit_of(residents, "known_building", told.building))
    await found(residents.client("community_manager", COMMUNITY), told.building)


async def test_a_building_that_moves_takes_its_people_along_and_nobody_is_left(residents: Running) -> None:
    told = building()
    await tell(residents, told)
    await eventually(lambda: unit_of(residents, "known_building", told.building))
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, told.building)
    one = await register(manager, household)
    moved = told.model_copy(update={"id": uuid4(), "unit": units.parse(f"{COMMUNITY}002001"), "sequence": 2})
    await tell(residents, moved)
    url = f"/residents/v1/residents/{one['id']}"

    async def gone() -> bool:
        return (await residents.client("grid_worker", GRID).get(url)).status_code == 404

    await eventually(gone)
    assert (await residents.client("grid_worker", f"{COMMUNITY}002").get(url)).status_code == 200
    shown = (await manager.get(f"/residents/v1/households/{household}")).json()
    assert (shown["unit"], shown["residents"]) == (f"{COMMUNITY}002001", 1)


async def test_an_older_word_on_a_building_is_dropped(residents: Running) -> None:
    newest = building(NEXT_MICRO, sequence=5)
    older = newest.model_copy(update={"id": uuid4(), "unit": units.parse(MICRO), "sequence": 4})
    marker = building()
    await tell(residents, newest)
    # The stream keeps the last one of each building: what nobody has heard yet would be gone.
    await eventually(lambda: unit_of(residents, "known_building", newest.building))
    for event in (older, marker):
        await tell(residents, event)
    await eventually(lambda: unit_of(residents, "known_building", marker.building))
    assert await unit_of(residents, "known_building", newest.building) == NEXT_MICRO


async def test_a_building_may_move_to_a_unit_that_is_told_of_later(residents: Running) -> None:
    told = building()
    await tell(residents, told)
    await eventually(lambda: unit_of(residents, "known_building", told.building))
    household = await found(residents.client("community_manager", COMMUNITY), told.building)
    unit = units.parse(f"{COMMUNITY}555001")
    await tell(residents, told.model_copy(update={"id": uuid4(), "unit": unit, "sequence": 2}))
    await tell(residents, UnitChanged(unit=unit, kind="micro_grid", name="新微网格", active=True, sequence=1))

    async def moved() -> bool:
        return await unit_of(residents, "household", household) == f"{COMMUNITY}555001"

    await eventually(moved, within=30)
