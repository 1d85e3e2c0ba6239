"""What the database keeps true whatever the service does."""

import asyncio
from datetime import date
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.residents.tests.conftest import (
    COMMUNITY,
    MICRO,
    NEXT_MICRO,
    build,
    found,
    person,
    register,
    unit_of_its_own,
)

from linli import units
from linli.testing import Running
from residents.identity import today

PEOPLE = st.lists(
    st.lists(st.tuples(st.dates(date(1930, 1, 1), date(2020, 1, 1)), st.booleans()), max_size=4), max_size=6
)


async def test_a_household_can_not_leave_its_buildings_micro_grid(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, await build(residents))
    one = await register(manager, household)
    for table, id_ in (("household", household), ("resident", one["id"])):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await residents.database.execute(
                f"UPDATE {table} SET unit = $1 WHERE id = $2",  # noqa: S608 one of two names above
                units.parse(NEXT_MICRO),
                UUID(id_),
            )


async def test_a_resident_belongs_to_a_unit_that_is_known(residents: Running) -> None:
    building = await build(residents, f"{COMMUNITY}777001")
    manager = residents.client("community_manager", COMMUNITY)
    answer = await manager.post("/residents/v1/households", json={"building": str(building), "door": "1"})
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:linli:problem:unknown-unit"


async def test_people_who_move_in_at_the_same_moment_are_all_counted(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, await build(residents))
    await asyncio.gather(*(register(manager, household) for _ in range(8)))
    shown = (await manager.get(f"/residents/v1/households/{household}")).json()
    assert (shown["residents"], shown["living"]) == (8, 8)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PEOPLE)
async def test_counts_agree_with_counting_everybody(residents: Running, homes: list[list[tuple[date, bool]]]) -> None:
    micro = await unit_of_its_own(residents, 310110)
    manager = residents.client("community_manager", micro[:12])
    building = await build(residents, micro)
    batch = [
        {
            "building": str(building),
            "door": str(door),
            "residents": [person(born_on=born.isoformat(), lives_here=here) for born, here in people],
        }
        for door, people in enumerate(homes)
    ]
    before = (await manager.get(f"/residents/v1/units/{micro}/counts")).json()
    if batch:
        assert (await manager.post("/residents/v1/imports", json={"households": batch})).status_code == 200
    after = (await manager.get(f"/residents/v1/units/{micro}/counts")).json()
    living = [[born for born, here in people if here] for people in homes]
    limit = today().replace(year=today().year - 60)
    expected = {
        "households": len(homes),
        "occupied_households": sum(bool(home) for home in living),
        "residents": sum(map(len, homes)),
        "living_alone": sum(len(home) == 1 for home in living),
        "all_elderly": sum(len(home) for home in living if home and max(home) <= limit),
    }
    assert {name: after[name] - before[name] for name in expected} == expected


async def test_a_person_removed_by_hand_is_no_longer_counted(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, await build(residents))
    one = await register(manager, household)
    await residents.database.execute("DELETE FROM resident WHERE id = $1", UUID(one["id"]))
    shown = (await manager.get(f"/residents/v1/households/{household}")).json()
    assert (shown["residents"], shown["occupied"], shown["all_elderly"]) == (0, False, False)
    assert shown["unit"] == MICRO
