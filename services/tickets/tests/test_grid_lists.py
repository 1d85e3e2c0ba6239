"""Lists of grid workers: a page costs a page, however many tickets their grids have had."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event

from linli import units
from linli.db import Scope, transaction
from linli.testing import Running, Stage
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


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in plan:
        yield plan
    for below in plan.get("Plans", []):
        yield from scans(below)


@pytest.mark.parametrize("grids", [1, 3])
async def test_a_page_is_read_from_its_end(tickets: Running, grids: int) -> None:
    engine = tickets.app.state.engines[None].sync_engine
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        asked.append((statement, values))

    worker = uuid4()
    event.listen(engine, "before_cursor_execute", note)
    try:
        client = tickets.client("grid_worker", GRIDS[0], worker, grids=GRIDS[:grids])
        first = (await client.get("/tickets/v1/tickets", params={"limit": 20})).raise_for_status().json()
        await client.get("/tickets/v1/tickets", params={"limit": 20, "cursor": first["next"]})
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert [item["id"] for item in first["items"]] == sorted((item["id"] for item in first["items"]), reverse=True)
    scope = Scope.of_grids(tuple(map(units.parse, GRIDS[:grids])), 310104, worker)
    assert len(asked) == 2
    for statement, values in asked:
        async with transaction(tickets.app.state.sessions, scope) as session:
            connection = await session.connection()
            explained = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
            (plan,) = explained.scalar_one()
        read = [scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) for scan in scans(plan["Plan"])]
        assert sum(read) <= 21 * grids
