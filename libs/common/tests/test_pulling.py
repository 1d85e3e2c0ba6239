import asyncio
from collections.abc import AsyncIterator

import pytest
from libs.common.tests.conftest import Chassis, opened, record
from nats.aio.client import Client

from linli import pulling, streams
from linli.cloudevents import headers_of
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.pulling import Pull, Refused
from linli.testing import eventually

STREAM, DURABLE = "TICKETS", "points-tickets"


@pytest.fixture
async def client(chassis: Chassis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(streams, "ACK_WAIT", 60)
    subscriptions = Subscriptions("points")
    subscriptions.on(TicketOpened)(record)
    await chassis.prepare(subscriptions)
    async with chassis.connection() as found:
        yield found


async def tell(client: Client, number: int) -> None:
    for _ in range(number):
        event = opened()
        await client.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=headers_of(event))


async def in_hand(client: Client) -> int:
    return int((await client.jetstream().consumer_info(STREAM, DURABLE)).num_ack_pending or 0)


async def test_a_message_is_there_at_once_whatever_ran_out_before(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for turn in range(3):
        async with Pull(client, STREAM, DURABLE).running() as pull:
            monkeypatch.setattr(pulling, "_ASK_FOR", 0.05)
            for _ in range(5):
                assert await pull.next(100) == []
            monkeypatch.setattr(pulling, "_ASK_FOR", 20.0)
            waiting = asyncio.create_task(pull.next(100))
            await asyncio.sleep(0.01 * turn)
            await tell(client, 1)
            async with asyncio.timeout(10):  # and not when what is asked for runs out
                messages = await waiting
                while not messages:  # what had run out before was told of first
                    messages = await pull.next(100)
            for message in messages:
                await message.ack_sync(timeout=10)


async def test_no_more_comes_than_there_is_room_for(client: Client) -> None:
    await tell(client, 50)
    async with Pull(client, STREAM, DURABLE).running() as pull:
        taken = await pull.next(10)
        while len(taken) < 10:
            taken += await pull.next(10 - len(taken))
        await asyncio.sleep(0.1)
        assert len(taken) == await in_hand(client) == 10


async def test_what_came_and_was_not_taken_goes_to_another_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_ASK_FOR", 20.0)
    async with Pull(client, STREAM, DURABLE).running() as pull:
        waiting = asyncio.create_task(pull.next(10))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await tell(client, 10)
        await eventually(lambda: len(pull._came) == 10)
    taken = 0
    async with asyncio.timeout(30), Pull(client, STREAM, DURABLE).running() as other:  # long before they are due again
        while taken < 10:
            taken += len(await other.next(10))


async def test_it_says_when_there_is_no_such_consumer(client: Client) -> None:
    async with Pull(client, STREAM, "nobody").running() as pull:
        with pytest.raises(Refused):
            await pull.next(1)
