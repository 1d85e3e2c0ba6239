"""Cases: seen by their team alone, graded, followed up, every step and every look kept."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET, employ
from sqlalchemy import text

from linli import clockwork, units
from linli.audit import verify
from linli.db import Scope, transaction
from linli.testing import Running, eventually
from tickets import clocks
from tickets.calendar import ZONE

CASES = "/tickets/v1/cases"
PARTS = ("case_party", "case_conference", "case_agreement", "case_follow_up", "case_entry")
TABLES = {"case_file": "id"} | dict.fromkeys(PARTS, "case_id")
LATER = "2099-03-02T09:00:00+08:00"
Wait = Callable[[timedelta], None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Let time pass for the clocks."""
    passed = timedelta(0)

    def pass_(time: timedelta) -> None:
        nonlocal passed
        passed += time

    monkeypatch.setattr(clockwork, "POLL", 0.05)
    monkeypatch.setattr(clocks.timers, "now", lambda: datetime.now(UTC) + passed)
    return pass_


async def team(tickets: Running, unit: str, grade: int, *members: UUID) -> dict[str, Any]:
    """Name who takes a grade's cases in a unit, all of them in office."""
    for member in members:
        await employ(tickets, "volunteer", "310104", member)
    admin = tickets.client("district_admin", "310104")
    body = {"name": "调解队", "members": [str(member) for member in members]}
    answer = await admin.put(f"/tickets/v1/case-teams/{unit}/{grade}", json=body, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def opened(tickets: Running, grade: int = 1, unit: str = MICRO, summary: str = "两家为楼道堆物争执") -> str:
    body = {"unit": unit, "grade": grade, "summary": summary}
    answer = await tickets.client("community_manager", COMMUNITY).post(CASES, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def post(client: httpx.AsyncClient, case: str, part: str, body: object) -> dict[str, Any]:
    answer = await client.post(f"{CASES}/{case}/{part}", json=body, headers={"If-Match": "*"})
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def items(client: httpx.AsyncClient, case: str, part: str) -> list[dict[str, Any]]:
    answer = await client.get(f"{CASES}/{case}/{part}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def told(tickets: Running, case: str) -> list[dict[str, Any]]:
    return [event for event in await tickets.events() if event.get("case") == case]


async def test_the_grade_picks_the_nearest_team_and_nobody_else_sees_the_case(tickets: Running) -> None:
    near, far, hard = uuid4(), uuid4(), uuid4()
    await team(tickets, "310104", 1, far)
    await team(tickets, STREET, 1, near)
    await team(tickets, "310104", 4, hard)
    easy, difficult = await opened(tickets, 1), await opened(tickets, 4)
    assert (
        (await tickets.client("volunteer", "310104", near).get(f"{CASES}/{easy}")).json()["summary"].startswith("两家")
    )
    assert (await tickets.client("department_staff", "310104", hard).get(f"{CASES}/{difficult}")).status_code == 200
    for role, unit, person in (
        ("volunteer", "310104", far),
        ("community_manager", COMMUNITY, None),
        ("street_admin", STREET, None),
        ("district_admin", "310104", None),
        ("district_admin", "310115", near),
    ):
        client = tickets.client(role, unit, person)
        for path in ("", "/trail", "/parties", "/conferences", "/agreements", "/follow-ups"):
            answer = await client.get(f"{CASES}/{easy}{path}")
            assert answer.status_code == 404, (role, path)
        assert (await client.get(CASES)).json()["items"] == []
        refused = await client.post(f"{CASES}/{easy}/close", json={"outcome": "settled"}, headers={"If-Match": "*"})
        absent = await client.post(
            f"{CASES}/{UUID(int=7)}/close", json={"outcome": "settled"}, headers={"If-Match": "*"}
        )
        same = {**refused.json(), "trace_id": ""}
        assert str(same).replace(easy, str(UUID(int=7))) == str({**absent.json(), "trace_id": ""})
    assert (await tickets.client("resident", "310104", near).get(f"{CASES}/{easy}")).status_code == 403


async def test_the_database_itself_shows_a_case_to_its_team_alone(tickets: Running) -> None:
    member, outsider = uuid4(), uuid4()
    await team(tickets, COMMUNITY, 2, member)
    mediator = tickets.client("grid_worker", GRID, member)
    case = await opened(tickets, 2)
    await post(mediator, case, "parties", {"side": "applicant", "name": "林阿婆"})
    await post(mediator, case, "conferences", {"held_at": "2026-03-02T09:00:00+08:00", "minutes": "双方到场"})
    await post(mediator, case, "agreements", {"signed_on": "2026-03-02", "duties": [{"who": "甲", "what": "清理"}]})
    await post(mediator, case, "follow-ups", {"due_at": LATER})
    district = units.parse("310104")

    async def counts(scope: Scope) -> list[int]:
        async with transaction(tickets.app.state.sessions, scope) as session:
            return [
                await session.scalar(
                    text(f"SELECT count(*) FROM {table} WHERE {key} = :case"),  # noqa: S608 tables' own names
                    {"case": case},
                )
                for table, key in TABLES.items()
            ]

    everything = [1, 1, 1, 1, 1, 5]
    assert await counts(Scope.of_person(member, 310104)) == everything
    assert await counts(Scope.of_unit(district, member)) == everything
    assert await counts(Scope.of_district(310104)) == everything, "the clocks work on cases, too"
    nothing = [0] * len(TABLES)
    assert await counts(Scope.of_person(outsider, 310104)) == nothing
    assert await counts(Scope.of_unit(district, outsider)) == nothing
    assert await counts(Scope.of_person(member, 310115)) == nothing


async def test_a_ticket_becomes_a_case_keeps_its_trail_and_tells_no_more(tickets: Running) -> None:
    member, reporter = uuid4(), uuid4()
    await team(tickets, COMMUNITY, 3, member)
    resident = tickets.client("resident", "310104", reporter)
    report = {"unit": MICRO, "title": "邻里纠纷", "description": "楼上夜间噪音"}
    ticket = (await resident.post("/tickets/v1/tickets", json=report)).json()["id"]
    manager = tickets.client("community_manager", COMMUNITY)
    path, header = f"/tickets/v1/tickets/{ticket}", {"If-Match": "*"}
    body = {"grade": 3, "summary": "楼上楼下不和已三年"}
    assert (await resident.post(f"{path}/case", json=body, headers=header)).status_code == 403
    made = await manager.post(f"{path}/case", json=body, headers=header)
    assert made.status_code == 201, made.text
    case = made.json()["id"]
    mediator = tickets.client("volunteer", "310104", member)
    first = (await items(mediator, case, "trail"))[0]
    assert (first["step"], first["about"], first["grade"], first["sequence"]) == ("open", ticket, 3, 1)
    entries = (await resident.get(f"{path}/timeline")).json()["items"]
    assert [(entry["move"], entry["note"]) for entry in entries] == [("open", None), ("case", None)]
    assert case not in str(entries)
    assert await tickets.database.fetchval("SELECT visibility FROM ticket WHERE id = $1", UUID(ticket)) == "private"
    again = await manager.post(f"{path}/case", json=body, headers=header)
    assert (again.status_code, again.json()["type"]) == (409, "urn:linli:problem:already-case")
    (event,) = await told(tickets, case)
    said = {key for key in event if key != "headers"}
    assert said == {"id", "unit", "sequence", "occurred_at", "case", "members"}
    assert event["members"] == [str(member)]


async def test_without_a_summary_a_case_takes_the_tickets_words(tickets: Running) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 3, member)
    manager = tickets.client("community_manager", COMMUNITY)
    report = {"unit": MICRO, "title": "邻里纠纷", "description": "楼上夜间噪音"}
    ticket = (await manager.post("/tickets/v1/tickets", json=report)).json()["id"]
    path, header = f"/tickets/v1/tickets/{ticket}/case", {"If-Match": "*"}
    case = (await manager.post(path, json={"grade": 3}, headers=header)).json()["id"]
    found = (await tickets.client("volunteer", "310104", member).get(f"{CASES}/{case}")).json()
    assert (found["summary"], found["ticket"]) == ("邻里纠纷\n\n楼上夜间噪音", ticket)


async def test_where_no_team_is_named_a_case_waits_for_one(tickets: Running) -> None:
    await tickets.know_units("310106001001001")
    manager = tickets.client("community_manager", "310106001001")
    refused = await manager.post(CASES, json={"unit": "310106001001", "grade": 2, "summary": "争执"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:no-team")


async def test_a_harder_case_goes_to_another_team_and_that_stands_in_the_trail(tickets: Running) -> None:
    mediator, lawyer = uuid4(), uuid4()
    await team(tickets, COMMUNITY, 1, mediator)
    await team(tickets, "310104", 4, lawyer)
    first, second = tickets.client("volunteer", "310104", mediator), tickets.client("volunteer", "310104", lawyer)
    case = await opened(tickets, 1)
    await post(first, case, "parties", {"side": "respondent", "name": "沈先生"})
    assert (await first.post(f"{CASES}/{case}/grade", json={"grade": 1}, headers={"If-Match": "*"})).status_code == 409
    graded = await post(first, case, "grade", {"grade": 4, "note": "涉及房产，须律师参与"})
    assert (graded["grade"], graded["members"]) == (4, [str(lawyer)])
    assert (await first.get(f"{CASES}/{case}")).status_code == 404
    assert [party["name"] for party in await items(second, case, "parties")] == ["沈先生"]
    trail = await items(second, case, "trail")
    assert [(entry["step"], entry["grade"]) for entry in trail] == [("open", 1), ("party", None), ("grade", 4)]
    assert [entry["sequence"] for entry in trail] == [1, 2, 3]
    assert (trail[2]["actor"], trail[2]["note"]) == (str(mediator), "涉及房产，须律师参与")
    graded_event = (await told(tickets, case))[-1]
    assert graded_event["headers"]["ce-type"] == "tickets.case_graded.v1"
    assert graded_event["members"] == [str(lawyer)]


async def test_a_team_that_changes_takes_its_cases_along(tickets: Running) -> None:
    before, after = uuid4(), uuid4()
    named = await team(tickets, COMMUNITY, 2, before)
    case = await opened(tickets, 2)
    old, new = tickets.client("volunteer", "310104", before), tickets.client("volunteer", "310104", after)
    await post(old, case, "parties", {"side": "other", "resident": str(uuid4())})
    changed = await team(tickets, COMMUNITY, 2, after)
    assert changed["id"] == named["id"]
    assert (await old.get(f"{CASES}/{case}")).status_code == 404
    assert len(await items(new, case, "parties")) == 1
    assert [entry["step"] for entry in await items(new, case, "trail")] == ["open", "party"]
    row = await tickets.database.fetchrow("SELECT * FROM audit WHERE action = 'cases.team' ORDER BY sequence DESC")
    assert set(row["subjects"]) == {before, after}


async def test_every_look_at_a_case_is_kept(tickets: Running) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    case = await opened(tickets, 2)
    mediator = tickets.client("volunteer", "310104", member)
    await mediator.get(f"{CASES}/{case}")
    for part in ("trail", "parties", "conferences", "agreements", "follow-ups"):
        await items(mediator, case, part)
    await mediator.get(CASES)
    await post(mediator, case, "notes", {"note": "电话联系双方"})
    rows = await tickets.database.fetch(
        "SELECT action, fields, subjects FROM audit WHERE actor = $1 ORDER BY sequence", member
    )
    assert [(row["action"], row["fields"]) for row in rows] == [
        ("cases.read", ["summary"]),
        ("cases.read", ["trail"]),
        ("cases.read", ["parties"]),
        ("cases.read", ["conferences"]),
        ("cases.read", ["agreements"]),
        ("cases.read", ["follow_ups"]),
        ("cases.list", ["state"]),
        ("cases.note", ["summary"]),
    ]
    assert all(UUID(case) in row["subjects"] for row in rows)
    admin = tickets.client("district_admin", "310104")
    assert any(case in found["subjects"] for found in (await admin.get("/tickets/v1/audit")).json()["items"])
    async with transaction(tickets.app.state.sessions, Scope.of_district(310104)) as session:
        assert (await verify(session, 310104)).rows >= 8


async def test_every_step_of_a_case_is_told_and_not_a_word_of_it(tickets: Running) -> None:
    member, resident = uuid4(), uuid4()
    await team(tickets, COMMUNITY, 2, member)
    case = await opened(tickets, 2)
    mediator = tickets.client("volunteer", "310104", member)
    party = await post(mediator, case, "parties", {"side": "applicant", "resident": str(resident)})
    meeting = {"held_at": "2026-03-02T09:00:00+08:00", "minutes": "双方到场"}
    conference = await post(mediator, case, "conferences", meeting)
    duties = {"signed_on": "2026-03-02", "duties": [{"who": "甲", "what": "清理"}]}
    agreement = await post(mediator, case, "agreements", duties)
    planned = await post(mediator, case, "follow-ups", {"due_at": LATER})
    await post(mediator, case, f"follow-ups/{planned['id']}/finish", {"effect": "kept", "findings": "已清理"})
    await post(mediator, case, "notes", {"note": "电话联系双方"})
    stepped = (await told(tickets, case))[1:]
    assert [(event["sequence"], event["step"], event["about"]) for event in stepped] == [
        (2, "party", party["id"]),
        (3, "conference", conference["id"]),
        (4, "agreement", agreement["id"]),
        (5, "follow_up", planned["id"]),
        (6, "followed_up", planned["id"]),
        (7, "note", None),
    ]
    for event in stepped:
        assert event["headers"]["ce-type"] == "tickets.case_stepped.v1"
        assert (event["taken_by"], event["members"]) == (str(member), [str(member)])
        assert str(resident) not in str(event)


async def test_what_is_said_in_a_case_stands_nowhere_in_the_clear(tickets: Running) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    word = f"金丝雀{uuid4().hex[:8]}"
    case = await opened(tickets, 2, summary=word)
    mediator = tickets.client("volunteer", "310104", member)
    await post(mediator, case, "parties", {"side": "applicant", "name": word})
    await post(mediator, case, "conferences", {"held_at": "2026-03-02T09:00:00+08:00", "minutes": word})
    await post(mediator, case, "agreements", {"signed_on": "2026-03-02", "duties": [{"who": word, "what": word}]})
    planned = await post(mediator, case, "follow-ups", {"due_at": LATER})
    await post(mediator, case, f"follow-ups/{planned['id']}/finish", {"effect": "kept", "findings": word})
    await post(mediator, case, "notes", {"note": word})
    await post(mediator, case, "close", {"outcome": "settled", "note": word})
    names = await tickets.database.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    )
    for (name,) in names:
        forms = [f"%{word}%", f"%{word.encode().hex()}%"]
        look = f'SELECT count(*) FROM "{name}" t WHERE t::text LIKE ANY ($1)'  # noqa: S608 tables' own names
        assert await tickets.database.fetchval(look, forms) == 0, name
    operator = tickets.client("operator", "0")
    assert (await operator.post("/tickets/v1/districts/310104/keys")).status_code == 201
    assert (await mediator.get(f"{CASES}/{case}")).json()["summary"] == word
    assert (await items(mediator, case, "parties"))[0]["name"] == word
    assert (await items(mediator, case, "conferences"))[0]["minutes"] == word
    assert (await items(mediator, case, "agreements"))[0]["duties"] == [{"who": word, "what": word, "due_on": None}]
    assert (await items(mediator, case, "follow-ups"))[0]["findings"] == word
    assert [entry["note"] for entry in await items(mediator, case, "trail")][-2:] == [word, word]


async def test_a_party_is_a_resident_or_a_name(tickets: Running) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    mediator = tickets.client("volunteer", "310104", member)
    case = await opened(tickets, 2)
    for body in (
        {"side": "other"},
        {"side": "other", "name": "甲", "resident": str(uuid4())},
        {"side": "x", "name": "甲"},
    ):
        assert (await mediator.post(f"{CASES}/{case}/parties", json=body)).status_code == 422


@pytest.mark.parametrize("due_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2101-01-01T00:00:00Z"])
async def test_a_follow_up_is_due_in_our_time(tickets: Running, due_at: str) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    case = await opened(tickets, 2)
    mediator = tickets.client("volunteer", "310104", member)
    assert (await mediator.post(f"{CASES}/{case}/follow-ups", json={"due_at": due_at})).status_code == 422
    conference = {"held_at": due_at, "minutes": "无"}
    assert (await mediator.post(f"{CASES}/{case}/conferences", json=conference)).status_code in {201, 422}


@pytest.mark.parametrize(
    "agreed",
    [
        {"signed_on": 1772409600, "duties": [{"who": "甲", "what": "清理"}]},
        {"signed_on": "2026-03-02", "duties": [{"who": "甲", "what": "清理", "due_on": 1775001600}]},
    ],
)
async def test_a_day_that_could_count_seconds_is_refused(tickets: Running, agreed: dict[str, object]) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    mediator = tickets.client("volunteer", "310104", member)
    refused = await mediator.post(f"{CASES}/{await opened(tickets, 2)}/agreements", json=agreed)
    assert refused.status_code == 422, refused.text


async def test_a_closed_case_can_only_be_followed_up(tickets: Running) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    mediator = tickets.client("volunteer", "310104", member)
    case = await opened(tickets, 2)
    closed = await post(mediator, case, "close", {"outcome": "settled"})
    assert (closed["state"], closed["outcome"], closed["effect"]) == ("closed", "settled", None)
    assert (await told(tickets, case))[-1]["headers"]["ce-type"] == "tickets.case_closed.v1"
    header = {"If-Match": "*"}
    for part, body in (
        ("parties", {"side": "other", "name": "甲"}),
        ("conferences", {"held_at": LATER, "minutes": "无"}),
        ("agreements", {"signed_on": "2026-03-02", "duties": [{"who": "甲", "what": "清理"}]}),
        ("grade", {"grade": 1}),
        ("close", {"outcome": "failed"}),
    ):
        answer = await mediator.post(f"{CASES}/{case}/{part}", json=body, headers=header)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:case-closed"), part
    planned = await post(mediator, case, "follow-ups", {"due_at": LATER})
    done = await post(mediator, case, f"follow-ups/{planned['id']}/finish", {"effect": "broken", "findings": "又堆了"})
    assert (done["effect"], done["done_by"]) == ("broken", str(member))
    assert (await mediator.get(f"{CASES}/{case}")).json()["effect"] == "broken"
    path = f"{CASES}/{case}/follow-ups/{planned['id']}/finish"
    again = await mediator.post(path, json={"findings": "再看"}, headers=header)
    assert (again.status_code, again.json()["type"]) == (409, "urn:linli:problem:already-followed-up")
    unknown = f"{CASES}/{case}/follow-ups/{uuid4()}/finish"
    assert (await mediator.post(unknown, json={"findings": "再看"}, headers=header)).status_code == 404


async def test_a_change_needs_the_etag_it_was_read_with(tickets: Running) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    mediator = tickets.client("volunteer", "310104", member)
    case = await opened(tickets, 2)
    etag = (await mediator.get(f"{CASES}/{case}")).headers["etag"]
    await post(mediator, case, "notes", {"note": "双方均已联系"})
    body = {"outcome": "settled"}
    assert (await mediator.post(f"{CASES}/{case}/close", json=body)).status_code == 428
    assert (await mediator.post(f"{CASES}/{case}/close", json=body, headers={"If-Match": etag})).status_code == 412


async def test_the_team_is_told_of_a_follow_up_when_it_is_due_and_again_when_it_is_overdue(
    tickets: Running, wait: Wait
) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    mediator = tickets.client("volunteer", "310104", member)
    case, done_in_time = await opened(tickets, 2), await opened(tickets, 2)
    due = datetime.now(UTC) + timedelta(hours=1)
    planned = await post(mediator, case, "follow-ups", {"due_at": due.isoformat()})
    other = await post(mediator, done_in_time, "follow-ups", {"due_at": due.isoformat()})
    await post(mediator, done_in_time, f"follow-ups/{other['id']}/finish", {"effect": "kept", "findings": "已和好"})

    async def heard(*, overdue: bool) -> list[dict[str, Any]]:
        return [event for event in await told(tickets, case) if event.get("overdue") is overdue]

    wait(timedelta(hours=2))
    (first,) = await eventually(lambda: heard(overdue=False))
    assert (first["follow_up"], first["members"]) == (planned["id"], [str(member)])
    assert await heard(overdue=True) == []
    wait(timedelta(days=30))
    await eventually(lambda: heard(overdue=True))
    assert len(await heard(overdue=False)) == 1
    steps = [entry["step"] for entry in await items(mediator, case, "trail")]
    assert steps == ["open", "follow_up", "follow_up_due", "follow_up_overdue"]
    assert not any("overdue" in event for event in await told(tickets, done_in_time))
    late = "SELECT count(*) FROM timer WHERE aggregate = $1 AND fired_at IS NOT NULL"
    assert await tickets.database.fetchval(late, UUID(planned["id"])) == 1
    await post(mediator, case, f"follow-ups/{planned['id']}/finish", {"effect": "kept", "findings": "已和好"})
    assert await tickets.database.fetchval(late, UUID(planned["id"])) == 0


async def test_a_corrected_calendar_moves_when_a_follow_up_is_overdue_though_its_keeper_sees_no_case(
    tickets: Running,
) -> None:
    member = uuid4()
    await team(tickets, COMMUNITY, 2, member)
    mediator = tickets.client("volunteer", "310104", member)
    case = await opened(tickets, 2)
    planned = await post(mediator, case, "follow-ups", {"due_at": LATER})
    look = "SELECT due_at FROM timer WHERE aggregate = $1 AND kind = $2"
    overdue_at = await tickets.database.fetchval(look, UUID(planned["id"]), "follow_up_overdue")
    admin, day = tickets.client("district_admin", "310104"), overdue_at.astimezone(ZONE).date().isoformat()
    put = await admin.put(f"/tickets/v1/calendar/{day}", json={"working": False, "note": "台风停工"})
    assert put.status_code == 200, put.text
    assert await tickets.database.fetchval(look, UUID(planned["id"]), "follow_up_overdue") > overdue_at
    due_at = await tickets.database.fetchval(look, UUID(planned["id"]), "follow_up")
    assert due_at == datetime.fromisoformat(LATER)


async def test_a_team_is_named_by_street_or_district_and_its_first_naming_needs_no_etag(tickets: Running) -> None:
    body = {"name": "街道调解队", "members": [str(await employ(tickets, "grid_worker", SIBLING))]}
    street = tickets.client("street_admin", "310104004")
    path = "/tickets/v1/case-teams/310104004/3"
    assert (await tickets.client("community_manager", COMMUNITY).put(path, json=body)).status_code == 403
    assert (await tickets.client("street_admin", STREET).put(path, json=body)).status_code == 403
    nobody = await street.put(path, json={**body, "members": [str(UUID(int=0))]})
    assert (nobody.status_code, nobody.json()["errors"][0]["pointer"]) == (422, "#/members")
    made = await street.put(path, json=body)
    assert made.status_code == 200, made.text
    assert (await street.put(path, json=body)).status_code == 428
    assert (
        await street.put(path, json={**body, "active": False}, headers={"If-Match": made.headers["etag"]})
    ).is_success
    listed = (await street.get("/tickets/v1/case-teams", params={"within": "310104004"})).json()["items"]
    assert [(found["grade"], found["active"], found["members"]) for found in listed] == [(3, False, body["members"])]
    assert "00000000" not in json.dumps(listed)
