"""A transaction without a session (直连): for the few writes that come by the hundred a second.

It works on a connection of the same pool and under the same scope as a session's, and leaves out what a session adds:
half of what such a write costs, docs/decisions/0009-fewer-round-trips.md
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.util import await_only

from linli import spans
from linli.db import BY_SCOPE, Scope, ScopedSession, Sessions, beginning, server_of
from linli.driver import Driver
from linli.later import Later
from linli.shards import Server
from linli.statements import begin_span

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection

Row: TypeAlias = Mapping[str, Any]


class Direct:
    """One transaction: committed at the end of the block, rolled back on any error.

    Args:
        sessions: the service's.
        scope: what it sees.
        server: where, when its scope does not say so.

    Attributes:
        begun: whether anything was done in it yet; before, it holds no connection.
        published: whether it has put events into the outbox, so that the relay is woken when it has committed.
        locks: which it has taken, or takes when it begins.
        patience: how long it waits for a lock, as the server's settings say by default.
    """

    def __init__(self, sessions: Sessions, scope: Scope, server: Server = BY_SCOPE) -> None:
        self.sessions = sessions
        self.info = sessions.kw["info"]
        self.scope = scope
        self.server = server_of(scope, self.info["shards"]) if server == BY_SCOPE else server
        self.begun = False
        self.published = False
        self.locks: set[tuple[int, int]] = set()
        self.patience: str | None = None
        self._pooled: PoolProxiedConnection | None = None

    async def __aenter__(self) -> Self:
        """Stand ready; the transaction begins with its first statement."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Commit or roll back, and give the connection back."""
        if self._pooled is None:
            return
        connection = self._driver
        try:
            if kind is not None and not issubclass(kind, Exception):
                connection.terminate()  # It was cancelled, perhaps within a statement.
                return
            await (connection.commit() if kind is None else connection.execute("ROLLBACK"))
        except asyncpg.InFailedSQLTransactionError as failed:
            raise DBAPIError("COMMIT", None, failed, hide_parameters=True) from failed
        except BaseException:
            connection.terminate()
            raise
        finally:
            self._pooled.close()
        if kind is None and self.published:
            self.info["wake"](self.server)

    @property
    def _driver(self) -> Driver:
        assert self._pooled is not None  # noqa: S101 it has begun
        return cast("Driver", self._pooled.driver_connection)

    async def _begin(self) -> None:
        self.begun = True
        self._pooled = await self.info["engines"][self.server].raw_connection()
        # Its statements find rows by their keys, so a plan that was made for one reach is as good for any.
        begin = [beginning(replace(self.scope, keeps_plans=True))]
        if self.patience:
            begin.append(f"SET LOCAL lock_timeout = '{self.patience}'")
        await self._driver.execute("; ".join([*begin, *(_SHARE % lock for lock in sorted(self.locks))]))

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        """Run a statement of the driver (`$1`), and give its rows."""
        if not self.begun:
            await self._begin()
        return await _run(self._driver, statement, values)

    async def run(self, statement: str, *values: object) -> Sequence[Row]:
        """Run a statement without a span of its own, whose errors come as the driver's."""
        if not self.begun:
            await self._begin()
        rows: Sequence[Row] = await self._driver.fetch(statement, *values)
        return rows


_SHARE: Final = "SELECT pg_advisory_xact_lock_shared(%d, %d)"


async def _run(driver: Driver, statement: str, values: Sequence[object]) -> Sequence[Row]:
    span = begin_span(statement)
    try:
        rows: Sequence[Row] = await driver.fetch(statement, *values)
    except asyncpg.PostgresError as error:
        if span:
            spans.failed(span, type(error).__name__)
        # As SQLAlchemy says it: what comes as the driver says it is an error of the way to the database.
        kind = IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else DBAPIError
        raise kind(statement, None, error, hide_parameters=True) from error
    finally:
        if span:
            span.end()
    return rows


Database: TypeAlias = AsyncSession | Direct
"""What a statement of the driver can be run on; operations that come on both ways take this."""


async def fetch(database: Database, statement: str, *values: object) -> Sequence[Row]:
    """Run a statement of the driver (`$1`) in a session's transaction or a direct one, and give its rows.

    What the session has changed and not flushed is not seen by it.

    Raises:
        DBAPIError: when the database refuses it, as of a session's own statements.
    """
    if isinstance(database, Direct):
        return await database.fetch(statement, *values)
    if waiting := database.info.get("later"):
        before, its_values = waiting.take()
        await fetch(database, before, *its_values)
    driver: Driver | None = database.info.get("driver")
    if driver is not None and driver.is_in_transaction():
        return await _run(driver, statement, values)
    # The session's first statement: it takes a connection and begins.
    result = await (await database.connection()).exec_driver_sql(statement, values)
    return cast("Sequence[Row]", result.mappings().all()) if result.returns_rows else ()


async def fetchrow(database: Database, statement: str, *values: object) -> Row | None:
    """Give the one row of a statement, None without any."""
    rows = await fetch(database, statement, *values)
    return rows[0] if rows else None


async def lock_shared(database: Database, space: int, key: int) -> None:
    """Take a shared advisory lock until the transaction ends; where it is the first that is done, it costs no time."""
    locks = database.locks if isinstance(database, Direct) else database.info.setdefault("locks", set())
    if (space, key) in locks:
        return
    locks.add((space, key))
    if database.begun if isinstance(database, Direct) else "driver" in database.info:
        await fetch(database, _SHARE % (space, key))
    elif not isinstance(database, Direct):
        before = database.info.get("first")
        database.info["first"] = f"{before}; {_SHARE % (space, key)}" if before else _SHARE % (space, key)


async def later(
    session: AsyncSession, statement: str, *values: object, rows: frozenset[Hashable] = frozenset()
) -> None:
    """Write something by a statement of the driver (`$1`) that gives no rows, at the latest when the transaction ends.

    It goes to the database with what else is written so, before any other statement but a flush of the session. A
    session without a scope writes at once.

    Args:
        session: an open transaction.
        statement: an INSERT, UPDATE or DELETE.
        values: its values.
        rows: names of those it changes that may be there already: no two writes of a statement may change the same.

    Raises:
        DBAPIError: when the database refuses what had to be written before it.
    """
    if not isinstance(session.sync_session, ScopedSession):
        await fetch(session, statement, *values)
        return
    waiting: Later = session.info.setdefault("later", Later())
    if not waiting.takes(rows):
        before, its_values = waiting.take()
        await fetch(session, before, *its_values)
    waiting.add(statement, values, rows)


async def write_out(session: AsyncSession) -> None:
    """Write all that waits, now, as part of what is under way here: what is done next is another matter."""
    await session.flush()
    if waiting := session.info.get("later"):
        statement, values = waiting.take()
        await fetch(session, statement, *values)


def _write_before(of: Session | ORMExecuteState) -> None:
    session = of.session if isinstance(of, ORMExecuteState) else of
    if waiting := session.info.get("later"):
        statement, values = waiting.take()
        driver: Driver | None = session.info.get("driver")
        if driver is not None and driver.is_in_transaction():
            await_only(_run(driver, statement, values))
        else:
            session.connection().exec_driver_sql(statement, tuple(values))


event.listen(ScopedSession, "do_orm_execute", _write_before)
event.listen(ScopedSession, "before_commit", _write_before)
