"""`LINLI_SHARDS` says on which database server a district lives, and nothing that is wrong is taken for a map."""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace

import pytest
from libs.common.tests.conftest import GRID, Chassis, opened, record
from pydantic import ValidationError

from linli import consumer, units
from linli.cloudevents import headers_of
from linli.consumer import consuming
from linli.db import OneDistrict, Scope, create_engine, create_sessions, transaction
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.lanes import Lane
from linli.settings import Settings
from linli.shards import BadShards, Shards
from linli.testing import Stage, Watch, eventually

FOREIGN = "310115003001001"


def test_a_district_lives_on_the_server_that_names_it_and_all_others_at_home() -> None:
    shards = Shards.parse('{"postgres-2:5432": [310104, 310115], "[fd00::1]:6432": [310101], "next:5432": []}')
    assert shards.addresses == ("postgres-2:5432", "[fd00::1]:6432", "next:5432")
    assert shards.of(310104) == shards.of(310115) == "postgres-2:5432"
    assert shards.of(310101) == "[fd00::1]:6432"
    assert shards.of(310106) is None
    assert shards.of(0) is None


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_without_a_map_there_is_one_server(text: str) -> None:
    assert Shards.parse(text) == Shards()
    assert Shards().addresses == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('[["a:1", [310104]]]', "no JSON object"),
        ("null", "no JSON object"),
        ('{"postgres-2": [310104]}', "no host:port"),
        ('{"postgres-2:0": [310104]}', "no host:port"),
        ('{"postgres-2:70000": [310104]}', "no host:port"),
        ('{"u:secret@postgres-2:5432": [310104]}', "no host:port"),
        ('{"postgres-2:5432/tickets": [310104]}', "no host:port"),
        ('{"a:1": 310104}', "no list of districts"),
        ('{"a:1": [3101]}', "no district of six digits"),
        ('{"a:1": ["310104"]}', "no district of six digits"),
        ('{"a:1": [310104003]}', "no district of six digits"),
        ('{"a:1": [0]}', "no district of six digits"),
        ('{"a:1": [310104], "b:1": [310104]}', "310104 is named twice"),
        ('{"a:1": [310104, 310104]}', "310104 is named twice"),
        # A plain dict would keep the second and forget a district.
        ('{"a:1": [310104], "a:1": [310115]}', "a:1 is named twice"),
    ],
)
def test_what_is_wrong_is_said_in_both_languages(text: str, reason: str) -> None:
    with pytest.raises(BadShards, match=reason) as refused:
        Shards.parse(text)
    assert "分片设置 LINLI_SHARDS 有误" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [
        ("postgresql://u:p%40s@postgres:5432/tickets", "postgresql://u:p%40s@postgres-2:6432/tickets"),
        ("postgresql://u@/tickets?host=/tmp/pg", "postgresql://u@postgres-2:6432/tickets"),
        ("postgresql://u:p@h/t?sslmode=require&port=1", "postgresql://u:p@postgres-2:6432/t?sslmode=require"),
    ],
)
def test_another_server_is_asked_for_the_same_database_as_the_same_user(url: str, elsewhere: str) -> None:
    assert Shards.at(url, "postgres-2:6432") == elsewhere
    assert Shards.at(url, None) == url


def test_a_service_is_told_by_its_environment_and_refuses_what_it_can_not_use(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = stage.settings("tickets", "tickets")
    for name in ("database_url", "relay_database_url", "nats_url", "master_key"):
        monkeypatch.setenv(f"LINLI_{name.upper()}", getattr(told, name).get_secret_value())
    monkeypatch.setenv("LINLI_JWKS_URL", told.jwks_url)
    for text, servers in (("", 1), ('{"postgres-2:5432": [310104]}', 2)):
        monkeypatch.setenv("LINLI_SHARDS", text)
        assert len(Settings().shards.servers) == servers
    monkeypatch.setenv("LINLI_SHARDS", '{"postgres-2:5432": [31]}')
    with pytest.raises(ValidationError, match="no district of six digits"):
        Settings()
    monkeypatch.setenv("LINLI_DATABASE_URL", "postgresql://tickets_app:x@postgres:5432/tickets")
    monkeypatch.setenv("LINLI_SHARDS", '{"postgres:5432": [310104]}')
    with pytest.raises(ValidationError, match="own server"):
        Settings()
    assert os.environ["LINLI_SHARDS"]


async def test_what_reaches_beyond_a_district_must_name_its_server(stage: Stage) -> None:
    shards = Shards.parse('{"127.0.0.1:9": [310115]}')
    settings = stage.settings("shelf", await stage.fresh_database("shelf"), shards=shards)
    engines = {server: create_engine(settings, "shelf", server) for server in shards.servers}
    sessions = create_sessions(engines, lambda _: None, shards)
    everything = Scope.of_unit(units.PLATFORM)
    with pytest.raises(OneDistrict):
        async with transaction(sessions, everything) as session:
            await session.connection()
    async with transaction(sessions, everything, None) as session:
        assert (await session.connection()).engine is engines[None]
    for district in (310104, units.PLATFORM):
        async with transaction(sessions, Scope.of_district(district)) as session:
            assert (await session.connection()).engine is engines[None]
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        async with transaction(sessions, Scope.of_district(310115)) as session:
            await session.connection()
    for engine in engines.values():
        await engine.dispose()


def test_while_a_server_is_away_one_message_tries_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr("linli.lanes.time", SimpleNamespace(monotonic=lambda: clock))
    lane = Lane(slots=5, at_most=25)
    assert not any(lane.closed() for _ in range(10))
    lane.lost()
    assert all(lane.closed() for _ in range(10))
    clock = 2
    assert [lane.closed() for _ in range(3)] == [False, True, True]
    clock = 20
    assert lane.closed()  # the one that tries may take its time
    clock = 30
    assert not lane.closed()  # and should it never say how it went, another tries
    lane.lost()
    assert lane.closed()
    lane.answered()
    assert not any(lane.closed() for _ in range(10))


@pytest.fixture
async def silence() -> AsyncIterator[str]:
    """A server that takes connections and never answers, as one behind a broken network does."""
    ended = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ended.set()
    server.close()
    await server.wait_closed()


async def test_a_server_that_says_nothing_holds_up_the_events_of_the_others_once(
    chassis: Chassis, silence: str
) -> None:
    subscriptions = Subscriptions("points")
    subscriptions.on(TicketOpened)(record)
    await chassis.prepare(subscriptions)
    shards = Shards.parse(f'{{"{silence}": [310115]}}')
    settings = chassis.settings.model_copy(update={"shards": shards})
    engines = {server: create_engine(settings, "points", server) for server in shards.servers}
    sessions = create_sessions(engines, lambda _: None, shards)
    took = []
    async with consuming("points", settings, sessions, subscriptions), chassis.connection() as client:
        js = client.jetstream()

        async def send(unit: str) -> None:
            event = opened(unit=unit)
            await js.publish(event.subject, event.model_dump_json().encode(), headers=headers_of(event))

        for _ in range(3 * consumer._IN_HAND):
            await send(FOREIGN)
        for count in range(1, 9):
            async with Watch() as watch:
                await send(GRID)
                await eventually(partial(_effects, chassis, count), within=30)
            took.append(watch.seconds)
    for engine in engines.values():
        await engine.dispose()
    # Once, until the first attempts have failed; from then on one message in a second or so tries.
    assert sum(seconds > 2 for seconds in took) <= 1, took


async def _effects(chassis: Chassis, count: int) -> bool:
    return await chassis.count("effect") == count
