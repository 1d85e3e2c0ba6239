"""A ticket's life through the gateway, in an empty table and among a million; and what a grid worker's list costs."""

import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import jwt

from bench.load import Connection, request
from bench.platform import Platform
from bench.results import Result
from linli import units
from linli.db import NOBODY
from linli_cli.api import Api

_TICKETS = 1_000_000
_LISTED = 500_000
_BATCH = 50_000
_CONNECTIONS = 16
_ROUNDS = 5
_SECONDS = 5.0
_TIMES = 50
_COMMUNITY = "310104003001"
_GRID = "310104003001001"
_EMPTY = "TRUNCATE ticket, timer CASCADE"
_GRIDS = """
    INSERT INTO known_unit
    SELECT 310104, unit + n * 1000, 'grid', '网格', true, 1
    FROM known_unit, generate_series(1, 4) AS n WHERE district = 310104 AND kind = 'community'
    ON CONFLICT DO NOTHING"""
# A year of tickets, the newest last; three in a hundred are open, the others have gone the whole way.
_FILL = """
    WITH grid AS (SELECT array_agg(unit) AS units FROM known_unit WHERE district = 310104 AND kind = 'grid'),
    person AS (SELECT array_agg(gen_random_uuid()) AS people FROM generate_series(1, 1000)),
    made AS (
        INSERT INTO ticket (district, id, unit, title, description, category, state, reporter, assignee, resolved_by,
                            rating, outcome, opened_at, answer_due_at, solve_due_at, resolved_at, closed_at, version)
        SELECT 310104, uuidv7(at - now()), grid.units[1 + n % cardinality(grid.units)], '路灯不亮', '三天不亮',
               (ARRAY['lighting', 'noise', 'parking', 'other'])[1 + n % 4],
               CASE WHEN closed THEN 'closed' ELSE 'open' END,
               person.people[1 + n % 1000], CASE WHEN closed THEN person.people[1 + n % 997] END,
               CASE WHEN closed THEN person.people[1 + n % 997] END, CASE WHEN closed THEN 1 + n % 5 END,
               CASE WHEN closed THEN 'fixed' END, at, at + interval '1 day', at + interval '7 days',
               CASE WHEN closed THEN at + interval '2 days' END, CASE WHEN closed THEN at + interval '3 days' END,
               CASE WHEN closed THEN 4 ELSE 1 END
        FROM grid, person, generate_series($1::int, $2::int) AS n,
             LATERAL (SELECT now() - ($3 - n) * interval '31 seconds' - interval '3 days' AS at,
                             n % 100 >= 3 AS closed) AS life
        RETURNING *
    )
    INSERT INTO ticket_entry (district, id, unit, ticket_id, reporter, sequence, move, state, facts, actor, at)
    SELECT 310104, uuidv7(opened_at - now() + later), unit, id, reporter, step, move, after, facts, reporter,
           opened_at + later
    FROM made, (VALUES (1, 'open', 'open', NULL, interval '0'),
                       (2, 'assign', 'assigned', NULL, interval '3 hours'),
                       (3, 'resolve', 'resolved', NULL, interval '2 days'),
                       (4, 'close', 'closed', '{"outcome": "fixed"}'::jsonb, interval '3 days'))
               AS trail (step, move, after, facts, later)
    WHERE step <= version"""
_LIST = """
    EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)
    SELECT * FROM ticket WHERE district = 310104 AND unit_grid = $1 ORDER BY id DESC LIMIT 51"""
_SCOPE = """
    SELECT set_config('role', 'linli_worker', true), set_config('app.lo', $1, true), set_config('app.hi', $2, true),
           set_config('app.grids', $3, true), set_config('app.person', $4, true)"""


@dataclass
class _Cast:
    """Who takes part in a ticket's life, by token."""

    resident: str
    manager: str
    worker: str

    @property
    def assignee(self) -> str:
        """The worker's id."""
        return str(jwt.decode(self.worker, options={"verify_signature": False})["sub"])


async def measure(platform: Platform) -> Iterator[Result]:
    """Measure `tickets.lifecycle` in an empty table and among a million, and `tickets.list` among half of them."""
    await _make_grid(platform)
    async with platform.database("tickets") as owner:
        await owner.execute(_EMPTY)
        before = await _rate(platform)
        await owner.execute(_EMPTY)
        await owner.execute(_GRIDS)
        await _fill(owner, 0, _LISTED)
        listed = await _listed(platform)
        await _fill(owner, _LISTED, _TICKETS)
        full = await _rate(platform)
        await owner.execute(_EMPTY)
        after = await _rate(platform)
        await owner.execute(_EMPTY)
    empty = (before + after) / 2  # the machine's speed changes in the minutes between them
    return iter(
        [
            Result("tickets.lifecycle", full, "lives/s", bar=60),
            Result("tickets.full_to_empty", full, "lives/s", empty, full / empty, bar=0.85),
            Result("tickets.list", listed, "ms", bar=5, least=False),
        ]
    )


async def _make_grid(platform: Platform) -> None:
    token = await platform.token("operator", "0")

    async def login() -> str:
        return token

    async with Api(platform.home.url) as api:
        grid = {"units": [{"code": _GRID, "name": "第一网格"}]}
        await api.by(login).post("/directory/v1/units/import", grid)
    async with platform.database("tickets") as owner, asyncio.timeout(20):
        known = "SELECT EXISTS (SELECT 1 FROM known_unit WHERE unit = $1)"
        while not await owner.fetchval(known, units.parse(_GRID)):
            await asyncio.sleep(0.1)


async def _cast(platform: Platform) -> _Cast:
    """Sign in; and wait until tickets knows that the worker is in office."""
    cast = _Cast(
        resident=await platform.token("resident", _COMMUNITY),
        manager=await platform.token("community_manager", _COMMUNITY),
        worker=await platform.token("grid_worker", _GRID),
    )
    async with platform.database("tickets") as owner, asyncio.timeout(20):
        known = "SELECT EXISTS (SELECT 1 FROM known_assignment WHERE staff = $1::uuid)"
        while not await owner.fetchval(known, cast.assignee):
            await asyncio.sleep(0.1)
    return cast


async def _rate(platform: Platform) -> float:
    """Give how many lives a second are lived, the median of some rounds."""
    cast = await _cast(platform)
    await _live(platform.home.port, cast, 2)  # pools are filled, keys read, statements prepared
    return statistics.median([await _live(platform.home.port, cast, _SECONDS) for _ in range(_ROUNDS)])


async def _live(port: int, cast: _Cast, seconds: float) -> float:
    """Live lives on some connections: created, assigned, resolved, and found in the worker's list."""
    report = {"unit": _GRID, "title": "路灯不亮", "description": "小区北门路灯三天不亮", "category": "lighting"}
    create = request("POST", "/tickets/v1/tickets", cast.resident, json.dumps(report).encode())
    assign, resolve = json.dumps({"assignee": cast.assignee}).encode(), b'{"note": "done"}'
    find = request("GET", "/tickets/v1/tickets?limit=20", cast.worker)
    until = time.perf_counter() + seconds
    lives = 0

    async def one() -> None:
        nonlocal lives
        connection = await Connection.to(port)
        try:
            while time.perf_counter() < until:
                await _ask(connection, create, 201)
                ticket = connection.location
                await _ask(connection, request("POST", f"{ticket}/assign", cast.manager, assign, If_Match="*"), 200)
                await _ask(connection, request("POST", f"{ticket}/resolve", cast.worker, resolve, If_Match="*"), 200)
                await _ask(connection, find, 200)
                lives += 1
        finally:
            connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(_CONNECTIONS)))
    return lives / (time.perf_counter() - began)


async def _ask(connection: Connection, message: bytes, expected: int) -> None:
    if (status := await connection.ask(message)) != expected:
        raise ValueError(f"{message.partition(b' HTTP')[0]!r} answered {status}")


async def _fill(owner: asyncpg.Connection, start: int, end: int) -> None:
    """Put tickets with their trails into the table; what they refer to is there, so it is not looked up again."""
    await owner.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    for first in range(start, end, _BATCH):
        await owner.execute(_FILL, first, first + _BATCH - 1, _TICKETS, timeout=300)
    await owner.execute("RESET session_replication_role; RESET synchronous_commit")
    await owner.execute("VACUUM ANALYZE ticket", timeout=300)
    await owner.execute("VACUUM ANALYZE ticket_entry", timeout=300)


async def _listed(platform: Platform) -> float:
    """Give the milliseconds that the database needs for one page of one grid, as its worker."""
    lo, hi = units.span(units.parse("310104"))
    took: list[float] = []
    async with platform.database("tickets", "tickets_app") as app:
        for _ in range(_TIMES):
            async with app.transaction():
                await app.execute(_SCOPE, str(lo), str(hi), f"{{{units.parse(_GRID)}}}", str(NOBODY))
                (plan,) = json.loads(await app.fetchval(_LIST, units.parse(_GRID)))
                took.append(plan["Execution Time"] + plan["Planning Time"])
    return statistics.median(took)
