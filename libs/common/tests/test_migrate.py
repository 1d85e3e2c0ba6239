"""Every service's migrated database is what its models say, and migrations wait for one another."""

import asyncio
import importlib
import pkgutil
import sys
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Constraint, MetaData, String, Table, UniqueConstraint, inspect
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from linli import bootstrap, migrate
from linli.db import async_url
from linli.deadletters import DeadLetter
from linli.models import Base, KnownUnit
from linli.testing import Stage, eventually

SERVICES = ("directory", "residents", "tickets", "points", "bookings", "notifications", "shelf")
CHASSIS = {"outbox", "event_log", "inbox", "dead_letter", "idempotency_key", "known_unit", "alembic_version"}


def tables(service: str) -> list[Table]:
    module = "libs.common.tests.shelf.app" if service == "shelf" else f"{service}.models"
    found = importlib.import_module(module)
    for part in pkgutil.iter_modules(getattr(found, "__path__", ()), f"{module}."):
        importlib.import_module(part.name)
    return [
        mapper.local_table
        for mapper in Base.registry.mappers
        if isinstance(mapper.local_table, Table) and mapper.class_.__module__.startswith(module)
        if mapper.local_table.metadata is Base.metadata  # the others are what queries compute
    ]


def differences(connection: Connection, models: list[Table]) -> list[str]:
    """List what the models claim and the database lacks or has otherwise.

    Constraints may be the database's alone, or have other names there; text and varchar are one.
    """
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in models:
        table.to_metadata(metadata)
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": lambda *types: False if all(isinstance(kind, String) for kind in types[-2:]) else None,
            "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
        },
    )
    found = compare_metadata(context, metadata)
    changes = [change for entry in found for change in (entry if isinstance(entry, list) else [entry])]
    return [
        str(change)
        for change in changes
        if not change[0].startswith("remove_") or change[0] in {"remove_column", "remove_table"}
        if not (change[0] == "add_constraint" and unique_there(connection, change[1]))
    ]


def unique_there(connection: Connection, claimed: Constraint) -> bool:
    assert isinstance(claimed, UniqueConstraint)
    found = inspect(connection).get_unique_constraints(claimed.table.name)
    return {column.name for column in claimed.columns} in [set(one["column_names"]) for one in found]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.filterwarnings("ignore:Computed default on:UserWarning")
# What SQLAlchemy 2.0 says when it reads a check that is NOT VALID.
@pytest.mark.filterwarnings("ignore:Can't validate argument 'dialect_options'")
async def test_the_migrated_database_is_what_the_models_say(stage: Stage, service: str) -> None:
    database = await stage.fresh_database(service)
    models = tables(service)
    assert models
    engine = create_async_engine(async_url(stage.url("postgres", database)), poolclass=NullPool)
    async with engine.connect() as connection:
        known = [KnownUnit.__table__] if service not in {"directory", "notifications", "points"} else []
        both = [*models, DeadLetter.__table__, *known]
        assert await connection.run_sync(differences, [table for table in both if isinstance(table, Table)]) == []
    await engine.dispose()


async def test_a_second_time_changes_nothing(stage: Stage) -> None:
    database = await stage.fresh_database("shelf")
    connection = await asyncpg.connect(stage.url("postgres", database))
    catalogue = (
        "SELECT oid, relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY oid"
    )
    before = await connection.fetch(catalogue)
    await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    await migrate.upgrade_async("shelf", stage.url("postgres", database))
    assert await connection.fetch(catalogue) == before
    await connection.close()


async def test_two_migrations_at_once_are_one(stage: Stage) -> None:
    await stage.fresh_database("shelf")
    name = f"shelf_{uuid4().hex[:8]}"
    connection = await asyncpg.connect(stage.url("postgres", "postgres"))
    await connection.execute(f"CREATE DATABASE {name} OWNER shelf_owner")
    await connection.close()
    command = (
        "import sys; sys.path.append(sys.argv[1]); from linli import migrate; migrate.upgrade('shelf', sys.argv[2])"
    )
    arguments = (sys.executable, "-c", command, str(Path(__file__).parent), stage.url("shelf_owner", name))
    connection = await asyncpg.connect(stage.url("postgres", name))
    await connection.execute(f"SELECT pg_advisory_lock({migrate._LOCK})")
    both = [await asyncio.create_subprocess_exec(*arguments) for _ in range(2)]
    waiting = "SELECT count(DISTINCT pid) > 1 FROM pg_stat_activity WHERE application_name = 'shelf migration'"
    await eventually(lambda: connection.fetchval(waiting), within=90)  # each has to load what migrates
    assert not await connection.fetchval("SELECT to_regclass('book')::text")
    await connection.execute(f"SELECT pg_advisory_unlock({migrate._LOCK})")
    assert [await one.wait() for one in both] == [0, 0]
    assert await connection.fetchval("SELECT array_agg(version_num) FROM alembic_version") == ["0001"]
    assert CHASSIS | {"book"} <= {
        row["relname"] for row in await connection.fetch("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')")
    }
    await connection.close()


async def test_a_migration_that_fails_leaves_nothing(stage: Stage) -> None:
    await stage.fresh_database("shelf")
    name = f"shelf_{uuid4().hex[:8]}"
    connection = await asyncpg.connect(stage.url("postgres", "postgres"))
    await connection.execute(f"CREATE DATABASE {name} OWNER shelf_owner")
    await connection.close()
    connection = await asyncpg.connect(stage.url("postgres", name))
    await connection.execute("CREATE TABLE book (in_the_way int)")
    with pytest.raises(Exception, match="book"):
        await migrate.upgrade_async("shelf", stage.url("shelf_owner", name))
    assert not await connection.fetchval("SELECT to_regclass('outbox')::text")
    await connection.execute("DROP TABLE book")
    await migrate.upgrade_async("shelf", stage.url("shelf_owner", name))
    assert await connection.fetchval("SELECT to_regclass('outbox')::text")
    await connection.close()


def test_the_owner_is_one_of_the_logins() -> None:
    assert bootstrap.logins("shelf") == ("shelf_owner", "shelf_app", "shelf_relay")
