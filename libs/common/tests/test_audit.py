from collections.abc import AsyncIterator
from datetime import timedelta
from importlib.resources import files
from itertools import count
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import create_async_engine

from linli import audit, bootstrap
from linli.audit import AuditBroken, Verified
from linli.db import Scope, Sessions, async_url, create_sessions, transaction
from linli.driver import Driver
from linli.security import Principal

ADA, BEN = uuid4(), uuid4()
DISTRICTS = count(310001)


def worker(person: UUID, district: int) -> Principal:
    return Principal(person, "console", frozenset({"street_admin"}), district * 10**12, ())


@pytest.fixture(scope="module")
async def sessions(postgres: str) -> AsyncIterator[Sessions]:
    admin = postgres.format(user="postgres", database="postgres")
    await bootstrap.provision(admin, ["watch"], dict.fromkeys(bootstrap.logins("watch"), "test"))
    owner = await asyncpg.connect(postgres.format(user="watch_owner", database="watch"))
    await owner.execute("GRANT USAGE ON SCHEMA public TO linli_scoped, linli_worker")
    await owner.execute(files("linli").joinpath("sql/audit.sql").read_text())
    await owner.close()
    engine = create_async_engine(
        async_url(postgres.format(user="watch_app", database="watch")), connect_args={"connection_class": Driver}
    )
    yield create_sessions({None: engine}, lambda _: None)
    await engine.dispose()


@pytest.fixture(scope="module")
async def superuser(postgres: str, sessions: Sessions) -> AsyncIterator[asyncpg.Connection]:
    assert sessions
    connection = await asyncpg.connect(postgres.format(user="postgres", database="watch"))
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


async def note(sessions: Sessions, district: int, purpose: str | None = "care call", actor: UUID = ADA) -> None:
    async with transaction(sessions, Scope.of_district(district)) as session:
        await audit.record(
            session,
            worker(actor, district),
            "residents.reveal",
            unit=district * 10**12 + 3 * 10**9,
            subjects=[uuid4()],
            fields=["phone"],
            purpose=purpose,
        )


async def check(sessions: Sessions, district: int) -> Verified:
    async with transaction(sessions, Scope.of_district(district)) as session:
        return await audit.verify(session, district)


async def test_rows_form_a_chain_per_district(sessions: Sessions) -> None:
    one, other = next(DISTRICTS), next(DISTRICTS)
    for district in (one, other, one):
        await note(sessions, district)
    assert (await check(sessions, one)).rows == 2
    assert (await check(sessions, other)).rows == 1
    assert (await check(sessions, next(DISTRICTS))).rows == 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    purpose=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60) | st.none(),
    subjects=st.lists(st.uuids(), max_size=3),
)
async def test_whatever_the_words_the_database_and_verify_agree(
    sessions: Sessions, purpose: str | None, subjects: list[UUID]
) -> None:
    district = 310999
    async with transaction(sessions, Scope.of_district(district)) as session:
        await audit.record(
            session,
            worker(ADA, district),
            "residents.search",
            unit=district * 10**12,
            subjects=subjects,
            fields=[purpose or ""],
            purpose=purpose,
        )
        assert (await audit.verify(session, district)).rows > 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET purpose = 'another' WHERE district = $1 AND sequence = 2",
        "UPDATE audit SET at = at + interval '1 microsecond' WHERE district = $1 AND sequence = 2",
        "UPDATE audit SET at = 'infinity' WHERE district = $1 AND sequence = 2",
        "UPDATE audit SET at = '4713-01-01 BC' WHERE district = $1 AND sequence = 2",
        "UPDATE audit SET at = '294276-12-31' WHERE district = $1 AND sequence = 2",
        "UPDATE audit SET subjects = '{}' WHERE district = $1 AND sequence = 3",
        "DELETE FROM audit WHERE district = $1 AND sequence = 1",
        "DELETE FROM audit WHERE district = $1 AND sequence = 2",
        "DELETE FROM audit WHERE district = $1 AND sequence = 3",
        "DELETE FROM audit WHERE district = $1",
        "DELETE FROM audit_head WHERE district = $1",
        (
            "INSERT INTO audit (district, sequence, unit, at, actor, client, action, subjects, fields, previous, hash)"
            " SELECT district, 4, unit, at, actor, client, action, subjects, fields, hash, hash"
            " FROM audit WHERE district = $1 AND sequence = 3"
        ),
    ],
)
async def test_a_row_altered_removed_or_added_behind_the_databases_back_is_found(
    sessions: Sessions, superuser: asyncpg.Connection, change: str
) -> None:
    district = next(DISTRICTS)
    for _ in range(3):
        await note(sessions, district)
    await check(sessions, district)
    await superuser.execute(change, district)
    with pytest.raises(AuditBroken):
        await check(sessions, district)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET purpose = ''",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET sequence = sequence - 1",
        "UPDATE audit_head SET hash = ''",
        "UPDATE audit_head SET sequence = sequence + 1",
        "INSERT INTO audit_head VALUES (110101, 1, '')",
    ],
)
@pytest.mark.parametrize("user", ["watch_owner", "watch_app"])
async def test_the_database_forbids_change_and_removal(
    sessions: Sessions, postgres: str, change: str, user: str
) -> None:
    district = next(DISTRICTS)
    await note(sessions, district)
    connection = await asyncpg.connect(postgres.format(user=user, database="watch"))
    try:
        if user == "watch_app":
            await connection.execute("SET ROLE linli_scoped")
            await connection.execute("SELECT set_config('app.lo', '0', false)")
            await connection.execute("SELECT set_config('app.hi', '999999999999999999', false)")
        try:
            done = await connection.execute(change)
        except asyncpg.InsufficientPrivilegeError:
            done = "refused"
        assert done in {"refused", "UPDATE 0"}
    finally:
        await connection.close()
    assert (await check(sessions, district)).rows == 1


async def test_a_service_can_not_choose_a_rows_place_or_time(sessions: Sessions, postgres: str) -> None:
    district = next(DISTRICTS)
    connection = await asyncpg.connect(postgres.format(user="watch_app", database="watch"))
    await connection.execute("SET ROLE linli_scoped")
    await connection.execute(f"SELECT set_config('app.lo', '{district}' || repeat('0', 12), false)")
    await connection.execute(f"SELECT set_config('app.hi', '{district}' || repeat('9', 12), false)")
    await connection.execute(
        "INSERT INTO audit (district, unit, sequence, at, actor, client, action, subjects, fields, previous, hash)"
        " VALUES ($1::integer, $1::integer * 1000000000000, 99, '2001-01-01', $2, '', '', '{}', '{}', '', '')",
        district,
        ADA,
    )
    await connection.close()
    assert (await check(sessions, district)).rows == 1


async def test_a_row_that_was_rolled_back_leaves_no_gap(sessions: Sessions) -> None:
    district = next(DISTRICTS)
    async with sessions(info={"scope": Scope.of_district(district)}) as session:
        await audit.record(session, worker(ADA, district), "x", unit=district * 10**12, subjects=[], fields=[])
        await session.rollback()
    await note(sessions, district)
    assert (await check(sessions, district)).rows == 1


async def test_what_a_person_did_lately_can_be_counted(sessions: Sessions) -> None:
    district = next(DISTRICTS)
    await note(sessions, district)
    await note(sessions, district)
    await note(sessions, district, actor=BEN)
    async with transaction(sessions, Scope.of_district(district)) as session:
        ada = worker(ADA, district)
        assert await audit.count(session, ada, "residents.reveal", timedelta(hours=1)) == 2
        assert await audit.count(session, ada, "residents.search", timedelta(hours=1)) == 0
        assert await audit.count(session, ada, "residents.reveal", timedelta(0)) == 0
