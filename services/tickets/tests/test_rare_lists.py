"""Lists of what few tickets are: as quick as others, whatever it is, and however many there have been."""

import json
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from services.tickets.tests.conftest import GRID, STREET

from linli import units
from linli.db import Scope
from linli.testing import Running, Stage, rows_read
from tickets.app import create_app

LIMIT = 20
ELSEWHERE = "310104004001"
LATE = 31
# One in a hundred is open still; as few were raised, or came by the hotline, and long ago.
_FILL = """
    INSERT INTO ticket (district, id, unit, title, description, category, state, level, source, reporter, resolved_by,
                        outcome, opened_at, resolved_at, closed_at, version)
    SELECT 310104, uuidv7(n * interval '-1 minute'), $1, '路灯不亮', '三天不亮', 'lighting', state,
           CASE WHEN n > 29000 AND n % 10 = 1 THEN 'street' ELSE 'community' END,
           CASE WHEN n > 29000 AND n % 10 = 2 THEN 'hotline' ELSE 'app' END, person,
           CASE state WHEN 'closed' THEN person END, CASE state WHEN 'closed' THEN 'fixed' END, now(),
           CASE state WHEN 'closed' THEN now() END, CASE state WHEN 'closed' THEN now() END, 1
    FROM generate_series(1, 30000) AS n,
         LATERAL (SELECT gen_random_uuid() AS person, CASE WHEN n % 100 = 0 THEN 'open' ELSE 'closed' END AS state)"""
# Three in a hundred wait for their next step still, and LATE in all do so late; clocks of others run beside.
_FILL_ERRANDS = """
    WITH errand AS (
        INSERT INTO errand (district, id, unit, served, worker, title, state, result, stepped_at, due_at, opened_at,
                            done_at, version)
        SELECT 310104, uuidv7(n * interval '-1 minute'), $1, gen_random_uuid(), gen_random_uuid(), '换领残疾证',
               CASE WHEN runs THEN 'collecting' ELSE 'done' END, CASE WHEN NOT runs THEN 'withdrawn' END, now(),
               CASE WHEN runs THEN now() - n * interval '1 minute' + interval '29000 minutes' END, now(),
               CASE WHEN NOT runs THEN now() END, 1
        FROM generate_series(1, 30000) AS n, LATERAL (SELECT n % 1000 < 30 AS runs)
        RETURNING *
    )
    INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at, fired_at)
    SELECT district, 'errand', id, unit, due_at, CASE WHEN due_at > now() THEN due_at END,
           CASE WHEN due_at <= now() THEN now() END
    FROM errand WHERE due_at IS NOT NULL
    UNION ALL
    SELECT 310104, 'solve', gen_random_uuid(), $1, tomorrow, CASE WHEN n % 100 > 0 THEN tomorrow END,
           CASE WHEN n % 100 = 0 THEN now() END
    FROM generate_series(1, 30000) AS n, LATERAL (SELECT now() + interval '1 day' AS tomorrow)"""


@pytest.fixture(scope="module")
async def tickets(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("tickets", create_app) as running:
        await running.know_units(GRID)
        await running.database.execute(_FILL, units.parse(GRID))
        await running.database.execute(_FILL_ERRANDS, units.parse(GRID))
        await running.database.execute("VACUUM ANALYZE ticket, errand, timer")
        yield running


@pytest.mark.parametrize(
    ("question", "most"),
    [
        ({"state": "waiting"}, 300),
        ({"level": "street"}, LIMIT + 1),
        ({"level": "district"}, LIMIT + 1),
        ({"source": "hotline"}, LIMIT + 1),
        ({"source": "qr"}, LIMIT + 1),
    ],
)
async def test_no_more_is_read_than_there_are_few_of(tickets: Running, question: dict[str, str], most: int) -> None:
    admin = uuid4()
    asked = tickets.client("street_admin", STREET, admin).get(
        "/tickets/v1/tickets", params={"limit": LIMIT, **question}
    )
    (read,) = await rows_read(tickets, Scope.of_unit(units.parse(STREET), admin), asked)
    assert read <= most


async def test_the_planner_knows_that_what_is_open_is_not_closed(tickets: Running) -> None:
    query = "EXPLAIN (FORMAT JSON) SELECT FROM ticket WHERE state = 'open' AND closed_at IS NULL"
    ((explained,),) = await tickets.database.fetch(query)
    assert 200 < json.loads(explained)[0]["Plan"]["Plan Rows"] < 400


@pytest.mark.parametrize("role", ["street_admin", "grid_worker"])
async def test_no_more_errands_are_read_than_are_late(tickets: Running, role: str) -> None:
    who, grid = uuid4(), units.parse(GRID)
    client = tickets.client(role, GRID if role == "grid_worker" else STREET, who)
    scope = Scope.of_grids((grid,), 310104, who) if role == "grid_worker" else Scope.of_unit(units.parse(STREET), who)
    asked = client.get("/tickets/v1/errands", params={"limit": LIMIT, "overdue": "true"})
    (read,) = await rows_read(tickets, scope, asked)
    assert LIMIT < read <= 2 * LATE, "the clocks that ran out, and the errands by their keys"


@pytest.mark.parametrize("place", [{}, {"latitude": "31.21", "longitude": "121.44"}], ids=["unit", "coordinates"])
@pytest.mark.parametrize("role", ["resident", "community_manager"])
async def test_similar_ones_are_found_without_what_is_open_elsewhere(
    tickets: Running, role: str, place: dict[str, str]
) -> None:
    client = tickets.client(role, "310104" if role == "resident" else ELSEWHERE, uuid4())
    asked = client.get("/tickets/v1/tickets/similar", params={"unit": ELSEWHERE, "category": "lighting", **place})
    for read in await rows_read(tickets, Scope.of_district(310104), asked):
        assert read <= LIMIT
