"""The writer: takes what was received out of a bounded queue, and copies it into the database in large batches."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import date
from typing import Final

import asyncpg

from console import otlp
from console.batch import Batch
from console.models import KEEP_DAYS
from console.otlp import LogRow, SpanRow
from console.settings import ConsoleSettings

log = logging.getLogger(__name__)

QUEUE: Final = 32 * 2**20
"""Bytes that wait to be written, at most."""
_ROWS: Final = 5_000
_GATHER: Final = 0.25
_AT_ONCE: Final = 250
"""Spans that are read before others get their turn."""
_TRIES: Final = 4
_WAIT_AT_MOST: Final = 5.0
_ROLL_EVERY: Final = 1800.0
_ROLL_AGAIN: Final = 60.0
_LOCK_WITHIN: Final = 1.0
_SAY_EVERY: Final = 60.0
_SLICE: Final = 5_000

_TRACES: Final = """
    INSERT INTO trace AS known (district, trace_id, started_at, ended_at, began_at, service, operation, spans, errors,
                                redeliveries, services, operations, home, place, subject)
    SELECT district, trace_id, to_timestamp(started), to_timestamp(ended), to_timestamp(began), service, operation,
           spans, errors, redeliveries, string_to_array(services, chr(31)), string_to_array(operations, chr(31)),
           home, place, subject
    FROM unnest($1::integer[], $2::bytea[], $3::double precision[], $4::double precision[], $5::double precision[],
                $6::text[], $7::text[], $8::integer[], $9::integer[], $10::integer[], $11::text[], $12::text[],
                $13::integer[], $14::bigint[], $15::uuid[])
         AS told (district, trace_id, started, ended, began, service, operation, spans, errors, redeliveries, services,
                  operations, home, place, subject)
    ON CONFLICT (district, trace_id) DO UPDATE SET
        started_at = least(known.started_at, excluded.started_at),
        ended_at = greatest(known.ended_at, excluded.ended_at),
        began_at = least(known.began_at, excluded.began_at),
        service = CASE WHEN known.began_at <= excluded.began_at OR excluded.began_at IS NULL
            THEN known.service ELSE excluded.service END,
        operation = CASE WHEN known.began_at <= excluded.began_at OR excluded.began_at IS NULL
            THEN known.operation ELSE excluded.operation END,
        subject = CASE WHEN known.began_at <= excluded.began_at OR excluded.began_at IS NULL
            THEN coalesce(known.subject, excluded.subject) ELSE coalesce(excluded.subject, known.subject) END,
        spans = known.spans + excluded.spans,
        errors = known.errors + excluded.errors,
        redeliveries = known.redeliveries + excluded.redeliveries,
        services = ARRAY(SELECT DISTINCT unnest(known.services || excluded.services) ORDER BY 1 LIMIT 50),
        operations = ARRAY(SELECT DISTINCT unnest(known.operations || excluded.operations) ORDER BY 1 LIMIT 50),
        home = coalesce(nullif(known.home, 0), excluded.home),
        place = greatest(known.place, excluded.place)"""
_ACTIVITY: Final = """
    INSERT INTO activity AS known (district, at, service, operation, kind, bucket, count, errors)
    SELECT district, to_timestamp(60.0 * minute), service, operation, kind, bucket, count, errors
    FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::smallint[], $6::smallint[], $7::bigint[],
                $8::bigint[]) AS told (district, minute, service, operation, kind, bucket, count, errors)
    ON CONFLICT (district, at, service, operation, kind, bucket)
    DO UPDATE SET count = known.count + excluded.count, errors = known.errors + excluded.errors"""
_FORGET: Final = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE {time} < now() - make_interval(days => $1) LIMIT $2)) RETURNING 1"""
_OLD: Final = {"trace": "started_at", "activity": "at"}


class Writer:
    """Writes beside the requests; of several replicas each writes what it was sent.

    Nothing waits for it. While the database is away the queue fills, and then callers are told to come back later.
    """

    def __init__(self, settings: ConsoleSettings) -> None:
        self._url = settings.relay_database_url.get_secret_value()
        self._waiting: deque[tuple[otlp.Traces | otlp.Logs, int]] = deque()
        self._bytes = 0
        self._woken = asyncio.Event()
        self._ending = False
        self._roll_at = 0.0
        self._days: frozenset[date] = frozenset()
        self._dropped = 0
        self._say_at = 0.0

    def take(self, message: otlp.Traces | otlp.Logs, size: int) -> bool:
        """Queue an export; False when the queue is full."""
        if self._bytes + size > QUEUE:
            return False
        self._waiting.append((message, size))
        self._bytes += size
        self._woken.set()
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Writer"]:
        """Write while the block runs; what waits at its end is written if that is quickly done."""
        task = asyncio.create_task(self._run(), name="writer")
        try:
            yield self
        finally:
            self._ending = True
            self._woken.set()
            await asyncio.wait([task], timeout=3)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        failures, batch = 0, Batch()
        while not self._ending or self._waiting or batch.size:
            connection: asyncpg.Connection | None = None
            try:
                connection = await asyncpg.connect(
                    self._url,
                    timeout=5,
                    command_timeout=30,
                    # The last half second may be lost with the server: it is no resident's.
                    server_settings={"application_name": "console writer", "synchronous_commit": "off"},
                )
                while not self._ending or self._waiting or batch.size:
                    if time.monotonic() >= self._roll_at:
                        await self._roll(connection)
                    batch = batch if batch.size else await self._gather()
                    await self._write(connection, batch)
                    failures, batch = 0, Batch()
            except Exception as error:  # noqa: BLE001 whatever it is, no service waits for this
                failures += 1
                log.warning("the writer tries again (%d): %s", failures, type(error).__name__)
                # A batch that the database refuses again and again would keep out all others.
                if failures >= _TRIES and connection is not None and not connection.is_closed():
                    self._drop(batch.size)
                    batch = Batch()
            finally:
                if connection:
                    connection.terminate()
            if self._ending and failures:
                return
            await asyncio.sleep(random.uniform(0.5, 1) * min(0.1 * 2**failures, _WAIT_AT_MOST))  # noqa: S311 jitter

    async def _gather(self) -> Batch:
        """Wait for something, and then a moment for more."""
        batch = Batch()
        until = time.monotonic() + (1.0 if not self._waiting else 0.0)
        while batch.size < _ROWS:
            if self._waiting:
                message, size = self._waiting.popleft()
                self._bytes -= size
                was = batch.size
                await self._read(message, batch)
                if not was:
                    until = time.monotonic() + _GATHER
                continue
            self._woken.clear()
            rest = until - time.monotonic()
            if rest <= 0 or self._ending:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._woken.wait()
        return batch

    async def _read(self, message: otlp.Traces | otlp.Logs, batch: Batch) -> None:
        rows = otlp.spans(message) if isinstance(message, otlp.Traces) else otlp.logs(message)
        for number, row in enumerate(rows, 1):
            if isinstance(row, LogRow):
                if row.at.date() in self._days:
                    batch.add_log(row)
            elif row is not None and row.row.started_at.date() in self._days:
                batch.add_span(row)
            elif isinstance(message, otlp.Traces):
                self._drop(1)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _write(self, connection: asyncpg.Connection, batch: Batch) -> None:
        if not batch.size:
            return
        async with connection.transaction():
            for day, spans in batch.spans.items():
                await connection.copy_records_to_table(f"span_{day:%Y%m%d}", records=spans, columns=SpanRow._fields)
            for day, lines in batch.logs.items():
                await connection.copy_records_to_table(f"log_{day:%Y%m%d}", records=lines, columns=LogRow._fields)
            if batch.spans:
                await connection.execute(_TRACES, *map(list, zip(*batch.traces(), strict=True)))
            activity = list(batch.activity())
            if activity:
                await connection.execute(_ACTIVITY, *map(list, zip(*activity, strict=True)))

    async def _roll(self, connection: asyncpg.Connection) -> None:
        """Make the next days' tables, drop those of old days, and forget what was said of them."""
        again = _ROLL_EVERY
        try:
            async with connection.transaction():
                # Everybody who reads waits behind this while it waits for one who reads for long, such as a dump; and
                # there are tables for three days more.
                await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WITHIN}s'")
                await connection.execute("SELECT telemetry_roll($1)", KEEP_DAYS)
        except asyncpg.LockNotAvailableError:
            again = min(again, _ROLL_AGAIN)
            log.warning("somebody reads for long: the next days' tables are made later")
        rows = await connection.fetch("SELECT relid::text AS name FROM pg_partition_tree('span') WHERE isleaf")
        self._days = frozenset(date.fromisoformat(row["name"].removeprefix("span_")) for row in rows)
        for table, at in _OLD.items():
            deleted = _SLICE
            while deleted == _SLICE:
                deleted = len(await connection.fetch(_FORGET.format(table=table, time=at), KEEP_DAYS, _SLICE))
        self._roll_at = time.monotonic() + again * random.uniform(0.9, 1.1)  # noqa: S311 jitter

    def _drop(self, rows: int) -> None:
        self._dropped += rows
        if self._dropped and time.monotonic() >= self._say_at:
            log.warning("%d spans were dropped: unreadable, of another week, or refused", self._dropped)
            self._dropped, self._say_at = 0, time.monotonic() + _SAY_EVERY
