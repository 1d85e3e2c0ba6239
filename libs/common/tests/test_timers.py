"""Timers on real servers, driven by a clock of the tests' own."""

import asyncio
import functools
import logging
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libs.common.tests.conftest import DISTRICT, HOUR, START, UNIT, Bench, note
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from linli import clockwork, timers
from linli.clockwork import Clocks, Clockwork
from linli.db import Scope, transaction
from linli.testing import Stage, Watch, eventually
from linli.timers import Timer


async def test_a_timer_fires_when_it_is_due_and_not_before(bench: Bench) -> None:
    bench.timers.on("answer")(note)
    matter = uuid4()
    await bench.set(matter)
    async with bench.running():
        bench.now += HOUR - timedelta(microseconds=1)
        await bench.rounds()
        assert await bench.effects() == []
        bench.now += timedelta(microseconds=1)
        await eventually(bench.effects)
    assert await bench.effects() == [matter]
    row = await bench.chassis.database.fetchrow("SELECT * FROM timer")
    assert (row["fired_at"], row["try_at"], row["attempts"]) == (bench.now, None, 0)


async def test_three_replicas_fire_each_timer_once_and_tell_of_it_once(bench: Bench) -> None:
    bench.timers.on("answer")(note)
    await bench.set_many(300)
    bench.now += HOUR
    async with AsyncExitStack() as replicas:
        for _ in range(3):
            await replicas.enter_async_context(bench.running())
        await replicas.enter_async_context(bench.chassis.relaying())
        client = await replicas.enter_async_context(bench.chassis.connection())
        await eventually(lambda: _all_fired(bench, 300), within=30)
        await bench.rounds()
        found = await eventually(lambda: _told(bench, client.jetstream(), 300))
    assert len(await bench.effects()) == len(set(await bench.effects())) == 300
    assert sorted(event["ticket"] for event in found) == sorted(map(str, await bench.effects()))


async def test_a_timer_whose_replica_dies_in_its_handler_fires_once_with_another(bench: Bench, stage: Stage) -> None:
    died: list[UUID] = []
    killer = await asyncpg.connect(stage.url("postgres", "postgres"))

    @bench.timers.on("answer")
    async def die_at_first(session: AsyncSession, timer: Timer) -> bool:
        await note(session, timer)
        if not died:
            died.append(timer.aggregate)
            # Its connection ends in the middle of its transaction, as when its machine goes.
            own = await session.scalar(text("SELECT pg_backend_pid()"))
            await killer.execute("SELECT pg_terminate_backend($1)", own)
        return True

    matter = uuid4()
    await bench.set(matter)
    bench.now += HOUR
    async with bench.running(), bench.running():
        await eventually(bench.fired)
        await bench.rounds()
    await killer.close()
    assert died == [matter]
    assert await bench.effects() == [matter]
    assert await bench.chassis.database.fetchval("SELECT attempts FROM timer") == 0, "it was no fault of the timer"


async def test_a_timer_cancelled_in_time_never_fires(bench: Bench) -> None:
    bench.timers.on("answer")(note)
    matter = uuid4()
    await bench.set(matter)
    await bench.cancel(matter)
    await bench.cancel(matter)  # stopping what does not run is no error
    bench.now += 2 * HOUR
    async with bench.running():
        await bench.rounds()
    assert await bench.effects() == []


async def test_a_cancellation_and_a_handler_that_meet_do_not_wait_for_each_other(bench: Bench) -> None:
    """The user has locked the matter and then cancels its timer, whose handler waits for the matter."""
    waiting = asyncio.Event()
    await bench.look_for_no_deadlocks()
    await bench.chassis.database.execute(
        "CREATE TABLE matter AS SELECT 1 AS id; GRANT SELECT, UPDATE ON matter TO linli_scoped"
    )
    lock = text("SELECT id FROM matter FOR UPDATE")

    @bench.timers.on("answer")
    async def wait_for_the_matter(session: AsyncSession, timer: Timer) -> bool:
        waiting.set()
        await session.execute(lock)
        return await note(session, timer)

    matter = uuid4()
    await bench.set(matter)
    bench.now += HOUR
    async with bench.running():
        async with transaction(bench.chassis.sessions, Scope.of_district(DISTRICT)) as session:
            await session.execute(lock)
            await waiting.wait()
            async with Watch() as watch:
                await timers.cancel(session, aggregate=matter, unit=UNIT, kinds=["answer"])
                await session.commit()
        # Who waited for the other would do so until his time for a lock is over.
        assert watch.seconds < 5
        await bench.rounds()
    assert await bench.effects() == []
    assert await bench.chassis.count("timer") == 0


async def test_a_timer_set_anew_fires_at_its_new_time_and_again_if_it_had_fired(bench: Bench) -> None:
    bench.timers.on("answer")(note)
    matter = uuid4()
    await bench.set(matter)
    await bench.set(matter, after=3 * HOUR)
    async with bench.running():
        bench.now += 2 * HOUR
        await bench.rounds()
        assert await bench.effects() == []
        bench.now += HOUR
        await eventually(bench.effects)
        await eventually(bench.fired)
        await bench.set(matter)
        bench.now += HOUR
        await eventually(lambda: _has_effects(bench, 2))
    assert await bench.effects() == [matter, matter]


async def test_timers_fire_after_a_restart_however_long_nothing_ran(bench: Bench) -> None:
    bench.timers.on("answer")(note)
    before, between = uuid4(), uuid4()
    await bench.set(before)
    await bench.set(between, after=2 * HOUR)
    bench.now += HOUR
    async with bench.running():
        await eventually(bench.effects)
    bench.now += 24 * HOUR
    async with bench.running():
        await eventually(lambda: _has_effects(bench, 2))
        await bench.rounds()
    assert await bench.effects() == [before, between]


async def test_a_timer_whose_matter_is_not_overdue_is_gone_after_its_handler(bench: Bench) -> None:
    @bench.timers.on("answer")
    async def nothing_to_do(_: AsyncSession, __: Timer) -> bool:
        return False

    await bench.set(uuid4())
    bench.now += HOUR
    async with bench.running():
        await eventually(lambda: _no_timers(bench))


async def test_the_overdue_are_those_that_fired_and_were_not_cancelled(bench: Bench) -> None:
    bench.timers.on("answer")(note)
    bench.timers.on("solve")(note)
    late, answered, solved_late, running = (uuid4() for _ in range(4))
    for matter in (late, answered):
        await bench.set(matter)
    await bench.set(solved_late, "solve")
    await bench.set(running, after=24 * HOUR)
    bench.now += HOUR
    async with bench.running():
        await eventually(lambda: _all_fired(bench, 3))
    await bench.cancel(answered)
    async with transaction(bench.chassis.sessions, Scope.of_district(DISTRICT)) as session:
        assert [*(await session.execute(timers.overdue("answer")))] == [(DISTRICT, late)]
        both = {*(await session.execute(timers.overdue("answer", "solve")))}
        assert both == {(DISTRICT, late), (DISTRICT, solved_late)}
    async with transaction(bench.chassis.sessions, Scope.of_district(310115)) as session:
        assert [*(await session.execute(timers.overdue("answer", "solve")))] == []


async def test_a_handler_that_fails_is_tried_again_ever_later_and_then_left_to_an_operator(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[datetime] = []
    good = uuid4()

    @bench.timers.on("answer")
    async def fail_but_for_one(session: AsyncSession, timer: Timer) -> bool:
        await note(session, timer)
        if timer.aggregate != good:
            tried.append(bench.now)
            raise ValueError("no such place")
        return True

    bad = uuid4()
    await bench.set(bad)
    await bench.set(good)
    bench.now += HOUR
    look = "SELECT attempts, try_at, fired_at, error FROM timer WHERE aggregate = $1"
    async with bench.running():
        for attempts in range(1, clockwork.ATTEMPTS + 1):
            row = await eventually(functools.partial(_attempted, bench, bad, attempts))
            if attempts < clockwork.ATTEMPTS:
                delay = (row["try_at"] - bench.now).total_seconds()
                assert 0.5 * 2**attempts <= delay <= 2**attempts
                bench.now = row["try_at"]
        bench.now += 24 * HOUR
        await bench.rounds()
    row = await bench.chassis.database.fetchrow(look, bad)
    assert (row["try_at"], row["fired_at"], row["error"]) == (None, None, "ValueError: no such place")
    assert len(tried) == 1 + clockwork.ATTEMPTS, "once in the other's company"
    assert await bench.effects() == [good]
    assert [entry.levelno for entry in caplog.records if "gives up" in entry.message] == [logging.ERROR]


async def test_a_slow_handler_holds_up_nobody(bench: Bench) -> None:
    slow, begun, go_on = uuid4(), asyncio.Event(), asyncio.Event()

    @bench.timers.on("answer")
    async def be_slow_for_one(session: AsyncSession, timer: Timer) -> bool:
        if timer.aggregate == slow:
            begun.set()
            await go_on.wait()
        return await note(session, timer)

    await bench.set(slow)
    bench.now += HOUR
    async with bench.running():
        await begun.wait()
        await bench.set(uuid4(), after=timedelta(0))
        await eventually(lambda: _has_effects(bench, 1))
        go_on.set()
        await eventually(lambda: _has_effects(bench, 2))


async def test_clocks_that_only_a_newer_version_knows_are_left_to_it(bench: Bench) -> None:
    bench.timers.on("answer")(note)
    newer = bench.other_timers()
    newer.on("whistle")(note)
    matter = uuid4()
    await bench.set(matter, "whistle")
    bench.now += HOUR
    async with bench.running():
        await bench.rounds()
        assert await bench.effects() == []
        async with bench.running(newer):
            await eventually(bench.effects)


async def test_clocks_are_counted_open_overdue_and_late(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clockwork, "_COUNT_EVERY", 0.0)
    bench.timers.on("answer")(note)

    @bench.timers.on("solve")
    async def never(_: AsyncSession, __: Timer) -> bool:
        raise ValueError

    await bench.set(uuid4())
    await bench.set(uuid4(), after=2 * HOUR)
    await bench.set(uuid4(), "solve")
    async with bench.running() as replica:
        await eventually(lambda: replica.clocks("answer") == Clocks(2, 0, 0))
        assert replica.clocks("unheard of") == Clocks()
        bench.now += HOUR
        await eventually(lambda: replica.clocks("answer") == Clocks(2, 1, 0))
        bench.now += timedelta(minutes=30)
        await eventually(lambda: replica.clocks("solve") == Clocks(1, 1, 1800))
        await eventually(lambda: replica.clocks("answer") == Clocks(2, 1, 0))


async def test_a_district_neither_sees_nor_stops_the_clocks_of_another(bench: Bench) -> None:
    matter = uuid4()
    await bench.set(matter)
    there = Scope.of_district(310115)
    async with transaction(bench.chassis.sessions, there) as session:
        await timers.cancel(session, aggregate=matter, unit=UNIT, kinds=["answer"])
    assert await bench.chassis.count("timer") == 1
    with pytest.raises(Exception, match="row-level security"):
        async with transaction(bench.chassis.sessions, there) as session:
            await timers.set(session, aggregate=uuid4(), unit=UNIT, due={"answer": START})
    assert await bench.chassis.count("timer") == 1


async def test_the_role_that_sees_all_districts_can_only_look(bench: Bench) -> None:
    await bench.set(uuid4())
    relay = await asyncpg.connect(bench.chassis.settings.relay_database_url.get_secret_value())
    assert await relay.fetchval("SELECT count(kind) FROM timer") == 1
    for statement in ("DELETE FROM timer", "UPDATE timer SET try_at = due_at", "SELECT error FROM timer"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await relay.execute(statement)
    await relay.close()


async def test_looking_among_50000_open_clocks_reads_only_those_that_are_due(bench: Bench) -> None:
    await bench.set_many(50_000)
    await bench.chassis.database.execute("ANALYZE timer")
    relay = await asyncpg.connect(bench.chassis.settings.relay_database_url.get_secret_value())
    for due in (0, 3):
        for _ in range(due):
            await bench.set(uuid4(), after=-HOUR)
        rows = await relay.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS) {clockwork._SOON}", bench.now, ["answer"], clockwork.BATCH
        )
        plan = "\n".join(row[0] for row in rows)
        assert "ix_timer_try_at" in plan
        assert "Seq Scan" not in plan
        read = sum(int(word.partition("=")[2]) for word in plan.partition("Planning")[0].split() if "hit=" in word)
        assert read < 30, plan
    await relay.close()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.integers(0, 2), st.integers(0, 5)),
            st.tuples(st.just("cancel"), st.integers(0, 2), st.just(0)),
            st.tuples(st.just("wait"), st.just(0), st.integers(1, 4)),
        ),
        max_size=12,
    )
)
async def test_whatever_is_set_moved_and_cancelled_fires_when_it_is_due(
    bench: Bench, steps: list[tuple[str, int, int]]
) -> None:
    """Against a model of three lines: what is due by now has fired, in the round that follows."""
    await bench.chassis.database.execute("TRUNCATE timer, effect")
    bench.timers = bench.other_timers()
    bench.timers.on("answer")(note)
    matters = [uuid4() for _ in range(3)]
    due: dict[UUID, datetime] = {}
    expected: list[UUID] = []
    replica = Clockwork("tickets", bench.chassis.settings, None, bench.chassis.sessions, bench.timers)
    relay = await asyncpg.connect(bench.chassis.settings.relay_database_url.get_secret_value())
    try:
        for step, number, hours in steps:
            matter = matters[number]
            if step == "set":
                await bench.set(matter, after=hours * HOUR)
                due[matter] = bench.now + hours * HOUR
            elif step == "cancel":
                await bench.cancel(matter)
                due.pop(matter, None)
            else:
                bench.now += hours * HOUR
                expected += [fired for fired, at in due.items() if at <= bench.now]
                due = {left: at for left, at in due.items() if at > bench.now}
                await replica._round(relay)
                await asyncio.wait([*replica._in_hand.values(), asyncio.create_task(asyncio.sleep(0))])
                assert sorted(await bench.effects()) == sorted(expected)
    finally:
        await relay.close()


async def _all_fired(bench: Bench, count: int) -> bool:
    return await bench.fired() == count


async def _has_effects(bench: Bench, count: int) -> bool:
    return len(await bench.effects()) == count


async def _no_timers(bench: Bench) -> bool:
    return await bench.chassis.count("timer") == 0


async def _attempted(bench: Bench, matter: UUID, attempts: int) -> asyncpg.Record | None:
    row = await bench.chassis.database.fetchrow("SELECT attempts, try_at FROM timer WHERE aggregate = $1", matter)
    return row if row["attempts"] == attempts else None


async def _told(bench: Bench, js: object, count: int) -> list[dict[str, object]] | None:
    found = await bench.chassis.in_stream(js)  # type: ignore[arg-type]
    return found if len(found) >= count else None
