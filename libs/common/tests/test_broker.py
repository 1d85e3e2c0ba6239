import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import nats
import pytest
from libs.common.tests.conftest import Chassis, chassis_on, opened, record
from nats.js.errors import APIError, NotFoundError

from linli.cloudevents import headers_of
from linli.events.directory import UnitChanged
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.streams import ensure_streams, nats_permissions
from linli.testing import NatsServer, Stage, eventually


@pytest.fixture
def points() -> Subscriptions:
    subscriptions = Subscriptions("points", known_units=True)
    subscriptions.on(TicketOpened)(record)
    return subscriptions


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A broker of the test's own, to be killed."""
    found = NatsServer(tmp_path / "store")
    yield found
    found.kill()


async def _effects(chassis: Chassis, expected: int) -> bool:
    return await chassis.count("effect") == expected


async def test_consumption_begins_when_the_broker_comes_and_goes_on_after_it_was_killed(
    stage: Stage, server: NatsServer, points: Subscriptions
) -> None:
    async with chassis_on(stage, server.url) as chassis, chassis.relaying(), chassis.consuming(points):
        await chassis.publish(opened())  # There is no broker, and nothing is refused.
        server.start()
        await asyncio.sleep(1)  # There is a broker, but neither stream nor consumer.
        await chassis.prepare(points)
        await eventually(lambda: _effects(chassis, 1), within=15)
        for expected in (2, 3):
            server.kill()
            await chassis.publish(opened())
            await asyncio.sleep(0.7)
            server.start()
            await eventually(partial(_effects, chassis, expected), within=15)


async def test_consumption_goes_on_after_streams_were_made_anew(
    stage: Stage, server: NatsServer, points: Subscriptions
) -> None:
    server.start()
    async with chassis_on(stage, server.url) as chassis:
        await chassis.prepare(points)
        async with chassis.relaying(), chassis.consuming(points):
            await chassis.publish(opened())
            await eventually(lambda: _effects(chassis, 1))
            await chassis.prepare(points)
            await chassis.publish(opened())
            await eventually(lambda: _effects(chassis, 2), within=20)


class Guarded:
    """A broker with users whose rights are the services' own; a reload changes their passwords."""

    def __init__(self, tmp_path: Path, *subscriptions: Subscriptions) -> None:
        self._file = tmp_path / "nats.conf"
        self._subscriptions = subscriptions
        self.write("first")
        self.server = NatsServer(tmp_path / "store", "-c", str(self._file))

    def write(self, password: str) -> None:
        users = [
            {"user": one.service, "password": password, "permissions": nats_permissions(one.service, one)}
            for one in self._subscriptions
        ]
        users.append({"user": "admin", "password": "admin", "permissions": {"publish": ">", "subscribe": ">"}})
        self._file.write_text(f"authorization: {json.dumps({'users': users})}\n")

    def reload(self, password: str) -> None:
        self.write(password)
        assert self.server._process
        os.kill(self.server._process.pid, signal.SIGHUP)

    def url(self, user: str, password: str) -> str:
        return f"nats://{user}:{password}@127.0.0.1:{self.server.port}"


@pytest.fixture
async def guarded(tmp_path: Path, points: Subscriptions) -> AsyncIterator[Guarded]:
    found = Guarded(tmp_path, points, Subscriptions("tickets"))
    found.server.start()
    admin = await nats.connect(found.url("admin", "admin"))
    await ensure_streams(admin.jetstream(), [points])
    await admin.close()
    yield found
    found.server.kill()


async def test_a_service_works_with_the_rights_it_is_given(
    stage: Stage, guarded: Guarded, points: Subscriptions
) -> None:
    async with (
        chassis_on(stage, guarded.url("tickets", "first")) as tickets,
        chassis_on(stage, guarded.url("points", "first")) as chassis,
        tickets.relaying(),
        chassis.consuming(points),
    ):
        await tickets.publish(opened())
        await eventually(lambda: _effects(chassis, 1))


async def test_a_service_can_neither_speak_for_another_nor_take_its_messages(guarded: Guarded) -> None:
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        await refused.put(str(error).lower())

    client = await nats.connect(guarded.url("tickets", "first"), error_cb=note, inbox_prefix="_INBOX_tickets")
    js = client.jetstream(timeout=0.5)
    for attempt in (
        js.publish("linli.points.310104.awarded.v1", b"{}"),
        js.publish("$JS.API.CONSUMER.MSG.NEXT.TICKETS.points-tickets", b""),
        js.delete_stream("TICKETS"),
        js.consumer_info("TICKETS", "points-tickets"),
        js.stream_info("POINTS"),
    ):
        with pytest.raises((nats.errors.TimeoutError, APIError)):
            await attempt
        assert "permissions violation" in await asyncio.wait_for(refused.get(), 20)
    for subject in ("linli.>", "_INBOX_points.>", "$JS.ACK.>"):
        await client.subscribe(subject)
        assert "permissions violation" in await asyncio.wait_for(refused.get(), 20)
    await client.close()


async def test_a_connection_refused_for_good_is_made_anew_and_stops_nothing_else(
    stage: Stage, guarded: Guarded, points: Subscriptions
) -> None:
    async with chassis_on(stage, guarded.url("points", "first")) as chassis, chassis.consuming(points):
        admin = await nats.connect(guarded.url("admin", "admin"))
        js = admin.jetstream()

        async def tell() -> None:
            event = opened()
            await js.publish(event.subject, event.model_dump_json().encode(), headers=headers_of(event))

        await tell()
        await eventually(lambda: _effects(chassis, 1))
        guarded.reload("second")
        ticks = 0
        for _ in range(20):
            await asyncio.sleep(0.05)
            ticks += 1
        assert ticks == 20  # The loop is free for requests.
        guarded.reload("first")
        await tell()
        await eventually(lambda: _effects(chassis, 2), within=15)
        await admin.close()


async def test_streams_and_consumers_are_made_once_and_brought_up_to_date(chassis: Chassis) -> None:
    first, second = Subscriptions("points"), Subscriptions("points", known_units=True)
    for one in (first, second):
        one.on(TicketOpened)(record)
    async with chassis.connection() as client:
        js = client.jetstream()
        await ensure_streams(js, [first])
        await js.publish("linli.tickets.310104.opened.v1", b"{}")
        with pytest.raises(NotFoundError):
            await js.consumer_info("DIRECTORY_STATE", "points-units")
        await ensure_streams(js, [second])
        await ensure_streams(js, [second])
        assert (await js.stream_info("TICKETS")).state.messages == 1
        assert (await js.consumer_info("TICKETS", "points-tickets")).num_pending == 1
        units = await js.consumer_info("DIRECTORY_STATE", "points-units")
        assert units.config.filter_subjects == [UnitChanged.subject_for("*", "*")]
        tickets = await js.stream_info("TICKETS")
        states = await js.stream_info("DIRECTORY_STATE")
    assert (tickets.config.max_age, tickets.config.max_msgs_per_subject) == (30 * 86_400, -1)
    assert (states.config.max_age, states.config.max_msgs_per_subject) == (0, 1)
