"""Two districts on two database servers, behind the same services: each is found, whole, and no one else's trouble.

Real PostgreSQL twice, real NATS; what the services do is seen through HTTP and in SQL on both servers.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from asgi_lifespan import LifespanManager

import directory.app
import notifications.app
import notifications.subscribers
import points.app
import points.subscribers
import residents.app
import residents.subscribers
import tickets.app
import tickets.clocks
import tickets.subscribers
from linli import units
from linli.events.directory import AssignmentChanged, UnitChanged
from linli.events.tickets import TicketOpened
from linli.shards import Server, Shards
from linli.testing import NatsServer, PostgresServer, Running, Stage, eventually, tcp_postgres, tell

pytestmark = pytest.mark.xdist_group("two servers")

HOME, AWAY = "310104", "310115"
"""The one lives on the services' own server, the other on the second."""
LETTERS = "/notifications/v1/dead-letters"
OPENED = "/tickets/v1/tickets"


@dataclass
class City:
    """The services, and their two database servers."""

    tickets: Running
    points: Running
    notifications: Running
    residents: Running
    second: PostgresServer
    stage: Stage

    async def fetch(self, running: Running, server: Server, query: str) -> list[asyncpg.Record]:
        """Ask a service's database on one of the servers, as its superuser."""
        database = await running.database.fetchval("SELECT current_database()")
        connection = await asyncpg.connect(self.stage.url("postgres", database, server))
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    async def districts(self, running: Running, table: str) -> tuple[set[str], set[str]]:
        """Name the districts that have rows in a table, on the own server and on the second."""
        query = f"SELECT DISTINCT district FROM {table}"
        home = await self.fetch(running, None, query)
        away = await self.fetch(running, self.second.address, query)
        return {str(row[0]) for row in home}, {str(row[0]) for row in away}

    async def count(self, running: Running, server: Server, table: str) -> int:
        return int((await self.fetch(running, server, f"SELECT count(*) FROM {table}"))[0][0])

    async def report(self, district: str, reporter: UUID | None = None, **headers: str) -> httpx.Response:
        resident = self.tickets.client("resident", district, reporter)
        body = {"unit": grid(district), "title": "楼道堆物", "description": "3号楼二楼堆放杂物，影响通行"}
        return await resident.post(OPENED, json=body, headers=headers)

    async def told(self, district: str, person: UUID) -> list[str]:
        inbox = await self.notifications.client("resident", district, person).get("/notifications/v1/inbox")
        return [message["kind"] for message in inbox.json()["items"]]


def grid(district: str) -> str:
    return f"{district}003001001"


@pytest.fixture(scope="module")
def second() -> Iterator[PostgresServer]:
    with tcp_postgres() as server:
        yield server


@pytest.fixture(scope="module")
async def city(stage: Stage, nats_server: NatsServer, second: PostgresServer) -> AsyncIterator[City]:
    both = Stage(stage.postgres, nats_server, stage.authority, [second.address])
    shards = Shards.parse(f'{{"{second.address}": [{AWAY}]}}')
    async with both.run_together(
        ("tickets", tickets.app.create_app, tickets.subscribers.subscriptions),
        ("points", points.app.create_app, points.subscribers.subscriptions),
        ("notifications", notifications.app.create_app, notifications.subscribers.subscriptions),
        ("residents", residents.app.create_app, residents.subscribers.subscriptions),
        shards=shards,
    ) as running:
        found = City(running[0], running[1], running[2], running[3], second, both)
        # The directory tells of both districts; every service writes down each where it lives.
        for district in (HOME, AWAY):
            unit: int | None = units.parse(grid(district))
            while unit:
                kind = units.kind(unit).value
                await tell(running[0], UnitChanged(unit=unit, sequence=1, kind=kind, name="某处", active=True))
                unit = units.parent(unit)
        for service in (found.tickets, found.points):
            await eventually(partial(_known, found, service))
        yield found


async def _known(city: City, service: Running) -> bool:
    return await city.districts(service, "known_unit") == ({HOME}, {AWAY})


async def employ(city: City, district: str) -> UUID:
    """Put a grid worker into office, as the directory would tell."""
    staff = uuid4()
    post = AssignmentChanged(
        unit=units.parse(grid(district)), sequence=1, assignment=uuid4(), staff=staff, role="grid_worker", active=True
    )
    await tell(city.tickets, post)
    query = f"SELECT 1 FROM known_assignment WHERE staff = '{staff}'"
    server = city.second.address if district == AWAY else None
    await eventually(lambda: city.fetch(city.tickets, server, query))
    return staff


@pytest.mark.parametrize("district", [HOME, AWAY])
async def test_a_ticket_goes_its_whole_way_on_its_districts_server(city: City, district: str) -> None:
    reporter, worker = uuid4(), await employ(city, district)
    answer = await city.report(district, reporter)
    assert answer.status_code == 201, answer.text
    address = f"{OPENED}/{answer.json()['id']}"
    any_etag = {"If-Match": "*"}
    resident = city.tickets.client("resident", district, reporter)
    manager = city.tickets.client("community_manager", f"{district}003001")
    resolver = city.tickets.client("grid_worker", grid(district), worker)
    for client, step, body in (
        (manager, "assign", {"assignee": str(worker)}),
        (resolver, "resolve", {"note": "已清理"}),
        (resident, "close", {}),
        (resident, "rate", {"rating": 5}),
    ):
        moved = await client.post(f"{address}/{step}", json=body, headers=any_etag)
        assert moved.status_code == 200, moved.text

    here, there = (city.second.address, None) if district == AWAY else (None, city.second.address)
    own = f"(SELECT 1 FROM %s WHERE district = {district}) AS own"
    await eventually(lambda: city.count(city.points, here, own % "transfer"))
    told = ["ticket_opened", "ticket_assigned", "ticket_resolved", "ticket_closed"]
    await eventually(lambda: _has_told(city, district, reporter, told))
    for service, table in (
        (city.tickets, "ticket"),
        (city.tickets, "event_log"),
        (city.points, "transfer"),
        (city.points, "inbox"),
        (city.notifications, "notification"),
        (city.notifications, "inbox"),
    ):
        await eventually(partial(city.count, service, here, own % table))
        assert await city.count(service, there, own % table) == 0, f"{table} of {district} on {there or 'home'}"


async def _has_told(city: City, district: str, person: UUID, kinds: list[str]) -> bool:
    return sorted(await city.told(district, person)) == sorted(kinds)


@pytest.mark.parametrize("district", [HOME, AWAY])
async def test_a_clock_runs_out_on_its_districts_server(
    city: City, district: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = (await city.report(district)).json()["id"]
    here, there = (city.second.address, None) if district == AWAY else (None, city.second.address)
    # The levels that it is raised to meanwhile have clocks of their own.
    promised = "('answer', 'solve')"
    running = (
        f"(SELECT 1 FROM timer WHERE aggregate = '{ticket}' AND fired_at IS NULL AND kind IN {promised}) AS running"
    )
    assert [await city.count(city.tickets, server, running) for server in (here, there)] == [2, 0]
    later = datetime.now(UTC) + timedelta(days=30)  # over any holidays
    monkeypatch.setattr(tickets.clocks.timers, "now", lambda: later)
    told = f"(SELECT 1 FROM event_log WHERE aggregate = '{ticket}' AND subject LIKE '%.overdue.v1') AS told"
    await eventually(partial(_counts, city, here, told, 2))
    assert [await city.count(city.tickets, server, running) for server in (here, there)] == [0, 0]
    assert await city.count(city.tickets, there, told) == 0


async def _counts(city: City, server: Server, table: str, count: int) -> bool:
    return await city.count(city.tickets, server, table) == count


@pytest.mark.parametrize(("district", "other"), [(HOME, AWAY), (AWAY, HOME)])
async def test_nobody_sees_or_touches_the_other_district(city: City, district: str, other: str) -> None:
    ticket = (await city.report(district)).json()["id"]
    assert (await city.tickets.client("district_admin", district).get(f"{OPENED}/{ticket}")).status_code == 200
    stranger = city.tickets.client("district_admin", other)
    assert (await stranger.get(f"{OPENED}/{ticket}")).status_code == 404
    listed = (await stranger.get(OPENED, params={"limit": 200})).json()["items"]
    assert all(found["unit"].startswith(other) for found in listed)
    assert (await stranger.get(OPENED, params={"within": district})).status_code == 403
    body = {"unit": grid(district), "title": "别区", "description": "不应当能在别的区提交"}
    refused = await city.tickets.client("resident", other).post(OPENED, json=body)
    assert refused.status_code == 403
    # Nor would the wrong server take it: there is no such unit, and no row may say it was of another district.
    server = city.second.address if district == HOME else None
    known = f"(SELECT 1 FROM known_unit WHERE district = {district}) AS wrong"
    assert await city.count(city.tickets, server, known) == 0


@pytest.mark.parametrize("district", [HOME, AWAY])
async def test_a_repeated_post_has_one_effect_and_its_key_lies_beside_it(city: City, district: str) -> None:
    reporter, key = uuid4(), uuid4().hex
    answers = [await city.report(district, reporter, **{"Idempotency-Key": key}) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert answers[2].headers["idempotency-replayed"] == "true"
    here, there = (city.second.address, None) if district == AWAY else (None, city.second.address)
    kept = f"(SELECT 1 FROM idempotency_key WHERE key = '{key}') AS kept"
    assert await city.count(city.tickets, here, kept) == 1
    assert await city.count(city.tickets, there, kept) == 0
    assert await city.count(city.tickets, here, f"(SELECT 1 FROM ticket WHERE reporter = '{reporter}') AS own") == 1


async def unreadable(city: City, district: str) -> None:
    """Send what no service can read; it becomes a dead letter at once."""
    headers = {"ce-type": "tickets.opened.v1", "ce-id": str(uuid4())}
    await city.notifications.nats.jetstream().publish(f"linli.tickets.{district}.opened.v1", b"{", headers=headers)


async def test_an_operator_finds_the_dead_letters_of_all_servers_and_of_no_district(city: City) -> None:
    for district in (HOME, AWAY, "nowhere", AWAY, HOME, "nowhere"):
        before = [await city.count(city.notifications, server, "dead_letter") for server in (None, city.second.address)]
        await unreadable(city, district)
        await eventually(partial(_one_more, city, before))
    assert await city.districts(city.notifications, "dead_letter") == ({HOME, "0"}, {AWAY})

    operator = city.notifications.client("operator", "0")
    seen: list[dict[str, object]] = []
    url: str | None = f"{LETTERS}?limit=2"
    while url:
        answer = await operator.get(url)
        assert answer.status_code == 200, answer.text
        seen += answer.json()["items"]
        url = httpx.URL(answer.links["next"]["url"]).raw_path.decode() if "next" in answer.links else None
    assert [letter["district"] for letter in seen] == [0, int(HOME), int(AWAY), 0, int(AWAY), int(HOME)]

    within = (await operator.get(LETTERS, params={"within": AWAY})).json()["items"]
    assert [letter["id"] for letter in within] == [seen[2]["id"], seen[4]["id"]]
    for letter in seen:
        address = f"{LETTERS}/{letter['id']}"
        assert (await operator.get(address)).json() == letter
        for _ in range(2):
            discarded = await operator.post(f"{address}/discard", headers={"Idempotency-Key": address[-30:]})
            assert discarded.status_code == 200, discarded.text
        assert (await operator.get(address)).json() == discarded.json()
        assert discarded.json()["discarded_at"]
    own = city.notifications.client("operator", HOME)
    assert [letter["district"] for letter in (await own.get(LETTERS)).json()["items"]] == [int(HOME)] * 2
    assert (await own.get(f"{LETTERS}/{seen[2]['id']}")).status_code == 404
    assert (await own.get(LETTERS, params={"within": AWAY})).status_code == 403
    assert (await operator.get(f"{LETTERS}/{uuid4()}")).status_code == 404


async def _one_more(city: City, before: list[int]) -> bool:
    now = [await city.count(city.notifications, server, "dead_letter") for server in (None, city.second.address)]
    return sum(now) == sum(before) + 1


async def test_an_operator_finds_who_was_told_wherever_it_was(city: City) -> None:
    operator = city.notifications.client("operator", "0")
    for district in (HOME, AWAY):
        reporter = uuid4()
        ticket = (await city.report(district, reporter)).json()["id"]
        await eventually(partial(city.told, district, reporter))
        told = await operator.get("/notifications/v1/notifications", params={"subject": ticket})
        assert [one["recipient"] for one in told.json()["items"]] == [str(reporter)], told.text


async def test_what_is_done_in_one_district_is_done_on_its_server(city: City) -> None:
    operator = city.residents.client("operator", "0")
    rotated = await operator.post(f"/residents/v1/districts/{AWAY}/keys", headers={"Idempotency-Key": "once"})
    assert rotated.status_code == 201, rotated.text
    assert await city.districts(city.residents, "data_key") == (set(), {AWAY})
    # What would need one district of several is refused, not answered from one server as if it were all.
    refused = await operator.post("/residents/v1/residents/search", json={}, headers={"Idempotency-Key": "wide"})
    assert refused.status_code == 403, refused.text


async def test_the_directory_stays_in_one_place(city: City) -> None:
    settings = city.stage.settings("directory", await city.stage.fresh_database("directory"))
    shards = city.tickets.settings.shards
    app = directory.app.create_app(settings.model_copy(update={"shards": shards}))
    async with LifespanManager(app, startup_timeout=20, shutdown_timeout=20):
        assert list(app.state.engines) == [None]


async def test_a_server_that_stops_takes_its_district_away_and_no_other_and_nothing_is_lost(city: City) -> None:
    """The figures in docs/scaling.md are of this test."""
    reporter = uuid4()
    assert (await city.report(AWAY, reporter)).status_code == 201
    operator = city.notifications.client("operator", "0")
    await asyncio.to_thread(city.second.stop)
    try:
        async with machine(city) as pauses:
            for _ in range(3):
                refused = await city.report(AWAY, reporter)
                assert refused.status_code == 503, refused.text
                assert refused.headers["retry-after"] == "5"
                assert refused.json()["type"] == "urn:linli:problem:unavailable"
                assert refused.elapsed.total_seconds() < 3 + max(pauses)
        for service in (city.tickets, city.notifications):
            health = await service.client().get("/readyz")
            assert health.status_code == 200, health.text
            assert health.json()["database"] == "ok"
            assert health.json()[f"database {city.second.address}"] != "ok"
        # All letters can't be listed, so none is left out silently; those of a district can.
        assert (await operator.get(LETTERS)).status_code == 503
        assert (await operator.get(LETTERS, params={"within": HOME})).status_code == 200

        # More than a puller has in hand, and more than the broker gave out unanswered before.
        waiting = [opened(AWAY) for _ in range(1500)]
        await tell(city.notifications, *waiting)
        async with machine(city) as pauses:
            took = [await _told_after(city) for _ in range(40)]
    finally:
        await asyncio.to_thread(city.second.start)
    begun = time.monotonic()
    told = f"(SELECT 1 FROM notification WHERE district = {AWAY} AND subject = ANY ('{{{ids(waiting)}}}')) AS told"
    await eventually(lambda: _is(city, told, 1500), within=40, every=0.2)
    recovered = time.monotonic() - begun
    middle, longest = statistics.median(took), max(took)
    sys.stderr.write(
        f"meanwhile told after {middle:.3f} s, at most {longest:.3f} s; all {recovered:.1f} s later;"
        f" the machine paused for {max(pauses):.3f} s\n"
    )
    assert middle < 0.5 + statistics.median(pauses)
    assert longest < 3 + max(pauses)
    await eventually(lambda: _reports(city, AWAY))
    assert not [one for one in (await operator.get(LETTERS)).json()["items"] if not one["discarded_at"]]


@asynccontextmanager
async def machine(city: City) -> AsyncIterator[list[float]]:
    """Note how long next to nothing takes meanwhile: that much the machine is busy with other things."""
    pauses = [0.0]
    database = await asyncpg.connect(city.stage.url("postgres", "postgres"))

    async def look() -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.05)
            await database.execute("SELECT")
            pauses.append(time.monotonic() - begun - 0.05)

    looking = asyncio.create_task(look())
    try:
        yield pauses
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await database.close()


def opened(district: str) -> TicketOpened:
    return TicketOpened(
        ticket=uuid4(), unit=units.parse(grid(district)), sequence=1, reporter=uuid4(), category="other"
    )


def ids(events: list[TicketOpened]) -> str:
    return ",".join(str(event.ticket) for event in events)


async def _told_after(city: City) -> float:
    begun, reporter = time.monotonic(), uuid4()
    assert (await city.report(HOME, reporter)).status_code == 201
    await eventually(lambda: city.told(HOME, reporter))
    return time.monotonic() - begun


async def _is(city: City, table: str, count: int) -> bool:
    return await city.count(city.notifications, city.second.address, table) == count


async def _reports(city: City, district: str) -> bool:
    return (await city.report(district)).status_code == 201
