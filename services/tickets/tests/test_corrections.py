"""A district corrects its calendar, and the deadlines that are still to come move with it."""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from asgi_lifespan import LifespanManager
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, employ
from services.tickets.tests.ideal_time import IdealTime

from linli import clockwork
from linli.testing import Running, eventually
from tickets import clocks
from tickets.app import create_app
from tickets.calendar import DAY, ZONE, Calendar

REPORT = {"unit": MICRO, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
CHINA = Calendar()


def next_workday(after: int = 0) -> date:
    """Give a day that will be worked, some days from now."""
    day = datetime.now(ZONE).date() + timedelta(days=after)
    while not CHINA.works(day):
        day += timedelta(days=1)
    return day


def path(day: date) -> str:
    return f"/tickets/v1/calendar/{day}"


async def put(client: httpx.AsyncClient, day: date, etag: str | None = None, *, working: bool) -> httpx.Response:
    headers = {"If-Match": etag} if etag else {}
    return await client.put(path(day), json={"working": working, "note": "台风停工"}, headers=headers)


async def opened(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post("/tickets/v1/tickets", json=REPORT)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def read(client: httpx.AsyncClient, ticket: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/tickets/v1/tickets/{ticket['id']}")).json()
    return found


async def test_a_district_corrects_a_day_and_everybody_there_reads_it(tickets: Running) -> None:
    district, resident = tickets.client("district_admin", "310104"), tickets.client("resident", "310104")
    day = date(2026, 10, 10)
    assert (await resident.get(path(day))).json() == {
        "day": "2026-10-10",
        "working": True,
        "note": None,
        "version": None,
    }
    made = await put(district, day, working=False)
    assert (made.status_code, made.json()["working"]) == (200, False)
    assert (await put(district, day, working=True)).status_code == 428
    assert (await put(district, day, '"7"', working=True)).status_code == 412
    assert (await resident.get(path(day))).json() == made.json()
    assert [one["day"] for one in (await resident.get("/tickets/v1/calendar")).json()["items"]] == ["2026-10-10"]
    assert (await put(tickets.client("street_admin", "310104003"), day, working=True)).status_code == 403
    elsewhere = tickets.client("resident", "310115")
    assert (await elsewhere.get(path(day))).json()["working"] is True
    assert (await put(district, date(2019, 1, 1), working=True)).status_code == 422


async def test_all_deadlines_to_come_move_in_one_step(tickets: Running) -> None:
    district = tickets.client("district_admin", "310104")
    manager = tickets.client("community_manager", COMMUNITY)
    ticket, asked, raised, answered, done = [await opened(manager) for _ in range(5)]
    worker = str(await employ(tickets, "grid_worker", GRID))
    steps: tuple[tuple[dict[str, Any], str, dict[str, str]], ...] = (
        (asked, "ask", {"note": "哪一盏灯？"}),
        (raised, "escalate", {"note": "需要街道协调"}),
        (answered, "assign", {"assignee": worker}),
        (done, "assign", {"assignee": worker}),
        (done, "resolve", {}),
    )
    for one, move, body in steps:
        url = f"/tickets/v1/tickets/{one['id']}/{move}"
        assert (await manager.post(url, json=body, headers={"If-Match": "*"})).status_code == 200
    before = {one["id"]: await read(manager, one) for one in (ticket, asked, raised, answered, done)}
    day = datetime.fromisoformat(before[ticket["id"]]["answer_due_at"]).astimezone(ZONE).date()
    made = await put(district, day, working=False)
    assert made.status_code == 200, made.text
    storm = Calendar({day: False})
    expected = {
        (ticket["id"], "answer"): (before[ticket["id"]]["opened_at"], DAY),
        (ticket["id"], "solve"): (before[ticket["id"]]["opened_at"], 5 * DAY),
        (raised["id"], "solve"): (before[raised["id"]]["opened_at"], 5 * DAY),
        (answered["id"], "solve"): (before[answered["id"]]["opened_at"], 5 * DAY),
    }
    for (id_, clock), (since, minutes) in expected.items():
        due = storm.due_after(datetime.fromisoformat(since), minutes)
        shown = (await read(manager, {"id": id_}))[f"{clock}_due_at"]
        look = "SELECT due_at FROM timer WHERE aggregate = $1 AND kind = $2"
        assert datetime.fromisoformat(shown) == await tickets.database.fetchval(look, UUID(id_), clock) == due
        assert shown > before[id_][f"{clock}_due_at"]
    for one, column in ((raised, "level_due_at"), (done, "confirm_due_at")):
        assert (await read(manager, one))[column] > before[one["id"]][column]
    stands = await read(manager, asked)
    assert (stands["answer_due_at"], stands["solve_due_at"]) == (None, None)
    # It was no step of theirs, and what is taken back is as it was.
    assert stands["version"] == 2
    again = await put(district, day, made.headers["etag"], working=True)
    assert again.status_code == 200
    for one in before.values():
        assert await read(manager, one) == one


async def test_a_ticket_opened_during_a_correction_has_its_deadline_too(tickets: Running) -> None:
    district = tickets.client("district_admin", "310104")
    resident = tickets.client("resident", "310104", uuid4())
    day = next_workday(after=1)
    etag = (await tickets.client("resident", "310104").get(path(day))).headers.get("etag")
    working = True
    for _ in range(4):
        working = not working
        *made, corrected = await asyncio.gather(
            *(opened(resident) for _ in range(12)), put(district, day, etag, working=working)
        )
        assert isinstance(corrected, httpx.Response)
        assert corrected.status_code == 200, corrected.text
        etag = corrected.headers["etag"]
        calendar = Calendar({day: working})
        for ticket in made:
            stands = await read(resident, ticket)  # type: ignore[arg-type]
            at = datetime.fromisoformat(stands["opened_at"])
            assert datetime.fromisoformat(stands["answer_due_at"]) == calendar.due_after(at, DAY)


async def test_a_correction_and_moves_at_the_same_time_do_not_wait_for_each_other(tickets: Running) -> None:
    district, manager = tickets.client("district_admin", "310104"), tickets.client("community_manager", COMMUNITY)
    day = next_workday(after=2)
    etag = (await manager.get(path(day))).headers.get("etag")
    for working in (False, True):
        waiting = [(await opened(manager))["id"] for _ in range(12)]
        urls = [f"/tickets/v1/tickets/{id_}/{move}" for id_ in waiting for move in ("ask", "escalate")]
        corrected, *moved = await asyncio.gather(
            put(district, day, etag, working=working),
            *(manager.post(url, json={"note": "哪一盏灯？"}, headers={"If-Match": "*"}) for url in urls),
        )
        assert corrected.status_code == 200, corrected.text
        assert {answer.status_code for answer in moved} <= {200, 403, 409}
        etag = corrected.headers["etag"]


MANY = 50_000
DUE = 150
THOUSANDS = 2_000
FIRED = "SELECT count(*) FROM timer WHERE district = 310115 AND kind = 'answer' AND fired_at IS NOT NULL"


@pytest.fixture(scope="module")
async def first_due(tickets: Running) -> datetime:
    """50,000 tickets of another district, ten at a time, whose deadlines a correction has moved; the first of these."""
    opened_at = datetime.combine(next_workday(after=3), datetime.min.time(), ZONE) + timedelta(hours=10)
    await tickets.database.execute("SELECT set_config('session_replication_role', 'replica', false)")
    await tickets.database.execute(
        """
        WITH made AS (
            INSERT INTO ticket (district, id, unit, title, description, category, state, reporter, opened_at,
                                answer_due_at, clocks, version)
            SELECT 310115, gen_random_uuid(), 310115005001001000, '路灯', '不亮', 'other', 'open', gen_random_uuid(),
                   at, at, jsonb_build_object('answer', jsonb_build_object('minutes', 480, 'since', at)), 1
            FROM generate_series(1, $1) AS number,
                 LATERAL (SELECT $2::timestamptz + (number - 1) / 10 * interval '200 milliseconds' AS at)
            RETURNING district, id, unit, opened_at
        ), entered AS (
            INSERT INTO ticket_entry (district, id, unit, ticket_id, reporter, sequence, move, actor, at)
            SELECT district, id, unit, id, id, 1, 'open', id, now() FROM made
        )
        INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at)
        SELECT district, 'answer', id, unit, opened_at, opened_at FROM made
        """,
        MANY,
        opened_at,
    )
    await tickets.database.execute("SELECT set_config('session_replication_role', 'origin', false)")
    # What the database has seen of them may be a handful of another district's, for which it plans otherwise.
    await tickets.database.execute("ANALYZE ticket, ticket_entry, timer")
    district = tickets.client("district_admin", "310115")
    # They all lie where they began: the correction has every one to move.
    assert (await put(district, opened_at.date() + timedelta(days=200), working=False)).status_code == 200
    calendar = Calendar({opened_at.date() + timedelta(days=200): False})
    first = calendar.due_after(opened_at, DAY)
    span = "SELECT min(due_at), max(due_at), count(*) FROM timer WHERE district = 310115 AND kind = 'answer'"
    lowest, highest, count = await tickets.database.fetchrow(span)
    assert (lowest, highest, count) == (
        first,
        calendar.due_after(opened_at + (MANY // 10 - 1) * timedelta(milliseconds=200), DAY),
        MANY,
    )
    assert not await tickets.database.fetchval(
        "SELECT count(*) FROM ticket JOIN timer ON aggregate = id WHERE ticket.district = 310115"
        " AND kind = 'answer' AND answer_due_at <> due_at"
    )
    return first


async def test_of_50_000_clocks_each_runs_out_once_and_in_time_through_a_correction_and_restarts(
    tickets: Running, first_due: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock jumps to a second before the first is due; two processes look, and one of them comes and goes."""
    shift = first_due - timedelta(seconds=1) - datetime.now(UTC)
    end = first_due + (DUE // 10 - 1) * timedelta(milliseconds=200)

    def now() -> datetime:
        return min(datetime.now(UTC) + shift, end)  # time stops, so that those that are not due stay so

    monkeypatch.setattr(clocks.timers, "now", now)
    for least in (DUE // 4, DUE // 2):
        async with LifespanManager(create_app(tickets.settings), startup_timeout=20, shutdown_timeout=20):

            async def enough(least: int = least) -> bool:
                return bool(await tickets.database.fetchval(FIRED) >= least)

            await eventually(enough, within=30, every=0.2)
    await eventually(lambda: tickets.database.fetchval(f"SELECT ({FIRED}) = $1", DUE), within=60, every=0.2)
    await asyncio.sleep(clockwork.POLL * 2)
    assert await tickets.database.fetchval(FIRED) == DUE
    early = "SELECT count(*) FROM timer WHERE district = 310115 AND fired_at < due_at"
    assert await tickets.database.fetchval(early) == 0
    events = await tickets.events("tickets.overdue.v1")
    told = Counter(event["ticket"] for event in events if event["unit"].startswith("310115"))
    due = await tickets.database.fetch(
        "SELECT aggregate FROM timer WHERE district = 310115 AND kind = 'answer' AND due_at <= $1", end
    )
    assert told == Counter(str(row["aggregate"]) for row in due)
    late = "SELECT max(fired_at - due_at) FROM timer WHERE district = 310115 AND kind = 'answer'"
    # A poll, with room for a machine that is busy with other things.
    assert await tickets.database.fetchval(late) < timedelta(seconds=10 * clockwork.POLL)


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("first_due")
async def test_thousands_of_them_run_out_when_they_should_however_often_a_process_restarts(
    tickets: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time stands still while one is at work, so that no busy machine excuses who is late."""
    following = await tickets.database.fetch(
        "SELECT aggregate, due_at FROM timer WHERE district = 310115 AND kind = 'answer' AND fired_at IS NULL"
        " ORDER BY due_at LIMIT $1",
        THOUSANDS,
    )
    due = {row["aggregate"]: row["due_at"] for row in following}
    before = await tickets.database.fetchval(FIRED)
    time = IdealTime(due.values(), end=max(due.values()))
    monkeypatch.setattr(clocks.timers, "now", lambda: time.now)
    time.rules(monkeypatch)
    for part in range(1, 5):
        so_far = before + part * THOUSANDS // 4
        async with LifespanManager(create_app(tickets.settings), startup_timeout=20, shutdown_timeout=20):

            async def enough(so_far: int = so_far) -> bool:
                return bool(await tickets.database.fetchval(FIRED) >= so_far)

            await eventually(enough, within=100, every=0.2)
    assert await tickets.database.fetchval(FIRED) == before + THOUSANDS
    rows = await tickets.database.fetch("SELECT aggregate, fired_at FROM timer WHERE aggregate = ANY($1)", [*due])
    late = [row["fired_at"] - due[row["aggregate"]] for row in rows if row["fired_at"]]
    assert len(late) == THOUSANDS
    assert min(late) >= timedelta()
    assert max(late) <= timedelta(seconds=clockwork.POLL)
    told = Counter(event["ticket"] for event in await tickets.events("tickets.overdue.v1"))
    assert {told[str(ticket)] for ticket in due} == {1}


async def test_a_correction_and_tickets_that_are_split_do_not_wait_for_each_other(tickets: Running) -> None:
    district, manager = tickets.client("district_admin", "310104"), tickets.client("community_manager", COMMUNITY)
    day, headers = next_workday(40), {"If-Match": "*"}
    assert (await put(district, day, working=False)).status_code == 200
    parts = [{"title": "灯", "description": "灯"}, {"title": "路", "description": "路"}]

    async def split(ticket: dict[str, Any]) -> int:
        path = f"/tickets/v1/tickets/{ticket['id']}/split"
        return (await manager.post(path, json={"parts": parts}, headers=headers)).status_code

    for number in range(10):
        ticket = await opened(manager)
        both = await asyncio.gather(split(ticket), _corrected(district, day, working=bool(number % 2)))
        assert [*both] == [200, 200]


async def _corrected(client: httpx.AsyncClient, day: date, *, working: bool) -> int:
    return (await put(client, day, "*", working=working)).status_code
