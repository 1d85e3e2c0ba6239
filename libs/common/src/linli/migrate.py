"""Migrations: run without an env.py per service, and the SQL that every service's first revision shares.

The helpers are used by released revisions: what they do never changes; something new is a new helper.
"""

import asyncio
from importlib.resources import files

from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from linli.db import async_url

_LOCK = 7105633
_RANGE = "{column} BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint"
_DISTRICTS = (
    "district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer"
    " AND (current_setting('app.hi')::bigint / 1000000000000)::integer"
)
_GRIDS = "unit_grid = ANY (current_setting('app.grids')::bigint[])"
_PERSON = "{column} = current_setting('app.person')::uuid"


def upgrade(service: str, owner_url: str, revision: str = "head") -> None:
    """Bring a service's database to a revision; one at a time, and never waiting long for a lock.

    Args:
        service: import name of the service.
        owner_url: `postgresql://<service>_owner:...`.
        revision: an alembic revision, `head` by default.
    """
    asyncio.run(upgrade_async(service, owner_url, revision))


async def upgrade_async(service: str, owner_url: str, revision: str = "head") -> None:
    """Do what `upgrade` does, where a loop runs already."""
    engine = create_async_engine(async_url(owner_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, service, revision)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, service: str, revision: str) -> None:
    config = Config()
    # A % in the folder's name would be taken for an interpolation.
    config.set_main_option("script_location", str(files(service).joinpath("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def steps(current: str, _: object) -> list[object]:
        return list(script._upgrade_revs(revision, current))  # noqa: SLF001 what alembic's own command does

    with EnvironmentContext(config, script, fn=steps) as environment:
        environment.configure(connection=connection)
        with environment.begin_transaction():
            # Another migration may take its time; a table that is in use may not hold up its users behind us.
            connection.execute(text("SET LOCAL lock_timeout = '5min'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            environment.run_migrations()


def chassis(*, known_units: bool) -> None:
    """Create the tables every service has, and its copy of the directory's units if it keeps one."""
    sql("chassis")
    if known_units:
        sql("known_unit")


def sql(name: str) -> None:
    """Create what a file of `linli/sql` holds, such as `data_key` and `audit` for services with personal data."""
    for statement in files("linli").joinpath(f"sql/{name}.sql").read_text("utf-8").split(";\n\n"):
        op.execute(statement)


def placed(table: str, *, known: bool = True) -> None:
    """Hold a table's district to its unit, and its unit to the known ones."""
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_district CHECK (district = unit / 1000000000000)")
    if known:
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_known_unit"
            " FOREIGN KEY (district, unit) REFERENCES known_unit (district, unit)"
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
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    ways: list[tuple[str, str | None, str]] = [
        ("scoped", scoped, reach),
        ("worker", worker, reach if person_column is None and person else _GRIDS),
        ("person", person, own),
    ]
    for way, privileges, condition in ways:
        if privileges is not None:
            policy(table, way, condition)
            op.execute(f"GRANT {privileges} ON {table} TO linli_{way}")


def policy(table: str, way: str, condition: str) -> None:
    """Add the policy of one way of seeing to a protected table."""
    op.execute(f"CREATE POLICY {table}_{way} ON {table} TO linli_{way} USING ({condition}) WITH CHECK ({condition})")
