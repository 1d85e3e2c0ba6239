"""Tell again what the broker lost: under the same ids, in the same order, and only what its streams do not have.

So it can be stopped and run again at any time: what went out before is in the stream. Effects happen once, whatever
is told twice: inboxes know every event they have acted on.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import asyncpg
from nats.js import JetStreamContext

from linli_cli.archive.stores import Stores
from linli_cli.events.states import tell, untold
from linli_cli.events.told import Look, Told, streams_of

_BATCH: Final = 500
_ACKS_WITHIN: Final = 10.0
Advance = Callable[[str, int, int], None]
"""Called with what is told again, how many of it there are, and how many more went out."""


async def replay(
    stores: Stores, services: Sequence[str], since: datetime, district: int | None, advance: Advance
) -> tuple[int, int]:
    """Tell again what is lost.

    Args:
        stores: of the platform.
        services: the publishers.
        since: how far back; states of the directory are told whenever they are from.
        district: one alone.
        advance: shows progress.

    Returns:
        How many events went out, and how many of them the broker refused because it remembers their ids: it does so
        for two minutes, also of what was taken out of a stream by force.
    """
    sent = refused = 0
    async with stores.jetstream() as js:
        look = Look(stores, js, since, district)
        # First, because what happened may speak of units that listeners do not know yet.
        if "directory" in services:
            async for _, states in untold(stores, js, district):
                await tell(stores, states)
                advance("directory: states 状态", len(states), len(states))
                sent += len(states)
        for service in services:
            for url in stores.everywhere(service) if streams_of(service) else ():
                async with look.at(service, url) as one:
                    some, again = await _send(js, one, advance)
                sent, refused = sent + some, refused + again
    return sent, refused


async def _send(js: JetStreamContext, one: Told, advance: Advance) -> tuple[int, int]:
    sent = refused = 0
    lost = await one.lost()
    batch: list[asyncpg.Record] = []

    async def out() -> None:
        nonlocal sent, refused
        refused += await _publish(js, batch)
        sent += len(batch)
        advance(one.service, lost, len(batch))
        batch.clear()

    async for row in one.of_lost():
        batch.append(row)
        if len(batch) == _BATCH:
            await out()
    if batch:
        await out()
    return sent, refused


async def _publish(js: JetStreamContext, rows: list[asyncpg.Record]) -> int:
    async with asyncio.timeout(_ACKS_WITHIN):
        acks = []
        for row in rows:
            headers = json.loads(row["headers"])
            # What comes of it today is no part of a trace of then: that would be the slowest of all.
            for name in ("traceparent", "tracestate"):
                headers.pop(name, None)
            headers.setdefault("Nats-Msg-Id", str(row["event_id"]))
            acks.append(await js.publish_async(row["subject"], row["payload"], headers=headers))
        return sum(bool(ack.duplicate) for ack in await asyncio.gather(*acks))
