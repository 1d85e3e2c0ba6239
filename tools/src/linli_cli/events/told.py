"""What a publisher has told, laid beside what its stream has, in temporary tables of the publisher's own database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from urllib.parse import unquote
from uuid import UUID

import asyncpg
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from linli.cloudevents import district_of
from linli.events import catalogue
from linli.inbox import stream_of
from linli_cli.archive.stores import Stores, connected
from linli_cli.events.stream import headers

_TABLES: Final = """
CREATE TEMP TABLE told (id bigint, event_id uuid, type text, published_at timestamptz) ON COMMIT DROP;
CREATE TEMP TABLE streamed (event_id uuid, type text, occurred_at timestamptz) ON COMMIT DROP;
CREATE TEMP TABLE listener (service text, consumer text, type text) ON COMMIT DROP;
CREATE TEMP TABLE handled (service text, event_id uuid) ON COMMIT DROP"""
# What an imported district's log brought along stands below 1, and went out on another platform.
_TOLD: Final = """
INSERT INTO told SELECT id, event_id, headers ->> 'ce-type', published_at FROM event_log
WHERE published_at BETWEEN $1 AND $2 AND id > 0 AND ($3::integer IS NULL OR district = $3)
    AND NOT headers ->> 'ce-type' = ANY ($4)"""
_LOSE: Final = """
ANALYZE told; ANALYZE streamed;
CREATE TEMP TABLE lost ON COMMIT DROP AS SELECT * FROM told t
    WHERE NOT EXISTS (SELECT FROM streamed s WHERE s.event_id = t.event_id);
ANALYZE lost"""
_OF_LOST: Final = """
SELECT l.event_id, l.subject, l.payload, l.headers FROM lost
JOIN event_log l ON l.id = lost.id AND l.published_at = lost.published_at ORDER BY lost.id"""
_COUNTS: Final = """
SELECT t.type, count(*), count(lost.id), (array_agg(t.event_id) FILTER (WHERE lost.id IS NOT NULL))[:10]
FROM told t LEFT JOIN lost ON lost.id = t.id GROUP BY t.type ORDER BY t.type"""
# The stream may tell some that commit only now: whatever the publisher knows of them, they are its own.
_STRANGE: Final = """
SELECT type, event_id FROM streamed s WHERE occurred_at BETWEEN $1 AND $2
    AND NOT EXISTS (SELECT FROM event_log l WHERE l.event_id = s.event_id AND l.published_at >= $1)
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.event_id = s.event_id)
ORDER BY type"""
_UNREADABLE: Final = "SELECT count(*) FROM streamed WHERE event_id IS NULL"
_Streamed: TypeAlias = tuple[UUID, str, datetime] | tuple[None, None, None]
MARGIN: Final = timedelta(minutes=5)
"""How far the clocks of two servers may be apart."""


@dataclass(frozen=True)
class Told:
    """One publisher on one database server.

    Attributes:
        service: its name.
        connection: to its database, in the transaction that holds the tables.
        since: from when on its log was read.
        until: up to when.
    """

    service: str
    connection: asyncpg.Connection
    since: datetime
    until: datetime

    async def lost(self) -> int:
        """Count what the stream does not have."""
        return int(await self.connection.fetchval("SELECT count(*) FROM lost"))

    async def of_lost(self) -> AsyncIterator[asyncpg.Record]:
        """Give the messages that the stream does not have, in the order of their going out."""
        async for row in self.connection.cursor(_OF_LOST, prefetch=500):
            yield row

    async def counts(self) -> list[tuple[str, int, int, list[UUID]]]:
        """Count by type what was told and what is lost, with some of the lost."""
        return [(row[0], row[1], row[2], row[3] or []) for row in await self.connection.fetch(_COUNTS)]

    async def strange(self) -> list[tuple[str, UUID]]:
        """List what the stream has and the publisher does not know of: it was put back to an earlier state."""
        return [tuple(row) for row in await self.connection.fetch(_STRANGE, self.since, self.until)]

    async def unreadable(self) -> int:
        """Count what the stream has and is no event at all; who listens to it has buried it."""
        return int(await self.connection.fetchval(_UNREADABLE))


@dataclass(frozen=True)
class Look:
    """Where and at what is looked.

    Attributes:
        stores: of the platform.
        js: the administrator's.
        since: how far back.
        district: one alone; None for all.
    """

    stores: Stores
    js: JetStreamContext
    since: datetime
    district: int | None

    @asynccontextmanager
    async def at(self, service: str, url: str) -> AsyncIterator[Told]:
        """Lay a publisher's log on one server beside its stream; without states, of which only the last is kept.

        The log is read first, and the broker took what it holds before that: whatever the stream does not have is lost.
        """
        states = [contract.type for contract in catalogue() if contract.state]
        async with connected(url) as connection, connection.transaction():
            await connection.execute(_TABLES)
            until = await connection.fetchval("SELECT now()")
            await connection.execute(_TOLD, self.since, until, self.district, states)
            await connection.copy_records_to_table("streamed", records=self._streamed(service, url))
            await connection.execute(_LOSE)
            yield Told(service, connection, self.since, until)

    async def _streamed(self, service: str, url: str) -> AsyncIterator[_Streamed]:
        subjects = f"linli.{service}.{self.district or '*'}.>"
        for stream in streams_of(service):
            async for message in headers(self.js, stream, subjects, self.since - MARGIN):
                if self.stores.url(service, district_of(message.subject)) == url:
                    yield _read(message)


def _read(message: Msg) -> _Streamed:
    """Read what identifies an event; nothing of a message that is none, which can be nobody's lost one."""
    told = message.headers or {}
    try:
        id_, type_ = UUID(told["ce-id"]), unquote(told["ce-type"])
        occurred_at = datetime.fromisoformat(unquote(told["ce-time"])).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None, None, None
    return (id_, type_, occurred_at) if type_.isprintable() else (None, None, None)


def streams_of(service: str) -> list[str]:
    """Name the streams of a service's events that are no states; one, or none if it tells nothing."""
    return sorted({stream_of(one) for one in catalogue() if one.publisher == service and not one.state})
