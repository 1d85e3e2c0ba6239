"""After a restore the broker knows nothing: what somebody has not heard goes out again, and nothing else.

The databases of a server are all of one moment. What a listener's inbox holds, it has acted on; what it lacks of the
last 30 days of a publisher's log, it has not, and hears when the relay sends it again. Inboxes remember for 45 days,
and make one effect of what another listener had heard already. The directory tells all its states again.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from linli_cli.archive.order import publisher
from linli_cli.archive.stores import Stores, connected
from linli_cli.console import Trouble
from linli_cli.home import SERVICES
from linli_cli.stack.streams import subscriptions

if TYPE_CHECKING:
    from linli.inbox import Consumer

_BATCH: Final = 10_000
_KEEP_LOG_DAYS: Final = 30
_STAGE: Final = """
CREATE TEMP TABLE listener (consumer text, type text) ON COMMIT DROP;
CREATE TEMP TABLE handled (consumer text, event_id uuid) ON COMMIT DROP"""
_HANDLED: Final = """
SELECT event_id FROM inbox WHERE consumer = $1
UNION SELECT event_id FROM dead_letter WHERE consumer = $2 AND event_id IS NOT NULL"""
# What an imported district's log brought along stands below 1: whoever had not heard it was told of it then.
_UNHEARD: Final = """
CREATE TEMP TABLE unheard ON COMMIT DROP AS
SELECT DISTINCT ON (event_id) * FROM event_log e WHERE e.id > 0 AND EXISTS (
    SELECT FROM listener l WHERE l.type = e.headers ->> 'ce-type' AND NOT EXISTS (
        SELECT FROM handled h WHERE h.consumer = l.consumer AND h.event_id = e.event_id))
ORDER BY event_id, id"""
# They go back to where they came from, before what waits there already: so all stays in order.
_TELL_AGAIN: Final = """
WITH waiting AS (DELETE FROM outbox RETURNING *),
gone AS (DELETE FROM event_log WHERE event_id IN (SELECT event_id FROM unheard))
INSERT INTO outbox (event_id, district, aggregate, shard, subject, payload, headers, created_at)
SELECT event_id, district, aggregate, shard, subject, payload, headers, created_at FROM (
    SELECT id, event_id, district, aggregate, crc32(convert_to(aggregate, 'UTF8')) % $1 AS shard, subject, payload,
        headers, created_at FROM unheard WHERE event_id NOT IN (SELECT event_id FROM waiting)
    UNION ALL
    SELECT id, event_id, district, aggregate, shard, subject, payload, headers, created_at FROM waiting
) told ORDER BY id"""
# A listener that had heard one must still know it when it comes again, however long the backup lay.
_REMEMBER: Final = "UPDATE inbox SET received_at = now() WHERE event_id = ANY ($1)"
_SERVED: Final = "SELECT count(*) FROM pg_stat_activity WHERE usename ~ '_(app|relay)$'"


async def settle(stores: Stores) -> Counter[str]:
    """Put into the outboxes what somebody has not heard, in databases that nobody works in.

    Args:
        stores: of a platform whose databases were restored, and whose broker is empty.

    Returns:
        How many events of each service go out again.

    Raises:
        Trouble: when services run.
    """
    consumers = [consumer for one in subscriptions() for consumer in one.consumers if not consumer.keeps_state]
    await _must_rest(stores)
    told: Counter[str] = Counter()
    for service in SERVICES:
        heard = [consumer for consumer in consumers if publisher(consumer) == service]
        for url in stores.everywhere(service):
            async with connected(url) as connection:
                async with connection.transaction():
                    unheard = await _tell_again(connection, stores, heard)
                # Partitions are made for three days ahead, and the backup may be older.
                await connection.execute("SELECT event_log_roll($1)", _KEEP_LOG_DAYS)
            told[service] += unheard
    told["directory"] += await _tell_states(stores)
    return told


async def _must_rest(stores: Stores) -> None:
    for url in stores.everywhere("postgres"):
        async with connected(url) as connection:
            if await connection.fetchval(_SERVED):
                raise Trouble("Services are at work in these databases; stop them first.", "服务仍在运行，请先停止。")


async def _tell_again(connection: asyncpg.Connection, stores: Stores, consumers: Iterable["Consumer"]) -> int:
    from linli.outbox import SHARDS  # noqa: PLC0415 slow to load

    await connection.execute(_STAGE)
    listening: set[str] = set()
    for consumer in consumers:
        rows = [(consumer.name, contract.type) for contract in consumer.contracts]
        await connection.copy_records_to_table("listener", records=rows)
        listening.add(consumer.service)
        for url in stores.everywhere(consumer.service):
            async with connected(url) as other, other.transaction():
                records = _handled(other, consumer)
                await connection.copy_records_to_table("handled", records=records)
    await connection.execute("CREATE INDEX ON handled (event_id, consumer); ANALYZE handled")
    await connection.execute(_UNHEARD)
    unheard = [row[0] for row in await connection.fetch("SELECT event_id FROM unheard")]
    await connection.execute(_TELL_AGAIN, SHARDS)
    for service in listening if unheard else ():
        for url in stores.everywhere(service):
            async with connected(url) as other:
                await other.execute(_REMEMBER, unheard)
    return len(unheard)


async def _handled(connection: asyncpg.Connection, consumer: "Consumer") -> AsyncIterator[tuple[str, UUID]]:
    async for row in connection.cursor(_HANDLED, consumer.inbox, consumer.name, prefetch=_BATCH):
        yield consumer.name, row[0]


async def _tell_states(stores: Stores) -> int:
    from directory.states import tell_all  # noqa: PLC0415 slow to load
    from linli.db import async_url  # noqa: PLC0415 as above

    told = 0
    url = stores.url("directory", 0)
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT DISTINCT district FROM unit WHERE district > 0 ORDER BY 1")
    engine = create_async_engine(async_url(url))
    try:
        for (district,) in rows:
            async with AsyncSession(engine) as session, session.begin():
                told += await tell_all(session, district)
    finally:
        await engine.dispose()
    return told
