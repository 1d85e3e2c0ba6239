"""A department is called, reports, acts and is rated; its staff see what they were called to, and no more."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET, employ
from services.tickets.tests.test_departments import DISTRICT, join, made

from linli import clockwork
from linli.testing import Running, eventually
from tickets import clocks
from tickets.calendar import ZONE, Calendar
from tickets.models.moves import MOVES, Move, State

Answer = dict[str, Any]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Let time pass for the clocks."""
    passed = timedelta(0)

    def pass_(time: timedelta) -> None:
        nonlocal passed
        passed += time

    monkeypatch.setattr(clockwork, "POLL", 0.05)
    monkeypatch.setattr(clocks.timers, "now", lambda: datetime.now(UTC) + passed)
    return pass_


async def opened(tickets: Running, unit: str = MICRO) -> str:
    body = {"unit": unit, "title": "占道经营", "description": "路口有流动摊贩占道", "category": "stalls"}
    answer = await tickets.client("resident", DISTRICT, uuid4()).post("/tickets/v1/tickets", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def post(client: httpx.AsyncClient, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
    return await client.post(f"/tickets/v1/{path}", json=body or {}, headers={"If-Match": "*"})


async def called(tickets: Running, ticket: str, *codes: str) -> list[Answer]:
    manager = tickets.client("community_manager", COMMUNITY)
    answer = await post(manager, f"tickets/{ticket}/whistle", {"departments": list(codes), "note": "请到现场"})
    assert answer.status_code == 201, answer.text
    found: list[Answer] = answer.json()
    return found


async def staffed(tickets: Running, code: str, unit: str = STREET, **changes: object) -> UUID:
    """Make a department with one who answers for it."""
    await made(tickets, code, **changes)
    staff = await employ(tickets, "department_staff", unit)
    await join(tickets, code, staff)
    return staff


async def told(tickets: Running, ticket: str, name: str) -> list[Answer]:
    return [event for event in await tickets.events(f"tickets.{name}.v1") if event["ticket"] == ticket]


async def test_a_department_that_is_called_reports_acts_and_is_rated(tickets: Running) -> None:
    staff = await staffed(tickets, "urban")
    await staffed(tickets, "traffic")
    ticket = await opened(tickets)
    before = datetime.now(UTC)
    urban, traffic = await called(tickets, ticket, "urban", "traffic")
    assert (urban["state"], urban["department"], traffic["department"]) == ("called", "urban", "traffic")
    due = datetime.fromisoformat(urban["report_due_at"])
    assert Calendar().due_after(before, 120) <= due <= Calendar().due_after(datetime.now(UTC), 120)
    department = tickets.client("department_staff", STREET, staff)
    reported = await post(department, f"whistles/{urban['id']}/report", {"note": "已到现场"})
    assert (reported.json()["state"], reported.json()["reported_by"]) == ("reported", str(staff)), reported.text
    acted = await post(department, f"whistles/{urban['id']}/act", {"note": "摊贩已劝离"})
    assert acted.json()["state"] == "acted", acted.text
    manager = tickets.client("community_manager", COMMUNITY)
    rated = await post(manager, f"whistles/{urban['id']}/rate", {"rating": 4})
    assert (rated.json()["state"], rated.json()["rating"]) == ("rated", 4), rated.text
    trail = (await manager.get(f"/tickets/v1/tickets/{ticket}/timeline")).json()["items"]
    moves = ["open", "whistle", "whistle", "report", "act", "rate_whistle"]
    assert [(step["move"], step["sequence"]) for step in trail] == list(zip(moves, range(1, 7), strict=True))
    events = [event for event in await tickets.events() if event.get("whistle") in {urban["id"], traffic["id"]}]
    names = [event["headers"]["ce-type"] for event in events]
    assert names == [f"tickets.{name}.v1" for name in _NAMES]
    assert [event["sequence"] for event in events] == [2, 3, 4, 5, 6]
    assert events[0]["members"] == events[4]["members"] == [str(staff)]
    both = (await manager.get(f"/tickets/v1/tickets/{ticket}/whistles")).json()["items"]
    assert [(one["department"], one["state"]) for one in both] == [("urban", "rated"), ("traffic", "called")]
    clocks_left = "SELECT array_agg(aggregate) FROM timer WHERE kind = 'report' AND aggregate = ANY ($1)"
    ids = [UUID(urban["id"]), UUID(traffic["id"])]
    assert await tickets.database.fetchval(clocks_left, ids) == [ids[1]]


_NAMES = ("whistled", "whistled", "whistle_reported", "whistle_acted", "whistle_rated")


async def test_a_department_that_does_not_report_in_time_has_missed_it_and_may_still_come(
    tickets: Running, wait: Callable[[timedelta], None]
) -> None:
    staff = await staffed(tickets, "water", report_minutes=30)
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    ticket = await opened(tickets)
    (whistle,) = await called(tickets, ticket, "water")
    wait(datetime.fromisoformat(whistle["report_due_at"]) - datetime.now(UTC) - timedelta(minutes=1))
    assert not await told(tickets, ticket, "whistle_missed")
    wait(timedelta(minutes=1))
    (missed,) = await eventually(lambda: told(tickets, ticket, "whistle_missed"))
    assert (missed["due_at"], missed["members"]) == (whistle["report_due_at"], [str(staff)])
    assert str(manager_id) in missed["supervisors"]
    department = tickets.client("department_staff", STREET, staff)
    seen = (await department.get(f"/tickets/v1/whistles/{whistle['id']}")).json()
    assert (seen["state"], seen["missed_at"] is None) == ("called", False)
    late = await post(department, f"whistles/{whistle['id']}/report")
    assert (late.json()["state"], late.json()["missed_at"]) == ("reported", seen["missed_at"])
    wait(timedelta(days=30))
    assert len(await told(tickets, ticket, "whistle_missed")) == 1


async def test_a_corrected_calendar_moves_when_a_department_must_report(tickets: Running) -> None:
    await staffed(tickets, "moved", report_minutes=8 * 60)
    ticket = await opened(tickets)
    (whistle,) = await called(tickets, ticket, "moved")
    due = datetime.fromisoformat(whistle["report_due_at"])
    off = due.astimezone(ZONE).date()
    admin = tickets.client("district_admin", DISTRICT)
    answer = await admin.put(f"/tickets/v1/calendar/{off}", json={"working": False, "note": "台风停工"})
    assert answer.status_code == 200, answer.text
    seen = (await admin.get(f"/tickets/v1/whistles/{whistle['id']}")).json()
    moved = Calendar({off: False}).due_after(datetime.fromisoformat(whistle["called_at"]), 8 * 60)
    assert datetime.fromisoformat(seen["report_due_at"]) == moved > due
    assert seen["version"] == whistle["version"], "it was no step of anybody's"
    kept = await tickets.database.fetchval("SELECT due_at FROM timer WHERE aggregate = $1", UUID(whistle["id"]))
    assert kept == moved
    etag = {"If-Match": answer.headers["etag"]}
    undone = await admin.put(f"/tickets/v1/calendar/{off}", json={"working": True, "note": "恢复"}, headers=etag)
    assert undone.status_code == 200, undone.text


@pytest.mark.parametrize(
    ("done", "step", "body"),
    [
        ([], "act", {"note": "x"}),
        ([], "rate", {"rating": 5}),
        (["report"], "report", {}),
        (["report"], "rate", {"rating": 5}),
        (["report", "act"], "act", {"note": "x"}),
        (["report", "act", "rate"], "rate", {"rating": 1}),
    ],
)
async def test_a_whistle_is_answered_step_by_step(
    tickets: Running, done: list[str], step: str, body: dict[str, object]
) -> None:
    code = f"steps_{uuid4().hex[:8]}"
    clients = dict.fromkeys(("report", "act"), tickets.client("department_staff", STREET, await staffed(tickets, code)))
    clients["rate"] = tickets.client("community_manager", COMMUNITY)
    (whistle,) = await called(tickets, await opened(tickets), code)
    bodies: dict[str, dict[str, object]] = {"report": {}, "act": {"note": "x"}, "rate": {"rating": 3}}
    for before in done:
        assert (await post(clients[before], f"whistles/{whistle['id']}/{before}", bodies[before])).status_code == 200
    refused = await post(clients[step], f"whistles/{whistle['id']}/{step}", body)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:whistle-elsewhere")


async def test_a_department_is_called_once_until_it_is_rated(tickets: Running) -> None:
    staff = await staffed(tickets, "again")
    ticket = await opened(tickets)
    (whistle,) = await called(tickets, ticket, "again", "again")
    manager = tickets.client("community_manager", COMMUNITY)
    refused = await post(manager, f"tickets/{ticket}/whistle", {"departments": ["again"]})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:already-called")
    department = tickets.client("department_staff", STREET, staff)
    await post(department, f"whistles/{whistle['id']}/report")
    await post(department, f"whistles/{whistle['id']}/act", {"note": "x"})
    await post(manager, f"whistles/{whistle['id']}/rate", {"rating": 2})
    assert len(await called(tickets, ticket, "again")) == 1


async def test_all_that_are_named_are_called_or_none(tickets: Running) -> None:
    await staffed(tickets, "there")
    await made(tickets, "ended", active=False)
    ticket = await opened(tickets)
    manager = tickets.client("community_manager", COMMUNITY)
    for code in ("ended", "unheard_of"):
        refused = await post(manager, f"tickets/{ticket}/whistle", {"departments": ["there", code]})
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:linli:problem:unknown-department")
        assert refused.json()["errors"][0]["pointer"] == "#/departments/1"
    assert (await manager.get(f"/tickets/v1/tickets/{ticket}/whistles")).json()["items"] == []
    assert not await told(tickets, ticket, "whistled")


async def ended(tickets: Running, ticket: str, end: Move) -> None:
    """End a ticket by a move of somebody who does not see who was called: only its managers do."""
    worker = await employ(tickets, "grid_worker", GRID)
    manager = tickets.client("community_manager", COMMUNITY)
    reporter = await tickets.database.fetchval("SELECT reporter FROM ticket WHERE id = $1", UUID(ticket))
    resident = tickets.client("resident", DISTRICT, reporter)
    into = await opened(tickets)
    ways: dict[Move, list[tuple[httpx.AsyncClient, str, Answer]]] = {
        Move.WITHDRAW: [(resident, "withdraw", {})],
        Move.FOLD: [(manager, "fold", {"into": into})],
        Move.CLOSE: [
            (manager, "assign", {"assignee": str(worker)}),
            (tickets.client("grid_worker", GRID, worker), "resolve", {}),
            (resident, "close", {}),
        ],
    }
    for client, step, body in ways[end]:
        answer = await post(client, f"tickets/{ticket}/{step}", body)
        assert answer.status_code == 200, answer.text


ENDS = [move for move, rule in MOVES.items() if rule.after is State.CLOSED and State.CLOSED not in rule.before]


@pytest.mark.parametrize("end", ENDS)
async def test_calls_end_with_their_ticket_and_each_department_is_told(
    tickets: Running, wait: Callable[[timedelta], None], end: Move
) -> None:
    codes = [f"{end}_{name}" for name in ("called", "there", "late", "done")]
    staff = {code: await staffed(tickets, code) for code in codes}
    answering = {code: tickets.client("department_staff", STREET, one) for code, one in staff.items()}
    ticket = await opened(tickets)
    calls = {call["department"]: call["id"] for call in await called(tickets, ticket, *codes)}
    was_called, there, late, done = codes
    for code, step in ((there, "report"), (done, "report"), (done, "act")):
        assert (await post(answering[code], f"whistles/{calls[code]}/{step}", {"note": "x"})).status_code == 200
    due = "UPDATE timer SET due_at = now() - interval '1 s', try_at = now() WHERE aggregate = $1"
    await tickets.database.execute(due, UUID(calls[late]))
    await eventually(lambda: told(tickets, ticket, "whistle_missed"))

    await ended(tickets, ticket, end)

    manager = tickets.client("community_manager", COMMUNITY)
    shown = (await manager.get(f"/tickets/v1/tickets/{ticket}/whistles")).json()["items"]
    assert [(one["department"], one["state"], one["called_off_at"] is not None) for one in shown] == [
        (was_called, "called_off", True),
        (there, "called_off", True),
        (late, "called_off", True),
        (done, "acted", False),
    ]
    off = [was_called, there, late]
    trail = (await manager.get(f"/tickets/v1/tickets/{ticket}/timeline")).json()["items"]
    assert [step["move"] for step in trail][-4:] == [end, "call_off", "call_off", "call_off"]
    assert [step["facts"] for step in trail][-3:] == [{"department": code, "whistle": calls[code]} for code in off]
    events = await told(tickets, ticket, "whistle_called_off")
    assert [(event["department"], event["members"]) for event in events] == [(code, [str(staff[code])]) for code in off]
    assert [event["sequence"] for event in events] == [step["sequence"] for step in trail][-3:]
    left = "SELECT count(*) FROM timer WHERE kind = 'report' AND aggregate = ANY ($1)"
    assert await tickets.database.fetchval(left, [UUID(call) for call in calls.values()]) == 0
    wait(timedelta(days=30))
    ranked = (await manager.get("/tickets/v1/departments/ranking")).json()["items"]
    stands = {row["department"]: row for row in ranked}
    # What a department had done or missed before stays; that the ticket ended counts for nothing.
    counted = ("called", "reported", "missed", "acted", "called_off", "in_time")
    assert [[stands[code][name] for name in counted] for code in codes] == [
        [1, 0, 0, 0, 1, None],
        [1, 1, 0, 0, 1, 1],
        [1, 0, 1, 0, 1, 0],
        [1, 1, 0, 1, 0, 1],
    ]
    for code, step in ((was_called, "report"), (there, "act")):
        refused = await post(answering[code], f"whistles/{calls[code]}/{step}", {"note": "x"})
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:whistle-elsewhere")
    assert (await post(manager, f"whistles/{calls[done]}/rate", {"rating": 5})).status_code == 200
    refused = await post(manager, f"tickets/{ticket}/whistle", {"departments": [was_called]})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:illegal-move")
    assert len(await told(tickets, ticket, "whistle_missed")) == 1


async def test_calls_to_a_part_end_as_whoever_has_it_resolves_it(tickets: Running) -> None:
    await staffed(tickets, "of_part")
    worker = await employ(tickets, "grid_worker", GRID)
    manager = tickets.client("community_manager", COMMUNITY)
    parts = [{"title": "灯", "description": "灯"}, {"title": "路", "description": "路"}]
    split = await post(manager, f"tickets/{await opened(tickets)}/split", {"parts": parts})
    part = split.json()["items"][0]["id"]
    (call,) = await called(tickets, part, "of_part")
    await post(manager, f"tickets/{part}/assign", {"assignee": str(worker)})
    assert (await post(tickets.client("grid_worker", GRID, worker), f"tickets/{part}/resolve")).status_code == 200
    assert (await manager.get(f"/tickets/v1/whistles/{call['id']}")).json()["state"] == "called_off"


async def test_calls_end_with_a_ticket_that_time_ends(tickets: Running, wait: Callable[[timedelta], None]) -> None:
    await staffed(tickets, "until_silence")
    manager = tickets.client("community_manager", COMMUNITY)
    ticket = await opened(tickets)
    (call,) = await called(tickets, ticket, "until_silence")
    worker = await employ(tickets, "grid_worker", GRID)
    for step, body in (("assign", {"assignee": str(worker)}), ("resolve", {})):
        assert (await post(manager, f"tickets/{ticket}/{step}", body)).status_code == 200
    wait(timedelta(days=60))
    (event,) = await eventually(lambda: told(tickets, ticket, "whistle_called_off"))
    assert event["whistle"] == call["id"]


async def test_who_is_called_as_the_ticket_is_withdrawn_is_called_off_or_never_called(tickets: Running) -> None:
    await staffed(tickets, "meanwhile")
    manager = tickets.client("community_manager", COMMUNITY)
    for _ in range(5):
        ticket = await opened(tickets)
        blown, _ = await asyncio.gather(
            post(manager, f"tickets/{ticket}/whistle", {"departments": ["meanwhile"]}),
            ended(tickets, ticket, Move.WITHDRAW),
        )
        shown = (await manager.get(f"/tickets/v1/tickets/{ticket}/whistles")).json()["items"]
        assert [one["state"] for one in shown] == ["called_off"] * (blown.status_code == 201), blown.text


async def test_what_goes_on_as_the_report_of_another_calls_anew(tickets: Running) -> None:
    await staffed(tickets, "wanted")
    manager = tickets.client("community_manager", COMMUNITY)
    ticket, same = await opened(tickets), await opened(tickets)
    (gone,) = await called(tickets, ticket, "wanted")
    assert (await post(manager, f"tickets/{same}/fold", {"into": ticket})).status_code == 200
    await ended(tickets, ticket, Move.WITHDRAW)
    assert (await manager.get(f"/tickets/v1/tickets/{same}")).json()["state"] == "open"
    assert (await manager.get(f"/tickets/v1/tickets/{same}/whistles")).json()["items"] == []
    await called(tickets, same, "wanted")
    assert (await manager.get(f"/tickets/v1/whistles/{gone['id']}")).json()["state"] == "called_off"


async def test_who_was_called_off_is_called_again_when_the_ticket_is_taken_up_again(tickets: Running) -> None:
    staff = await staffed(tickets, "back")
    ticket = await opened(tickets)
    (first,) = await called(tickets, ticket, "back")
    await ended(tickets, ticket, Move.CLOSE)
    reporter = await tickets.database.fetchval("SELECT reporter FROM ticket WHERE id = $1", UUID(ticket))
    rated = await post(tickets.client("resident", DISTRICT, reporter), f"tickets/{ticket}/rate", {"rating": 1})
    assert rated.json()["state"] == "assigned", rated.text
    (second,) = await called(tickets, ticket, "back")
    department = tickets.client("department_staff", STREET, staff)
    assert (await post(department, f"whistles/{first['id']}/report")).status_code == 409
    assert (await post(department, f"whistles/{second['id']}/report")).status_code == 200
    listed = await department.get("/tickets/v1/whistles", params={"state": "called_off"})
    assert [one["id"] for one in listed.json()["items"]] == [first["id"]]


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("state", "state = 'lost', reported_at = now(), reported_by = id, report_took = 1"),
        ("called_off", "state = 'called_off'"),
        ("called_off", "called_off_at = now()"),
        ("acted", "state = 'called_off', called_off_at = now(), acted_at = now(), acted_by = id, act_took = 1"),
        ("reported", "state = 'reported'"),
        ("reported", "state = 'called_off', called_off_at = now(), reported_at = now()"),
    ],
)
async def test_a_call_that_breaks_a_rule_is_refused_by_its_name(tickets: Running, rule: str, change: str) -> None:
    code = f"rules_{uuid4().hex[:8]}"
    await staffed(tickets, code)
    (call,) = await called(tickets, await opened(tickets), code)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await tickets.database.execute(f"UPDATE whistle SET {change} WHERE id = $1", UUID(call["id"]))  # noqa: S608
    assert refused.value.constraint_name == f"ck_whistle_{rule}"


async def test_who_may_call_and_who_may_answer(tickets: Running) -> None:
    staff = await staffed(tickets, "mine")
    other = await staffed(tickets, "theirs")
    ticket = await opened(tickets)
    for role, unit, status in (
        ("grid_worker", GRID, 403),
        ("resident", DISTRICT, 403),
        ("street_admin", "310104004", 404),
    ):
        refused = await post(tickets.client(role, unit), f"tickets/{ticket}/whistle", {"departments": ["mine"]})
        assert refused.status_code == status, role
    (whistle,) = await called(tickets, ticket, "mine")
    unseen = await post(tickets.client("department_staff", STREET, other), f"whistles/{whistle['id']}/report")
    assert unseen.status_code == 404
    manager = tickets.client("community_manager", COMMUNITY)
    assert (await post(manager, f"whistles/{whistle['id']}/report")).status_code == 403
    department = tickets.client("department_staff", STREET, staff)
    assert (await post(department, f"whistles/{whistle['id']}/report")).status_code == 200
    assert (await post(department, f"whistles/{whistle['id']}/act", {"note": "x"})).status_code == 200
    assert (await post(department, f"whistles/{whistle['id']}/rate", {"rating": 5})).status_code == 403
    stale = await manager.post(
        f"/tickets/v1/whistles/{whistle['id']}/rate", json={"rating": 5}, headers={"If-Match": '"1"'}
    )
    assert stale.status_code == 412


async def test_department_staff_see_what_they_were_called_to_and_nothing_else(tickets: Running) -> None:
    staff = await staffed(tickets, "seeing")
    assigned_only = await employ(tickets, "department_staff", STREET)
    theirs, assigned, foreign = await opened(tickets), await opened(tickets), await opened(tickets)
    (whistle,) = await called(tickets, theirs, "seeing")
    manager = tickets.client("street_admin", STREET)
    assert (await post(manager, f"tickets/{assigned}/assign", {"assignee": str(assigned_only)})).status_code == 200
    for person, sees in ((staff, [theirs]), (assigned_only, [assigned]), (uuid4(), [])):
        client = tickets.client("department_staff", STREET, person)
        listed = (await client.get("/tickets/v1/tickets", params={"limit": 200})).json()["items"]
        assert [ticket["id"] for ticket in listed] == sees
        for ticket in (theirs, assigned, foreign):
            status = 200 if ticket in sees else 404
            for path in ("", "/timeline", "/whistles"):
                assert (await client.get(f"/tickets/v1/tickets/{ticket}{path}")).status_code == status
            if status == 404:
                assert (await post(client, f"tickets/{ticket}/resolve")).status_code == 404
        whistles = (await client.get("/tickets/v1/whistles")).json()["items"]
        assert [one["id"] for one in whistles] == ([whistle["id"]] if person == staff else [])
    # The range of the unit still holds: called to a ticket of another street, they do not see it from this one.
    await join(tickets, "seeing", await employ(tickets, "department_staff", SIBLING[:9]))
    beyond = await opened(tickets, SIBLING)
    street = tickets.client("street_admin", SIBLING[:9])
    assert (await post(street, f"tickets/{beyond}/whistle", {"departments": ["seeing"]})).status_code == 201
    near = tickets.client("department_staff", STREET, staff)
    assert (await near.get(f"/tickets/v1/tickets/{beyond}")).status_code == 404
    wide = tickets.client("department_staff", DISTRICT, staff)
    assert (await wide.get(f"/tickets/v1/tickets/{beyond}")).status_code == 200
    both = tickets.client("department_staff", STREET, staff, roles=["department_staff", "street_admin"])
    assert (await both.get(f"/tickets/v1/tickets/{foreign}")).status_code == 200


async def test_a_department_that_lost_a_member_is_no_longer_seen_by_him(tickets: Running) -> None:
    staff = await staffed(tickets, "leaving")
    ticket = await opened(tickets)
    await called(tickets, ticket, "leaving")
    client = tickets.client("department_staff", STREET, staff)
    assert (await client.get(f"/tickets/v1/tickets/{ticket}")).status_code == 200
    gone = await tickets.client("district_admin", DISTRICT).delete(
        f"/tickets/v1/departments/leaving/members/{staff}", headers={"If-Match": "*"}
    )
    assert gone.status_code == 204
    assert (await client.get(f"/tickets/v1/tickets/{ticket}")).status_code == 404
