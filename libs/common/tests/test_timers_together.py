"""Timers that are due together share a transaction, and nobody pays for another's company."""

import asyncio
from uuid import UUID, uuid4

from libs.common.tests.conftest import DISTRICT, HOUR, Bench, note
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from linli.db import Scope, transaction
from linli.testing import Watch, eventually
from linli.timers import Timer

LOCK = text("SELECT id FROM matter WHERE id = :id FOR UPDATE")


async def has_effects(bench: Bench, *matters: UUID) -> bool:
    return sorted(await bench.effects()) == sorted(matters)


async def test_those_that_are_due_share_a_transaction(bench: Bench) -> None:
    shared: set[int] = set()

    @bench.timers.on("answer")
    async def note_where(session: AsyncSession, timer: Timer) -> bool:
        shared.add(await session.scalar(text("SELECT pg_current_xact_id()::text::bigint")))
        return await note(session, timer)

    matters = [uuid4() for _ in range(25)]
    for matter in matters:
        await bench.set(matter)
    bench.now += HOUR
    async with bench.running():
        await eventually(lambda: has_effects(bench, *matters))
    assert len(shared) == 1


async def test_one_that_fails_takes_none_of_the_others_with_it(bench: Bench) -> None:
    bad, *good = (uuid4() for _ in range(5))

    @bench.timers.on("answer")
    async def fail_at_one(session: AsyncSession, timer: Timer) -> bool:
        if timer.aggregate == bad:
            raise ValueError("no such place")
        return await note(session, timer)

    for matter in (bad, *good):
        await bench.set(matter)
    bench.now += HOUR
    async with bench.running():
        await eventually(lambda: has_effects(bench, *good))
        await bench.rounds()
    assert await has_effects(bench, *good)


async def test_one_that_is_cancelled_meanwhile_has_no_effect_and_the_others_have_theirs(bench: Bench) -> None:
    cancelled, *others = (uuid4() for _ in range(5))

    @bench.timers.on("answer")
    async def cancel_one(session: AsyncSession, timer: Timer) -> bool:
        await bench.cancel(cancelled)
        return await note(session, timer)

    for matter in (cancelled, *others):
        await bench.set(matter)
    bench.now += HOUR
    async with bench.running():
        await eventually(lambda: has_effects(bench, *others))
        await bench.rounds()
    assert await has_effects(bench, *others)


async def test_they_never_cost_a_user_his_request(bench: Bench) -> None:
    """The user locks two matters in one order, and their handlers in the other."""
    first, second = sorted((uuid4(), uuid4()))
    await bench.look_for_no_deadlocks()
    await bench.chassis.database.execute(
        "CREATE TABLE matter (id uuid); GRANT SELECT, UPDATE ON matter TO linli_scoped"
    )
    await bench.chassis.database.executemany("INSERT INTO matter VALUES ($1)", [(first,), (second,)])
    locked = asyncio.Event()
    briefly: list[bool] = []

    @bench.timers.on("answer")
    async def lock_the_matter(session: AsyncSession, timer: Timer) -> bool:
        # After a second the database looks for deadlocks, and ends one of the two.
        briefly.append(await session.scalar(text("SELECT current_setting('lock_timeout')::interval < '500ms'")))
        await session.execute(LOCK, {"id": timer.aggregate})
        locked.set()
        return await note(session, timer)

    await bench.set(first)
    await bench.set(second)
    async with bench.running():
        async with transaction(bench.chassis.sessions, Scope.of_district(DISTRICT)) as session:
            await session.execute(LOCK, {"id": second})
            bench.now += HOUR
            await locked.wait()
            async with Watch() as watch:
                await session.execute(LOCK, {"id": first})
            assert watch.seconds < 5
        assert briefly[0], "together they wait for what a user has locked"
        await eventually(lambda: has_effects(bench, first, second))
        await bench.rounds()
    assert await has_effects(bench, first, second)
