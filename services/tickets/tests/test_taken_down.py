"""What is entered or split at work: seen and confirmed by those in office; whoever leaves takes nothing along."""

from uuid import UUID, uuid4

import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, employ
from services.tickets.tests.test_moves import People, done, moved, opened, people, read, trail

from linli.testing import Running

__all__ = ["people"]

PARTS = [{"title": "调解", "description": "内情"}, {"title": "修门", "description": "门锁损坏"}]
TICKETS = "/tickets/v1/tickets"


@pytest.fixture
async def manager_id(tickets: Running) -> UUID:
    return await employ(tickets, "community_manager", COMMUNITY)


async def test_who_split_a_ticket_sees_its_parts_only_in_office(
    tickets: Running, people: People, manager_id: UUID
) -> None:
    family = {"name": "家事", "name_en": "Family", "visibility": "private"}
    await people.district.put("/tickets/v1/categories/family", json=family, headers={"If-Match": "*"})
    report = {"unit": GRID, "title": "家事", "description": "家事", "category": "family"}
    whole = (await people.resident.post(TICKETS, json=report)).json()["id"]
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    (part, other) = [one["id"] for one in (await done(manager, whole, "split", parts=PARTS))["items"]]
    assert "withdraw" in (await read(manager, part))["possible"]
    await done(manager, part, "note", note="内部记录")
    later = tickets.client("resident", "310104", manager_id)
    for path in ("", "/timeline", "/files"):
        assert (await later.get(f"{TICKETS}/{part}{path}")).status_code == 404
    assert (await later.get(TICKETS)).json()["items"] == []
    assert (await moved(later, part, "withdraw")).status_code == 404
    # In another office it is not his to end either.
    await done(manager, other, "assign", assignee=str(await employ(tickets, "grid_worker", GRID, manager_id)))
    worker = tickets.client("grid_worker", GRID, manager_id)
    assert (await moved(worker, other, "withdraw")).status_code == 403
    assert "withdraw" not in (await read(worker, other))["possible"]


@pytest.mark.parametrize("source", ["hotline", "patrol"])
async def test_what_was_entered_at_work_stays_there(tickets: Running, manager_id: UUID, source: str) -> None:
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    report = {
        "unit": GRID,
        "title": "来电反映",
        "description": "来电人住3号楼",
        "source": source,
        "reference": str(uuid4()),
    }
    entered = (await manager.post(TICKETS, json=report)).json()["id"]
    own = (await manager.post(TICKETS, json={"unit": GRID, "title": "路灯", "description": "路灯"})).json()["id"]
    later = tickets.client("resident", "310104", manager_id)
    assert (await later.get(f"{TICKETS}/{entered}")).status_code == 404
    assert [entry["move"] for entry in await trail(later, own)] == ["open"]
    entries = "SELECT count(*) FROM ticket_entry WHERE ticket_id = $1"
    async with tickets.database.transaction():
        await tickets.database.execute(
            f"SET LOCAL ROLE linli_person; SET LOCAL app.lo = '310104000000000000'; SET LOCAL app.hi ="
            f" '310104999999999999'; SET LOCAL app.person = '{manager_id}'"
        )
        assert [await tickets.database.fetchval(entries, UUID(one)) for one in (entered, own)] == [0, 1]


@pytest.mark.parametrize("source", ["hotline", "patrol"])
async def test_who_is_asked_of_what_was_taken_down_is_not_asked_by_who_resolved_it(
    tickets: Running, people: People, source: str
) -> None:
    desk_id = await employ(tickets, "community_manager", COMMUNITY)
    desk = tickets.client("community_manager", COMMUNITY, desk_id)
    for other, (status, confirmed) in (
        (desk, (200, True)),
        (people.community, (200, False)),
        (people.grid, (403, None)),
    ):
        ticket = await opened(desk, source=source, reference=str(uuid4()))
        await done(people.community, ticket, "assign", assignee=str(people.worker))
        await done(people.grid, ticket, "resolve")
        answer = await moved(other, ticket, "close")
        assert (answer.status_code, answer.json().get("confirmed")) == (status, confirmed), answer.text
    own = await opened(desk, source=source, reference=str(uuid4()))
    await done(desk, own, "assign", assignee=str(desk_id))
    await done(desk, own, "resolve")
    assert (await moved(desk, own, "close")).status_code == 403
    assert "close" not in (await read(desk, own))["possible"]
