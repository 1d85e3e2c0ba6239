import asyncio
from collections import defaultdict
from types import SimpleNamespace
from uuid import uuid4

import asyncpg
import pytest
from libs.common.tests.conftest import Chassis, chassis_on, opened

from linli import relay
from linli.publishing import Publisher
from linli.relay import Relay, _Lane
from linli.testing import NatsServer, Stage, eventually


async def test_an_event_reaches_the_broker_as_a_cloud_event_and_is_logged(chassis: Chassis) -> None:
    event = opened()
    async with chassis.relaying(), chassis.connection() as client:
        await chassis.publish(event)
        await eventually(lambda: _logged(chassis, 1))
        message = await client.jetstream().get_msg("TICKETS", 1)
    assert message.subject == "linli.tickets.310104.opened.v1"
    assert type(event).model_validate_json(message.data or b"") == event
    headers = message.headers or {}
    assert headers["ce-id"] == headers["Nats-Msg-Id"] == str(event.id)
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-source"] == "/linli/tickets"
    assert headers["ce-type"] == "tickets.opened.v1"
    assert headers["ce-subject"] == str(event.ticket)
    assert headers["ce-datacontenttype"] == "application/json"
    assert headers["ce-sequence"] == "1"
    assert await chassis.count("outbox") == 0


async def test_events_that_waited_for_days_find_a_day_to_be_logged_in(chassis: Chassis) -> None:
    """A platform that was stopped for longer than the days that are made ahead."""
    days = await chassis.database.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'event_log'::regclass"
    )
    for day in days:
        await chassis.database.execute(f"DROP TABLE {day['name']}")
    await chassis.publish(opened())
    async with chassis.relaying():
        await eventually(lambda: _logged(chassis, 1))


async def test_two_relays_keep_the_order_of_every_aggregate(chassis: Chassis) -> None:
    tickets = [uuid4() for _ in range(30)]
    async with chassis.relaying(), chassis.relaying(), chassis.connection() as client:
        for sequence in range(1, 41):
            await chassis.publish(*(opened(ticket, sequence) for ticket in tickets))
        await eventually(lambda: _logged(chassis, 1200), within=20)
        seen: defaultdict[object, list[object]] = defaultdict(list)
        for event in await chassis.in_stream(client.jetstream()):
            seen[event["ticket"]].append(event["sequence"])
    assert {ticket: list(range(1, 41)) for ticket in map(str, tickets)} == seen


async def test_a_relay_killed_between_publishing_and_commit_sends_again_under_the_same_id(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Relay._send
    killed: list[int] = []

    async def die_after(self: Relay, publisher: Publisher, rows: list[asyncpg.Record]) -> None:
        await send(self, publisher, rows)
        if not killed:
            killed.append(len(rows))
            raise asyncio.CancelledError

    monkeypatch.setattr(Relay, "_send", die_after)
    events = [opened() for _ in range(20)]
    async with chassis.connection() as client:
        async with chassis.relaying():
            await chassis.publish(*events)
            await eventually(lambda: killed)
        assert await chassis.count("outbox") > 0
        async with chassis.relaying():
            await eventually(lambda: _logged(chassis, 20))
        found = await chassis.in_stream(client.jetstream())
    assert sorted(str(event["id"]) for event in found) == sorted(str(event.id) for event in events)


async def test_what_is_published_while_the_broker_is_down_goes_out_when_it_is_back(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    async with chassis_on(stage, server.url) as chassis:
        before, between, after = opened(), opened(), opened()
        async with chassis.relaying() as relay:  # Starts though the broker is not there.
            await chassis.publish(before)
            await eventually(lambda: relay.age > 0)
            server.start()
            try:
                await chassis.prepare()
                await eventually(lambda: _logged(chassis, 1), within=15)
                server.kill()
                await chassis.publish(between)
                await asyncio.sleep(1)
                assert await chassis.count("outbox") == 1
                server.start()
                await eventually(lambda: _logged(chassis, 2), within=20)
                await chassis.publish(after)
                await eventually(lambda: _logged(chassis, 3), within=20)
                async with chassis.connection() as client:
                    found = await chassis.in_stream(client.jetstream())
                assert [event["id"] for event in found] == [str(event.id) for event in (before, between, after)]
                await eventually(lambda: relay.age == 0)  # known with the next look
            finally:
                server.kill()


async def test_a_relay_outlives_the_loss_of_its_database_connection(chassis: Chassis) -> None:
    async with chassis.relaying():
        await chassis.publish(opened())
        await eventually(lambda: _logged(chassis, 1))
        await chassis.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tickets relay'"
        )
        await chassis.publish(opened())
        await eventually(lambda: _logged(chassis, 2))


async def test_expired_rows_are_swept_and_others_stay(chassis: Chassis) -> None:
    await chassis.database.execute(
        "INSERT INTO inbox VALUES (310104, 'x', gen_random_uuid(), now() - interval '46 days'),"
        " (310104, 'x', gen_random_uuid(), now() - interval '44 days');"
        "INSERT INTO idempotency_key SELECT 310104, gen_random_uuid(), 'k', '', 200, '{}', '', now() + shift"
        " FROM unnest(ARRAY[interval '-1 second', interval '1 hour']) shift"
    )
    async with chassis.relaying():
        await eventually(lambda: _counts(chassis, inbox=1, idempotency_key=1))


async def test_a_wake_moves_an_event_within_a_tenth_of_a_second(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_POLL", 60)  # who is not woken is late by far, also where the machine is slow
    async with chassis.relaying(), chassis.connection() as client:
        await chassis.publish(opened())
        await eventually(lambda: _logged(chassis, 1))
        arrived: asyncio.Queue[float] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def stamp(_: object) -> None:
            await arrived.put(loop.time())

        await client.subscribe("linli.tickets.>", cb=stamp)
        waits = []
        for _ in range(9):
            begun = loop.time()
            await chassis.publish(opened())
            waits.append(await asyncio.wait_for(arrived.get(), 20) - begun)
    assert min(waits) < 0.1


async def test_after_a_round_of_six_events_or_more_the_next_waits_twice_as_long(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces: dict[int, float] = {}
    rounds = [0]
    begin = Relay._round

    async def counted(self: Relay, lanes: list[_Lane]) -> int:
        rounds.append(await begin(self, lanes))
        return rounds[-1]

    class Waiting:
        """asyncio, as the relay sees it."""

        def __getattr__(self, name: str) -> object:
            return getattr(asyncio, name)

        async def sleep(self, seconds: float) -> None:
            paces.setdefault(rounds[-1], seconds)  # what follows an error is no pace
            await asyncio.sleep(seconds)

    monkeypatch.setattr(Relay, "_round", counted)
    monkeypatch.setattr(relay, "asyncio", Waiting())
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: 0.0))  # a round takes no time
    async with chassis.relaying():
        for events in (1, 5, 6, 40):
            await chassis.publish(*(opened() for _ in range(events)))
            await eventually(lambda of=events: of in paces)  # type: ignore[misc]
    paces.pop(0, None)
    assert paces == {1: 0.008, 5: 0.008, 6: 0.016, 40: 0.016}


async def _logged(chassis: Chassis, expected: int) -> bool:
    return await chassis.count("event_log") == expected and await chassis.count("outbox") == 0


async def _counts(chassis: Chassis, **expected: int) -> bool:
    return {table: await chassis.count(table) for table in expected} == expected
