"""Case teams: of people in office, who are on them as long as they are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, SIBLING, STREET, employ
from sqlalchemy import text

from linli import units
from linli.db import Scope, transaction
from linli.events.directory import AssignmentChanged
from linli.testing import Running, eventually, tell

CASES, TEAMS = "/tickets/v1/cases", "/tickets/v1/case-teams"


async def named(tickets: Running, unit: str, grade: int, *members: UUID) -> httpx.Response:
    body = {"name": "调解队", "members": [str(member) for member in members]}
    admin = tickets.client("district_admin", "310104")
    return await admin.put(f"{TEAMS}/{unit}/{grade}", json=body, headers={"If-Match": "*"})


async def opened(tickets: Running, grade: int) -> str:
    body = {"unit": MICRO, "grade": grade, "summary": "两家为楼道堆物争执"}
    answer = await tickets.client("community_manager", COMMUNITY).post(CASES, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def leave(tickets: Running, staff: UUID) -> None:
    """End the first of somebody's offices that is left, as the directory tells."""
    ended = await end_of_office(tickets, staff)
    await tell(tickets, ended)
    await known(tickets, ended)


async def end_of_office(tickets: Running, staff: UUID) -> AssignmentChanged:
    office = await tickets.database.fetchrow(
        "SELECT * FROM known_assignment WHERE staff = $1 AND active ORDER BY sequence, id", staff
    )
    ended = {"sequence": office["sequence"] + 1, "active": False}
    place = {name: office[name] for name in ("unit", "staff", "role")}
    return AssignmentChanged(assignment=office["id"], **place, **ended)


async def known(tickets: Running, ended: AssignmentChanged) -> None:
    left = "SELECT NOT active FROM known_assignment WHERE id = $1"
    await eventually(lambda: tickets.database.fetchval(left, ended.assignment))


async def listed(tickets: Running, unit: str, grade: int) -> dict[str, Any]:
    street = tickets.client("street_admin", STREET)
    answer = await street.get(TEAMS, params={"within": unit})
    (found,) = [team for team in answer.json()["items"] if (team["unit"], team["grade"]) == (unit, grade)]
    return dict(found)


@pytest.mark.parametrize("role", ["volunteer", "grid_worker", "department_staff", "community_manager"])
async def test_whoever_works_on_cases_in_an_office_of_the_district_may_be_on_a_team(
    tickets: Running, role: str
) -> None:
    made = await named(tickets, COMMUNITY, 1, await employ(tickets, role, SIBLING))
    assert made.status_code == 200, made.text


async def test_a_team_takes_nobody_who_could_not_read_its_cases(tickets: Running) -> None:
    able, resident, elsewhere = await employ(tickets, "grid_worker", GRID), uuid4(), uuid4()
    await employ(tickets, "community_manager", FOREIGN, elsewhere)
    operator = await employ(tickets, "app", STREET)
    left = await employ(tickets, "volunteer", STREET)
    await leave(tickets, left)
    refused = await named(tickets, STREET, 1, resident, able, elsewhere, operator, left)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:linli:problem:not-in-office")
    pointers = [error["pointer"] for error in refused.json()["errors"]]
    assert pointers == ["#/members/0", "#/members/2", "#/members/3", "#/members/4"]
    assert (await named(tickets, STREET, 1, able)).status_code == 200


async def test_whoever_leaves_office_is_off_the_team_told_no_more_and_sees_its_cases_no_more(
    tickets: Running,
) -> None:
    leaving, staying = [await employ(tickets, "grid_worker", GRID) for _ in range(2)]
    await employ(tickets, "volunteer", STREET, staying)  # the one who stays has two offices, and leaves one
    assert (await named(tickets, COMMUNITY, 2, leaving, staying)).status_code == 200
    case = await opened(tickets, 2)
    former, other = tickets.client("volunteer", SIBLING, leaving), tickets.client("volunteer", STREET, staying)
    assert (await former.get(f"{CASES}/{case}")).status_code == 200
    await leave(tickets, staying)
    await leave(tickets, leaving)
    assert (await listed(tickets, COMMUNITY, 2))["members"] == [str(staying)]
    assert (await former.get(f"{CASES}/{case}")).status_code == 404
    assert (await other.post(f"{CASES}/{case}/notes", json={"note": "电话联系双方"})).status_code == 200
    assert (await other.get(f"{CASES}/{case}/trail")).json()["items"][0]["step"] == "open"
    (*_, noted) = [event for event in await tickets.events() if event.get("case") == case]
    assert noted["members"] == [str(staying)]
    row = await tickets.database.fetchrow("SELECT * FROM audit WHERE action = 'cases.team' ORDER BY sequence DESC")
    assert (row["actor"], row["subjects"], row["unit"]) == (UUID(int=0), [leaving], units.parse(COMMUNITY))


async def test_a_team_that_nobody_is_left_on_takes_no_cases_and_who_keeps_it_is_told(tickets: Running) -> None:
    last, keeper, above = [
        await employ(tickets, role, unit)
        for role, unit in (("volunteer", GRID), ("street_admin", STREET), ("district_admin", "310104"))
    ]
    await employ(tickets, "street_admin", SIBLING[:9])  # of another street
    team = (await named(tickets, COMMUNITY, 3, last)).json()
    case = await opened(tickets, 3)
    await leave(tickets, last)
    (told,) = [event for event in await tickets.events() if event.get("team") == team["id"]]
    assert told["headers"]["ce-type"] == "tickets.case_team_emptied.v1"
    assert (set(told["supervisors"]), told["sequence"]) == ({str(keeper), str(above)}, team["version"] + 1)
    found = await listed(tickets, COMMUNITY, 3)
    assert (found["members"], found["active"]) == ([], False)
    body = {"unit": MICRO, "grade": 3, "summary": "两家为楼道堆物争执"}
    refused = await tickets.client("community_manager", COMMUNITY).post(CASES, json=body)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:no-team")
    following = await employ(tickets, "grid_worker", GRID)
    assert (await named(tickets, COMMUNITY, 3, following)).json()["active"] is True
    assert (await tickets.client("grid_worker", GRID, following).get(f"{CASES}/{case}")).status_code == 200
    await leave(tickets, last := await employ(tickets, "volunteer", GRID))
    assert len([event for event in await tickets.events() if event.get("team") == team["id"]]) == 1, last


async def test_the_database_itself_lets_no_team_without_members_take_cases(tickets: Running) -> None:
    await named(tickets, COMMUNITY, 4, await employ(tickets, "grid_worker", GRID))
    with pytest.raises(Exception, match="ck_case_team_members"):
        await tickets.database.execute("UPDATE case_team SET members = members[1:1] WHERE grade = 4 AND active")


@asynccontextmanager
async def audit_waits(tickets: Running) -> AsyncIterator[None]:
    """Hold the district's audit chain: whoever adds to it waits, with all that he has locked before."""
    async with transaction(tickets.app.state.sessions, Scope.of_district(310104)) as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('linli.audit'), 310104)"))
        yield


async def waiting(tickets: Running, number: int) -> None:
    locked = (
        "SELECT count(*) >= $1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    await eventually(lambda: tickets.database.fetchval(locked, number))


async def graded(client: httpx.AsyncClient, case: str, grade: int) -> httpx.Response:
    return await client.post(f"{CASES}/{case}/grade", json={"grade": grade}, headers={"If-Match": "*"})


async def test_a_case_is_graded_while_the_team_that_it_goes_to_changes(tickets: Running) -> None:
    member, other = [await employ(tickets, "volunteer", STREET) for _ in range(2)]
    await named(tickets, COMMUNITY, 1, member)
    await named(tickets, COMMUNITY, 2, other)
    case = await opened(tickets, 1)
    client = tickets.client("volunteer", STREET, member)
    async with asyncio.TaskGroup() as group, audit_waits(tickets):
        grading = group.create_task(graded(client, case, 2))
        await waiting(tickets, 1)
        naming = group.create_task(named(tickets, COMMUNITY, 2, other, member))
        await waiting(tickets, 2)
    assert [task.result().status_code for task in (grading, naming)] == [200, 200]
    assert (await client.get(f"{CASES}/{case}")).json()["members"] == [str(other), str(member)]


async def test_a_case_is_graded_while_somebody_leaves_its_team(tickets: Running) -> None:
    member, leaving = [await employ(tickets, "volunteer", STREET) for _ in range(2)]
    await named(tickets, COMMUNITY, 1, member, leaving)
    await named(tickets, COMMUNITY, 2, member)
    case = await opened(tickets, 1)
    client = tickets.client("volunteer", STREET, member)
    ended = await end_of_office(tickets, leaving)
    async with asyncio.TaskGroup() as group, audit_waits(tickets):
        grading = group.create_task(graded(client, case, 2))
        await waiting(tickets, 1)
        await tell(tickets, ended)
        await waiting(tickets, 2)
        await asyncio.sleep(1.5)  # a deadlock is looked for once, after a second: now the first of them would find it
    await known(tickets, ended)
    assert grading.result().status_code == 200
    assert (await listed(tickets, COMMUNITY, 1))["members"] == [str(member)]


async def test_a_case_is_worked_on_while_somebody_leaves_several_teams(tickets: Running) -> None:
    member, leaving = [await employ(tickets, "volunteer", STREET) for _ in range(2)]
    for grade in (1, 2):
        await named(tickets, COMMUNITY, grade, member, leaving)
    case = await opened(tickets, 2)
    client = tickets.client("volunteer", STREET, member)
    ended = await end_of_office(tickets, leaving)
    async with asyncio.TaskGroup() as group, audit_waits(tickets):
        await tell(tickets, ended)
        await waiting(tickets, 1)
        noting = group.create_task(client.post(f"{CASES}/{case}/notes", json={"note": "电话联系双方"}))
        await waiting(tickets, 2)
    await known(tickets, ended)
    assert noting.result().status_code == 200
    for grade in (1, 2):
        assert (await listed(tickets, COMMUNITY, grade))["members"] == [str(member)]
