"""The broker loses its disk while people work: what was told is told again, and has its effects once."""

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import nats
import psutil
import pytest
from nats.js import JetStreamContext
from tests.integration.conftest import SERVICES, Platform

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(300)]

COMMUNITY = "310104003001"
REPORT = {"unit": COMMUNITY, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
BEFORE, MEANWHILE = 20, 20


def broker(platform: Platform) -> psutil.Process:
    """Find the platform's NATS server."""
    for process in psutil.process_iter():
        try:
            if process.name() == "nats-server" and process.environ().get("LINLI_STACK") == str(platform.home):
                return process
        except psutil.Error:
            continue
    raise AssertionError("it has no broker")


@asynccontextmanager
async def jetstream(platform: Platform) -> AsyncIterator[JetStreamContext]:
    password = (platform.home / "secrets" / "nats_admin").read_text()
    client = await nats.connect(f"nats://admin:{password}@127.0.0.1:{platform.port + 21}")
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def opened(resident: httpx.AsyncClient, number: int) -> list[str]:
    tickets = []
    for _ in range(number):
        answer = await resident.post("/tickets/v1/tickets", json=REPORT)
        assert answer.status_code == 201, answer.text
        tickets.append(answer.json()["id"])
    return tickets


async def told(platform: Platform, tickets: list[str]) -> Counter[str]:
    async with platform.database("notifications") as database:
        query = "SELECT subject::text FROM notification WHERE kind = 'ticket_opened' AND subject = ANY ($1::uuid[])"
        return Counter(row[0] for row in await database.fetch(query, tickets))


async def inboxes(platform: Platform) -> int:
    found = 0
    for service in SERVICES:
        async with platform.database(service) as database:
            found += await database.fetchval("SELECT count(*) FROM inbox")
    return found


async def relayed(platform: Platform) -> None:
    """Wait until what was told meanwhile went out by itself; what is told again comes behind it."""
    async with platform.database("tickets") as database, asyncio.timeout(60):
        while await database.fetchval("SELECT count(*) FROM outbox"):  # noqa: ASYNC110 in another process
            await asyncio.sleep(0.1)


def lose_the_disk(platform: Platform) -> None:
    """Delete the store under a running server, and let it start with none."""
    process = broker(platform)
    process.send_signal(signal.SIGSTOP)
    # At once: while its threads come to a stop one by one they may still write.
    lost = (platform.home / "data" / "nats").rename(platform.home / "data" / "lost")
    process.kill()
    process.wait(10)
    shutil.rmtree(lost)


async def linli(platform: Platform, *arguments: str, check: bool = True) -> int:
    done = await asyncio.to_thread(platform.linli, *arguments, check=check)
    return done.returncode


async def test_what_the_broker_lost_is_told_again_and_has_its_effects_once(platform: Platform) -> None:
    async with platform.client("resident", "310104") as resident:
        tickets = await opened(resident, BEFORE)
        assert await linli(platform, "events", "reconcile") == 0
        handled = await inboxes(platform)
        load = asyncio.create_task(opened(resident, MEANWHILE))
        lose_the_disk(platform)
        tickets += await load
    await linli(platform, "streams")
    assert await linli(platform, "events", "reconcile", "--wait", "0", check=False) == 1
    await relayed(platform)

    await linli(platform, "events", "replay", "--since", "3d")
    assert await linli(platform, "events", "reconcile", "--since", "3d") == 0
    assert await told(platform, tickets) == dict.fromkeys(tickets, 1)
    # What had been handled before was told again, and nobody acted on it anew.
    assert await inboxes(platform) - handled == MEANWHILE
    async with jetstream(platform) as js:
        message = await js.get_last_msg("TICKETS", "linli.tickets.310104.opened.v1")
        assert message.headers
        assert "traceparent" not in message.headers
    before = await inboxes(platform)
    await linli(platform, "events", "replay", "--since", "3d")
    assert await inboxes(platform) == before


async def test_an_event_that_one_stream_lost_is_found_and_named(platform: Platform) -> None:
    async with jetstream(platform) as js:
        message = await js.get_last_msg("TICKETS", "linli.tickets.310104.opened.v1")
        assert message.seq
        assert message.headers
        await js.delete_msg("TICKETS", message.seq)
    done = await asyncio.to_thread(platform.linli, "events", "reconcile", "--since", "3d", check=False)
    assert done.returncode == 1
    assert message.headers["ce-id"] in done.stdout
    # The broker remembers the id for two minutes, and says so.
    again = await asyncio.to_thread(platform.linli, "events", "replay", "--since", "3d", check=False)
    assert (again.returncode, "two minutes" in again.stderr) in {(0, False), (1, True)}


async def bury(platform: Platform, *, broken: bool) -> str:
    """Make a dead letter for notifications of something that did happen; a broken one can't be read."""
    async with platform.database("tickets") as tickets:
        event = await tickets.fetchrow("SELECT * FROM event_log WHERE subject LIKE '%.310104.opened.v1' LIMIT 1")
    assert event
    payload = b"{}" if broken else event["payload"]
    facts = ("event_id", "subject", "headers")
    async with platform.database("notifications") as notifications:
        letter = await notifications.fetchval(
            """INSERT INTO dead_letter (district, id, consumer, event_id, subject, headers, payload, error, deliveries)
               VALUES (310104, gen_random_uuid(), 'notifications-tickets', $1, $2, $3, $4, 'TimeoutError', 8)
               RETURNING id""",
            *(event[name] for name in facts),
            payload,
        )
    return str(letter)


async def test_dead_letters_are_listed_read_replayed_and_discarded(platform: Platform) -> None:
    async with platform.client("operator", "0") as operator:  # what other tests have left is none of this one's
        for letter in (await operator.get("/notifications/v1/dead-letters?limit=200")).json()["items"]:
            await operator.post(f"/notifications/v1/dead-letters/{letter['id']}/discard")
    good, broken = await bury(platform, broken=False), await bury(platform, broken=True)

    def events(*arguments: str, check: bool = True) -> str:
        done = platform.linli("events", *arguments, check=check)
        assert check or done.returncode == 1
        return done.stdout + done.stderr

    listed = await asyncio.to_thread(events, "dead", "--district", "310104")
    assert good in listed
    assert broken in listed
    assert good not in await asyncio.to_thread(events, "dead", "--district", "530181")
    assert '"reporter' in await asyncio.to_thread(events, "show", "notifications", good)
    refused = await asyncio.to_thread(events, "replay-dead", "notifications", "--all", check=False)
    assert "1 of 2 still can't be handled" in refused
    assert "the payload breaks" in refused
    await asyncio.to_thread(events, "discard", "notifications", broken)
    assert "0 dead letters" in await asyncio.to_thread(events, "dead", "--service", "notifications")
    closed = await asyncio.to_thread(events, "dead", "--service", "notifications", "--all")
    assert "replayed" in closed
    assert "discarded" in closed
