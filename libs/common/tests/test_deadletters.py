from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from asgi_lifespan import LifespanManager
from libs.common.tests.conftest import Chassis, opened, record
from sqlalchemy.ext.asyncio import AsyncSession

from linli import consumer
from linli.cloudevents import headers_of
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.service import service
from linli.testing import Running, Stage, eventually

MENDED: set[str] = set()
LETTERS = "/tickets/v1/dead-letters"


@pytest.fixture
def subscriptions() -> Subscriptions:
    """Fails for every ticket that was not mended."""
    found = Subscriptions("tickets")

    @found.on(TicketOpened)
    async def choke(session: AsyncSession, event: TicketOpened) -> None:
        await record(session, event)
        if event.aggregate not in MENDED:
            raise ValueError("not mended")

    return found


@pytest.fixture
async def running(
    chassis: Chassis, stage: Stage, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    monkeypatch.setattr(consumer, "TRIES", 1)
    await chassis.prepare(subscriptions)
    app = service("tickets", chassis.settings, routers=[], subscriptions=subscriptions, publishes=[TicketOpened])
    async with LifespanManager(app, startup_timeout=20, shutdown_timeout=20), chassis.connection() as client:
        await eventually(app.state.tokens.ready)  # or a busy machine answers the first request 503
        yield Running(app, chassis.database, client, chassis.settings, stage.authority)


async def poisoned(running: Running, count: int = 1) -> list[TicketOpened]:
    events = [opened() for _ in range(count)]
    for event in events:
        body = event.model_dump_json().encode()
        await running.nats.jetstream().publish(event.subject, body, headers=headers_of(event))
    await eventually(lambda: _letters(running, count))
    return events


async def _letters(running: Running, count: int) -> bool:
    return bool(await running.database.fetchval("SELECT count(*) = $1 FROM dead_letter", count))


async def test_an_operator_lists_reads_and_replays(running: Running) -> None:
    (event,) = await poisoned(running)
    operator = running.client("operator", "0")
    listed = (await operator.get(LETTERS)).json()
    (letter,) = listed["items"]
    assert letter["event_id"] == str(event.id)
    assert letter["error"] == "ValueError: not mended"
    assert letter["payload"] == event.model_dump_json()
    assert letter["headers"]["ce-type"] == "tickets.opened.v1"
    address = f"{LETTERS}/{letter['id']}"
    assert (await operator.get(address)).json() == letter

    refused = await operator.post(f"{address}/replay")
    assert refused.status_code == 409, refused.text
    assert refused.json()["type"] == "urn:linli:problem:replay-failed"
    assert await running.database.fetchval("SELECT count(*) FROM effect") == 0
    assert (await operator.get(address)).json()["replayed_at"] is None

    MENDED.add(event.aggregate)
    for _ in range(2):
        replayed = await operator.post(f"{address}/replay")
        assert replayed.status_code == 200, replayed.text
        assert replayed.json()["replayed_at"]
    assert await running.database.fetchval("SELECT count(*) FROM effect") == 1


async def test_what_can_never_work_is_discarded_and_kept(running: Running) -> None:
    (event,) = await poisoned(running)
    operator = running.client("operator", "0")
    (letter,) = [one for one in (await operator.get(LETTERS)).json()["items"] if one["event_id"] == str(event.id)]
    discarded = await operator.post(f"{LETTERS}/{letter['id']}/discard")
    assert discarded.json()["discarded_at"]
    assert (await operator.get(f"{LETTERS}/{letter['id']}")).json() == discarded.json()
    assert await running.database.fetchval("SELECT count(*) FROM dead_letter WHERE discarded_at IS NULL") == 0


async def test_the_list_comes_in_pages(running: Running) -> None:
    events = await poisoned(running, 5)
    operator = running.client("operator", "0")
    seen: list[str] = []
    url: str | None = f"{LETTERS}?limit=2"
    while url:
        answer = await operator.get(url)
        seen += [letter["event_id"] for letter in answer.json()["items"]]
        url = httpx.URL(answer.links["next"]["url"]).raw_path.decode() if "next" in answer.links else None
    assert sorted(seen) == sorted(str(event.id) for event in events)


async def test_those_in_one_state_are_found_behind_any_number_of_others(running: Running) -> None:
    events = await poisoned(running, 4)
    operator = running.client("operator", "0")
    letters = {letter["event_id"]: letter["id"] for letter in (await operator.get(LETTERS)).json()["items"]}
    first, *rest = (letters[str(event.id)] for event in events)
    await running.database.execute("UPDATE dead_letter SET died_at = died_at - interval '1 hour' WHERE id = $1", first)
    replayed, discarded, both = rest
    MENDED.update(event.aggregate for event in events)
    for letter, acts in ((replayed, ["replay"]), (discarded, ["discard"]), (both, ["discard", "replay"])):
        for act in acts:
            assert (await operator.post(f"{LETTERS}/{letter}/{act}")).is_success

    async def found(state: str) -> set[str]:
        answer = await operator.get(f"{LETTERS}?limit=2&state={state}")
        return {letter["id"] for letter in answer.json()["items"]}

    assert await found("pending") == {first}
    assert await found("replayed") == {replayed, both}
    assert await found("discarded") == {discarded}
    assert (await operator.get(f"{LETTERS}?state=lost")).status_code == 422


@pytest.mark.parametrize("role", ["resident", "street_admin", "district_admin", "app"])
async def test_others_may_neither_read_nor_replay(running: Running, role: str) -> None:
    caller = running.client(role, "310104")
    assert (await caller.get(LETTERS)).status_code == 403
    assert (await caller.post(f"{LETTERS}/{uuid4()}/replay")).status_code == 403


async def test_an_operator_of_another_district_finds_nothing(running: Running) -> None:
    await poisoned(running)
    letter = await running.database.fetchval("SELECT id FROM dead_letter")
    stranger = running.client("operator", "310115")
    assert (await stranger.get(LETTERS)).json()["items"] == []
    assert (await stranger.get(f"{LETTERS}/{letter}")).status_code == 404
    assert (await stranger.post(f"{LETTERS}/{letter}/replay")).status_code == 404
