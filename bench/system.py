"""What the platform takes when idle, how soon it starts, and what its row-level security costs."""

import statistics
import time
from collections.abc import Iterator

import asyncpg
import psutil

from bench.platform import Platform
from bench.results import Result
from linli import units

_TICKETS = 200_000
_STREET = units.parse("310104003")
_TIMES = 300
_FILL = """
    INSERT INTO ticket (district, id, unit, title, description, category, state, reporter, opened_at, version)
    SELECT 310104, gen_random_uuid(), known[1 + n % cardinality(known)], '路灯不亮', '三天不亮', 'lighting', 'open',
           gen_random_uuid(), now() - n * interval '1 second', 1
    FROM generate_series(1, $1) AS n,
         (SELECT array_agg(unit) AS known FROM known_unit WHERE district = 310104 AND kind = 'community') AS units"""
_LIST = """
    SELECT id, unit, title, state, opened_at FROM ticket
    WHERE district = 310104 AND unit BETWEEN $1 AND $2 ORDER BY id DESC LIMIT 50"""
"""What the list of tickets asks, `GET /tickets/v1/tickets?within=310104003`."""
_SCOPE = """
    SELECT set_config('role', 'linli_scoped', true), set_config('app.lo', $1, true), set_config('app.hi', $2, true),
           set_config('app.grids', '{}', true), set_config('app.person', $3, true)"""
_NOBODY = "00000000-0000-0000-0000-000000000000"


def idle(platform: Platform, services: int) -> Iterator[Result]:
    """Measure `memory.idle` and `start.warm`; neither has a baseline but its bar."""
    used = 0
    found = 0
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if "uvicorn" in command and any(
            f"--port {platform.home.port + at}" in command for at in range(1, services + 1)
        ):
            used += process.memory_full_info().uss
            found += 1
    if found != services:
        raise RuntimeError(f"{found} of {services} services run")
    yield Result("memory.idle", used / 1e6, "MB", bar=800, least=False)
    yield Result("start.warm", platform.seconds_to_start, "s", bar=15, least=False)


async def security(platform: Platform) -> Iterator[Result]:
    """Measure `rls.overhead`: a page of a street's tickets among 200,000, as its staff and as a superuser."""
    async with platform.database("tickets") as owner:
        await owner.execute(_FILL, _TICKETS)
        await owner.execute("VACUUM ANALYZE ticket")
        lo, hi = units.span(_STREET)
        async with platform.database("tickets", "tickets_app", statement_cache_size=100) as app:
            ours: list[float] = []
            base: list[float] = []
            for _ in range(_TIMES):
                async with app.transaction():
                    await app.execute("SELECT 1")  # the transaction has begun
                    await app.fetch(_SCOPE, str(lo), str(hi), _NOBODY)
                    ours.append(await _timed(app, lo, hi))
                async with owner.transaction():
                    await owner.execute("SELECT 1")
                    base.append(await _timed(owner, lo, hi))
    value, baseline = statistics.median(ours) * 1000, statistics.median(base) * 1000
    return iter([Result("rls.overhead", value, "ms", baseline, value / baseline, bar=1.5, least=False)])


async def _timed(connection: asyncpg.Connection, lo: int, hi: int) -> float:
    began = time.perf_counter()
    rows = await connection.fetch(_LIST, lo, hi)
    took = time.perf_counter() - began
    if not rows:
        raise RuntimeError("nothing was found")
    return took
