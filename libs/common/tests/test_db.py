"""A transaction sees what its scope allows, ends with its request, and the database may come and go."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from libs.common.tests.shelf.app import create_app
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from linli.db import NOBODY, Scope, transaction
from linli.testing import NatsServer, Running, Stage, Watch, address_of, eventually, own_postgres

HERE = "310104003001001"
SIBLING = "310104004001001"
FOREIGN = "310115005001001"


@pytest.fixture(scope="module")
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app, pool_size=4) as running:
        await running.know_units(HERE, SIBLING, FOREIGN)
        yield running


def book(unit: str = HERE, title: str = "西游记") -> dict[str, object]:
    return {"unit": unit, "title": title, "number": uuid4().int >> 76}


def checked_out(running: Running) -> int:
    return int(running.app.state.engines[None].pool.checkedout())


async def test_without_a_scope_there_is_no_transaction(shelf: Running) -> None:
    async with shelf.app.state.sessions() as session:
        with pytest.raises(KeyError):
            await session.execute(text("SELECT 1"))


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM public.book", "DELETE FROM public.book", "SELECT * FROM public.outbox"]
)
async def test_the_login_itself_has_no_rights(shelf: Running, statement: str) -> None:
    async with shelf.app.state.engines[None].connect() as connection:
        with pytest.raises(DBAPIError, match="permission denied"):
            await connection.execute(text(statement))


async def test_a_role_without_a_range_sees_an_error_and_never_all_rows(shelf: Running) -> None:
    async with shelf.app.state.engines[None].connect() as connection:
        await connection.execute(text("SET LOCAL ROLE linli_scoped"))
        with pytest.raises(DBAPIError):
            await connection.execute(text("SELECT * FROM book"))


async def test_a_scope_ends_with_its_transaction(shelf: Running) -> None:
    async with transaction(shelf.app.state.sessions, Scope.of_district(310104)) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
    async with shelf.app.state.engines[None].connect() as connection:
        assert await connection.scalar(text("SELECT pg_backend_pid()")) == pid
        assert await connection.scalar(text("SELECT current_user")) == "shelf_app"
        assert not await connection.scalar(text("SELECT current_setting('app.lo', true)"))


async def add(session: AsyncSession, unit: str) -> None:
    await session.execute(
        text(
            "INSERT INTO book (district, id, unit, title, number, added_at, owner, version)"
            " VALUES (:district, gen_random_uuid(), :unit, 'x', (random() * 1e15)::bigint, now(), :owner, 1)"
        ),
        {"district": int(unit[:6]), "unit": int(unit.ljust(18, "0")), "owner": NOBODY},
    )


@pytest.mark.parametrize(
    "scope",
    [
        Scope.of_unit(310104003000000000),
        Scope.of_grids((310104003001001000,), 310104, NOBODY),
    ],
)
@pytest.mark.parametrize("unit", [SIBLING, FOREIGN])
async def test_a_scope_reads_and_writes_nothing_outside_of_it(shelf: Running, scope: Scope, unit: str) -> None:
    sessions = shelf.app.state.sessions
    async with transaction(sessions, scope) as session:
        await add(session, HERE)
    async with transaction(sessions, Scope.of_unit(0)) as session:
        await add(session, unit)
    async with transaction(sessions, scope) as session:
        assert set(await session.scalars(text("SELECT unit FROM book"))) == {310104003001001000}
    with pytest.raises(DBAPIError, match="row-level security"):
        async with transaction(sessions, scope) as session:
            await add(session, unit)
    if scope.role == "linli_scoped":
        move = text("UPDATE book SET district = :district, unit = :unit")
        with pytest.raises(DBAPIError, match="row-level security"):
            async with transaction(sessions, scope) as session:
                await session.execute(move, {"district": int(unit[:6]), "unit": int(unit.ljust(18, "0"))})


async def test_district_zero_is_the_platforms_own_rows_and_not_everybodys(shelf: Running) -> None:
    async with transaction(shelf.app.state.sessions, Scope.of_unit(0)) as session:
        await add(session, HERE)
    for scope in (Scope.of_district(0), Scope.of_person(NOBODY, 0)):
        async with transaction(shelf.app.state.sessions, scope) as session:
            assert not (await session.scalars(text("SELECT unit FROM book"))).all()


async def test_a_role_seen_with_is_not_kept_when_the_transaction_fails(shelf: Running) -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction(shelf.app.state.sessions, Scope.of_district(310104)):
            raise ZeroDivisionError
    assert checked_out(shelf) == 0


async def test_a_commit_that_fails_is_no_success_and_leaves_nothing(shelf: Running) -> None:
    client = shelf.client("street_admin")
    body = book()
    assert (await client.post("/shelf/v1/books", json=body)).status_code == 201
    before = await shelf.database.fetchval("SELECT count(*) FROM book")
    again = await client.post("/shelf/v1/books", json=body, headers={"Idempotency-Key": "fails at commit"})
    assert (again.status_code, again.json()["type"]) == (409, "urn:linli:problem:conflict")
    assert await shelf.database.fetchval("SELECT count(*) FROM book") == before
    assert not await shelf.database.fetchval("SELECT count(*) FROM idempotency_key WHERE key = 'fails at commit'")
    assert checked_out(shelf) == 0


async def test_a_connection_that_dies_at_commit_is_answered_503(shelf: Running) -> None:
    await shelf.database.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON book DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.title = 'die') EXECUTE FUNCTION die()"
    )
    refused = await shelf.client("street_admin").post("/shelf/v1/books", json=book(title="die"))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert not await shelf.database.fetchval("SELECT count(*) FROM book WHERE title = 'die'")
    assert (await shelf.client("street_admin").get("/shelf/v1/books")).status_code == 200


@pytest.mark.parametrize("role", ["street_admin", "operator"])
async def test_no_transaction_outlives_a_refused_request(shelf: Running, role: str) -> None:
    client = shelf.client(role)
    for request in (
        client.post("/shelf/v1/books", json=book(FOREIGN)),
        client.post("/shelf/v1/books", json={}),
        client.post("/shelf/v1/break"),
        client.post("/shelf/v1/sql", content=b"no sql at all"),
        client.patch(f"/shelf/v1/books/{uuid4()}", json=book(), headers={"If-Match": '"1"'}),
    ):
        answer = await request
        assert answer.status_code >= 400
        assert checked_out(shelf) == 0, answer.text


async def test_no_transaction_outlives_a_cancelled_request(shelf: Running) -> None:
    client = shelf.client("street_admin")
    for after in (0.001, 0.01, 0.1):
        request = asyncio.create_task(client.post("/shelf/v1/sleep", params={"seconds": 30}))
        await asyncio.sleep(after)
        request.cancel()
        await asyncio.wait([request])
    await eventually(lambda: checked_out(shelf) == 0, within=8)  # before a statement's time is over
    open_ = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shelf_app' AND state <> 'idle'"

    async def all_idle() -> bool:
        return not await shelf.database.fetchval(open_)

    await eventually(all_idle, within=8)


async def test_a_body_that_does_not_end_holds_no_connection(shelf: Running) -> None:
    going_on = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"SELECT"
        await going_on.wait()
        yield b" 1"

    client = shelf.client("street_admin")
    request = asyncio.create_task(
        client.post("/shelf/v1/sql", content=endless(), headers={"Idempotency-Key": "slow body"})
    )
    await asyncio.sleep(0.2)
    assert checked_out(shelf) == 0
    going_on.set()
    assert (await request).status_code == 200


async def test_when_all_connections_are_busy_the_next_is_told_to_come_again(
    shelf: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = shelf.client("street_admin")
    await shelf.database.execute("SELECT pg_advisory_lock(6)")
    wait = "SELECT pg_advisory_xact_lock_shared(6)"
    busy = [asyncio.create_task(client.post("/shelf/v1/sql", content=wait)) for _ in range(4)]
    await eventually(lambda: checked_out(shelf) == 4)
    with monkeypatch.context() as patch:
        patch.setattr(shelf.app.state.engines[None].pool, "_timeout", 0.2)
        refused = await client.get("/shelf/v1/books")
    await shelf.database.execute("SELECT pg_advisory_unlock(6)")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:linli:problem:unavailable")
    assert refused.headers["retry-after"]
    assert {answer.status_code for answer in await asyncio.gather(*busy)} == {200}
    assert (await client.get("/shelf/v1/books")).status_code == 200


async def test_a_statement_that_takes_too_long_is_ended(stage: Stage) -> None:
    async with stage.run("shelf", create_app, statement_timeout=0.2) as running:
        async with Watch() as watch:
            refused = await running.client("street_admin").post("/shelf/v1/sleep", params={"seconds": 30})
        assert refused.status_code == 503
        assert watch.seconds < 2


async def get(client: httpx.AsyncClient) -> int:
    answer = await client.get("/shelf/v1/books")
    if answer.status_code == 503:
        assert answer.headers["retry-after"]
        assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code


async def test_a_database_that_stops_is_503_and_all_is_well_when_it_is_back(
    nats_server: NatsServer, stage: Stage
) -> None:
    with own_postgres() as server:
        own = Stage(address_of(server), nats_server, stage.authority)
        async with own.run("shelf", create_app) as running:
            await running.database.execute("SET synchronous_commit = on")  # what is known must outlive the crash
            await running.know_units(HERE)
            client = running.client("street_admin")
            warm = await asyncio.gather(*(get(client) for _ in range(8)))
            assert set(warm) == {200}
            await running.database.close()
            postmaster = server.get_pid()
            assert postmaster
            os.kill(postmaster, signal.SIGQUIT)
            await eventually(lambda: not (server.pgdata / "postmaster.pid").exists())
            for method, path in (("GET", "/shelf/v1/books"), ("POST", "/shelf/v1/books"), ("GET", "/readyz")) * 2:
                async with Watch() as watch:
                    answer = await client.request(method, path, json=book() if method == "POST" else None)
                assert answer.status_code == 503, f"{method} {path} {answer.text}"
                assert watch.seconds < 3
                if path != "/readyz":
                    assert answer.json()["type"] == "urn:linli:problem:unavailable"
                    assert answer.headers["retry-after"] == "5"
            assert (await client.get("/healthz")).status_code == 200
            await asyncio.to_thread(server.ensure_postgres_running)
            await eventually(lambda: ready(client))
            assert await get(client) == 200
            assert (await client.post("/shelf/v1/books", json=book())).status_code == 201


async def ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200
