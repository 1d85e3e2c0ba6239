import asyncpg
import pytest
from services.residents.tests.conftest import (
    COMMUNITY,
    FOREIGN,
    GRID,
    MICRO,
    OTHER_GRID,
    SIBLING,
    STREET,
    build,
    found,
    register,
)
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from linli import units
from linli.db import NOBODY, Scope, transaction
from linli.testing import Running

PLACES = (MICRO, OTHER_GRID, SIBLING, FOREIGN)
SEES = {
    Scope.of_grids((units.parse(GRID),), 310104, NOBODY): {MICRO},
    Scope.of_grids((units.parse(GRID), units.parse(OTHER_GRID[:15])), 310104, NOBODY): {MICRO, OTHER_GRID},
    Scope.of_unit(units.parse(COMMUNITY)): {MICRO, OTHER_GRID},
    Scope.of_unit(units.parse(STREET)): {MICRO, OTHER_GRID},
    Scope.of_unit(units.parse("310104004")): {SIBLING},
    Scope.of_unit(units.parse("310104")): {MICRO, OTHER_GRID, SIBLING},
    Scope.of_unit(units.parse("310115")): {FOREIGN},
    Scope.of_unit(units.parse("310116")): set(),
}


@pytest.fixture(scope="module", autouse=True)
async def people(residents: Running) -> None:
    """Register somebody everywhere, looked at by somebody of the place."""
    for unit in PLACES:
        manager = residents.client("community_manager", unit[:12])
        one = await register(manager, await found(manager, await build(residents, unit)), phone="13812341234")
        body = {"fields": ["phone"], "purpose": "走访"}
        answer = await manager.post(f"/residents/v1/residents/{one['id']}/reveal", json=body)
        assert answer.status_code == 200


@pytest.mark.parametrize("table", ["known_building", "household", "resident", "audit"])
async def test_without_any_filter_a_transaction_finds_what_its_scope_allows(residents: Running, table: str) -> None:
    for scope, places in SEES.items():
        async with transaction(residents.app.state.sessions, scope) as session:
            rows = await session.scalars(text(f"SELECT unit FROM {table}"))  # noqa: S608 one of four names above
            assert set(map(units.short, rows)) == places, scope


@pytest.mark.parametrize("table", ["data_key", "audit_head"])
async def test_keys_and_heads_are_a_districts_own(residents: Running, table: str) -> None:
    for scope, places in SEES.items():
        async with transaction(residents.app.state.sessions, scope) as session:
            rows = await session.scalars(text(f"SELECT DISTINCT district FROM {table}"))  # noqa: S608 as above
            assert {str(row) for row in rows} == ({place[:6] for place in places}), scope


@pytest.mark.parametrize("table", ["known_building", "household", "resident", "audit", "audit_head", "data_key"])
async def test_a_person_of_the_public_may_not_even_ask(residents: Running, table: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with transaction(residents.app.state.sessions, Scope.of_person(NOBODY, 310104)) as session:
            await session.execute(text(f"SELECT 1 FROM {table}"))  # noqa: S608 as above


async def test_without_a_scope_there_is_an_error_and_no_row(residents: Running) -> None:
    connection = await asyncpg.connect(residents.settings.database_url.get_secret_value())
    try:
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.fetch("SELECT * FROM resident")
        await connection.execute("SET ROLE linli_scoped")
        with pytest.raises(asyncpg.UndefinedObjectError):
            await connection.fetch("SELECT * FROM resident")
    finally:
        await connection.close()


async def test_nobody_writes_beyond_what_he_sees(residents: Running) -> None:
    scope = Scope.of_grids((units.parse(GRID),), 310104, NOBODY)
    move = text("UPDATE resident SET unit = :unit, household_id = (SELECT id FROM household LIMIT 1)")
    with pytest.raises(DBAPIError, match="row-level security"):
        async with transaction(residents.app.state.sessions, scope) as session:
            await session.execute(move, {"unit": units.parse(OTHER_GRID)})
