"""While an upgrade runs, the released version and this one share databases, streams and clients."""

import asyncio
import random
import signal
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.upgrade.conftest import COMMUNITY, GRID, MICRO, REPORT, Upgraded
from tests.upgrade.versions import BOTH, NEW, OLD

from linli.testing import eventually

pytestmark = pytest.mark.xdist_group("upgrade")

_MOVES = ("open", "assign", "resolve", "close", "rate")
_TOLD = Counter(
    ticket_opened=1,
    ticket_assigned=1,
    ticket_assigned_to_you=1,
    ticket_resolved=1,
    ticket_closed=1,
    ticket_rated=1,
    points_awarded=1,
)
_OTHER = {OLD: NEW, NEW: OLD}


async def live(upgraded: Upgraded, sides: tuple[str, ...], traces: dict[str, str]) -> str:
    """Lead a ticket through its life, each step on the side that is named; gives its id."""
    people = upgraded.people
    path, etag, ticket = "/tickets/v1/tickets", "", ""
    steps: tuple[tuple[str, dict[str, Any]], ...] = (
        (people.resident, REPORT),
        (people.manager, {"assignee": people.worker_id}),
        (people.worker, {"note": "已更换灯泡"}),
        (people.resident, {}),
        (people.resident, {"rating": 5}),
    )
    for move, side, (login, body) in zip(_MOVES, sides, steps, strict=True):
        trace = uuid4().hex
        traces[trace] = side
        headers = {"traceparent": f"00-{trace}-{trace[:16]}-01", "Idempotency-Key": str(uuid4())}
        if move != "open":
            path, headers["If-Match"] = f"/tickets/v1/tickets/{ticket}/{move}", etag
        answer = await upgraded.platform.call("POST", path, login, side=side, json=body, headers=headers)
        assert answer.is_success, f"{sides} {move} {side}: {answer.text}"
        ticket, etag = answer.json()["id"], answer.headers["ETag"]
    return ticket


async def counted(database: asyncpg.Connection, query: str, tickets: list[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {ticket: Counter() for ticket in tickets}
    for row in await database.fetch(query, tickets):
        found[str(row[0])][str(row[1])] += 1
    return found


async def test_old_services_run_on_through_the_migration_and_nobody_sees_an_error(upgraded: Upgraded) -> None:
    await upgraded.load.check()


async def test_a_ticket_is_led_through_its_life_by_old_and_new_in_turns(upgraded: Upgraded) -> None:
    platform = upgraded.platform
    traces: dict[str, str] = {}
    lives = list(product(BOTH, repeat=len(_MOVES)))
    # The broker serves the two sides in turns too: in order, each would hear but of its own ratings.
    random.Random(5).shuffle(lives)  # noqa: S311 guards no secret
    busy = asyncio.Semaphore(4)

    async def one(sides: tuple[str, ...]) -> str:
        async with busy:
            return await live(upgraded, sides, traces)

    tickets = await asyncio.gather(*(one(sides) for sides in lives))

    async with platform.rows("notifications") as inboxes, platform.rows("points") as points:
        told = "SELECT subject, kind FROM notification WHERE subject = ANY($1)"

        async def all_told() -> bool:
            return all(
                sum(kinds.values()) >= _TOLD.total() for kinds in (await counted(inboxes, told, tickets)).values()
            )

        await eventually(all_told, within=60)
        await asyncio.sleep(0.5)
        assert await counted(inboxes, told, tickets) == dict.fromkeys(tickets, _TOLD)
        paid = "SELECT cause, amount FROM transfer WHERE cause = ANY($1)"
        assert await counted(points, paid, tickets) == {ticket: Counter({"10": 1}) for ticket in tickets}
    for side in BOTH:
        balance = await platform.call("GET", "/points/v1/me", upgraded.people.worker, side=side)
        assert balance.json()["balance"] == 10 * len(tickets)
    for ticket in tickets:
        path = f"/tickets/v1/tickets/{ticket}"
        old, new = [await platform.call("GET", path, upgraded.people.manager, side=side) for side in BOTH]
        assert old.json().items() <= new.json().items()
        assert old.headers["ETag"] == new.headers["ETag"] == f'"{len(_MOVES)}"'
        for side in BOTH:
            steps = (await platform.call("GET", f"{path}/timeline", upgraded.people.manager, side=side)).json()["items"]
            assert [(step["sequence"], step["move"]) for step in steps] == list(enumerate(_MOVES, 1))

    def understood(service: str) -> set[tuple[str, str]]:
        """Tell which version's events were acted on by which version."""
        return {
            (traces[span["trace_id"]], side)
            for side in BOTH
            for span in platform.spans(service, side)
            if span["kind"] == "CONSUMER" and span["trace_id"] in traces and span["status"] != "ERROR"
        }

    every_pair = set(product(BOTH, repeat=2))
    with suppress(AssertionError):
        await eventually(lambda: understood("notifications") == understood("points") == every_pair, within=40)
    assert {service: understood(service) for service in ("notifications", "points")} == {
        "notifications": every_pair,
        "points": every_pair,
    }


async def test_what_was_there_before_is_led_on_by_the_new(upgraded: Upgraded) -> None:
    for ticket, side in zip(upgraded.before, (NEW, OLD, NEW), strict=True):
        path = f"/tickets/v1/tickets/{ticket}"
        answer = await upgraded.platform.call("GET", path, upgraded.people.manager, side=side)
        for move, body in (("assign", {"assignee": upgraded.people.worker_id}), ("resolve", {})):
            headers = {"If-Match": answer.headers["ETag"]}
            answer = await upgraded.platform.call(
                "POST", f"{path}/{move}", upgraded.people.manager, side=side, json=body, headers=headers
            )
            assert answer.is_success, answer.text
        assert answer.json()["state"] == "resolved"


@pytest.mark.parametrize("first", BOTH)
async def test_a_request_repeated_on_the_other_side_gets_the_first_answer(upgraded: Upgraded, first: str) -> None:
    call, resident = upgraded.platform.call, upgraded.people.resident
    headers = {"Idempotency-Key": str(uuid4())}
    path = "/tickets/v1/tickets"
    one = await call("POST", path, resident, side=first, json=REPORT, headers=headers)
    again = await call("POST", path, resident, side=_OTHER[first], json=REPORT, headers=headers)
    if again.status_code == 503:
        # 0.1.0 can't open what is sealed now: it does nothing, and asks to come again, to one that can.
        assert (first, again.headers["Retry-After"]) == (NEW, "1")
        again = await call("POST", path, resident, side=NEW, json=REPORT, headers=headers)
    assert (again.status_code, again.content) == (201, one.content), again.text
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["ETag"] == one.headers["ETag"]
    other = await call("POST", path, resident, side=_OTHER[first], json=REPORT | {"title": "x"}, headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize("first", BOTH)
async def test_what_one_side_changed_is_a_stale_etag_on_the_other(upgraded: Upgraded, first: str) -> None:
    call, people = upgraded.platform.call, upgraded.people
    opened = await call("POST", "/tickets/v1/tickets", people.resident, side=_OTHER[first], json=REPORT)
    path = f"/tickets/v1/tickets/{opened.json()['id']}/assign"
    body, headers = {"assignee": people.worker_id}, {"If-Match": opened.headers["ETag"]}
    assert (await call("POST", path, people.manager, side=first, json=body, headers=headers)).status_code == 200
    stale = await call("POST", path, people.manager, side=_OTHER[first], json=body, headers=headers)
    assert stale.status_code == 412


@pytest.mark.parametrize("path", ["/tickets/v1/tickets", "/notifications/v1/inbox", "/points/v1/me/transfers"])
@pytest.mark.parametrize("first", BOTH)
async def test_a_page_turned_on_the_other_side_goes_on_where_the_first_ended(
    upgraded: Upgraded, first: str, path: str
) -> None:
    call, worker = upgraded.platform.call, upgraded.people.worker
    await eventually(upgraded.platform.quiet, within=45)  # else a page may move while it is turned
    ids: list[str] = []
    params: dict[str, str | int] = {"limit": 2}
    for side in (first, _OTHER[first], first):
        answer = await call("GET", path, worker, side=side, params=params)
        assert answer.is_success, answer.text
        ids += [row["id"] for row in answer.json()["items"]]
        params["cursor"] = answer.json()["next"]
    whole = await call("GET", path, worker, side=_OTHER[first], params={"limit": 6})
    assert ids == [row["id"] for row in whole.json()["items"]]


async def test_a_clock_of_the_new_one_runs_out_once_and_not_for_what_the_old_one_settled(upgraded: Upgraded) -> None:
    call, people = upgraded.platform.call, upgraded.people
    waiting, settled = [
        # Not the resident, who goes on reading with the old one: it has no words for a ticket that was raised.
        (await call("POST", "/tickets/v1/tickets", people.manager, side=NEW, json=REPORT)).json()["id"]
        for _ in range(2)
    ]
    etag = '"1"'
    for move, body in (("assign", {"assignee": people.worker_id}), ("resolve", {})):
        path, headers = f"/tickets/v1/tickets/{settled}/{move}", {"If-Match": etag}
        answer = await call("POST", path, people.manager, side=OLD, json=body, headers=headers)
        etag = answer.raise_for_status().headers["ETag"]
    async with upgraded.platform.rows("tickets") as database:
        # One after the other, as they do: a ticket that was not solved in time waits for no answer any more.
        for kind in ("answer", "solve"):
            of_both = ([waiting, settled], kind)
            await database.execute(
                "UPDATE timer SET due_at = now() - interval '1 h', try_at = now()"
                " WHERE aggregate = ANY($1) AND kind = $2",
                *of_both,
            )
            running = "SELECT count(*) = 0 FROM timer WHERE try_at IS NOT NULL AND aggregate = ANY($1) AND kind = $2"
            await eventually(lambda: database.fetchval(running, *of_both), within=45)  # noqa: B023 awaited here
        steps = "SELECT ticket_id, move FROM ticket_entry WHERE move LIKE '%overdue' AND ticket_id = ANY($1)"
        assert (await counted(database, steps, [waiting, settled])) == {
            waiting: Counter(answer_overdue=1, solve_overdue=1),
            settled: Counter(),
        }
    told = "SELECT subject, kind FROM notification WHERE kind LIKE '%overdue' AND subject = ANY($1)"
    async with upgraded.platform.rows("notifications") as database:

        async def complete() -> bool:
            return (await counted(database, told, [waiting, settled]))[waiting].total() >= 2

        await eventually(complete, within=45)
        await asyncio.sleep(0.5)
        assert (await counted(database, told, [waiting, settled])) == {
            waiting: Counter(ticket_answer_overdue=1, ticket_solve_overdue=1),
            settled: Counter(),
        }


@pytest.mark.parametrize("first", BOTH)
async def test_personal_data_written_by_one_is_found_and_read_by_the_other(upgraded: Upgraded, first: str) -> None:
    call, people, second = upgraded.platform.call, upgraded.people, _OTHER[first]
    building = await call(
        "POST", "/directory/v1/buildings", people.operator, side=first, json={"unit": MICRO, "name": f"{first}号楼"}
    )
    if building.status_code == 403:
        admin = await upgraded.platform.token("street_admin", "310104003", side=first)
        building = await call(
            "POST", "/directory/v1/buildings", admin, side=first, json={"unit": MICRO, "name": f"{first}号楼"}
        )
    door = {"building": building.raise_for_status().json()["id"], "door": "502"}
    await eventually(lambda: _known_building(upgraded, door["building"]))
    household = await call("POST", "/residents/v1/households", people.manager, side=first, json=door)
    phone = "13800000001" if first == OLD else "13800000002"
    person = {"name": "林晓梅", "gender": "female", "born_on": "1949-01-01", "phone": phone}
    resident = await call(
        "POST",
        "/residents/v1/residents",
        people.manager,
        side=first,
        json={**person, "household": household.raise_for_status().json()["id"]},
    )
    path = f"/residents/v1/residents/{resident.raise_for_status().json()['id']}"
    search = await call("POST", "/residents/v1/residents/search", people.manager, side=second, json={"phone": phone})
    assert [one["id"] for one in search.raise_for_status().json()["items"]] == [resident.json()["id"]]
    reveal = {"fields": ["phone"], "purpose": "上门核对联系方式"}
    shown = await call("POST", f"{path}/reveal", people.manager, side=second, json=reveal)
    assert shown.raise_for_status().json()["phone"] == phone
    changed = await call(
        "PATCH",
        path,
        people.manager,
        side=second,
        json={"phone": "13900000000"},
        headers={"If-Match": resident.headers["ETag"]},
    )
    assert changed.is_success, changed.text
    shown = await call("POST", f"{path}/reveal", people.manager, side=first, json=reveal)
    assert shown.raise_for_status().json()["phone"] == "13900000000"


async def _known_building(upgraded: Upgraded, building: str) -> bool:
    async with upgraded.platform.rows("residents") as database:
        return bool(await database.fetchval("SELECT count(*) FROM known_building WHERE id = $1", building))


@pytest.mark.parametrize("first", BOTH)
async def test_a_seat_booked_with_one_is_given_back_with_the_other(upgraded: Upgraded, first: str) -> None:
    call, people, second = upgraded.platform.call, upgraded.people, _OTHER[first]
    admin = await upgraded.platform.token("street_admin", "310104003", side=second)
    centre = {"unit": COMMUNITY, "name": f"邻里中心 {first}", "address": "永嘉路 1 号"}
    made = await call("POST", "/bookings/v1/centres", admin, side=second, json=centre)
    starts = datetime.now(UTC) + timedelta(days=1)
    session = {"title": "太极", "starts_at": starts.isoformat(), "ends_at": (starts + timedelta(hours=1)).isoformat()}
    path = f"/bookings/v1/centres/{made.raise_for_status().json()['id']}/sessions"
    offered = await call("POST", path, admin, side=first, json={**session, "seats": 1})
    seats = f"/bookings/v1/sessions/{offered.raise_for_status().json()['id']}/bookings"
    booked = await call("POST", seats, people.resident, side=first)
    assert booked.is_success, booked.text
    assert (await call("POST", seats, people.manager, side=second)).status_code == 409
    back = await call(
        "POST",
        f"/bookings/v1/bookings/{booked.json()['id']}/cancel",
        people.resident,
        side=second,
        headers={"If-Match": booked.headers["ETag"]},
    )
    assert back.is_success, back.text


async def test_a_token_of_either_directory_is_good_with_both(upgraded: Upgraded) -> None:
    for issuer, side in product(BOTH, repeat=2):
        token = await upgraded.platform.token("grid_worker", GRID, side=issuer)
        answer = await upgraded.platform.call("GET", "/tickets/v1/tickets", token, side=side)
        assert answer.status_code == 200, answer.text


async def test_consumers_that_both_pull_are_told_no_more_than_the_old_one_knows(upgraded: Upgraded) -> None:
    now = await upgraded.platform.consumers()
    assert {name: now.get(name) for name in upgraded.consumers} == upgraded.consumers


async def test_the_old_leave_without_an_error_and_nothing_is_left_among_the_dead_letters(upgraded: Upgraded) -> None:
    platform = upgraded.platform
    async with upgraded.under_load() as load:
        await asyncio.sleep(1)
        platform.serving = (NEW,)
        await eventually(lambda: not platform.asked[OLD])  # requests that were begun
        assert await platform.stop(OLD) == dict.fromkeys(platform.services(OLD), -signal.SIGTERM)
        await asyncio.sleep(1)
    await load.check()
    await eventually(platform.quiet, within=45)  # nothing is left in an outbox either
    for service in platform.services(NEW):
        async with platform.rows(service) as database:
            if await database.fetchval("SELECT to_regclass('dead_letter') IS NULL"):
                continue  # a service without tables
            letters = await database.fetch("SELECT consumer, subject, error FROM dead_letter")
            assert [tuple(letter) for letter in letters] == []
