import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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

from linli import bootstrap
from linli.consumer import consuming
from linli.db import Scope, Sessions, create_engine, create_sessions, transaction
from linli.events import Event
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.outbox import publish_many
from linli.relay import Relay
from linli.settings import Settings
from linli.shards import Server
from linli.streams import ensure_streams
from linli.testing import Stage

# Migrations are found by a service's import name, and the tests' own service is called `shelf`.
sys.path.append(str(Path(__file__).parent))

DISTRICT = 310104
GRID = "310104003001001"

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
            js = client.jetstream()
            for info in await js.streams_info():
                await js.delete_stream(str(info.config.name))
            await ensure_streams(js, subscriptions)

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


@asynccontextmanager
async def chassis_on(stage: Stage, nats_url: str) -> AsyncIterator[Chassis]:
    admin = stage.url("postgres", "postgres")
    await bootstrap.provision(admin, ["tickets"], dict.fromkeys(bootstrap.logins("tickets"), "test"))
    name = f"chassis_{uuid4().hex[:8]}"
    maker = await asyncpg.connect(admin)
    await maker.execute(f"CREATE DATABASE {name} OWNER tickets_owner")
    await maker.close()
    database = await asyncpg.connect(stage.url("postgres", name))
    await database.execute("SET ROLE tickets_owner")
    for part in ("chassis", "known_unit"):
        await database.execute(files("linli").joinpath(f"sql/{part}.sql").read_text())
    await database.execute(_EFFECT)
    await database.execute("RESET ROLE")
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
