"""The three no-splits (三不破) hold whatever anybody tells the database to do."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.directory.tests.conftest import COMMUNITY, DISTRICT, grow

from linli import units
from linli.testing import Running

GRIDS = [units.parse(f"{COMMUNITY}00{grid}") for grid in (3, 4)]
MICRO_GRIDS = [grid + number for grid in GRIDS for number in (1, 2)]

which = st.integers(0, 3)
somewhere = st.sampled_from(MICRO_GRIDS)
some_group = st.none() | st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), which, somewhere, some_group),
        st.tuples(st.just("move"), which, somewhere),
        st.tuples(st.just("regroup"), which, some_group),
        st.tuples(st.just("redraw"), st.integers(0, 2), st.sampled_from(GRIDS)),
        st.tuples(st.just("split"), which, somewhere),
    ),
    min_size=1,
    max_size=12,
)

STATEMENTS = {
    "put": "INSERT INTO building (district, id, unit, group_id, name, staircases)"
    " VALUES (310104, $1, $2, $3, gen_random_uuid(), 1)",
    "climb": "INSERT INTO staircase (district, id, unit, building_id, number)"
    " SELECT district, gen_random_uuid(), unit, id, 1 FROM building WHERE id = $1",
    "move": "UPDATE building SET unit = $2 WHERE id = $1",
    "regroup": "UPDATE building SET group_id = $2 WHERE id = $1",
    "redraw": "UPDATE residents_group SET unit = $2 WHERE id = $1",
    "split": "UPDATE staircase SET unit = $2 WHERE building_id = $1",
    "found": "INSERT INTO residents_group (district, id, unit, name) VALUES (310104, $1, $2, gen_random_uuid())",
}
BROKEN = """
    SELECT b.id FROM building b JOIN residents_group g ON (g.district, g.id) = (b.district, b.group_id)
    WHERE g.unit <> b.unit_grid
    UNION ALL
    SELECT b.id FROM building b JOIN staircase s ON (s.district, s.building_id) = (b.district, b.id)
    WHERE s.unit <> b.unit
    UNION ALL
    SELECT NULL FROM unit WHERE parent <> CASE kind
        WHEN 'micro_grid' THEN unit / 1000 * 1000 WHEN 'grid' THEN unit / 1000000 * 1000000
        WHEN 'community' THEN unit / 1000000000 * 1000000000 ELSE parent END
"""


@pytest.fixture(scope="module", autouse=True)
async def _grids(directory: Running) -> None:
    await grow(directory, *(units.short(unit) for unit in MICRO_GRIDS))


@pytest.fixture(scope="module")
async def scoped(directory: Running) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection with the rights of a district's administrator, and nothing above the database's rules."""
    connection = await asyncpg.connect(directory.settings.database_url.get_secret_value())
    lo, hi = units.span(units.parse(DISTRICT))
    await connection.execute(
        f"SELECT set_config('role', 'linli_scoped', false), set_config('app.lo', '{lo}', false),"
        f" set_config('app.hi', '{hi}', false)"
    )
    yield connection
    await connection.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_no_sequence_of_changes_splits_anything(scoped: asyncpg.Connection, steps: list[tuple[Any, ...]]) -> None:
    buildings = [uuid4() for _ in range(4)]
    groups = [uuid4() for _ in range(3)]
    around = scoped.transaction()
    await around.start()
    try:
        for number, group in enumerate(groups):
            await scoped.execute(STATEMENTS["found"], group, GRIDS[number % 2])
        for verb, number, *said in steps:
            target = groups[number] if verb == "redraw" else buildings[number]
            facts = list(said)
            if verb in {"put", "regroup"}:
                facts[-1] = None if said[-1] is None else groups[said[-1]]
            with suppress(asyncpg.IntegrityConstraintViolationError):
                async with scoped.transaction():
                    await scoped.execute(STATEMENTS[verb], target, *facts)
                    if verb == "put":
                        await scoped.execute(STATEMENTS["climb"], target)
            assert await scoped.fetch(BROKEN) == []
    finally:
        await around.rollback()


@pytest.mark.parametrize(
    ("constraint", "table", "verb"),
    [("fk_building_group", "building", "move"), ("fk_staircase_building", "staircase", "split")],
)
async def test_without_its_constraint_the_rule_is_broken(
    directory: Running, constraint: str, table: str, verb: str
) -> None:
    """The property above can fail: it is these constraints that hold it."""
    database = directory.database
    for dropped in (False, True):
        around = database.transaction()
        await around.start()
        try:
            if dropped:
                await database.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
            group, building = uuid4(), uuid4()
            await database.execute(STATEMENTS["found"], group, GRIDS[0])
            await database.execute(STATEMENTS["put"], building, MICRO_GRIDS[0], group)
            await database.execute(STATEMENTS["climb"], building)
            if dropped:
                await database.execute(STATEMENTS[verb], building, MICRO_GRIDS[2])
                assert len(await database.fetch(BROKEN)) == 1
            else:
                with pytest.raises(asyncpg.ForeignKeyViolationError, match=constraint):
                    await database.execute(STATEMENTS[verb], building, MICRO_GRIDS[2])
        finally:
            await around.rollback()
