"""Writes that share a transaction: each of its own person, with an answer of its own, and none answers for another."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest
from libs.common.tests.shelf.app import create_app
from sqlalchemy.exc import DBAPIError, IntegrityError

from linli import together
from linli.db import Scope, transaction
from linli.direct import Direct, lock_shared
from linli.driver import Driver
from linli.problems import Unavailable
from linli.testing import Running, Stage

HERE, ELSEWHERE = 310104003001001000, 310115005001001000
COLUMNS = {"district": "integer", "id": "uuid", "unit": "bigint", "number": "bigint", "owner": "uuid"}
ADD = f"""
    WITH report AS MATERIALIZED (SELECT * FROM {together.asked(COLUMNS)}), added AS (
        INSERT INTO book (district, id, unit, title, number, added_at, owner, version)
        SELECT district, id, unit, 'x', number, now(), owner, 1 FROM report WHERE {together.reach("report")}
    )
    SELECT id, pg_current_xact_id()::text AS transaction FROM report ORDER BY turn"""  # noqa: S608 of constants


@pytest.fixture(scope="module")
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app, pool_size=4) as running:
        await running.know_units("310104003001001", "310115005001001")
        yield running


class Report:
    """A book that somebody puts on the shelf."""

    def __init__(self, unit: int = HERE, owner: UUID | None = None) -> None:
        self.id = uuid4()
        self.person = uuid4()
        self.unit = unit
        self.owner = owner or self.person

    @property
    def values(self) -> tuple[object, ...]:
        return (self.unit // 10**12, self.id, self.unit, uuid4().int >> 76, self.owner)

    async def put(self, shelf: Running, *, lock: int | None = None, waits: bool = False) -> str:
        """Give the transaction in which it was kept."""
        scope = Scope.of_person(self.person, self.unit // 10**12)
        async with Direct(shelf.app.state.sessions, scope) as direct:
            if lock is not None:
                await lock_shared(direct, 7, lock)
            row = await together.write(direct, ADD, *self.values, waits=waits)
            assert row["id"] == self.id, "somebody was given another's answer"
            return str(row["transaction"])


async def owners(shelf: Running, *reports: Report) -> dict[UUID, UUID]:
    rows = await shelf.database.fetch("SELECT id, owner FROM book WHERE id = ANY ($1)", [one.id for one in reports])
    return {row["id"]: row["owner"] for row in rows}


async def test_people_of_two_districts_share_transactions_and_each_keeps_his_own(shelf: Running) -> None:
    reports = [Report(HERE if number % 2 else ELSEWHERE) for number in range(60)]
    kept = await asyncio.gather(*(one.put(shelf) for one in reports))
    assert await owners(shelf, *reports) == {one.id: one.person for one in reports}
    assert len(set(kept)) <= 4, "they waited for each other to no end"
    assert shelf.app.state.engines[None].pool.checkedout() == 0


async def test_who_comes_alone_waits_for_nobody(shelf: Running) -> None:
    assert len({await Report().put(shelf) for _ in range(3)}) == 3


async def test_what_is_wrong_with_one_is_no_matter_of_the_others(shelf: Running) -> None:
    good, twice = [Report() for _ in range(12)], Report()
    in_anothers_name, out_of_reach = Report(owner=uuid4()), Report()
    out_of_reach.unit, there = ELSEWHERE, Scope.of_person(out_of_reach.person, HERE // 10**12)

    async def reach_too_far() -> None:
        async with Direct(shelf.app.state.sessions, there) as direct:
            await together.write(direct, ADD, *out_of_reach.values)

    found = await asyncio.gather(
        *(one.put(shelf) for one in good),
        twice.put(shelf),
        twice.put(shelf),
        in_anothers_name.put(shelf),
        reach_too_far(),
        return_exceptions=True,
    )
    assert all(isinstance(kept, str) for kept in found[:12])
    assert sorted(type(kept).__name__ for kept in found[12:14]) == ["IntegrityError", "str"]
    for refused in found[14:]:
        assert isinstance(refused, DBAPIError)
        assert not isinstance(refused, IntegrityError)
        assert "row-level security" in str(refused.orig)
    assert len(await owners(shelf, *good, twice, in_anothers_name, out_of_reach)) == 13


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("after", [0, 1, 5])
async def test_nobody_writes_in_the_name_of_who_shares_with_him(shelf: Running, before: int, after: int) -> None:
    victim = uuid4()
    own, forged = [Report() for _ in range(before + after)], Report(owner=victim)
    for one in own:
        one.person = one.owner = victim
    found = await asyncio.gather(
        *(one.put(shelf) for one in own[:before]),
        forged.put(shelf),
        *(one.put(shelf) for one in own[before:]),
        return_exceptions=True,
    )
    assert isinstance(refused := found.pop(before), DBAPIError)
    assert "row-level security" in str(refused.orig)
    assert all(isinstance(kept, str) for kept in found)
    assert await owners(shelf, *own, forged) == {one.id: victim for one in own}


async def begin_put_and_fail(shelf: Running, one: Report) -> None:
    async with Direct(shelf.app.state.sessions, Scope.of_person(one.person, HERE // 10**12)) as direct:
        await direct.fetch("SELECT 1 AS one")
        await together.write(direct, ADD, *one.values)
        raise ZeroDivisionError


async def test_in_a_transaction_that_has_begun_it_is_part_of_that(shelf: Running) -> None:
    one = Report()
    with pytest.raises(ZeroDivisionError):
        await begin_put_and_fail(shelf, one)
    assert not await owners(shelf, one)
    async with transaction(shelf.app.state.sessions, Scope.of_person(one.person, HERE // 10**12)) as session:
        await together.write(session, ADD, *one.values)
        assert not await owners(shelf, one)
    assert await owners(shelf, one)


async def test_nobody_waits_for_a_lock_with_whom_it_is_for(shelf: Running) -> None:
    held, free = Report(), [Report() for _ in range(5)]
    async with Direct(shelf.app.state.sessions, Scope.of_district(310104)) as other:
        await other.fetch("SELECT pg_advisory_xact_lock(7, 1)")
        waiting = asyncio.create_task(held.put(shelf, lock=1))
        async with asyncio.timeout(9):  # before a statement's time is over
            await asyncio.gather(*(one.put(shelf, lock=2) for one in free))
        assert not waiting.done()
    await waiting
    assert len(await owners(shelf, held, *free)) == 6


async def test_who_goes_away_takes_nobody_along(shelf: Running) -> None:
    reports = [Report() for _ in range(8)]
    tasks = [asyncio.create_task(one.put(shelf)) for one in reports]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[3].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(kept, str) for kept in found] == [n not in {0, 3} for n in range(8)]
    assert {one.id for n, one in enumerate(reports) if n not in {0, 3}} <= (await owners(shelf, *reports)).keys()
    assert shelf.app.state.engines[None].pool.checkedout() == 0


async def test_what_may_have_been_kept_is_not_done_again(shelf: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Driver.commit

    async def break_off(self: Driver) -> None:
        await commit(self)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    reports = [Report() for _ in range(3)]
    with monkeypatch.context() as broken:
        broken.setattr(Driver, "commit", break_off)
        found = await asyncio.gather(*(one.put(shelf) for one in reports), return_exceptions=True)
    assert [type(getattr(error, "orig", None)) for error in found] == [asyncpg.ConnectionDoesNotExistError] * 3
    assert len(await owners(shelf, *reports)) == 3
    assert await Report().put(shelf)


async def test_what_is_wrong_with_the_database_is_tried_by_nobody_again(
    shelf: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    async def too_slow(_self: Driver, _statement: str, *columns: list[object]) -> None:
        tried.append(len(columns[0]))
        raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")

    reports = [Report() for _ in range(6)]
    with monkeypatch.context() as broken:
        broken.setattr(Driver, "fetch", too_slow)
        found = await asyncio.gather(*(one.put(shelf) for one in reports), return_exceptions=True)
    assert all(isinstance(error, DBAPIError) for error in found)
    assert sum(tried) == 6
    assert not await owners(shelf, *reports)


async def test_workers_of_several_grids_share_one_too(shelf: Running) -> None:
    grids = [HERE, HERE + 1_000]
    await shelf.know_units("310104003001001", "310104003001002")
    at_work = [Report(unit) for unit in grids * 8]

    async def put(one: Report, grid: int) -> str:
        scope = Scope.of_grids((grid,), 310104, one.person)
        async with Direct(shelf.app.state.sessions, scope) as direct:
            return str((await together.write(direct, ADD, *one.values))["transaction"])

    kept = await asyncio.gather(*(put(one, one.unit) for one in at_work))
    assert len(set(kept)) <= 3
    with pytest.raises(DBAPIError, match="row-level security"):
        await put(Report(grids[0]), grids[1])


async def test_a_line_has_an_end_and_patience_too(shelf: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as short:
        short.setattr(together, "_WAITING", 2)
        found = await asyncio.gather(*(Report().put(shelf) for _ in range(5)), return_exceptions=True)
        assert [type(one) for one in found].count(Unavailable) == 3
    with monkeypatch.context() as hurried:
        hurried.setattr(together, "_PATIENCE", -1)
        with pytest.raises(Unavailable):
            await Report().put(shelf)


async def test_what_may_have_to_wait_for_another_is_written_alone(shelf: Running) -> None:
    kept = await asyncio.gather(*(Report().put(shelf, waits=True) for _ in range(8)))
    assert len(set(kept)) == 8


async def test_the_relay_is_woken_once_for_all_of_them(shelf: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[object] = []
    monkeypatch.setitem(shelf.app.state.sessions.kw["info"], "wake", woken.append)
    kept = await asyncio.gather(*(Report().put(shelf) for _ in range(10)))
    assert len(woken) == len(set(kept))
