"""Migrations: run without an env.py per service, and the SQL that every service's first revision shares.

Services run on while their tables change (docs/upgrading.md): each revision is a transaction of its own that waits for
no lock for long. The helpers are used by released revisions: what they do never changes; something new is a new helper.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Column, Computed, Connection, Integer, PrimaryKeyConstraint, Row, Uuid, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import SchemaItem

from linli.db import async_url

log = logging.getLogger(__name__)

_LOCK: Final = 7105633
_LOCK_WITHIN: Final = 5
"""Seconds a revision waits for a table in use; whoever comes to the table meanwhile waits behind it."""
_INDEX_WITHIN: Final = 600
"""Seconds that building an index may wait for others; nobody waits behind it."""
_TRIES: Final = 5
_TURN_WITHIN: Final = 300
"""Seconds to wait for another migration of the same database."""
_LOOK_EVERY: Final = 0.5
_IN_THE_WAY: Final = {"55P03", "40P01"}
"""Lock not to be had in time, deadlock: to be tried again."""
_BLOCKERS: Final = text(
    "SELECT pid, usename, application_name, state, xact_start, query_start FROM pg_stat_activity"
    " WHERE pid = ANY (pg_blocking_pids(:pid)) ORDER BY xact_start"
)
_RANGE = "{column} BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint"
_DISTRICTS = (
    "district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer"
    " AND (current_setting('app.hi')::bigint / 1000000000000)::integer"
)
_GRIDS = "unit_grid = ANY (current_setting('app.grids')::bigint[])"
_PERSON = "{column} = current_setting('app.person')::uuid"


class TableInUse(Exception):  # noqa: N818 it says what is the matter
    """A revision could not have its lock, and was rolled back.

    Attributes:
        english: what happened and who was in the way, for people.
        chinese: the same.
    """

    def __init__(self, service: str, blockers: list[str]) -> None:
        held = "; ".join(blockers) or "nobody any more (已无)"
        self.english = (
            f"{service}: a table is in use; the revision was rolled back and changed nothing. Held by {held}."
        )
        self.chinese = f"{service}：数据表正被占用，本次修订已回滚，未作任何更改。占用者：{held}。"
        super().__init__(f"{self.english}\n{self.chinese}")


class MigrationAtWork(Exception):  # noqa: N818 as above
    """Another migration of the same database did not end in time."""

    def __init__(self, service: str) -> None:
        self.english = f"{service}: another migration has been at work for {_TURN_WITHIN} s; nothing was changed."
        self.chinese = f"{service}：另一个迁移任务已运行超过 {_TURN_WITHIN} 秒，未作任何更改。"
        super().__init__(f"{self.english}\n{self.chinese}")


def upgrade(service: str, owner_url: str, revision: str = "head") -> None:
    """Bring a service's database to a revision; one at a time, and never waiting long for a lock.

    One that a newer version has migrated is left as it is.

    Args:
        service: import name of the service.
        owner_url: `postgresql://<service>_owner:...`.
        revision: an alembic revision, `head` by default.

    Raises:
        TableInUse: when a table was in use at every try; revisions before it are done, it and those after are not.
        MigrationAtWork: when another migration did not end.
    """
    asyncio.run(upgrade_async(service, owner_url, revision))


async def upgrade_async(service: str, owner_url: str, revision: str = "head") -> None:
    """Do what `upgrade` does, where a loop runs already."""
    settings = {"application_name": f"{service} migration", "lock_timeout": f"{_LOCK_WITHIN}s"}
    connect = {"timeout": 10, "server_settings": settings}
    engine = create_async_engine(async_url(owner_url), poolclass=NullPool, connect_args=connect)
    try:
        for tries in range(1, _TRIES + 1):
            try:
                await _try(engine, service, revision)
            except TableInUse as held:
                if tries == _TRIES:
                    raise
                # Those who waited behind us go first.
                pause = random.uniform(0.5, 1) * min(2**tries, 15)  # noqa: S311 jitter
                log.warning("%s; try %d of %d follows in %.0f s", held, tries + 1, _TRIES, pause)
                await asyncio.sleep(pause)
            else:
                return
    finally:
        await engine.dispose()


async def _try(engine: AsyncEngine, service: str, revision: str) -> None:
    async with engine.connect() as connection, _watching(engine, connection) as blockers:
        await _take_turn(connection, service)
        try:
            await connection.run_sync(_upgrade, service, revision)
            await connection.commit()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                raise
            raise TableInUse(service, [_describe(row) for row in blockers]) from error


async def _take_turn(connection: AsyncConnection, service: str) -> None:
    """Take the lock that one migration of a database holds, until its connection ends.

    It is asked for again and again: a statement that waits for it would keep an index from ever being built.
    """
    try:
        async with asyncio.timeout(_TURN_WITHIN):
            while not await connection.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK})")):
                await connection.commit()
                await asyncio.sleep(random.uniform(0.5, 1) * _LOOK_EVERY)  # noqa: S311 jitter
    except TimeoutError:
        raise MigrationAtWork(service) from None
    await connection.commit()


@asynccontextmanager
async def _watching(engine: AsyncEngine, connection: AsyncConnection) -> AsyncIterator[list[Row[Any]]]:
    """Keep a look at who is in the way: the error of a lock that was not to be had does not tell."""
    pid = await connection.scalar(text("SELECT pg_backend_pid()"))
    await connection.commit()
    seen: list[Row[Any]] = []

    async def look() -> None:
        async with engine.connect() as other:
            await other.execution_options(isolation_level="AUTOCOMMIT")
            while True:
                await asyncio.sleep(_LOOK_EVERY)
                seen[:] = (await other.execute(_BLOCKERS, {"pid": pid})).all() or seen

    task = asyncio.create_task(look(), name="blockers")
    try:
        yield seen
    finally:
        task.cancel()
        # It may have failed, which is no matter: then the error names nobody.
        await asyncio.gather(task, return_exceptions=True)


def _describe(row: Row[Any]) -> str:
    # Others' times are shown to an owner for its own service's logins only.
    since = f", {row.state}, transaction since {row.xact_start:%H:%M:%SZ}" if row.xact_start else ""
    query = f", statement since {row.query_start:%H:%M:%SZ}" if row.query_start else ""
    return f"pid {row.pid} ({row.usename}, application {row.application_name or '?'}{since}{query})"


def _upgrade(connection: Connection, service: str, revision: str) -> None:
    config = Config()
    # A % in the folder's name would be taken for an interpolation.
    config.set_main_option("script_location", str(files(service).joinpath("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    found = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    if found and found not in {one.revision for one in script.walk_revisions()}:
        # Somebody went back one version: this one was released to run on the schema of the next.
        log.warning("%s: revision %s is of a newer version; its tables are left as they are", service, found)
        return

    def steps(current: str, _: object) -> list[object]:
        return list(script._upgrade_revs(revision, current))  # noqa: SLF001 what alembic's own command does

    with EnvironmentContext(config, script, fn=steps) as environment:
        # Each revision lets go of its locks before the next begins, and may be done in steps outside of a transaction.
        environment.configure(connection=connection, transaction_per_migration=True)
        with environment.begin_transaction():
            environment.run_migrations()


def index(name: str, on: str) -> None:
    """Build an index while its table is written to; alone in its revision, which is no transaction then.

    One that was left behind half built is built anew.

    Args:
        name: of the index.
        on: table and columns, as in SQL: `ticket (unit, due_at) WHERE due_at IS NOT NULL`.
    """
    with op.get_context().autocommit_block():
        op.execute(f"SET lock_timeout = '{_INDEX_WITHIN}s'")
        op.execute(f"-- squawk-ignore ban-drop-index\nDROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}")
        op.execute("RESET lock_timeout")


def chassis(*, known_units: bool) -> None:
    """Create the tables every service has, and its copy of the directory's units if it keeps one."""
    sql("chassis")
    if known_units:
        sql("known_unit")


def sql(name: str) -> None:
    """Create what a file of `linli/sql` holds, such as `data_key` and `audit` for services with personal data."""
    for statement in files("linli").joinpath(f"sql/{name}.sql").read_text("utf-8").split(";\n\n"):
        op.execute(statement)


def table(name: str, *columns: SchemaItem) -> None:
    """Create a table of what belongs to a unit: district, id, unit and grid first, keyed by district and id, placed.

    Args:
        name: its name.
        columns: its other columns and constraints.
    """
    grid = Computed("unit - unit % 1000", persisted=True)
    op.create_table(
        name,
        Column("district", Integer, nullable=False),
        Column("id", Uuid, nullable=False),
        Column("unit", BigInteger, nullable=False),
        Column("unit_grid", BigInteger, grid, nullable=False),
        *columns,
        PrimaryKeyConstraint("district", "id", name=f"pk_{name}"),
    )
    placed(name)


def placed(table: str, *, known: bool = True) -> None:
    """Hold a table's district to its unit, and its unit to the known ones."""
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_district CHECK (district = unit / 1000000000000)")
    if known:
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_known_unit"
            " FOREIGN KEY (district, unit) REFERENCES known_unit (district, unit)"
        )


def check(table: str, rules: Mapping[str, str]) -> None:
    """Have one function check all that holds for a table's rows, instead of a CHECK for each rule that has its name.

    For tables that are written by the hundred a second. What breaks a rule is refused as by `ck_<table>_<rule>`.

    Args:
        table: its name.
        rules: conditions by their names, of the row `t`; as in a CHECK, one that is unknown holds.
    """
    steps = "".join(
        f" IF NOT ({condition}) THEN RAISE check_violation USING TABLE = '{table}', CONSTRAINT = 'ck_{table}_{rule}',"
        f""" MESSAGE = 'new row for relation "{table}" violates check constraint "ck_{table}_{rule}"'; END IF;"""
        for rule, condition in rules.items()
    )
    op.execute(
        f"CREATE FUNCTION {table}_holds(t {table}) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE"
        f" AS $$BEGIN{steps} RETURN true; END$$"
    )
    op.execute(
        "-- the same as before: what it replaces goes in the same transaction, and held for the rows that are there\n"
        f"-- squawk-ignore ban-new-write-restriction\n"
        f"ALTER TABLE {table} ADD CONSTRAINT ck_{table} CHECK ({table}_holds({table})) NOT VALID"
    )
    for rule in rules:
        op.execute(
            f"-- the function checks it\n-- squawk-ignore ban-drop-constraint\n"
            f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{rule}"
        )


def protect(  # noqa: PLR0913 a table's whole policy is said in one call
    table: str,
    *,
    by: str = "unit",
    scoped: str | None = "SELECT, INSERT, UPDATE",
    worker: str | None = None,
    person: str | None = None,
    person_column: str | None = None,
) -> None:
    """Put a table under row-level security: enabled, forced, one policy and one grant per way of seeing.

    Args:
        table: its name.
        by: the column that holds the range's unit; `"district"` for rows that belong to a whole district.
        scoped: privileges of those who see a range of units, None for none.
        worker: privileges of those who see some grids, by `unit_grid`.
        person: privileges of residents.
        person_column: whose own rows a resident sees; without it `worker` and `person` see their whole district.
    """
    reach = _DISTRICTS if by == "district" else _RANGE.format(column=by)
    own = f"{reach} AND {_PERSON.format(column=person_column)}" if person_column else reach
    guard(table)
    ways: list[tuple[str, str | None, str]] = [
        ("scoped", scoped, reach),
        ("worker", worker, reach if person_column is None and person else _GRIDS),
        ("person", person, own),
    ]
    for way, privileges, condition in ways:
        if privileges is not None:
            policy(table, way, condition)
            op.execute(f"GRANT {privileges} ON {table} TO linli_{way}")


def guard(table: str) -> None:
    """Enable and force row-level security, for a table whose policies are written one by one."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def policy_for(table: str, way: str, act: str, condition: str) -> None:
    """Add the policy of one way of seeing for one act, where more is read than written.

    Args:
        table: a guarded table.
        way: `scoped`, `worker` or `person`.
        act: `SELECT`, `INSERT` or `UPDATE`.
        condition: which rows.
    """
    clause = "WITH CHECK" if act == "INSERT" else "USING"
    op.execute(f"CREATE POLICY {table}_{way}_{act.lower()} ON {table} FOR {act} TO linli_{way} {clause} ({condition})")


def policy(table: str, way: str, condition: str) -> None:
    """Add the policy of one way of seeing to a protected table."""
    op.execute(f"CREATE POLICY {table}_{way} ON {table} TO linli_{way} USING ({condition}) WITH CHECK ({condition})")
