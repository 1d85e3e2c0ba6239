"""The relay (转发): moves events from the outbox to the broker, in order for each aggregate, and never loses one.

It publishes before it commits: when it dies in between, the events go out again under the same ids, which the
broker's duplicate window and the consumers' inboxes turn into one effect.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue
from pydantic_core import from_json

from linli import spans, telemetry
from linli.broker import Broker
from linli.events import template
from linli.publishing import Publisher
from linli.settings import Settings
from linli.shards import Server, Shards

log = logging.getLogger(__name__)

_POLL: Final = 0.2
_PACE: Final = 0.008
"""Seconds from one round to the next at the least: what comes meanwhile shares its transaction and its wait."""
_BUSY: Final = 6
"""Events of a round after which the next one waits twice as long: there will be as many again."""
_BATCH: Final = 500
_LANES: Final = 2
_ACK_WITHIN: Final = 3.0
"""Seconds to the next acknowledgement: a broker that was started anew sends none for what it had not kept."""
_WAIT_AT_MOST: Final = 2.0
_HOUSEKEEPING_EVERY: Final = 3600.0
_KEEP_LOG_DAYS: Final = 30
_LOCK: Final = 7105635
"""First key of the advisory locks; the second is the shard."""

_HEAD: Final = 4 * _BATCH
# By the key, and no more than it can use: what a burst has left behind fills the table until it is vacuumed.
_OLDEST: Final = """
    SELECT shard, min(created_at) AS oldest, count(*) AS events
    FROM (SELECT shard, created_at FROM outbox ORDER BY id LIMIT $1) AS head GROUP BY shard"""
_TAKE: Final = "SELECT shard FROM unnest($2::integer[]) AS shard WHERE pg_try_advisory_xact_lock($1, shard)"
_MOVE: Final = """
    WITH moved AS (
        DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE shard = ANY ($1) ORDER BY id LIMIT $2) RETURNING *
    ), logged AS (
        INSERT INTO event_log (id, event_id, district, aggregate, subject, payload, headers, created_at)
        SELECT id, event_id, district, aggregate, subject, payload, headers, created_at FROM moved
    )
    SELECT event_id, district, aggregate, subject, payload, headers,
           extract(epoch FROM clock_timestamp() - created_at)::double precision * 1000 AS waited
    FROM moved ORDER BY id"""
_EXPIRED: Final = {
    "inbox": "received_at < now() - interval '45 days'",
    "idempotency_key": "expires_at < now()",
}
"""Rows that no late message and no repeated request can ask for any more."""


@dataclass(slots=True)
class _Lane:
    """What moves one batch at a time."""

    connection: asyncpg.Connection
    publisher: Publisher | None = None


async def _all_of(works: Iterable[Coroutine[None, None, int]]) -> list[int]:
    """Wait for all; when one fails the others are stopped, and its error is raised as it is."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Relay:
    """Runs beside the service, one for each database server; of several replicas one at a time works on a shard."""

    def __init__(self, service: str, settings: Settings, server: Server = None) -> None:
        self.service = service
        self._database_url = Shards.at(settings.relay_database_url.get_secret_value(), server)
        self._server = Shards.address(self._database_url)
        self._broker = Broker(service, settings)
        self._woken = asyncio.Event()
        self._oldest: datetime | None = None
        self._database_up = False
        self._housekeeping_at = 0.0
        self._ending = False

    def wake(self) -> None:
        """Say that there is something to move: after a commit, from the loop's thread."""
        self._woken.set()

    @property
    def age(self) -> float:
        """Seconds that the oldest event has been waiting, 0 without any."""
        return max(0.0, (datetime.now(UTC) - self._oldest).total_seconds()) if self._oldest else 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        """Relay while the block runs."""
        async with self._broker.running():
            task = asyncio.create_task(self._run(), name="relay")
            try:
                with self._shown():
                    yield self
            finally:
                # Before Python 3.12 wait_for, which nats-py uses too, may lose a cancellation; the flag is not lost.
                self._ending = True
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """Show how the relay fares; it is the one who needs database and broker all the time."""
        on = {"server": self._server}
        with (
            telemetry.outbox_age.of(lambda: self.age, **on),
            telemetry.dependency_up.of(lambda: self._database_up, dependency="postgresql", **on),
            telemetry.dependency_up.of(lambda: self._broker.is_connected, dependency="nats", **on),
        ):
            yield

    async def _run(self) -> None:
        failures = 0
        while not self._ending:
            lanes: list[_Lane] = []
            try:
                lanes.append(await self._open())
                self._database_up = True
                while not self._ending:
                    began = time.monotonic()
                    moved = await self._round(lanes)
                    failures = 0
                    pace = _PACE if moved < _BUSY else 2 * _PACE
                    await asyncio.sleep(began + pace - time.monotonic())
            except Exception as error:  # noqa: BLE001 whatever it is, events wait in the outbox and it tries again
                failures += 1
                self._database_up = bool(lanes) and not lanes[0].connection.is_closed()
                name = type(error).__name__
                log.warning("the relay of %s tries again (%d): %s: %s", self._server, failures, name, error)
            finally:
                for lane in lanes:
                    lane.connection.terminate()
            await asyncio.sleep(random.uniform(0.5, 1) * min(0.1 * 2**failures, _WAIT_AT_MOST))  # noqa: S311 jitter

    async def _open(self) -> "_Lane":
        connection = await asyncpg.connect(
            self._database_url,
            timeout=5,
            command_timeout=30,
            server_settings={
                "application_name": f"{self.service} relay",
                "idle_in_transaction_session_timeout": "60000",
            },
        )
        return _Lane(connection)

    async def _round(self, lanes: list["_Lane"]) -> int:
        self._woken.clear()
        connection = lanes[0].connection
        tidy = time.monotonic() >= self._housekeeping_at
        if tidy:
            # First: after days without it there is no partition of today, and nothing could be moved.
            await connection.execute("SELECT event_log_roll($1)", _KEEP_LOG_DAYS)
        waiting = await connection.fetch(_OLDEST, _HEAD, timeout=10)
        self._oldest = min((row["oldest"] for row in waiting), default=None)
        shards = [row["shard"] for row in waiting]
        many = sum(row["events"] for row in waiting) > _BATCH
        if many and len(shards) > 1 and len(lanes) < _LANES:
            lanes.append(await self._open())
        # While one waits for the broker, the other sends.
        using = len(lanes) if many else 1
        moved = await _all_of(self._work(lane, shards[at::using]) for at, lane in enumerate(lanes[:using]))
        if tidy:
            await self._keep_house(connection)
            self._housekeeping_at = time.monotonic() + _HOUSEKEEPING_EVERY * random.uniform(0.9, 1.1)  # noqa: S311 jitter
        if not sum(moved):
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._woken.wait()
        return sum(moved)

    async def _work(self, lane: "_Lane", shards: list[int]) -> int:
        moved = [await self._move(lane, shards)] if shards else [0]
        while moved[-1] == _BATCH:
            moved.append(await self._move(lane, shards))
        return sum(moved)

    async def _move(self, lane: "_Lane", shards: list[int]) -> int:
        client = await self._broker.connection()
        if lane.publisher is None or lane.publisher.client is not client:
            lane.publisher = await Publisher(client).start()
        async with lane.connection.transaction():
            # A statement of its own, so that rows are looked for after the locks are ours; and a second relay goes on
            # with the shards that are left instead of waiting for these rows.
            taken = [row["shard"] for row in await lane.connection.fetch(_TAKE, _LOCK, shards)]
            rows = await lane.connection.fetch(_MOVE, taken, _BATCH) if taken else []
            await self._send(lane.publisher, rows)
        return len(rows)

    async def _send(self, publisher: Publisher, rows: list[asyncpg.Record]) -> None:
        sends: list[Span] = []
        publisher.begin()
        try:
            async with asyncio.timeout(_ACK_WITHIN):
                for row in rows:
                    headers: dict[str, str] = from_json(row["headers"])
                    if (cause := spans.cause_of(headers)).trace_flags.sampled:
                        destination = template(row["subject"])
                        sends.append(
                            spans.begin(f"send {destination}", SpanKind.PRODUCER, _about(row, destination), cause=cause)
                        )
                        spans.inject(headers, sends[-1])
                    # What is told again on purpose has another: the broker drops what it has seen within two minutes.
                    headers.setdefault("Nats-Msg-Id", str(row["event_id"]))
                    await publisher.publish(row["subject"], row["payload"], headers)
            await publisher.kept(_ACK_WITHIN)
        except BaseException as error:
            for send in sends:
                spans.failed(send, type(error).__name__)
            raise
        finally:
            for send in sends:
                send.end()

    async def _keep_house(self, connection: asyncpg.Connection) -> None:
        for name, expired in _EXPIRED.items():
            deleted = _SLICE
            while deleted == _SLICE:
                deleted = len(await connection.fetch(_DELETE.format(table=name, expired=expired), _SLICE))


def _about(row: asyncpg.Record, destination: str) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "nats",
        "messaging.operation.type": "send",
        "messaging.destination.name": row["subject"],
        "messaging.destination.template": destination,
        "messaging.message.id": str(row["event_id"]),
        "linli.district": row["district"],
        "linli.aggregate": row["aggregate"],
        "linli.outbox.waited": row["waited"],
    }


_SLICE: Final = 5000
_DELETE: Final = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {expired} LIMIT $1)) RETURNING 1"""
