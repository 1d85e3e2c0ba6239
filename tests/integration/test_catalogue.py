"""The isolation proof in the catalogue: every table is protected, and no policy can be lost or widened unnoticed."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.integration.catalogue import violations

from linli.testing import Stage

SERVICES = ("directory", "residents", "tickets", "points", "bookings", "notifications", "console")


@pytest.fixture(scope="module", params=SERVICES)
async def database(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    connection = await asyncpg.connect(stage.url("postgres", await stage.fresh_database(request.param)))
    yield request.param, connection
    await connection.close()


async def test_every_table_is_protected(database: tuple[str, asyncpg.Connection]) -> None:
    service, connection = database
    assert await violations(connection, service) == []


@pytest.mark.timeout(300)  # the whole catalogue is read anew for each policy
async def test_no_policy_can_be_dropped_or_widened_unnoticed(database: tuple[str, asyncpg.Connection]) -> None:
    service, connection = database
    policies = await connection.fetch("SELECT * FROM pg_policies WHERE schemaname = 'public'")
    assert policies
    for policy in policies:
        name, table = policy["policyname"], policy["tablename"]
        change = connection.transaction()
        await change.start()
        await connection.execute(f'DROP POLICY "{name}" ON "{table}"')
        assert await violations(connection, service), f"{name} was dropped and nobody noticed"
        await change.rollback()
        if policy["roles"][0] not in {"linli_scoped", "linli_worker", "linli_person"}:
            continue
        change = connection.transaction()
        await change.start()
        clause = "USING (true)" if policy["qual"] else "WITH CHECK (true)"
        await connection.execute(f'ALTER POLICY "{name}" ON "{table}" {clause}')
        assert await violations(connection, service), f"{name} was widened and nobody noticed"
        await change.rollback()


@pytest.mark.parametrize(
    "breach",
    [
        "ALTER TABLE outbox NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE outbox DISABLE ROW LEVEL SECURITY",
        "GRANT TRUNCATE ON inbox TO linli_scoped",
        "GRANT SELECT ON inbox TO PUBLIC",
        "GRANT SELECT ON outbox TO linli_person",
        "CREATE TABLE stray (id uuid PRIMARY KEY)",
        "CREATE VIEW peep AS SELECT * FROM outbox",
        "CREATE POLICY also ON inbox TO linli_scoped USING (district = 1)",
    ],
)
async def test_a_breach_is_seen(database: tuple[str, asyncpg.Connection], breach: str) -> None:
    service, connection = database
    if service == "console":  # it has neither
        breach = breach.replace("outbox", "trace").replace("inbox", "activity")
    change = connection.transaction()
    await change.start()
    await connection.execute(breach)
    assert await violations(connection, service)
    await change.rollback()


@pytest.mark.parametrize("breach", ["GRANT SELECT ON {day} TO linli_relay", "GRANT INSERT ON {day} TO linli_scoped"])
async def test_a_breach_of_a_days_own_table_is_seen(stage: Stage, breach: str) -> None:
    connection = await asyncpg.connect(stage.url("postgres", await stage.fresh_database("console")))
    day = await connection.fetchval("SELECT min(relid::text) FROM pg_partition_tree('span') WHERE isleaf")
    await connection.execute(breach.format(day=day))
    assert await violations(connection, "console")
    await connection.close()
