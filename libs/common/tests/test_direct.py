"""A transaction without a session: under a scope, whole or not at all, on connections that are handed out fairly."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

import asyncpg
import pytest
from libs.common.tests.shelf.app import create_app
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.queue import Empty

from linli.db import NOBODY, Scope, transaction
from linli.direct import Database, Direct, fetch, fetchrow, lock_shared
from linli.fair import Fair
from linli.models import uuid7
from linli.testing import Running, Stage, eventually

HERE, ELSEWHERE = 310104003001001000, 310104004001001000
STREET = Scope.of_unit(310104003000000000)
ADD = (
    "INSERT INTO book (district, id, unit, title, number, added_at, owner, version)"
    " VALUES ($1, $2, $3, 'x', $4, now(), $5, 1)"
)


@pytest.fixture(scope="module")
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app, pool_size=3) as running:
        await running.know_units("310104003001001", "310104004001001")
        yield running


def book(unit: int = HERE) -> tuple[object, ...]:
    return (310104, uuid4(), unit, uuid4().int >> 76, NOBODY)


async def put(shelf: Running, *rows: tuple[object, ...], then: Exception | None = None) -> None:
    async with Direct(shelf.app.state.sessions, STREET) as direct:
        for row in rows:
            await direct.fetch(ADD, *row)
        if then:
            raise then


async def put_in_session(shelf: Running, *rows: tuple[object, ...], then: Exception | None = None) -> None:
    async with transaction(shelf.app.state.sessions, STREET) as session:
        for row in rows:
            await fetch(session, ADD, *row)
        if then:
            raise then


async def sleep_after(shelf: Running, row: tuple[object, ...]) -> None:
    async with Direct(shelf.app.state.sessions, STREET) as direct:
        await direct.fetch(ADD, *row)
        await direct.fetch("SELECT pg_sleep(5)")


async def there(shelf: Running, *added: tuple[object, ...]) -> int:
    ids = [row[1] for row in added]
    return int(await shelf.database.fetchval("SELECT count(*) FROM book WHERE id = ANY ($1)", ids))


def checked_out(shelf: Running) -> int:
    return int(shelf.app.state.engines[None].pool.checkedout())


async def test_it_is_kept_at_the_end_and_taken_back_on_any_error(shelf: Running) -> None:
    kept, lost, cancelled = book(), book(), book()
    await put(shelf, kept)
    with pytest.raises(ZeroDivisionError):
        await put(shelf, lost, then=ZeroDivisionError())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sleep_after(shelf, cancelled), 0.2)
    assert [await there(shelf, one) for one in (kept, lost, cancelled)] == [1, 0, 0]
    assert checked_out(shelf) == 0


async def test_it_sees_and_writes_what_its_scope_allows(shelf: Running) -> None:
    async with transaction(shelf.app.state.sessions, Scope.of_district(310104)) as session:
        await fetch(session, ADD, *book(ELSEWHERE))
    async with Direct(shelf.app.state.sessions, STREET) as direct:
        await direct.fetch(ADD, *book())
        assert {row["unit"] for row in await direct.fetch("SELECT unit FROM book")} == {HERE}
    with pytest.raises(DBAPIError, match="row-level security"):
        await put(shelf, book(ELSEWHERE))
    async with shelf.app.state.engines[None].connect() as connection:
        assert await connection.scalar(text("SELECT current_user")) == "shelf_app"
        assert not await connection.scalar(text("SELECT current_setting('app.lo', true)"))


async def test_what_the_database_refuses_is_said_as_of_a_sessions_statements(shelf: Running) -> None:
    twice = book()
    with pytest.raises(IntegrityError):
        await put(shelf, twice, twice)
    with pytest.raises(IntegrityError):
        await put_in_session(shelf, twice, twice)
    assert await there(shelf, twice) == 0


async def fail_in_silence(database: Database, row: tuple[object, ...]) -> None:
    await fetch(database, ADD, *row)
    with suppress(DBAPIError):
        await fetch(database, "SELECT 1 / 0")


async def fail_in_a_direct_one(shelf: Running, row: tuple[object, ...]) -> None:
    async with Direct(shelf.app.state.sessions, STREET) as direct:
        await fail_in_silence(direct, row)


async def fail_in_a_session(shelf: Running, row: tuple[object, ...]) -> None:
    async with transaction(shelf.app.state.sessions, STREET) as session:
        await fail_in_silence(session, row)


@pytest.mark.parametrize("fail", [fail_in_a_direct_one, fail_in_a_session])
async def test_what_was_not_kept_is_not_said_to_be(
    shelf: Running, fail: Callable[[Running, tuple[object, ...]], Awaitable[None]]
) -> None:
    row = book()
    with pytest.raises(DBAPIError):
        await fail(shelf, row)
    assert await there(shelf, row) == 0
    assert checked_out(shelf) == 0


async def test_a_statement_of_the_driver_is_part_of_the_sessions_transaction(shelf: Running) -> None:
    first, lost = book(), book()
    async with transaction(shelf.app.state.sessions, STREET) as session:
        await fetch(session, ADD, *first)  # the transaction begins with it
        found = await fetchrow(session, "SELECT title FROM book WHERE id = $1", first[1])
        assert found
        assert found["title"] == await session.scalar(text("SELECT title FROM book WHERE id = :id"), {"id": first[1]})
        assert not await there(shelf, first), "it was kept before the end"
    assert await there(shelf, first) == 1
    with pytest.raises(ZeroDivisionError):
        await put_in_session(shelf, lost, then=ZeroDivisionError())
    assert await there(shelf, lost) == 0
    session = shelf.app.state.sessions(info={"scope": STREET})
    async with session, session.begin():
        await fetch(session, ADD, *book())
    assert "driver" not in session.info, "a session that has ended held on to a connection of the next one"


async def test_a_lock_is_taken_before_what_it_is_for_is_read(shelf: Running) -> None:
    alone = "SELECT pg_advisory_xact_lock(7, 310104)"
    held, mine = book(), "SELECT count(*) AS found FROM book WHERE id = $1"
    async with Direct(shelf.app.state.sessions, STREET) as other:
        await other.fetch(alone)
        await other.fetch(ADD, *held)

        async def look() -> int:
            async with Direct(shelf.app.state.sessions, STREET) as direct:
                await lock_shared(direct, 7, 310104)
                (row,) = await direct.fetch(mine, held[1])
                return int(row["found"])

        async def look_in_session() -> int:
            async with transaction(shelf.app.state.sessions, STREET) as session:
                await lock_shared(session, 7, 310104)
                row = await fetchrow(session, mine, held[1])
                return int(row["found"]) if row else 0

        looking = [asyncio.create_task(look()), asyncio.create_task(look_in_session())]
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in looking)
    assert await asyncio.gather(*looking) == [1, 1]


async def test_a_connection_that_the_server_has_closed_is_given_to_nobody(shelf: Running) -> None:
    async with Direct(shelf.app.state.sessions, STREET) as direct:
        await direct.fetch("SELECT 1 AS one")
    theirs = "FROM pg_stat_activity WHERE usename = 'shelf_app' AND datname = current_database()"
    await shelf.database.fetch(f"SELECT pg_terminate_backend(pid) {theirs}")
    await eventually(lambda: shelf.database.fetchval(f"SELECT count(*) = 0 {theirs}"))
    await asyncio.sleep(0.2)
    for _ in range(4):
        async with Direct(shelf.app.state.sessions, STREET) as direct:
            assert await direct.fetch("SELECT 1 AS one")


async def test_what_a_killed_service_waited_for_is_soon_given_up(shelf: Running) -> None:
    one = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 8"
    none = one.replace("= 1", "= 0")

    async def wait_and_die() -> None:
        async with Direct(shelf.app.state.sessions, STREET) as direct:
            await direct.fetch("SELECT 1")
            asking = asyncio.create_task(direct.fetch("SELECT pg_advisory_xact_lock(8, 310104)"))
            await eventually(lambda: shelf.database.fetchval(one))
            direct._driver.terminate()  # as when its process ends: nothing is said to the server
            await asking

    async with Direct(shelf.app.state.sessions, STREET) as other:
        await other.fetch("SELECT pg_advisory_xact_lock(8, 310104)")
        with pytest.raises(asyncpg.InterfaceError):
            await wait_and_die()
        await eventually(lambda: shelf.database.fetchval(none), within=8)  # before a statement's time is over


async def test_whoever_waits_longest_is_served_first_however_many_come_later() -> None:
    queue = Fair(1)
    served: list[str] = []

    async def wait(name: str) -> None:
        item = await greenlet_spawn(queue.get, True, 5)  # noqa: FBT003 as a pool asks
        served.append(name)
        await asyncio.sleep(0)
        queue.put_nowait(item)

    early = [asyncio.create_task(wait(f"early {number}")) for number in range(3)]
    await asyncio.sleep(0)
    queue.put_nowait("connection")
    late = [asyncio.create_task(wait(f"late {number}")) for number in range(3)]
    await asyncio.gather(*early, *late)
    assert served == ["early 0", "early 1", "early 2", "late 0", "late 1", "late 2"]


async def test_nobody_who_no_longer_waits_takes_a_connection_along() -> None:
    queue = Fair(1)
    with pytest.raises(Empty):
        await greenlet_spawn(queue.get, True, 0.05)  # noqa: FBT003 as a pool asks
    waiting = asyncio.create_task(greenlet_spawn(queue.get, True, 5))  # noqa: FBT003 as above
    await asyncio.sleep(0.01)
    queue.put_nowait("connection")
    waiting.cancel()  # in the moment in which it was given to him
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert queue.get_nowait() == "connection"


async def test_thirty_at_once_share_three_connections_and_none_is_refused(shelf: Running) -> None:
    async def often() -> None:
        for _ in range(20):
            async with Direct(shelf.app.state.sessions, STREET) as direct:
                await direct.fetch("SELECT 1 AS one")

    await asyncio.gather(*(often() for _ in range(30)))
    assert checked_out(shelf) == 0


def test_ids_are_of_version_7_and_each_is_greater_than_the_one_before() -> None:
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
