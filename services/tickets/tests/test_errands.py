"""Errands: papers are collected, filed when complete, and the person served sees how it stands."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET, employ

from linli import clockwork
from linli.testing import Running, eventually
from tickets import clocks
from tickets.calendar import ZONE

ERRANDS = "/tickets/v1/errands"


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


async def opened(client: httpx.AsyncClient, served: UUID, *papers: str) -> dict[str, Any]:
    body = {"unit": MICRO, "served": str(served), "title": "换领残疾证", "papers": list(papers)}
    answer = await client.post(ERRANDS, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def step(client: httpx.AsyncClient, errand: str, what: str, **body: object) -> httpx.Response:
    return await client.post(f"{ERRANDS}/{errand}/{what}", json=body, headers={"If-Match": "*"})


async def papers(client: httpx.AsyncClient, errand: str) -> list[dict[str, Any]]:
    answer = await client.get(f"{ERRANDS}/{errand}/papers")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def told(tickets: Running, errand: str) -> list[str]:
    events = [event for event in await tickets.events() if event.get("errand") == errand]
    return [event["headers"]["ce-type"].split(".")[1] for event in events]


async def test_an_errand_goes_from_papers_to_its_result_and_the_person_served_follows_it(tickets: Running) -> None:
    elder, staff = uuid4(), uuid4()
    worker = tickets.client("grid_worker", GRID, staff)
    served = tickets.client("resident", "310104", elder)
    made = await opened(worker, elder, "身份证复印件", "照片")
    errand = made["id"]
    assert (made["state"], made["worker"]) == ("collecting", str(staff))
    early = await step(worker, errand, "file", office="街道社区事务受理中心")
    assert (early.status_code, early.json()["missing"]) == (409, "身份证复印件、照片")
    for paper in await papers(worker, errand):
        assert (await step(worker, errand, f"papers/{paper['id']}/hand", handed_by="family")).status_code == 200
    handed = await papers(served, errand)
    assert {(paper["handed_by"], paper["received_by"]) for paper in handed} == {("family", str(staff))}
    assert all(paper["handed_at"] for paper in handed)
    filed = await step(worker, errand, "file", office="街道社区事务受理中心", reference="2026-118")
    assert (filed.json()["state"], filed.json()["reference"]) == ("filed", "2026-118")
    asked = await step(worker, errand, "papers", papers=["户口簿"], note="窗口要求补正")
    assert asked.json()["state"] == "collecting"
    (more,) = [paper for paper in await papers(worker, errand) if not paper["handed_at"]]
    assert (await step(worker, errand, f"papers/{more['id']}/hand", handed_by="served")).status_code == 200
    again = await step(worker, errand, f"papers/{more['id']}/hand", handed_by="served")
    assert (again.status_code, again.json()["type"]) == (409, "urn:linli:problem:paper-handed")
    await step(worker, errand, "file", office="街道社区事务受理中心")
    done = await step(worker, errand, "finish", result="granted", note="已送上门")
    assert (done.json()["state"], done.json()["result"], done.json()["due_at"]) == ("done", "granted", None)
    assert (await served.get(f"{ERRANDS}/{errand}")).json()["result"] == "granted"
    trail = (await served.get(f"{ERRANDS}/{errand}/timeline")).json()["items"]
    assert [entry["step"] for entry in trail] == [
        "open", "hand", "hand", "file", "ask", "hand", "file", "finish",
    ]  # fmt: skip
    assert [entry["sequence"] for entry in trail] == list(range(1, 9))
    assert await told(tickets, errand) == [
        "errand_opened", "errand_paper_handed", "errand_paper_handed", "errand_filed",
        "errand_papers_asked", "errand_paper_handed", "errand_filed", "errand_done",
    ]  # fmt: skip
    assert await tickets.database.fetchval("SELECT count(*) FROM timer WHERE aggregate = $1", UUID(errand)) == 0


@pytest.mark.parametrize("what", ["file", "finish", "papers", "take-over"])
async def test_a_done_errand_takes_no_more_steps(tickets: Running, what: str) -> None:
    worker = tickets.client("grid_worker", GRID)
    errand = (await opened(worker, uuid4()))["id"]
    await step(worker, errand, "finish", result="withdrawn")
    bodies: dict[str, dict[str, object]] = {
        "file": {"office": "中心"},
        "finish": {"result": "granted"},
        "papers": {"papers": ["照片"]},
    }
    refused = await step(worker, errand, what, **bodies.get(what, {}))
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:illegal-errand-step")


async def test_nothing_comes_of_what_no_office_has_seen(tickets: Running) -> None:
    worker = tickets.client("grid_worker", GRID)
    errand = (await opened(worker, uuid4()))["id"]
    for result in ("granted", "refused"):
        early = await step(worker, errand, "finish", result=result)
        assert (early.status_code, early.json()["type"]) == (409, "urn:linli:problem:not-filed")
    assert (await worker.get(f"{ERRANDS}/{errand}")).json()["state"] == "collecting"
    assert (await step(worker, errand, "file", office="中心")).status_code == 200
    await step(worker, errand, "papers", papers=["户口簿"])
    assert (await step(worker, errand, "finish", result="granted")).status_code == 409
    assert (await step(worker, errand, "finish", result="refused")).json()["result"] == "refused"


async def test_a_paper_is_asked_for_once(tickets: Running) -> None:
    worker = tickets.client("grid_worker", GRID)
    errand = (await opened(worker, uuid4(), "照片", "照片"))["id"]
    assert [paper["name"] for paper in await papers(worker, errand)] == ["照片"]
    assert (await step(worker, errand, "papers", papers=["照片"])).json()["type"] == "urn:linli:problem:paper-asked"
    unknown = await step(worker, errand, f"papers/{uuid4()}/hand", handed_by="other")
    assert unknown.status_code == 404


async def test_who_sees_an_errand_and_who_goes_it(tickets: Running) -> None:
    elder = uuid4()
    worker = tickets.client("grid_worker", GRID)
    errand = (await opened(worker, elder))["id"]
    manager_id = uuid4()
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    for client in (manager, tickets.client("resident", "310104", elder), tickets.client("street_admin", STREET)):
        assert (await client.get(f"{ERRANDS}/{errand}")).status_code == 200
    for role, unit, person in (
        ("resident", "310104", None),
        ("grid_worker", SIBLING, None),
        ("street_admin", "310104004", None),
        ("resident", "310115", elder),
    ):
        client = tickets.client(role, unit, person)
        assert (await client.get(f"{ERRANDS}/{errand}")).status_code == 404
        assert (await client.get(f"{ERRANDS}/{errand}/papers")).status_code == 404
    body = {"unit": MICRO, "served": str(elder), "title": "换证"}
    assert (await tickets.client("resident", "310104", elder).post(ERRANDS, json=body)).status_code == 403
    assert (await tickets.client("grid_worker", SIBLING).post(ERRANDS, json=body)).status_code == 403
    taken = await step(manager, errand, "take-over", note="网格员休假")
    assert taken.json()["worker"] == str(manager_id)
    assert (await told(tickets, errand))[-1] == "errand_taken_over"
    mine = (await manager.get(ERRANDS, params={"worker": str(manager_id)})).json()["items"]
    assert [found["id"] for found in mine] == [errand]
    stale = await worker.post(f"{ERRANDS}/{errand}/take-over", json={}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412


async def test_a_step_that_is_not_taken_in_time_is_told_once_and_the_next_one_runs_anew(
    tickets: Running, wait: Callable[[timedelta], None]
) -> None:
    staff = uuid4()
    worker = tickets.client("grid_worker", GRID, staff)
    errand = (await opened(worker, uuid4(), "照片"))["id"]
    wait(timedelta(days=30))

    async def overdue() -> list[dict[str, Any]]:
        found = await tickets.events("tickets.errand_overdue.v1")
        return [event for event in found if event["errand"] == errand]

    (event,) = await eventually(overdue)
    assert event["worker"] == str(staff)
    trail = (await worker.get(f"{ERRANDS}/{errand}/timeline")).json()["items"]
    assert (trail[-1]["step"], trail[-1]["actor"]) == ("overdue", str(UUID(int=0)))
    fired = "SELECT fired_at IS NOT NULL FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(fired, UUID(errand))
    await step(worker, errand, "take-over")
    assert len(await eventually(lambda: _twice(overdue))) == 2, "the clock of the next step runs"


async def test_who_manages_the_unit_is_told_of_a_late_errand_as_its_worker_may_have_left(
    tickets: Running, wait: Callable[[timedelta], None]
) -> None:
    above = await employ(tickets, "street_admin", STREET)
    await employ(tickets, "street_admin", SIBLING[:9])  # of another street
    worker = tickets.client("grid_worker", GRID)
    errand = (await opened(worker, uuid4()))["id"]

    async def supervisors() -> list[list[str]]:
        found = await tickets.events("tickets.errand_overdue.v1")
        return [event["supervisors"] for event in found if event["errand"] == errand]

    wait(timedelta(days=30))
    assert await eventually(supervisors) == [[str(above)]]
    managers = {str(await employ(tickets, "community_manager", COMMUNITY)) for _ in range(2)}
    await step(worker, errand, "take-over")
    _, nearer = await eventually(lambda: _twice(supervisors))
    assert set(nearer) == managers


async def test_late_errands_are_listed_until_their_next_step(
    tickets: Running, wait: Callable[[timedelta], None]
) -> None:
    manager, worker = tickets.client("community_manager", COMMUNITY), tickets.client("grid_worker", GRID)
    elder = uuid4()
    served = tickets.client("resident", "310104", elder)
    errand = (await opened(worker, elder))["id"]

    async def late(client: httpx.AsyncClient, **also: str) -> bool:
        listed = await client.get(ERRANDS, params={"overdue": "true", **also})
        return errand in [found["id"] for found in listed.json()["items"]]

    assert not await late(manager)
    wait(timedelta(days=30))
    await eventually(lambda: late(manager))
    assert [await late(client) for client in (worker, served, tickets.client("grid_worker", SIBLING))] == [
        True, True, False,
    ]  # fmt: skip
    assert await late(manager, state="collecting", within=GRID)
    await step(worker, errand, "finish", result="withdrawn")
    assert not await late(manager)


async def _twice(overdue: Callable[[], Any]) -> Any:  # noqa: ANN401 events
    found = await overdue()
    return found if len(found) == 2 else None


async def test_a_corrected_calendar_moves_the_next_step(tickets: Running) -> None:
    worker = tickets.client("grid_worker", GRID)
    made = await opened(worker, uuid4())
    due_at = datetime.fromisoformat(made["due_at"])
    admin = tickets.client("district_admin", "310104")
    day = due_at.astimezone(ZONE).date().isoformat()
    put = await admin.put(f"/tickets/v1/calendar/{day}", json={"working": False, "note": "台风停工"})
    assert put.status_code == 200, put.text
    moved = (await worker.get(f"{ERRANDS}/{made['id']}")).json()
    assert datetime.fromisoformat(moved["due_at"]) > due_at
    assert moved["version"] == made["version"]
    timer = await tickets.database.fetchval("SELECT due_at FROM timer WHERE aggregate = $1", UUID(made["id"]))
    assert timer == datetime.fromisoformat(moved["due_at"])
