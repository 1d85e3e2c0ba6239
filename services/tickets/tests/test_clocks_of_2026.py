"""50,000 clocks over the holidays of 2026 with their make-up workdays: each runs out once, and when it should."""

from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from itertools import cycle, islice
from uuid import UUID

import asyncpg
import pytest
from services.tickets.tests.conftest import MICRO
from services.tickets.tests.ideal_time import IdealTime
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.clockwork import _AT_ONCE, POLL, Clockwork
from linli.db import create_engine, create_sessions
from linli.testing import Stage, eventually
from linli.timers import Timer, Timers
from tickets.calendar import DAY, ZONE, Calendar
from tickets.models.moves import Clock

MANY = 50_000
UNIT = units.parse(MICRO)
CLOCKS = {Clock.ANSWER: DAY, Clock.SOLVE: 5 * DAY}
DAYS_OFF = (
    *(("2026-01-01", "2026-01-03"), ("2026-02-15", "2026-02-23"), ("2026-04-04", "2026-04-06")),
    *(("2026-05-01", "2026-05-05"), ("2026-06-19", "2026-06-21"), ("2026-09-25", "2026-09-27")),
    ("2026-10-01", "2026-10-07"),
)
"""As the State Council has announced them, and the days that are worked for them; the calendar has them elsewhere."""
MADE_UP = ("2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10")

Due = dict[tuple[str, UUID], datetime]


def days(first: str, last: str) -> Iterator[date]:
    day = date.fromisoformat(first)
    while day <= date.fromisoformat(last):
        yield day
        day += timedelta(days=1)


def workdays() -> list[date]:
    off = {day for holiday in DAYS_OFF for day in days(*holiday)}
    made_up = {date.fromisoformat(day) for day in MADE_UP}
    return [day for day in days("2025-12-29", "2026-10-30") if day in made_up or (day.weekday() < 5 and day not in off)]


def reported() -> Iterator[datetime]:
    """Give when each of the tickets is opened: at every hour of the day, on the days around each holiday."""
    around = timedelta(days=2)
    slots = [
        datetime.combine(day, datetime.min.time(), ZONE) + timedelta(minutes=minutes)
        for first, last in DAYS_OFF
        for day in days(str(date.fromisoformat(first) - around), str(date.fromisoformat(last) + around))
        for minutes in range(0, 24 * 60, 30)
    ]
    return islice(cycle(slots), MANY // len(CLOCKS))


@pytest.fixture(scope="module")
def due() -> Due:
    calendar = Calendar()
    return {
        (clock.value, UUID(int=number)): calendar.due_after(at, minutes)
        for number, at in enumerate(reported())
        for clock, minutes in CLOCKS.items()
    }


def test_each_deadline_is_where_all_working_minutes_of_the_year_laid_in_a_row_put_it(due: Due) -> None:
    row = [
        datetime.combine(day, datetime.min.time(), ZONE) + timedelta(minutes=minute)
        for day in workdays()
        for minute in range(9 * 60, 17 * 60)
    ]
    assert len(due) == MANY
    for number, at in enumerate(reported()):
        for clock, minutes in CLOCKS.items():
            last = row[bisect_left(row, at) + minutes - 1]
            assert due[clock.value, UUID(int=number)] == last + timedelta(minutes=1), (at, minutes)


class Office:
    """A service with nothing but clocks, each of which writes down when it fires."""

    def __init__(self, stage: Stage, name: str, database: asyncpg.Connection, time: IdealTime) -> None:
        self.database = database
        self._name = name
        self._settings = stage.settings("tickets", name)
        self._time = time
        self._timers = Timers("tickets")
        self._timers.now = lambda: time.now
        self._busy = 0
        self.busiest = 0
        for clock in CLOCKS:
            self._timers.on(clock)(self._note)

    async def _note(self, session: AsyncSession, timer: Timer) -> bool:
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            fired = {"kind": timer.kind, "aggregate": timer.aggregate, "at": self._time.now}
            await session.execute(text("INSERT INTO fired VALUES (:kind, :aggregate, :at)"), fired)
        finally:
            self._busy -= 1
        return True

    @asynccontextmanager
    async def replica(self) -> AsyncIterator[None]:
        engine = create_engine(self._settings, "tickets")
        sessions = create_sessions({None: engine}, lambda _: None)
        async with Clockwork("tickets", self._settings, None, sessions, self._timers).running():
            yield
        await engine.dispose()

    async def fired(self, count: int) -> None:
        """Wait until so many have fired."""

        async def enough() -> bool:
            return bool(await self.database.fetchval("SELECT count(*) FROM fired") >= count)

        await eventually(enough, within=200, every=0.2)

    async def cut_off(self) -> None:
        """End all connections of the replicas' transactions, as when the database goes.

        Who was cut off hears of it before his locks are let go, and it is no poll that he would have to wait then.
        """
        cut = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = $1 AND usename = $2"
        with self._time.standing():
            assert await self.database.fetchval(cut, self._name, "tickets_app")


@pytest.fixture
async def office(stage: Stage, due: Due, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    name = await stage.fresh_database("tickets")
    database = await asyncpg.connect(stage.url("postgres", name))
    await database.execute("CREATE TABLE fired (kind text, aggregate uuid, at timestamptz)")
    await database.execute("GRANT INSERT ON fired TO linli_scoped")
    columns = ("district", "kind", "aggregate", "unit", "due_at", "try_at")
    rows = [(units.district(UNIT), kind, aggregate, UNIT, at, at) for (kind, aggregate), at in due.items()]
    await database.copy_records_to_table("timer", records=rows, columns=columns)
    time = IdealTime(due.values())
    time.rules(monkeypatch)
    yield Office(stage, name, database, time)
    await database.close()


@pytest.mark.timeout(400)
async def test_each_of_50_000_clocks_fires_once_and_in_time_whoever_comes_and_goes(office: Office, due: Due) -> None:
    """All is stopped and begun anew three times, and meanwhile one of two comes and goes."""
    parts = iter(range(MANY // 9, MANY + 1, MANY // 9))
    for _ in range(3):
        async with office.replica():
            for _ in range(2):
                async with office.replica():
                    await office.fired(next(parts))
                await office.cut_off()
            await office.fired(next(parts))
    async with office.replica():
        await office.fired(MANY)
    fired = await office.database.fetch("SELECT kind, aggregate, at FROM fired")
    assert len(fired) == MANY
    late = {(row["kind"], row["aggregate"]): row["at"] - due[row["kind"], row["aggregate"]] for row in fired}
    assert late.keys() == due.keys()
    assert min(late.values()) >= timedelta()
    assert max(late.values()) <= timedelta(seconds=POLL)
    assert not await office.database.fetchval("SELECT count(*) FROM timer WHERE fired_at IS NULL")
    # However much falls due at once, each replica takes no more than its share of connections from requests.
    assert 1 < office.busiest <= 2 * _AT_ONCE
