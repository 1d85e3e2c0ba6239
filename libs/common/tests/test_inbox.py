import asyncio
from typing import TYPE_CHECKING

import pytest
from libs.common.tests.conftest import DISTRICT, GRID, Chassis, opened, record
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from opentelemetry import trace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from linli import consumer, streams, units
from linli.cloudevents import headers_of
from linli.events import Event
from linli.events.directory import UnitChanged
from linli.events.tickets import TicketOpened, TicketRated
from linli.inbox import Subscriptions
from linli.models import KnownUnit
from linli.pulling import Pull
from linli.streams import ensure_streams
from linli.testing import eventually

if TYPE_CHECKING:
    from uuid import UUID


@pytest.fixture
def points() -> Subscriptions:
    """Points listens to opened tickets, and has an effect for each."""
    subscriptions = Subscriptions("points")
    subscriptions.on(TicketOpened)(record)
    return subscriptions


async def send(js: JetStreamContext, event: Event, *, twice: int = 0, **headers: str) -> None:
    """Send as the relay does, but without what lets the broker drop duplicates."""
    for _ in range(twice + 1):
        await js.publish(event.subject, event.model_dump_json().encode(), headers={**headers_of(event), **headers})


def at_once(delivery: int, *, at_most: float) -> float:
    return min(0.01 * delivery, at_most)


async def settled(js: JetStreamContext) -> bool:
    """Tell whether all that the stream has was answered: what was sent just now may not be counted as pending yet."""
    info = await js.consumer_info("TICKETS", "points-tickets")
    return bool(info.ack_floor and info.ack_floor.stream_seq == (await js.stream_info("TICKETS")).state.last_seq)


def take_together(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have a consumer take so many messages at a time, however few of them the broker hands over at once."""
    take = Pull.next

    async def take_all(self: Pull, room: int) -> list[Msg]:
        came = await take(self, room)
        while came and len(came) < count:
            came += await take(self, room - len(came))
        return came

    monkeypatch.setattr(Pull, "next", take_all)


async def test_from_outbox_to_effect(chassis: Chassis, points: Subscriptions) -> None:
    await chassis.prepare(points)
    events = [opened() for _ in range(300)]
    async with chassis.relaying(), chassis.consuming(points), chassis.connection() as client:
        await chassis.publish(*events)
        await eventually(lambda: _effects(chassis, 300))
        await eventually(lambda: settled(client.jetstream()))
    assert sorted(await chassis.effects()) == sorted(event.id for event in events)
    assert await chassis.count("inbox") == 300


async def test_a_message_that_comes_twice_has_one_effect(chassis: Chassis, points: Subscriptions) -> None:
    await chassis.prepare(points)
    event = opened()
    async with chassis.consuming(points), chassis.connection() as client:
        js = client.jetstream()
        await send(js, event, twice=4)
        await send(js, opened())
        await eventually(lambda: settled(js))
    assert len(await chassis.effects()) == 2
    assert (await chassis.effects()).count(event.id) == 1


async def test_a_handler_that_fails_leaves_nothing_and_is_tried_again(chassis: Chassis) -> None:
    subscriptions = Subscriptions("points")
    tries: list[object] = []

    @subscriptions.on(TicketOpened)
    async def fail_twice(session: AsyncSession, event: TicketOpened) -> None:
        await record(session, event)
        tries.append(event.id)
        if len(tries) < 3:
            raise LookupError("not yet")

    await chassis.prepare(subscriptions)
    async with chassis.consuming(subscriptions), chassis.connection() as client:
        await send(client.jetstream(), opened())
        await eventually(lambda: settled(client.jetstream()))
    assert len(tries) == 3
    assert len(await chassis.effects()) == 1
    assert await chassis.count("dead_letter") == 0


async def test_a_message_that_always_fails_becomes_a_dead_letter_and_stops_nobody(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_delay", at_once)
    subscriptions = Subscriptions("points")
    poison = opened()

    @subscriptions.on(TicketOpened)
    async def choke(session: AsyncSession, event: TicketOpened) -> None:
        await record(session, event)
        if event.id == poison.id:
            raise ValueError("can't be")

    await chassis.prepare(subscriptions)
    async with chassis.consuming(subscriptions), chassis.connection() as client:
        await send(client.jetstream(), poison)
        good = [opened() for _ in range(5)]
        for event in good:
            await send(client.jetstream(), event)
        await eventually(lambda: settled(client.jetstream()))
    letter = await chassis.database.fetchrow("SELECT * FROM dead_letter")
    assert letter["event_id"] == poison.id
    assert letter["deliveries"] == consumer.TRIES
    assert letter["district"] == DISTRICT
    assert letter["error"] == "ValueError: can't be"
    assert sorted(await chassis.effects()) == sorted(event.id for event in good)


async def test_events_that_wait_share_transactions_and_each_stays_in_its_trace(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_together(monkeypatch, 90)  # a half of them comes twice
    subscriptions = Subscriptions("points")
    traces: dict[UUID, int] = {}
    transactions: set[int] = set()

    @subscriptions.on(TicketOpened)
    async def note(session: AsyncSession, event: TicketOpened) -> None:
        traces[event.id] = trace.get_current_span().get_span_context().trace_id
        transactions.add(await session.scalar(text("SELECT pg_current_xact_id()::text::bigint")) or 0)
        await record(session, event)

    await chassis.prepare(subscriptions)
    events = [opened() for _ in range(60)]
    async with chassis.connection() as client:
        js = client.jetstream()
        for number, event in enumerate(events, 1):
            await send(js, event, traceparent=f"00-{number:032x}-{number:016x}-01", twice=number % 2)
        async with chassis.consuming(subscriptions):
            await eventually(lambda: settled(js))
    assert [traces[event.id] for event in events] == list(range(1, 61))
    assert sorted(await chassis.effects()) == [event.id for event in events]
    assert len(transactions) < 10


async def test_one_that_fails_among_many_takes_none_of_them_with_it(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_delay", at_once)
    subscriptions = Subscriptions("points")
    events = [opened() for _ in range(60)]

    @subscriptions.on(TicketOpened)
    async def choke(session: AsyncSession, event: TicketOpened) -> None:
        await record(session, event)
        if event.id == events[30].id:
            raise ValueError("can't be")

    await chassis.prepare(subscriptions)
    async with chassis.connection() as client:
        js = client.jetstream()
        for event in events:
            await send(js, event)
        async with chassis.consuming(subscriptions):
            await eventually(lambda: settled(js))
    assert sorted(await chassis.effects()) == sorted(event.id for event in events if event is not events[30])
    assert await chassis.count("dead_letter") == 1


async def test_an_event_finds_what_the_one_before_it_has_written(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share a session, whose memory of rows would hide what a statement changed meanwhile."""
    take_together(monkeypatch, 5)
    subscriptions = Subscriptions("points", known_units=True)
    seen: list[str] = []
    kept: list[KnownUnit] = []

    @subscriptions.on(TicketOpened)
    async def rename(session: AsyncSession, event: TicketOpened) -> None:
        unit = await session.get_one(KnownUnit, (event.district, event.unit))
        seen.append(unit.name)
        kept.append(unit)  # or the session, whose references are weak, would forget it by itself
        await session.execute(text("UPDATE known_unit SET name = name || 'I'"))

    await chassis.prepare(subscriptions)
    await chassis.database.execute(
        "INSERT INTO known_unit VALUES ($1, $2, 'grid', '', true, 1)", DISTRICT, units.parse(GRID)
    )
    async with chassis.connection() as client:
        js = client.jetstream()
        for _ in range(5):
            await send(js, opened())
        async with chassis.consuming(subscriptions):
            await eventually(lambda: settled(js))
    assert seen == ["", "I", "II", "III", "IIII"]


@pytest.mark.parametrize(
    ("payload", "kind", "reason"),
    [
        (b"{", "tickets.opened.v1", "json_invalid"),
        (b"\xff\xfe\x00", "tickets.opened.v1", "json_invalid"),
        (b"{}", "tickets.opened.v1", "missing"),
        (b"{}", "tickets.unheard.v1", "no contract"),
        (b"{}", "", "no contract"),
        (b"{}", "%FF%00", "percent-encoded"),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter_at_once(
    chassis: Chassis, points: Subscriptions, payload: bytes, kind: str, reason: str
) -> None:
    await chassis.prepare(points)
    async with chassis.consuming(points), chassis.connection() as client:
        js = client.jetstream()
        await js.publish("linli.tickets.310104.opened.v1", payload, headers={"ce-type": kind, "ce-id": "none"})
        await eventually(lambda: settled(js))
    letter = await chassis.database.fetchrow("SELECT * FROM dead_letter")
    assert reason in letter["error"]
    assert letter["payload"] == payload
    assert letter["deliveries"] == 1
    assert letter["event_id"] is None


async def test_an_event_on_a_foreign_subject_is_not_believed(chassis: Chassis, points: Subscriptions) -> None:
    await chassis.prepare(points)
    async with chassis.consuming(points), chassis.connection() as client:
        js = client.jetstream()
        event = opened()
        body = event.model_dump_json().encode()
        await js.publish("linli.tickets.310115.opened.v1", body, headers=headers_of(event))
        await js.publish("linli.tickets.nowhere.opened.v1", body, headers=headers_of(event))
        await eventually(lambda: settled(js))
    rows = await chassis.database.fetch("SELECT district FROM dead_letter ORDER BY 1")
    assert [row["district"] for row in rows] == [0, 310115]
    assert await chassis.effects() == []


async def test_fields_that_a_newer_publisher_added_are_ignored(chassis: Chassis, points: Subscriptions) -> None:
    await chassis.prepare(points)
    event = opened()
    async with chassis.consuming(points), chassis.connection() as client:
        body = event.model_dump_json()[:-1] + ',"colour":"red"}'
        await client.jetstream().publish(event.subject, body.encode(), headers=headers_of(event))
        await eventually(lambda: _effects(chassis, 1))


async def test_a_handler_sees_its_district_and_no_other(chassis: Chassis) -> None:
    subscriptions = Subscriptions("points")
    seen: list[tuple[str, str, str]] = []

    @subscriptions.on(TicketOpened)
    async def look(session: AsyncSession, _: TicketOpened) -> None:
        row = (
            await session.execute(text("SELECT current_user, current_setting('app.lo'), current_setting('app.hi')"))
        ).one()
        seen.append((row[0], row[1], row[2]))

    await chassis.prepare(subscriptions)
    async with chassis.consuming(subscriptions), chassis.connection() as client:
        await send(client.jetstream(), opened())
        await eventually(lambda: seen)
    assert seen == [("linli_scoped", "310104000000000000", "310104999999999999")]


@pytest.mark.parametrize("sqlstate", ["40001", "25006", "25P03"])
async def test_what_passes_uses_up_none_of_the_tries_that_a_message_has(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch, sqlstate: str
) -> None:
    monkeypatch.setattr(consumer, "_delay", at_once)
    subscriptions = Subscriptions("points")
    tries: list[int] = []

    @subscriptions.on(TicketOpened)
    async def stumble(session: AsyncSession, event: TicketOpened) -> None:
        tries.append(len(tries) + 1)
        if len(tries) <= consumer.TRIES + 2:
            await session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"))
        if len(tries) <= consumer.TRIES + 4:
            raise ValueError("a slow start after an outage")
        await record(session, event)

    await chassis.prepare(subscriptions)
    async with chassis.consuming(subscriptions), chassis.connection() as client:
        await send(client.jetstream(), opened())
        await eventually(lambda: settled(client.jetstream()))
    assert len(tries) == consumer.TRIES + 5
    assert await chassis.count("dead_letter") == 0
    assert len(await chassis.effects()) == 1


async def test_nothing_is_lost_while_the_database_is_away(
    chassis: Chassis, points: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_delay", at_once)
    name = await chassis.database.fetchval("SELECT current_database()")
    role = "tickets_app"
    await chassis.prepare(points)
    events = [opened() for _ in range(10)]
    async with chassis.consuming(points), chassis.connection() as client:
        js = client.jetstream()
        await chassis.database.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC, {role}")
        await chassis.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND datname = $2", role, name
        )
        for event in events:
            await send(js, event)

        async def redelivered() -> int:
            return (await js.consumer_info("TICKETS", "points-tickets")).num_redelivered or 0

        await eventually(redelivered)
        assert await chassis.effects() == []
        await chassis.database.execute(f"GRANT CONNECT ON DATABASE {name} TO {role}")
        await eventually(lambda: settled(js))
    assert sorted(await chassis.effects()) == sorted(event.id for event in events)


async def test_what_was_taken_but_not_begun_is_given_back_at_the_end(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ACK_WAIT", 60)
    subscriptions = Subscriptions("points")
    begun = asyncio.Event()

    @subscriptions.on(TicketOpened)
    async def slowly(session: AsyncSession, event: TicketOpened) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        await record(session, event)

    await chassis.prepare(subscriptions)
    async with chassis.connection() as client:
        js = client.jetstream()
        for _ in range(40):
            await send(js, opened())
        with monkeypatch.context() as together:
            take_together(together, 40)
            async with chassis.consuming(subscriptions):
                await begun.wait()
        done = len(await chassis.effects())
        assert 0 < done < 40
        # Another replica has the rest at once, not after the broker has waited for an answer.
        async with chassis.consuming(subscriptions):
            await eventually(lambda: _effects(chassis, 40), within=30)


async def test_what_takes_long_is_not_given_to_another_meanwhile(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ACK_WAIT", 4)
    monkeypatch.setattr(consumer, "_AT_WORK_EVERY", 0.1)
    subscriptions = Subscriptions("points")

    @subscriptions.on(TicketOpened)
    async def slowly(session: AsyncSession, event: TicketOpened) -> None:
        await asyncio.sleep(6)
        await record(session, event)

    await chassis.prepare(subscriptions)
    async with chassis.consuming(subscriptions), chassis.connection() as client:
        js = client.jetstream()
        await send(js, opened())
        await eventually(lambda: _effects(chassis, 1))
        await eventually(lambda: settled(js))
        info = await js.consumer_info("TICKETS", "points-tickets")
        assert info.delivered.consumer_seq == 1


async def test_units_are_known_newest_first_whatever_order_they_come_in(chassis: Chassis) -> None:
    subscriptions = Subscriptions("points", known_units=True)
    await chassis.prepare(subscriptions)

    def changed(code: str, sequence: int, name: str) -> UnitChanged:
        return UnitChanged(unit=code, sequence=sequence, kind="grid", name=name, active=True)

    async with chassis.consuming(subscriptions), chassis.connection() as client:
        js = client.jetstream()
        await send(js, changed(GRID, 2, "new"))
        await eventually(lambda: _named(chassis, "new"))
        await send(js, changed(GRID, 1, "old"))
        await send(js, changed("310104003001002", 1, "other"))
        await eventually(lambda: _named(chassis, "other"))
        assert await _named(chassis, "new")
        await send(js, changed(GRID, 3, "newest"))
        await eventually(lambda: _named(chassis, "newest"))
    assert await chassis.count("known_unit") == 2
    assert await chassis.count("inbox") == 0


async def test_a_service_that_comes_later_learns_every_unit(chassis: Chassis) -> None:
    await chassis.prepare()
    async with chassis.connection() as client:
        js = client.jetstream()
        for number in range(100, 400):
            for sequence in (1, 2):
                event = UnitChanged(
                    unit=units.parse(f"310104003001{number}"), sequence=sequence, kind="grid", name="格", active=True
                )
                await send(js, event)
        late = Subscriptions("bookings", known_units=True)
        await ensure_streams(js, [late])
        async with chassis.consuming(late):
            await eventually(lambda: _known(chassis, 300))
    assert await chassis.database.fetchval("SELECT count(*) FROM known_unit WHERE sequence = 2") == 300


async def test_one_unwritable_state_does_not_hold_up_the_others(
    chassis: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_delay", at_once)
    subscriptions = Subscriptions("points", known_units=True)
    await chassis.prepare(subscriptions)
    await chassis.database.execute("ALTER TABLE known_unit ADD CONSTRAINT no_bad CHECK (name <> 'bad')")
    async with chassis.connection() as client:
        js = client.jetstream()
        for number in range(10, 60):
            name = "bad" if number == 30 else "good"
            event = UnitChanged(
                unit=units.parse(f"3101040030010{number}"), sequence=1, kind="grid", name=name, active=True
            )
            await send(js, event)
        async with chassis.consuming(subscriptions):
            await eventually(lambda: _known(chassis, 49))
            await eventually(lambda: _buried(chassis, 1))
    assert (await chassis.database.fetchval("SELECT error FROM dead_letter")) == "CheckViolationError 23514 no_bad"


def test_a_contract_has_one_handler_of_the_right_kind() -> None:
    subscriptions = Subscriptions("points", known_units=True)
    subscriptions.on(TicketRated)(record)
    with pytest.raises(ValueError, match="already"):
        subscriptions.on(TicketRated)(record)
    with pytest.raises(ValueError, match="a state"):
        Subscriptions("points").on(UnitChanged)(record)
    assert [(found.name, found.stream) for found in subscriptions.consumers] == [
        ("points-units", "DIRECTORY_STATE"),
        ("points-tickets", "TICKETS"),
    ]


def test_what_a_later_release_listens_to_does_not_reach_the_one_before() -> None:
    before, now = Subscriptions("points"), Subscriptions("points")
    for one in (before, now):
        one.on(TicketRated)(record)
    now.on(TicketOpened, since="0.2")(record)
    assert now.consumers[0] == before.consumers[0]
    assert [(found.name, found.contracts) for found in now.consumers[1:]] == [("points-tickets-0_2", (TicketOpened,))]
    assert [found.inbox for found in now.consumers] == ["points-tickets"] * 2, "what moves is not heard twice"


async def _effects(chassis: Chassis, expected: int) -> bool:
    return await chassis.count("effect") == expected


async def _known(chassis: Chassis, expected: int) -> bool:
    return await chassis.count("known_unit") == expected


async def _buried(chassis: Chassis, expected: int) -> bool:
    return await chassis.count("dead_letter") == expected


async def _named(chassis: Chassis, name: str) -> bool:
    return bool(await chassis.database.fetchval("SELECT count(*) FROM known_unit WHERE name = $1", name))
