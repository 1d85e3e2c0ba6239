"""Lists of grid workers: a page costs a page, however many tickets their grids have had."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from linli import units
from linli.db import Scope
from linli.testing import Running, Stage, rows_read
from tickets.app import create_app

GRIDS = ["310104003001001", "310104003001002", "310104003002001"]
OTHERS = "310104004001001"
_FILL = """
    INSERT INTO ticket (district, id, unit, title, description, category, state, reporter, opened_at, answer_due_at,
                        solve_due_at, version)
    SELECT 310104, uuidv7($2::int * n * interval '-1 second'), $1::bigint, '路灯不亮', '三天不亮', 'lighting', 'open',
           gen_random_uuid(), now(), now(), now(), 1
    FROM generate_series(1, 30000 / $2::int) AS n"""


@pytest.fixture(scope="module")
async def tickets(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("tickets", create_app) as running:
        await running.know_units(*GRIDS, OTHERS)
        for grid, every in [*((grid, 20) for grid in GRIDS), (OTHERS, 1)]:
            await running.database.execute(_FILL, units.parse(grid), every)
        await running.database.execute("ANALYZE ticket")
        yield running


@pytest.mark.parametrize("grids", [1, 3])
async def test_a_page_is_read_from_its_end(tickets: Running, grids: int) -> None:
    worker = uuid4()
    client = tickets.client("grid_worker", GRIDS[0], worker, grids=GRIDS[:grids])
    scope = Scope.of_grids(tuple(map(units.parse, GRIDS[:grids])), 310104, worker)
    first = (await client.get("/tickets/v1/tickets", params={"limit": 20})).raise_for_status().json()
    assert [item["id"] for item in first["items"]] == sorted((item["id"] for item in first["items"]), reverse=True)
    for cursor in ({}, {"cursor": first["next"]}):
        (read,) = await rows_read(tickets, scope, client.get("/tickets/v1/tickets", params={"limit": 20, **cursor}))
        assert read <= 21 * grids
