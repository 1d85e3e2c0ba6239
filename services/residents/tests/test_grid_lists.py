"""Lists of grid workers: a page costs a page, however many people live in their grids, and wherever these lie."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from linli import units
from linli.db import Scope
from linli.testing import Running, Stage, rows_read
from residents.app import create_app

LIMIT = 20
CODES = [f"31010400300{community}00{grid}" for community in (1, 2) for grid in (1, 2, 3, 4, 5)]
_BUILDING = """
    INSERT INTO known_building (district, id, unit, name, active, sequence) VALUES (310104, $1, $2, '1号楼', true, 1)"""
_HOUSEHOLDS = """
    INSERT INTO household (district, id, unit, building_id, door)
    SELECT 310104, gen_random_uuid(), $2, $1, n::text FROM generate_series(1, 250) AS n"""
_RESIDENTS = """
    INSERT INTO resident (district, id, unit, household_id, name, gender, born_on, lives_here, version)
    SELECT 310104, gen_random_uuid(), unit, id, chr(19968 + n), 'female', '1990-01-01', true, 1
    FROM household, generate_series(1, 4) AS n"""


@pytest.fixture(scope="module")
async def residents(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("residents", create_app) as running:
        await running.know_units(*CODES)
        for code in CODES:
            building = uuid4()
            await running.database.execute(_BUILDING, building, units.parse(code))
            await running.database.execute(_HOUSEHOLDS, building, units.parse(code))
        await running.database.execute(_RESIDENTS)
        await running.database.execute("VACUUM ANALYZE resident")
        yield running


@pytest.mark.parametrize("grids", [CODES[:1], CODES[-1:], [CODES[2], CODES[4], CODES[9]]])
async def test_a_page_is_read_from_its_beginning(residents: Running, grids: list[str]) -> None:
    worker = uuid4()
    client = residents.client("grid_worker", grids[0], worker, grids=grids)
    own = tuple(map(units.parse, grids))
    seen = "SELECT id FROM resident WHERE unit_grid = ANY ($1) ORDER BY unit, id LIMIT $2"
    wanted = [str(row["id"]) for row in await residents.database.fetch(seen, own, 3 * LIMIT)]
    question: dict[str, str | int] = {"limit": LIMIT}
    while wanted:
        asked = client.get("/residents/v1/residents", params=question)
        (read,) = await rows_read(residents, Scope.of_grids(own, 310104, worker), asked)
        assert read <= (LIMIT + 1) * len(grids)
        page = (await client.get("/residents/v1/residents", params=question)).json()
        assert [item["id"] for item in page["items"]] == wanted[:LIMIT]
        wanted, question["cursor"] = wanted[LIMIT:], page["next"]
