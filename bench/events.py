"""How fast events leave an outbox, have their effect, and reach an inbox, beside NATS and PostgreSQL alone."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from bench.platform import Platform
from bench.results import Result
from linli import units
from linli.cloudevents import headers_of
from linli.consumer import consuming
from linli.db import create_engine, create_sessions
from linli.events import Event
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.outbox import SHARDS
from linli.settings import Settings

_RELAYED = 20_000
_CONSUMED = 4_000
_BATCH = 500
_ROUNDS = 3
_DISTRICT = 999_999
"""Nobody lives there, and nobody listens to what happens there."""
_COMMUNITY = units.parse("310104003001")
_EVENTS_A_SECOND = 100
_SECONDS = 15


def _opened(unit: int, reporter: UUID | None = None) -> TicketOpened:
    return TicketOpened(ticket=uuid4(), unit=unit, sequence=1, reporter=reporter or uuid4(), category="lighting")


async def measure(platform: Platform) -> Iterator[Result]:
    """Measure `relay.publish`, `consumer.effects` and `e2e.event_to_inbox`."""
    return iter([await _relay(platform), await _consumer(platform), *await _inbox(platform)])


async def _in_turns(ours: Callable[[], Awaitable[float]], base: Callable[[], Awaitable[float]]) -> tuple[float, float]:
    found = [(await ours(), await base()) for _ in range(_ROUNDS)]
    return statistics.median(one for one, _ in found), statistics.median(one for _, one in found)


async def _relay(platform: Platform) -> Result:
    """The tickets service's relay, against publishing the same messages and awaiting their acknowledgements."""
    event = _opened(_DISTRICT * 10**12)
    subject = f"linli.tickets.{_DISTRICT}.benched.v1"
    # Each is part of a trace, as every event is that a request caused.
    cause = {"traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"}
    payload, headers = event.model_dump_json().encode(), headers_of(event) | cause
    client = await nats.connect(platform.broker())
    js = client.jetstream(publish_async_max_pending=_BATCH * 2)
    await js.add_stream(StreamConfig(name="BENCH", subjects=["bench.>"], storage=StorageType.FILE))

    async def relayed() -> float:
        async with platform.database("tickets") as connection:
            await connection.execute(
                """INSERT INTO outbox (event_id, district, aggregate, shard, subject, payload, headers)
                   SELECT gen_random_uuid(), $1, 'bench', n % $2, $3, $4, $5 FROM generate_series(1, $6) AS n""",
                *(_DISTRICT, SHARDS, subject, payload, json.dumps(headers), _RELAYED),
            )
            began = time.perf_counter()
            while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
                await asyncio.sleep(0.02)
            return _RELAYED / (time.perf_counter() - began)

    async def published() -> float:
        began = time.perf_counter()
        for _ in range(0, _RELAYED, _BATCH):
            acks = [
                await js.publish_async("bench.event", payload, headers=headers | {"Nats-Msg-Id": str(uuid4())})
                for _ in range(_BATCH)
            ]
            await asyncio.gather(*acks)
        return _RELAYED / (time.perf_counter() - began)

    try:
        value, baseline = await _in_turns(relayed, published)
    finally:
        await js.delete_stream("BENCH")
        await client.close()
    return Result("relay.publish", value, "events/s", baseline, value / baseline, bar=0.6)


async def _consumer(platform: Platform) -> Result:  # noqa: C901 two ways, side by side
    """A consumer with inbox, trace and one inserted row, against fetching, inserting the row and acknowledging."""
    async with platform.database("tickets") as owner:
        await owner.execute("CREATE TABLE effect (ticket uuid PRIMARY KEY); GRANT INSERT ON effect TO linli_scoped")
    given = platform.settings("tickets")
    settings = Settings(
        database_url=SecretStr(given["LINLI_DATABASE_URL"]),
        relay_database_url=SecretStr(given["LINLI_RELAY_DATABASE_URL"]),
        nats_url=SecretStr(platform.broker()),
        jwks_url=given["LINLI_JWKS_URL"],
        master_key=SecretStr(given["LINLI_MASTER_KEY"]),
    )
    subscriptions = Subscriptions("bench")

    @subscriptions.on(TicketOpened)
    async def keep(session: AsyncSession, event: TicketOpened) -> None:
        await session.execute(text("INSERT INTO effect VALUES (:ticket)"), {"ticket": event.ticket})

    engine = create_engine(settings, "bench")
    sessions = create_sessions({None: engine}, lambda _: None)
    (consumer,) = subscriptions.consumers
    client = await nats.connect(platform.broker())
    js = client.jetstream()
    pool = await asyncpg.create_pool(platform.owner("tickets"), min_size=5, max_size=5)

    async def filled(durable: str) -> None:
        await js.add_consumer(
            "TICKETS",
            ConsumerConfig(
                durable_name=durable,
                ack_policy=AckPolicy.EXPLICIT,
                max_ack_pending=1000,
                ack_wait=30,
                filter_subject=f"linli.tickets.{_DISTRICT}.opened.v1",
            ),
        )
        for _ in range(0, _CONSUMED, _BATCH):
            events = [_opened(_DISTRICT * 10**12) for _ in range(_BATCH)]
            acks = [
                await js.publish_async(one.subject, one.model_dump_json().encode(), headers=headers_of(one))
                for one in events
            ]
            await asyncio.gather(*acks)

    async def emptied(durable: str) -> None:
        while True:
            info = await js.consumer_info("TICKETS", durable)
            if not info.num_pending and not info.num_ack_pending:
                break
            await asyncio.sleep(0.02)
        await js.delete_consumer("TICKETS", durable)
        await js.purge_stream("TICKETS", subject=f"linli.tickets.{_DISTRICT}.>")

    async def ours() -> float:
        await filled(consumer.name)
        began = time.perf_counter()
        async with consuming("bench", settings, sessions, subscriptions):
            await emptied(consumer.name)
        return _CONSUMED / (time.perf_counter() - began)

    async def one(message: Msg) -> None:
        ticket = UUID(json.loads(message.data)["ticket"])
        await pool.execute("INSERT INTO effect VALUES ($1)", ticket)
        await message.ack()

    async def bare() -> float:
        await filled("bare")
        began = time.perf_counter()
        subscription = await js.pull_subscribe_bind("bare", "TICKETS")
        for _ in range(0, _CONSUMED, 100):
            await asyncio.gather(*(one(message) for message in await subscription.fetch(100, timeout=5)))
        await emptied("bare")
        return _CONSUMED / (time.perf_counter() - began)

    try:
        value, baseline = await _in_turns(ours, bare)
    finally:
        await pool.close()
        await client.close()
        await engine.dispose()
    return Result("consumer.effects", value, "events/s", baseline, value / baseline, bar=0.4)


async def _inbox(platform: Platform) -> list[Result]:
    """From telling that a ticket was opened to hearing that its reporter was told, at 100 events a second.

    It is heard from the notifications service's own event, so its outbox and relay are in the time, too.
    """
    client = await nats.connect(platform.broker())
    js = client.jetstream()
    told: dict[str, float] = {}
    took: list[float] = []

    async def hear(message: Msg) -> None:
        began = told.get(json.loads(message.data)["cause"])
        if began is not None:
            took.append(time.perf_counter() - began)

    async def answer(message: Msg) -> None:
        await message.respond(b"")

    await client.subscribe("linli.notifications.310104.notified.v1", cb=hear)
    await client.subscribe("bench.echo", cb=answer)
    asking = await nats.connect(platform.broker())
    echoes: list[float] = []
    number = _EVENTS_A_SECOND * _SECONDS
    first = time.perf_counter()
    for at in range(number):
        await asyncio.sleep(first + at / _EVENTS_A_SECOND - time.perf_counter())
        event: Event = _opened(_COMMUNITY).model_copy(update={"occurred_at": datetime.now(UTC)})
        told[str(event.id)] = time.perf_counter()
        headers = headers_of(event) | {"Nats-Msg-Id": str(event.id)}
        await js.publish(event.subject, event.model_dump_json().encode(), headers=headers)
        if at % 5 == 0:
            began = time.perf_counter()
            await asking.request("bench.echo", b"", timeout=5)
            echoes.append(time.perf_counter() - began)
    deadline = time.perf_counter() + 20
    while len(took) < number and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)
    await asking.close()
    await client.close()
    if len(took) != number:
        raise RuntimeError(f"{len(took)} of {number} were heard of")
    median, last = _percentiles(took)
    base_median, base_last = _percentiles(echoes)
    return [
        Result("e2e.event_to_inbox.p50", median, "ms", base_median, bar=20, least=False),
        Result("e2e.event_to_inbox.p99", last, "ms", base_last, bar=100, least=False),
    ]


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return statistics.median(seconds) * 1000, cuts[98] * 1000
