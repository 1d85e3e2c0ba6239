"""The clockwork (时钟): looks for timers that are due in one database, and has the service act on them.

It only reads, as the relay's role, which sees all districts; acting on a timer is a transaction of its district.
"""

import asyncio
import logging
import random
import time
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg
from opentelemetry.trace import Span, SpanKind

from linli import deadletters, spans, telemetry
from linli.consumer import TooSlow, passes
from linli.db import Sessions
from linli.settings import Settings
from linli.shards import Server, Shards
from linli.timers import Timer, Timers

log = logging.getLogger(__name__)

ATTEMPTS: Final = 8
"""How often a timer's handler is called before the timer is left to an operator."""
POLL: Final = 1.0
"""Seconds after which it looks again at the latest."""
BATCH: Final = 200
_TOGETHER: Final = 25
"""Timers of one kind and district that share a transaction: what it costs to begin and commit is paid once."""
_AT_ONCE: Final = 2
"""Few, as requests must find connections in the pool however much falls due."""
_COUNT_EVERY: Final = 15.0
_HANDLE_WITHIN: Final = 25.0
_END_WITHIN: Final = 10.0
_WAIT_AT_MOST: Final = 5.0

_SOON: Final = """
    SELECT district, kind, aggregate, unit, due_at, attempts, try_at FROM timer
    WHERE try_at <= $1 AND kind = ANY ($2) ORDER BY try_at LIMIT $3"""
_COUNT: Final = """
    SELECT kind, count(*) AS open, count(*) FILTER (WHERE due_at <= $1) AS overdue,
           min(due_at) FILTER (WHERE due_at <= $1 AND fired_at IS NULL) AS waiting_since
    FROM timer GROUP BY kind"""


class Clocks(NamedTuple):
    """How the clocks of one kind stand.

    Attributes:
        open: those that were not cancelled.
        overdue: those of them that ran out.
        late: seconds that the first one to run out has waited for its handler, 0 when none waits.
    """

    open: int = 0
    overdue: int = 0
    late: float = 0


class Clockwork:
    """Runs beside the service, one for each database server.

    Args:
        service: its name.
        settings: say where the timers are.
        server: the database server that it watches.
        sessions: find a district's database.
        timers: what is done when a clock runs out.
    """

    def __init__(self, service: str, settings: Settings, server: Server, sessions: Sessions, timers: Timers) -> None:
        self.service = service
        self._database_url = Shards.at(settings.relay_database_url.get_secret_value(), server)
        self._server = Shards.address(self._database_url)
        self._sessions = sessions
        self._timers = timers
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._ending = asyncio.Event()
        self._in_hand: dict[Timer, asyncio.Task[bool]] = {}
        self._clocks: dict[str, Clocks] = {}
        self._count_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Clockwork"]:
        """Fire what falls due while the block runs; leaving ends what was begun."""
        task = asyncio.create_task(self._run(), name="clockwork")
        try:
            with ExitStack() as gauges:
                for kind in self._timers.kinds:
                    gauges.enter_context(self._shown(kind))
                    # A counter that begins at its first event would show no increase by it.
                    telemetry.timers_failed.add(0, {"clock": kind})
                yield self
        finally:
            self._ending.set()
            begun = [task, *self._in_hand.values()]
            _, unfinished = await asyncio.wait(begun, timeout=_END_WITHIN)
            for one in unfinished:
                one.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def clocks(self, kind: str) -> Clocks:
        """Tell how the clocks of a kind stood when they were last counted."""
        return self._clocks.get(kind, Clocks())

    @contextmanager
    def _shown(self, kind: str) -> Iterator[None]:
        attributes = {"clock": kind, "server": self._server}
        with (
            telemetry.clocks_open.of(lambda: self.clocks(kind).open, **attributes),
            telemetry.clocks_overdue.of(lambda: self.clocks(kind).overdue, **attributes),
            telemetry.clocks_late.of(lambda: self.clocks(kind).late, **attributes),
        ):
            yield

    async def _run(self) -> None:
        failures = 0
        while not self._ending.is_set():
            connection: asyncpg.Connection | None = None
            try:
                connection = await asyncpg.connect(
                    self._database_url,
                    timeout=5,
                    command_timeout=10,
                    server_settings={"application_name": f"{self.service} clockwork"},
                )
                while not self._ending.is_set():
                    pause = await self._round(connection)
                    failures = 0
                    await self._rest(pause)
            except Exception as error:  # noqa: BLE001 whatever it is, timers wait in their table and it tries again
                failures += 1
                name = type(error).__name__
                log.warning("the clockwork of %s tries again (%d): %s: %s", self._server, failures, name, error)
            finally:
                if connection:
                    connection.terminate()
            await self._rest(random.uniform(0.5, 1) * min(0.1 * 2**failures, _WAIT_AT_MOST))  # noqa: S311 jitter

    async def _round(self, connection: asyncpg.Connection) -> float:
        now = self._timers.now()
        rows = await connection.fetch(_SOON, now + timedelta(seconds=POLL), self._timers.kinds, BATCH)
        due = [_timer(row) for row in rows if row["try_at"] <= now]
        fired = await self._begin(due)
        if time.monotonic() >= self._count_at:
            await self._count(connection)
            self._count_at = time.monotonic() + _COUNT_EVERY
        if fired and len(due) == BATCH:
            return 0
        soonest = min((row["try_at"] for row in rows[len(due) :]), default=now + timedelta(seconds=POLL))
        until = max(0.0, (soonest - self._timers.now()).total_seconds())
        return min(until, POLL * random.uniform(0.5, 1))  # noqa: S311 spreads replicas, guards no secret

    async def _begin(self, due: list[Timer]) -> bool:
        """Have timers fired, and look whether any was; a slow one does not hold up the next round."""
        random.shuffle(due)  # so that replicas seldom reach for the same ones
        together: defaultdict[tuple[int, str], list[Timer]] = defaultdict(list)
        for timer in due:
            if timer not in self._in_hand:
                together[timer.district, timer.kind].append(timer)
        for timers in together.values():
            for first in range(0, len(timers), _TOGETHER):
                self._take(timers[first : first + _TOGETHER])
        if not self._in_hand:
            return False
        done, _ = await asyncio.wait(set(self._in_hand.values()), timeout=POLL)
        return any(task.result() for task in done)

    def _take(self, timers: list[Timer]) -> None:
        task = asyncio.create_task(self._fire(timers))
        self._in_hand |= dict.fromkeys(timers, task)

        def let_go(_: asyncio.Task[bool]) -> None:
            for timer in timers:
                del self._in_hand[timer]

        task.add_done_callback(let_go)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def _count(self, connection: asyncpg.Connection) -> None:
        now = self._timers.now()
        self._clocks = {
            row["kind"]: Clocks(row["open"], row["overdue"], _seconds(row["waiting_since"], now))
            for row in await connection.fetch(_COUNT, now)
        }

    async def _fire(self, timers: list[Timer]) -> bool:
        """Act on timers of one kind and district; where they can't share a transaction, each has its own."""
        async with self._slots:
            if self._ending.is_set():
                return False
            try:
                return await self._act(timers)
            except Exception as error:  # noqa: BLE001 a handler may fail in any way, and no other timer for that
                if len(timers) == 1:
                    await self._failed(timers[0], error)
                    return False
        return any([await self._fire([timer]) for timer in timers])

    async def _act(self, timers: list[Timer]) -> bool:
        works: list[Span] = []

        def begun(timer: Timer) -> AbstractContextManager[Span]:
            about = spans.Attributes({spans.DISTRICT: timer.district, "linli.aggregate": str(timer.aggregate)})
            works.append(spans.begin(f"fire {timer.kind}", SpanKind.INTERNAL, about, cause=spans.ROOT))
            return spans.at(works[-1])

        try:
            async with asyncio.timeout(_HANDLE_WITHIN) as deadline:
                if len(timers) > 1:
                    return await self._timers.fire(self._sessions, timers, begun)
                with begun(timers[0]):  # the transaction is part of its trace
                    return await self._timers.fire(self._sessions, timers)
        except Exception as error:
            for work in works:
                spans.failed(work, type(error).__name__)
            if deadline.expired():
                raise TooSlow(f"took more than {_HANDLE_WITHIN:.0f} s") from error
            raise
        finally:
            for work in works:  # now that it is known what came of it
                work.end()

    async def _failed(self, timer: Timer, error: Exception) -> None:
        attempts = timer.attempts + (0 if passes(error) else 1)
        described = deadletters.describe(error)
        log.warning(
            "%s could not fire %s (attempt %d): %s",
            *(self.service, timer.kind, attempts, described),
            extra={
                "aggregate": str(timer.aggregate),
                "stack": "".join(traceback.format_tb(error.__traceback__)[-4:]),
            },
        )
        if attempts == timer.attempts:
            return  # No fault of the timer: the next round has it again.
        again = None if attempts >= ATTEMPTS else self._timers.now() + _delay(attempts)
        try:
            await self._timers.fail(self._sessions, timer, described, again)
        except Exception as reason:  # noqa: BLE001 without the database it is as due as it was
            log.warning("%s could not note that: %s", self.service, deadletters.describe(reason))
            return
        if again is None:
            log.error("%s gives up on a timer: %s of %s", self.service, timer.kind, timer.aggregate)
            telemetry.timers_failed.add(1, {"clock": timer.kind})


def _timer(row: asyncpg.Record) -> Timer:
    return Timer(*(row[name] for name in Timer.__slots__))


def _delay(attempts: int) -> timedelta:
    return timedelta(seconds=min(2.0**attempts, 300) * random.uniform(0.5, 1))  # noqa: S311 jitter


def _seconds(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since else 0.0
