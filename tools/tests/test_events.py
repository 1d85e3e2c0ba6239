"""`linli events replay` and `reconcile`, where the broker or a message is not as it should be."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import nats
import pytest
from nats.js import JetStreamContext

from linli.crypto import MasterKeys
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.shards import Shards
from linli.testing import Stage, fresh_streams
from linli_cli.archive.stores import Stores
from linli_cli.console import Trouble
from linli_cli.events.replay import replay
from linli_cli.events.states import untold
from linli_cli.events.told import Look

SUBJECT = "linli.tickets.310104.opened.v1"
SINCE = timedelta(hours=1)


class Broker(Stores):
    """The stores of a platform whose databases are one."""

    database = ""

    def _at(self, service: str, address: str | None) -> str:
        assert (service, address) == ("tickets", None)
        return self.database


def stores_of(broker: str) -> Broker:
    return Broker(broker, MasterKeys("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), Shards.parse(""), "", "")


@pytest.fixture
async def js(stage: Stage) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(stage.server.url)
    found = client.jetstream()
    listening = Subscriptions("notifications")
    listening.on(TicketOpened)(_ignore)
    await fresh_streams(found, [listening])
    yield found
    await client.close()


async def _ignore(session: object, event: TicketOpened) -> None: ...


@pytest.fixture
async def stores(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stores:
    name = await stage.fresh_database("tickets")
    monkeypatch.setattr(Broker, "database", stage.url("postgres", name))
    return stores_of(stage.server.url)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ce-id": "7"},
        {"ce-time": "yesterday"},
        {"ce-time": "0001-01-01T00:00:00+08:00"},
        {"ce-type": "tickets%00"},
        {"ce-id": None},
        {"ce-time": None},
        {"ce-type": None},
    ],
    ids=str,
)
async def test_a_message_that_is_no_event_hides_no_lost_one(
    stores: Stores, js: JetStreamContext, wrong: dict[str, str | None]
) -> None:
    told = {"ce-id": str(uuid4()), "ce-type": "tickets.opened.v1", "ce-time": "2026-05-01T08:00:00Z"}
    headers = {name: value for name, value in (told | wrong).items() if value is not None}
    await js.publish(SUBJECT, b"{}", headers=headers)
    lost = uuid4()
    database = await asyncpg.connect(stores.url("tickets", 310104))
    await database.execute(
        "INSERT INTO event_log (id, event_id, district, aggregate, subject, payload, headers, created_at)"
        """ VALUES (1, $1, 310104, '', $2, '{}', '{"ce-type": "tickets.opened.v1"}', now())""",
        lost,
        SUBJECT,
    )
    await database.close()
    since = datetime.now(UTC) - SINCE
    async with Look(stores, js, since, None).at("tickets", stores.url("tickets", 310104)) as one:
        assert (await one.unreadable(), await one.lost(), await one.strange()) == (1, 1, [])
    assert await replay(stores, ["tickets"], since, None, lambda *_: None) == (1, 0)
    assert (await js.get_last_msg("TICKETS", SUBJECT)).headers == {
        "ce-type": "tickets.opened.v1",
        "Nats-Msg-Id": str(lost),
    }


@pytest.mark.parametrize("told", [None, {"ce-sequence": "x"}], ids=str)
async def test_a_message_that_is_no_state_hides_none(
    stage: Stage, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, told: dict[str, str] | None
) -> None:
    directory = stage.url("postgres", await stage.fresh_database("directory"))
    monkeypatch.setattr(Broker, "_at", lambda *_: directory)
    database = await asyncpg.connect(directory)
    await database.execute("INSERT INTO unit (district, unit, name) VALUES (310104, 310104000000000000, '徐汇区')")
    await database.close()

    async def lost() -> list[str]:
        [(number, states)] = [one async for one in untold(stores_of(stage.server.url), js, None)]
        assert number == 1
        return [state.subject for state in states]

    [subject] = await lost()
    await js.publish(subject, b"{}", headers={"ce-sequence": "1"})
    assert await lost() == []
    await js.publish(subject, b"{}", headers=told)
    assert await lost() == [subject]


async def test_a_broker_that_is_down_is_told_in_seconds(unused_tcp_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(Trouble, match="broker does not answer"):
        async with stores_of(f"nats://127.0.0.1:{unused_tcp_port}").jetstream():
            pass
    assert time.monotonic() - began < 5
