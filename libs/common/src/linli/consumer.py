"""Consumers (消费者): pull messages from the broker, and settle every one of them.

It is acknowledged after commit, given back with a growing delay when its handler fails, and put among the dead
letters when it can't be read or has failed too often.
"""

import asyncio
import logging
import random
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final

import nats
from nats.aio.msg import Msg
from opentelemetry.trace import Span, SpanContext, SpanKind
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from linli import deadletters, spans, telemetry
from linli.broker import Broker
from linli.cloudevents import Unreadable, district_of, read
from linli.db import Sessions
from linli.driver import LOST
from linli.events import Event, template
from linli.inbox import Consumer, Subscriptions
from linli.lanes import Lane
from linli.pulling import Pull
from linli.settings import Settings
from linli.streams import ACK_WAIT

log = logging.getLogger(__name__)

TRIES: Final = 8
"""How often a handler fails on a message before it is a dead letter. The broker's count of deliveries says less: it
grows while the database is away, too."""
_TRIES_KEPT: Final = 10_000
_IN_HAND: Final = 100
_IN_HAND_STATES: Final = 500
_TOGETHER: Final = 25
"""Events of one kind and district that share a transaction: what it costs to begin and commit is paid once."""
_HANDLE_WITHIN: Final = 25.0
_AT_WORK_EVERY: Final = ACK_WAIT / 3
_END_WITHIN: Final = 10.0
_AWAY_AT_MOST: Final = 10.0
"""Longest wait of what is given back while its database is away: all that waits comes again within it."""
_AWAY_SQLSTATES: Final = ("08", "57P")
"""Connection lost, server going down."""
_PASSING_SQLSTATES: Final = ("40", "53", "55", "25006", "25P03")
"""Serialisation, out of resources, lock not to be had, a server that only reads, a process that stood still in its
transaction: no fault of the message either."""


class TooSlow(Exception):  # noqa: N818 it says what was the matter
    """A handler did not end in time."""


@asynccontextmanager
async def consuming(
    service: str, settings: Settings, sessions: Sessions, subscriptions: Subscriptions
) -> AsyncIterator[None]:
    """Consume while the block runs; entering does not wait for the broker, leaving ends what was begun."""
    if not subscriptions.consumers:
        yield
        return
    broker = Broker(service, settings)
    slots = max(1, settings.pool_size // 2)
    lanes = {server: Lane(slots, _HANDLE_WITHIN) for server in settings.shards.servers}

    def lane(district: int) -> Lane:
        return lanes[settings.shards.of(district)]

    pullers = [Puller(broker, consumer, subscriptions, sessions, lane) for consumer in subscriptions.consumers]
    async with broker.running():
        tasks = [asyncio.create_task(puller.run(), name=puller.consumer.name) for puller in pullers]
        try:
            yield
        finally:
            for puller, task in zip(pullers, tasks, strict=True):
                puller.end()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(puller.finish() for puller in pullers))


class Puller:
    """Pulls one durable consumer."""

    def __init__(
        self,
        broker: Broker,
        consumer: Consumer,
        subscriptions: Subscriptions,
        sessions: Sessions,
        lane: Callable[[int], Lane],
    ) -> None:
        self.consumer = consumer
        self._broker = broker
        self._subscriptions = subscriptions
        self._sessions = sessions
        self._lane = lane
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._tries: dict[int, int] = {}
        self._freed = asyncio.Event()
        self._ending = False
        self._lag = 0

    async def run(self) -> None:
        """Pull until cancelled, whatever happens to the broker."""
        # A counter that begins at its first event would show no increase by it.
        for counter in (telemetry.redeliveries, telemetry.dead_letters):
            counter.add(0, {"consumer": self.consumer.name})
        with telemetry.consumer_lag.of(lambda: self._lag, consumer=self.consumer.name):
            while not self._ending:
                try:
                    await self._pull()
                except Exception as error:  # noqa: BLE001 whatever it is, messages wait in the stream and it tries again
                    log.warning("%s pulls again: %s: %s", self.consumer.name, type(error).__name__, error)
                await asyncio.sleep(random.uniform(0.5, 2))  # noqa: S311 spreads consumers, guards no secret

    def end(self) -> None:
        """Begin nothing more; said beside cancelling, which nats-py can lose (`wait_for` before Python 3.12)."""
        self._ending = True

    async def finish(self) -> None:
        """End what was begun and give back what was not."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_WITHIN)

    async def _pull(self) -> None:
        client = await self._broker.connection()
        async with Pull(client, self.consumer.stream, self.consumer.name).running() as pull:
            while not self._ending:
                messages = await self._next(pull)
                if self.consumer.keeps_state:
                    await self._at_work(messages)
                    continue
                task = asyncio.create_task(self._at_work(messages))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _next(self, pull: Pull) -> list[Msg]:
        while self._held >= _IN_HAND:
            self._freed.clear()
            await self._freed.wait()
        messages = await pull.next(_IN_HAND_STATES if self.consumer.keeps_state else _IN_HAND - self._held)
        if not messages:
            await self._broker.connection()  # Raises when the silence is a lost connection.
        self._lag = messages[-1].metadata.num_pending if messages else 0
        self._held += len(messages)
        return messages

    async def _at_work(self, messages: list[Msg]) -> None:
        """Settle messages, and say meanwhile that they are in hand; of who is killed, another has them soon."""

        async def say() -> None:
            while True:
                await asyncio.sleep(_AT_WORK_EVERY)
                for message in messages:
                    if not message.is_acked:
                        await self._answer(message.in_progress())

        saying = asyncio.create_task(say())
        try:
            await self._settle(messages)
        finally:
            saying.cancel()

    async def _settle(self, messages: list[Msg]) -> None:
        together: defaultdict[tuple[type[Event], int], list[tuple[Msg, Event]]] = defaultdict(list)
        for message in messages:
            if message.metadata.num_delivered > 1:
                telemetry.redeliveries.add(1, {"consumer": self.consumer.name})
            try:
                event = read(message.subject, message.headers, message.data)
            except Unreadable as error:
                async with self._lane(district_of(message.subject)).slots:
                    await self._bury(message, error)
                self._let_go(1)
            else:
                together[type(event), event.district].append((message, event))
        await asyncio.gather(*map(self._act_in_order, together.values()))

    async def _act_in_order(self, events: list[tuple[Msg, Event]]) -> None:
        """Act on events of one contract and one district, as many in a transaction as is good for those who wait."""
        size = _IN_HAND_STATES if self.consumer.keeps_state else _TOGETHER
        for first in range(0, len(events), size):
            group = events[first : first + size]
            try:
                await self._act(group)
            finally:
                self._let_go(len(group))

    def _let_go(self, messages: int) -> None:
        self._held -= messages
        self._freed.set()

    async def _act(self, group: list[tuple[Msg, Event]]) -> None:
        message, event = group[0]
        lane = self._lane(event.district)
        async with lane.slots:
            if self._ending or lane.closed():
                for waiting, _ in group:
                    delay = None if self._ending else _delay(waiting.metadata.num_delivered, at_most=_AWAY_AT_MOST)
                    await self._answer(waiting.nak(delay))
                return
            failed = await self._handle(group)
            if failed and _is_away(failed):
                lane.lost()
            else:
                lane.answered()
            if failed and len(group) == 1:
                await self._failed(message, event, failed)
        if failed and len(group) > 1:
            for one in group:
                await self._act([one])

    async def _handle(self, group: list[tuple[Msg, Event]]) -> Exception | None:
        """Do what is to be done, and acknowledge; gives what went wrong."""
        messages = {event.id: message for message, event in group}
        one_span = len(group) == 1 or self.consumer.keeps_state
        works: list[Span] = []

        def begun(event: Event) -> AbstractContextManager[Span]:
            message = messages[event.id]
            # What is kept at once has many causes, and is part of nobody's trace.
            cause = spans.ROOT if one_span and len(group) > 1 else spans.cause_of(message.headers or {})
            works.append(self._work(message, event, cause, len(group)))
            return spans.at(works[-1])

        failed: Exception | None = None
        events = [event for _, event in group]
        try:
            async with asyncio.timeout(_HANDLE_WITHIN) as deadline:
                if one_span:
                    with begun(events[0]):  # the transaction is part of its trace
                        await self._subscriptions.handle(self._sessions, events)
                else:
                    await self._subscriptions.handle(self._sessions, events, begun)
        except Exception as error:  # noqa: BLE001 a handler may fail in any way, and the message must be settled
            failed = TooSlow(f"took more than {_HANDLE_WITHIN:.0f} s") if deadline.expired() else error
        else:
            for done, _ in group:
                self._tries.pop(done.metadata.sequence.stream, None)
                await self._answer(done.ack())
        for work in works:  # now that it is known what came of it
            if failed:
                spans.failed(work, type(failed).__name__)
            work.end()
        return failed

    def _work(self, message: Msg, event: Event, cause: SpanContext, together: int) -> Span:
        destination = template(message.subject)
        return spans.begin(
            f"process {destination}",
            SpanKind.CONSUMER,
            cause=cause,
            attributes={
                "messaging.system": "nats",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": message.subject,
                "messaging.destination.template": destination,
                "messaging.consumer.group.name": self.consumer.name,
                "messaging.batch.message_count": together,
                "messaging.message.id": str(event.id),
                "linli.district": event.district,
                "linli.aggregate": event.aggregate,
                "linli.delivery": message.metadata.num_delivered,
            },
        )

    async def _failed(self, message: Msg, event: Event, error: Exception) -> None:
        delivery, passing = message.metadata.num_delivered, passes(error)
        tries = self._tried(message, 0 if passing else 1)
        log.warning(
            "%s could not handle %s (delivery %d, try %d): %s",
            *(self.consumer.name, event.type, delivery, tries, deadletters.describe(error)),
            extra={"event_id": str(event.id), "stack": "".join(traceback.format_tb(error.__traceback__)[-4:])},
        )
        if passing:
            await self._answer(message.nak(_delay(delivery, at_most=_AWAY_AT_MOST if _is_away(error) else 5)))
        elif tries < TRIES:
            await self._answer(message.nak(_delay(tries, at_most=60)))
        else:
            await self._bury(message, error)

    def _tried(self, message: Msg, more: int) -> int:
        """Count how often this process has tried a message in vain; each replica counts its own."""
        number = message.metadata.sequence.stream
        tries = self._tries.pop(number, 0) + more
        if tries:
            self._tries[number] = tries
            if len(self._tries) > _TRIES_KEPT:
                del self._tries[next(iter(self._tries))]  # the one that failed longest ago
        return tries

    async def _bury(self, message: Msg, error: Exception) -> None:
        try:
            await deadletters.bury(self._sessions, self.consumer.name, message, error)
        except Exception as reason:  # noqa: BLE001 without the database it stays with the broker
            log.warning("%s could not keep a dead letter: %s", self.consumer.name, deadletters.describe(reason))
            await self._answer(message.nak(_delay(TRIES, at_most=10)))
        else:
            self._tries.pop(message.metadata.sequence.stream, None)
            log.warning("%s keeps a dead letter: %s", self.consumer.name, deadletters.describe(error))
            telemetry.dead_letters.add(1, {"consumer": self.consumer.name})
            await self._answer(message.ack())

    async def _answer(self, answer: Coroutine[None, None, None]) -> None:
        try:
            await answer
        except nats.errors.Error as error:
            # It is delivered again in a moment, and the inbox knows it.
            log.info("%s could not answer the broker: %s", self.consumer.name, error)


def _delay(delivery: int, *, at_most: float) -> float:
    return min(0.2 * 2.0 ** min(delivery - 1, 20), at_most) * random.uniform(0.75, 1.25)  # noqa: S311 jitter


def passes(error: Exception) -> bool:
    """Tell whether this has nothing to do with the message, and a later try will do."""
    return _is_away(error) or (isinstance(error, DBAPIError) and _sqlstate(error).startswith(_PASSING_SQLSTATES))


def _is_away(error: Exception) -> bool:
    """Tell whether its database does not answer, so that no other message need try either."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _sqlstate(error).startswith(_AWAY_SQLSTATES)
    # What the database says while connecting comes as it is: statements' errors were the case above.
    return isinstance(error, (PoolTimeoutError, *LOST, OSError))


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
