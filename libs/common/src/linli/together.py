"""Writes that come at the same time (合并提交): they share a transaction, and each has an answer of its own.

While one transaction is under way, those who come meanwhile wait for it and take the next one together; who comes alone
waits for nobody. Each says how far it reaches itself, so they may be of many people and districts, and the database
holds each to its own. When anything goes wrong, nothing is kept and each tries again alone: what is wrong with one is
no matter of the others. docs/decisions/0011-commits-that-are-shared.md
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
from opentelemetry import trace
from opentelemetry.util.types import AttributeValue
from sqlalchemy.exc import DBAPIError

from linli import spans
from linli.db import Scope, Sessions
from linli.direct import Database, Direct, Row, fetch
from linli.problems import Unavailable
from linli.shards import Server
from linli.statements import begin_span

_AT_ONCE: Final = 32
"""Writes in a transaction at most."""
_WAITING: Final = 1_000
_PATIENCE: Final = 5.0
_BRIEFLY: Final = "50ms"
"""How long a shared transaction waits for a lock: nobody waits with another for what that one must wait for."""
_OF_ALL: Final = ("08", "53", "57")
"""Connection lost, out of resources, server going down or too slow: it would be no better for one alone."""
_QUICK: Final = 0.1
"""Seconds within which a write is told of on the span that it is part of."""
_REACH: Final = {f"reach_{name}": f"app.{name}" for name in ("lo", "hi", "grids", "person")}
"""How far a row reaches, which `write` adds to its values: the setting that each of these becomes."""
_ALONE: Final = (None, None, None, None)
"""As far as the transaction does."""

Lock = tuple[int, int]
_Which = tuple[Server, str, str]
"""Server, role and statement: what writes must have in common."""


def asked(columns: Mapping[str, str]) -> str:
    """Write where the statement of such a write takes its rows from: `asked`, in the order of `asked.turn`.

    Args:
        columns: names and types of what `write` is given for each.
    """
    types = [*columns.values(), *("text" for _ in _REACH)]
    arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, 1))
    return f"unnest({arrays}) WITH ORDINALITY AS asked ({', '.join((*columns, *_REACH))}, turn)"


def reach(rows: str) -> str:
    """Write the condition under which a statement does something for each of some rows: that it reaches as far as they.

    It holds for every row, and sets what row-level security asks for. PostgreSQL does with a row all there is to do
    before it takes the next, unless a plan sorts or keeps them in between: so none of it may stand in a subquery, or
    beside a join that the row does not lead.

    Args:
        rows: `asked`, or what holds its columns.
    """
    return " AND ".join(
        f"set_config('{setting}', coalesce({rows}.{name}, current_setting('{setting}')), true) IS NOT NULL"
        for name, setting in _REACH.items()
    )


async def write(database: Database, statement: str, *values: object, waits: bool = False) -> Row:
    """Run a statement that gives one row; before anything else was done, in a transaction that others share.

    That is committed when this returns, whatever becomes of the caller's own.

    Args:
        database: where; a transaction that has begun is the one in which it is done.
        statement: of the driver, which takes its rows from `asked`, does nothing for any but under the condition of
            `reach`, and gives a row for each, in their order.
        values: of this one, as `asked` was told.
        waits: whether it may have to wait for what somebody else is writing: then others don't wait with it.

    Raises:
        DBAPIError: when the database refuses it.
        Unavailable: 503, when too many wait already, or it has waited too long.
    """
    if isinstance(database, Direct) and not database.begun and not waits:
        if "lines" not in database.info:
            database.info["lines"] = Lines(database.sessions)
        lines: Lines = database.info["lines"]
        row = await lines.write(database, statement, values)
        if row is not None:
            return row
    (row,) = await fetch(database, statement, *_columns([(*values, *_ALONE)]))
    return row


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


@dataclass(slots=True)
class _Write:
    values: Sequence[object]
    locks: set[Lock]
    since: float
    done: asyncio.Future[tuple[Row | None, int]]

    def answer(self, row: Row | None, size: int, failed: Exception | None = None) -> None:
        """Give a waiter his row, or what went wrong; without either he tries alone."""
        if self.done.done():
            return
        if failed:
            self.done.set_exception(failed)
        else:
            self.done.set_result((row, size))


def _tell(
    statement: str, began: int, about: Mapping[str, AttributeValue] | None = None, error: BaseException | None = None
) -> None:
    span = begin_span(statement, about, began)
    if span:
        if error:
            spans.failed(span, type(error).__name__)
        span.end()


class Lines:
    """Who waits for which transaction; a line is there while somebody stands in it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._waiting: dict[_Which, deque[_Write]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, direct: Direct, statement: str, values: Sequence[object]) -> Row | None:
        """Have a statement run with others; None when it is to be run alone, of which nothing was kept.

        Raises:
            Unavailable: 503, when too many wait already, or it has waited too long.
        """
        scope = direct.scope
        reach = (str(scope.lo), str(scope.hi), f"{{{','.join(map(str, scope.grids))}}}", str(scope.person))
        one = _Write((*values, *reach), direct.locks, time.monotonic(), asyncio.get_running_loop().create_future())
        began = time.time_ns()
        try:
            self._stand((direct.server, scope.role, statement), one)
            row, size = await one.done
        except BaseException as error:
            _tell(statement, began, error=error)
            raise
        took = time.monotonic() - one.since
        about: dict[str, AttributeValue] = {"db.client.operation.duration": round(took, 6)}
        if size > 1:
            about["db.operation.batch.size"] = size
        if row is not None and took < _QUICK:  # a span of its own would cost as much as the write
            trace.get_current_span().set_attributes(about)
        else:
            _tell(statement, began, about)
        return row

    def _stand(self, which: _Which, one: _Write) -> None:
        line = self._waiting.get(which)
        if line is None:
            self._waiting[which] = deque([one])
            # In no request's context: it is no more part of the first one's trace than of the others'.
            task = asyncio.get_running_loop().create_task(self._serve(which), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif len(line) < _WAITING:
            line.append(one)
        else:
            raise Unavailable

    async def _serve(self, which: _Which) -> None:
        line = self._waiting[which]
        try:
            while line:
                late = time.monotonic() - _PATIENCE
                some = [line.popleft() for _ in range(min(len(line), _AT_ONCE))]
                for one in some:
                    if one.since < late and not one.done.done():
                        one.done.set_exception(Unavailable())
                if some := [one for one in some if not one.done.done()]:
                    await self._keep(which, some)
        finally:
            del self._waiting[which]
            for one in line:  # only when this is cancelled
                one.done.cancel()

    async def _keep(self, which: _Which, writes: list[_Write]) -> None:
        server, role, statement = which
        asked = False
        try:
            # It reaches to nothing before its statements say so.
            async with Direct(self._sessions, Scope(role, 1, 0), server) as direct:
                direct.locks = {lock for one in writes for lock in one.locks}
                direct.patience = _BRIEFLY
                rows = await direct.run(statement, *_columns([one.values for one in writes]))
                answers = [*zip(writes, rows, strict=True)]
                direct.published = asked = True
        except asyncpg.PostgresError as error:
            # Once it was asked to commit nobody knows whether it has: to try again could do it twice.
            alone = not asked and not (error.sqlstate or "").startswith(_OF_ALL)
            failed = None if alone else DBAPIError(statement, None, error, hide_parameters=True)
            for one in writes:
                one.answer(None, len(writes), failed)
        except Exception as error:  # noqa: BLE001 whatever it is, each waiter hears of it
            for one in writes:
                one.answer(None, len(writes), error)
        except BaseException:
            for one in writes:
                one.done.cancel()
            raise
        else:
            for one, row in answers:
                one.answer(row, len(writes))
