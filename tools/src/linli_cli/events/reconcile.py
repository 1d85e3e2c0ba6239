"""Prove that nothing told was lost: every publisher's log beside its stream, and beside the inboxes of who listens."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from linli_cli.archive.order import publisher
from linli_cli.archive.stores import Stores, connected
from linli_cli.events import states
from linli_cli.events.told import MARGIN, Look, Told, streams_of
from linli_cli.home import SERVICES
from linli_cli.stack.streams import subscriptions

if TYPE_CHECKING:
    from linli.inbox import Consumer

_SOME: Final = 10
_LOOK_EVERY: Final = 0.2
_WAITING: Final = "SELECT count(*) FROM outbox WHERE created_at <= $1"
_HANDLED: Final = """
SELECT $1::text, event_id FROM inbox WHERE consumer = $2 AND received_at >= $3
UNION SELECT $1::text, event_id FROM dead_letter WHERE consumer = $4 AND died_at >= $3 AND event_id IS NOT NULL"""
_UNHANDLED: Final = """
SELECT l.consumer, count(*), count(*) FILTER (WHERE h.event_id IS NULL),
    (array_agg(t.event_id) FILTER (WHERE h.event_id IS NULL))[:10]
FROM told t JOIN listener l ON l.type = t.type
LEFT JOIN handled h ON h.service = l.service AND h.event_id = t.event_id GROUP BY l.consumer ORDER BY l.consumer"""


@dataclass(frozen=True)
class Line:
    """What was found of one kind of event at one place.

    Attributes:
        kind: of event, or the consumer.
        where: what it should be in.
        wanted: how many should be there.
        missing: how many are not; or are there, and should not be.
        some: ids of some of those.
    """

    kind: str
    where: str
    wanted: int
    missing: int
    some: tuple[str, ...] = ()


async def reconcile(stores: Stores, since: datetime, district: int | None, wait: float) -> list[Line]:
    """Compare all that was told with what became of it.

    Args:
        stores: of the platform.
        since: how far back.
        district: one alone.
        wait: seconds given to what is still on its way.
    """
    deadline = time.monotonic() + wait
    async with stores.jetstream() as js:
        found = [line async for line in _outboxes(stores, deadline)]
        found += [line async for line in _consumers(js, deadline)]
        async for number, untold in states.untold(stores, js, district):
            some = tuple(state.subject for state in untold[:_SOME])
            found.append(Line("directory states 状态", f"stream 流 {states.STREAM}", number, len(untold), some))
        look = Look(stores, js, since, district)
        for service in SERVICES:
            for url in stores.everywhere(service) if streams_of(service) else ():
                async with look.at(service, url) as one:
                    found += [line async for line in _compared(stores, one)]
    return found


async def _outboxes(stores: Stores, deadline: float) -> AsyncIterator[Line]:
    """Wait until what was told before is with the broker."""
    for service in SERVICES:
        for url in stores.everywhere(service):
            async with connected(url) as connection:
                now = await connection.fetchval("SELECT now()")
                waiting = await connection.fetchval(_WAITING, now)
                while waiting and time.monotonic() < deadline:
                    await asyncio.sleep(_LOOK_EVERY)
                    waiting = await connection.fetchval(_WAITING, now)
            yield Line(service, "outbox 发件箱", waiting, waiting)


async def _consumers(js: JetStreamContext, deadline: float) -> AsyncIterator[Line]:
    """Wait until every consumer has settled what its stream had."""
    for consumer in _all_consumers():
        waiting, missing = 0, list[str]()
        try:
            last = (await js.stream_info(consumer.stream)).state.last_seq
            while waiting := await _unsettled(js, consumer, last):
                if time.monotonic() > deadline:
                    break
                await asyncio.sleep(_LOOK_EVERY)
        except NotFoundError:
            waiting, missing = 1, [f"{consumer.stream} or its consumer is not there 不存在"]
        yield Line(consumer.name, f"waits in 等待于 {consumer.stream}", waiting, waiting, tuple(missing))


async def _unsettled(js: JetStreamContext, consumer: "Consumer", last: int) -> int:
    info = await js.consumer_info(consumer.stream, consumer.name)
    if info.ack_floor and info.ack_floor.stream_seq >= last:
        return 0
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


async def _compared(stores: Stores, one: Told) -> AsyncIterator[Line]:
    for kind, number, lost, some in await one.counts():
        yield Line(kind, f"stream 流 {one.service.upper()}", number, lost, _names(some))
    strange = await one.strange()
    for kind in dict.fromkeys(kind for kind, _ in strange):
        ids = [event for found, event in strange if found == kind]
        yield Line(kind, "only in the stream 仅在流中", 0, len(ids), _names(ids[:_SOME]))
    # No fault of what was told: nobody's log has it, and no inbox ever will.
    yield Line("no event 非事件消息", f"stream 流 {one.service.upper()}", await one.unreadable(), 0)
    for consumer in _all_consumers():
        if publisher(consumer) == one.service and not consumer.keeps_state:
            await _collect(stores, one, consumer)
    await one.connection.execute("CREATE INDEX ON handled (event_id); ANALYZE handled")
    for name, number, unhandled, ids in await one.connection.fetch(_UNHANDLED):
        yield Line(name, "inbox, dead letters 收件箱或死信", number, unhandled, _names(ids or []))


async def _collect(stores: Stores, one: Told, consumer: "Consumer") -> None:
    kinds = [(consumer.service, consumer.name, contract.type) for contract in consumer.contracts]
    await one.connection.copy_records_to_table("listener", records=kinds)
    told_to = consumer.service, consumer.inbox, one.since - MARGIN, consumer.name
    for url in stores.everywhere(consumer.service):
        async with connected(url) as other, other.transaction():
            rows = other.cursor(_HANDLED, *told_to, prefetch=10_000)
            await one.connection.copy_records_to_table("handled", records=_tuples(rows))


async def _tuples(rows: AsyncIterator[tuple[str, UUID]]) -> AsyncIterator[tuple[str, UUID]]:
    async for row in rows:
        yield row[0], row[1]


def _all_consumers() -> Iterator["Consumer"]:
    for one in subscriptions():
        yield from one.consumers


def _names(ids: Sequence[UUID]) -> tuple[str, ...]:
    return tuple(map(str, ids))
