"""How much the database reads for a request, by the plans of its statements: figures that no busy machine changes."""

from collections.abc import Awaitable, Iterator
from typing import Any

from sqlalchemy import event

from linli.db import Scope, transaction
from linli.testing.stage import Running


async def rows_read(running: Running, scope: Scope, request: Awaitable[object]) -> list[int]:
    """Make a request, and tell how many rows of tables each of its statements reads, those left out among them.

    Args:
        running: the service.
        scope: what the request's transaction sees, in which its statements are explained.
        request: not yet awaited.
    """
    engine = running.app.state.engines[None].sync_engine
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        await request
    finally:
        event.remove(engine, "before_cursor_execute", note)
    read = []
    async with transaction(running.app.state.sessions, scope) as session:
        connection = await session.connection()
        for statement, values in asked:
            explained = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
            (plan,) = explained.scalar_one()
            read.append(sum(map(_read, _scans(plan["Plan"]))))
    return read


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in plan:
        yield plan
    for below in plan.get("Plans", []):
        yield from _scans(below)


def _read(scan: dict[str, Any]) -> int:
    left_out = scan.get("Rows Removed by Filter", 0) + scan.get("Rows Removed by Index Recheck", 0)
    # All of these are means of a scan's loops.
    return int((scan["Actual Rows"] + left_out) * scan["Actual Loops"] + 0.5)
