import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from linli import bootstrap, clockwork, timers, units
from linli.clockwork import Clockwork
from linli.consumer import consuming
from linli.db import Scope, Sessions, create_engine, create_sessions, transaction
from linli.events import Event
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.outbox import publish, publish_many
from linli.relay import Relay
from linli.settings import Settings
from linli.shards import Server
from linli.testing import Stage, fresh_streams
from linli.timers import Timer, Timers

# Migrations are found by a service's import name, and the tests' own service is called `shelf`.
sys.path.append(str(Path(__file__).parent))

DISTRICT = 310104
GRID = "310104003001001"
UNIT = units.parse(GRID)
START = datetime(2026, 2, 14, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)

_EFFECT = """
    CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, event uuid, aggregate text, sequence bigint);
    GRANT SELECT, INSERT ON effect TO linli_scoped"""


def opened(ticket: UUID | None = None, sequence: int = 1, unit: str = GRID) -> TicketOpened:
    return TicketOpened(ticket=ticket or uuid4(), unit=unit, sequence=sequence, reporter=uuid4(), category="noise")


async def record(session: AsyncSession, event: Event) -> None:
    """Have an effect that can be counted."""
    await session.execute(
        text("INSERT INTO effect (event, aggregate, sequence) VALUES (:id, :aggregate, :sequence)"),
        {"id": event.id, "aggregate": event.aggregate, "sequence": event.sequence},
    )


class Chassis:
    """A service of nothing but the chassis, on real servers: `effect` shows what its handlers did."""

    def __init__(self, settings: Settings, database: asyncpg.Connection) -> None:
        self.settings = settings
        self.database = database
        self.engine = create_engine(settings, "tickets")
        self.wakes = 0
        self.sessions: Sessions = create_sessions({None: self.engine}, self._wake)
        self.relays: list[Relay] = []

    def _wake(self, _: Server) -> None:
        self.wakes += 1
        for relay in self.relays:
            relay.wake()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Client]:
        client = await nats.connect(self.settings.nats_url.get_secret_value())
        try:
            yield client
        finally:
            await client.close()

    async def prepare(self, *subscriptions: Subscriptions) -> None:
        """Make the streams anew."""
        async with self.connection() as client:
            await fresh_streams(client.jetstream(timeout=30), subscriptions)

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[Relay]:
        relay = Relay("tickets", self.settings)
        self.relays.append(relay)
        async with relay.running():
            yield relay
        self.relays.remove(relay)

    @asynccontextmanager
    async def consuming(self, subscriptions: Subscriptions) -> AsyncIterator[None]:
        async with consuming(subscriptions.service, self.settings, self.sessions, subscriptions):
            yield

    async def publish(self, *events: Event) -> None:
        async with transaction(self.sessions, Scope.of_district(DISTRICT)) as session:
            await publish_many(session, events)

    async def count(self, table: str) -> int:
        return int(await self.database.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 the test's own table

    async def effects(self) -> list[UUID]:
        return [row["event"] for row in await self.database.fetch("SELECT event FROM effect ORDER BY id")]

    async def in_stream(self, js: JetStreamContext, stream: str = "TICKETS") -> list[dict[str, object]]:
        """Read a stream from its beginning."""
        last = (await js.stream_info(stream)).state.last_seq
        return [json.loads((await js.get_msg(stream, seq)).data or b"{}") for seq in range(1, last + 1)]


async def _make_template(stage: Stage, maker: asyncpg.Connection) -> None:
    """Make the database of which each test has a copy."""
    admin = stage.url("postgres", "postgres")
    await bootstrap.provision(admin, ["tickets"], dict.fromkeys(bootstrap.logins("tickets"), "test"))
    await maker.execute("CREATE DATABASE chassis OWNER tickets_owner")
    database = await asyncpg.connect(stage.url("postgres", "chassis"))
    await database.execute("SET ROLE tickets_owner")
    for part in ("chassis", "known_unit"):
        await database.execute(files("linli").joinpath(f"sql/{part}.sql").read_text())
    await database.execute(_EFFECT)
    await database.close()


@asynccontextmanager
async def chassis_on(stage: Stage, nats_url: str) -> AsyncIterator[Chassis]:
    name = f"chassis_{uuid4().hex[:8]}"
    maker = await asyncpg.connect(stage.url("postgres", "postgres"))
    if not await maker.fetchval("SELECT 1 FROM pg_database WHERE datname = 'chassis'"):
        await _make_template(stage, maker)
    await maker.execute(f"CREATE DATABASE {name} TEMPLATE chassis OWNER tickets_owner STRATEGY file_copy")
    await maker.close()
    database = await asyncpg.connect(stage.url("postgres", name))
    settings = stage.settings("tickets", name).model_copy(update={"nats_url": SecretStr(nats_url)})
    chassis = Chassis(settings, database)
    try:
        yield chassis
    finally:
        await chassis.engine.dispose()
        await database.close()


@pytest.fixture
async def chassis(stage: Stage) -> AsyncIterator[Chassis]:
    """A fresh database and clean streams on this worker's servers."""
    async with chassis_on(stage, stage.server.url) as found:
        await found.prepare()
        yield found


class Bench:
    """Clocks of nobody's, whose handlers have effects that can be counted."""

    def __init__(self, chassis: Chassis) -> None:
        self.chassis = chassis
        self.now = START
        self.timers = self.other_timers()

    def other_timers(self) -> Timers:
        found = Timers("tickets")
        found.now = lambda: self.now
        return found

    @asynccontextmanager
    async def running(self, timers: Timers | None = None) -> AsyncIterator[Clockwork]:
        """Run one more replica."""
        replica = Clockwork("tickets", self.chassis.settings, None, self.chassis.sessions, timers or self.timers)
        async with replica.running():
            yield replica

    async def set(self, aggregate: UUID, kind: str = "answer", after: timedelta = HOUR) -> None:
        async with transaction(self.chassis.sessions, Scope.of_district(DISTRICT)) as session:
            await timers.set(session, aggregate=aggregate, unit=UNIT, due={kind: self.now + after})

    async def set_many(self, count: int) -> None:
        await self.chassis.database.execute(
            "INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at)"
            " SELECT $1, 'answer', gen_random_uuid(), $2, $3, $3 FROM generate_series(1, $4)",
            *(DISTRICT, UNIT, self.now + HOUR, count),
        )

    async def cancel(self, aggregate: UUID, kind: str = "answer") -> None:
        async with transaction(self.chassis.sessions, Scope.of_district(DISTRICT)) as session:
            await timers.cancel(session, aggregate=aggregate, unit=UNIT, kinds=[kind])

    async def effects(self) -> list[UUID]:
        rows = await self.chassis.database.fetch("SELECT aggregate FROM effect ORDER BY id")
        return [UUID(row["aggregate"]) for row in rows]

    async def look_for_no_deadlocks(self) -> None:
        """Have the database end no deadlock for a minute: whoever gives way does so of his own accord."""
        name = await self.chassis.database.fetchval("SELECT current_database()")
        await self.chassis.database.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '1min'")

    async def fired(self) -> int:
        return int(await self.chassis.database.fetchval("SELECT count(*) FROM timer WHERE fired_at IS NOT NULL"))

    async def rounds(self, seconds: float = 0.3) -> None:
        """Let every replica look a few times."""
        await asyncio.sleep(seconds)


@pytest.fixture
async def bench(chassis: Chassis, monkeypatch: pytest.MonkeyPatch) -> Bench:
    await chassis.database.execute("SET ROLE tickets_owner")
    await chassis.database.execute(files("linli").joinpath("sql/timer.sql").read_text())
    await chassis.database.execute("RESET ROLE")
    monkeypatch.setattr(clockwork, "POLL", 0.05)
    return Bench(chassis)


async def note(session: AsyncSession, timer: Timer) -> bool:
    """Have an effect and tell of it; from then on the matter is overdue."""
    event = opened(timer.aggregate)
    await record(session, event)
    await publish(session, event)
    return True
