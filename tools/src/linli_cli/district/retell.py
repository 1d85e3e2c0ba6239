"""Events of a district that is taken in: its log, and what somebody had not heard yet when it was exported."""

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg

from linli_cli.archive.order import publisher
from linli_cli.archive.stores import Stores, connected
from linli_cli.district.contents import Header

if TYPE_CHECKING:
    from linli.inbox import Consumer, Subscriptions

LOG: Final = "event_log"
STAGED: Final = "staged"
_BATCH: Final = 10_000
_STAGE: Final = """
CREATE TEMP TABLE staged (LIKE event_log) ON COMMIT DROP;
CREATE TEMP TABLE listener (consumer text, type text) ON COMMIT DROP;
CREATE TEMP TABLE handled (consumer text, event_id uuid) ON COMMIT DROP"""
# Numbers of another platform would stand among this one's: they are moved below them all, in the same order. The log's
# partitions are made for days to come, so what was published elsewhere stands under today.
_KEEP: Final = """
INSERT INTO event_log (id, event_id, district, aggregate, subject, payload, headers, created_at)
SELECT id - max(id) OVER (), event_id, district, aggregate, subject, payload, headers, created_at FROM staged"""
# Inboxes remember longer than 30 days, so what is younger and in none of them has had no effect.
_TELL_AGAIN: Final = """
INSERT INTO outbox (event_id, district, aggregate, shard, subject, payload, headers, created_at)
SELECT event_id, district, aggregate, crc32(convert_to(aggregate, 'UTF8')) % $1, subject, payload, headers, created_at
FROM staged s
WHERE created_at > $2::timestamptz - interval '30 days' AND EXISTS (
    SELECT FROM listener l WHERE l.type = s.headers ->> 'ce-type' AND NOT EXISTS (
        SELECT FROM handled h WHERE h.consumer = l.consumer AND h.event_id = s.event_id))
ORDER BY id"""
# The same events may have gone out on this broker a moment ago, and it drops what it has seen within two minutes.
_RENAME: Final = """
UPDATE outbox SET headers = headers || jsonb_build_object('Nats-Msg-Id', gen_random_uuid()) WHERE district = $1"""
_HANDLED: Final = """
SELECT event_id FROM inbox WHERE district = $1 AND consumer = $2
UNION SELECT event_id FROM dead_letter WHERE district = $1 AND consumer = $3 AND event_id IS NOT NULL"""


async def stage(connection: asyncpg.Connection) -> None:
    """Make the place into which the exported log is loaded, for the rest of this transaction."""
    await connection.execute(_STAGE)


async def tell_again(
    connection: asyncpg.Connection, stores: Stores, header: Header, service: str, listeners: Iterable["Subscriptions"]
) -> int:
    """Keep the staged log, and put into the outbox what a listener has not acted on.

    The listeners' databases were read before this one's, and are written before it: what their inboxes hold is what
    they had acted on.

    Args:
        connection: to the publisher's database, in the transaction that loads it.
        stores: of the platform.
        header: of the archive.
        service: the publisher.
        listeners: what every service listens to.

    Returns:
        How many events are told again.
    """
    from linli.outbox import SHARDS  # noqa: PLC0415 slow to load

    await connection.execute(_KEEP)
    for consumer in (consumer for one in listeners for consumer in one.consumers):
        if publisher(consumer) != service or consumer.keeps_state:
            continue
        rows = [(consumer.name, contract.type) for contract in consumer.contracts]
        await connection.copy_records_to_table("listener", records=rows)
        async with connected(stores.url(consumer.service, header.district)) as other, other.transaction():
            records = _handled(other, header.district, consumer)
            await connection.copy_records_to_table("handled", records=records)
    await connection.execute("CREATE INDEX ON handled (event_id, consumer); ANALYZE handled")
    status = await connection.execute(_TELL_AGAIN, SHARDS, header.taken_at)
    return int(status.split()[-1])


async def rename(connection: asyncpg.Connection, district: int) -> None:
    """Let what is in the outbox go out under a name that is new to the broker; inboxes know it by its id."""
    await connection.execute(_RENAME, district)


async def _handled(
    connection: asyncpg.Connection, district: int, consumer: "Consumer"
) -> AsyncIterator[tuple[str, UUID]]:
    async for row in connection.cursor(_HANDLED, district, consumer.inbox, consumer.name, prefetch=_BATCH):
        yield consumer.name, row[0]
