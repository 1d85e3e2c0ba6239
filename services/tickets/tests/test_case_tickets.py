"""The ticket that a case began as: its words, trail and files are the team's to read, and each look is kept."""

import io
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET, employ

from linli.testing import Running

CASES, TICKETS = "/tickets/v1/cases", "/tickets/v1/tickets"
LOOKS = ("", "/timeline", "/files")


@pytest.fixture
async def member(tickets: Running) -> UUID:
    """Somebody of another street on the team of the community's easy cases."""
    person = await employ(tickets, "volunteer", SIBLING)
    body = {"name": "调解队", "members": [str(person)]}
    admin = tickets.client("district_admin", "310104")
    named = await admin.put(f"/tickets/v1/case-teams/{COMMUNITY}/1", json=body, headers={"If-Match": "*"})
    assert named.status_code == 200, named.text
    return person


async def reported(tickets: Running) -> tuple[str, str]:
    """Report something with a photo; gives the ticket's id and the photo's."""
    resident = tickets.client("resident", "310104", uuid4())
    report = {"unit": MICRO, "title": "邻里纠纷", "description": "楼上夜间噪音"}
    ticket = (await resident.post(TICKETS, json=report)).json()["id"]
    Image.new("RGB", (64, 48), "red").save(picture := io.BytesIO(), "JPEG")
    headers = {"Content-Type": "image/jpeg"}
    sent = await resident.post(f"{TICKETS}/{ticket}/files", content=picture.getvalue(), headers=headers)
    photo = sent.json()["id"]
    noted = await resident.post(f"{TICKETS}/{ticket}/note", json={"note": "已三年"}, headers={"If-Match": "*"})
    assert noted.is_success, noted.text
    return ticket, photo


async def converted(tickets: Running, ticket: str) -> str:
    manager = tickets.client("community_manager", COMMUNITY)
    body = {"grade": 1, "summary": "楼上楼下不和"}
    made = await manager.post(f"{TICKETS}/{ticket}/case", json=body, headers={"If-Match": "*"})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def test_the_team_reads_the_ticket_that_its_case_began_as_with_its_trail_and_photos(
    tickets: Running, member: UUID
) -> None:
    ticket, photo = await reported(tickets)
    case = await converted(tickets, ticket)
    mediator = tickets.client("volunteer", SIBLING, member)
    path = f"{CASES}/{case}/ticket"
    said = (await mediator.get(path)).json()
    assert (said["id"], said["title"], said["description"]) == (ticket, "邻里纠纷", "楼上夜间噪音")
    steps = (await mediator.get(f"{path}/timeline")).json()["items"]
    assert [(step["move"], step["note"]) for step in steps] == [("open", None), ("note", "已三年"), ("case", None)]
    first = (await mediator.get(f"{path}/timeline", params={"limit": 1})).json()
    second = (await mediator.get(f"{path}/timeline", params={"limit": 1, "cursor": first["next"]})).json()
    assert [*first["items"], *second["items"]] == steps[:2]
    assert [file["id"] for file in (await mediator.get(f"{path}/files")).json()["items"]] == [photo]
    content = await mediator.get(f"{path}/files/{photo}")
    assert (content.status_code, content.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(content.content)).size == (64, 48)
    assert (await mediator.get(f"{TICKETS}/{ticket}")).status_code == 404, "tickets are not the team's to see"


async def test_nobody_else_reads_it_by_the_case(tickets: Running, member: UUID) -> None:
    ticket, photo = await reported(tickets)
    case = await converted(tickets, ticket)
    for role, unit, person in (
        ("volunteer", SIBLING, None),
        ("grid_worker", GRID, None),
        ("community_manager", COMMUNITY, None),
        ("street_admin", STREET, None),
        ("district_admin", "310104", None),
        ("district_admin", "310115", member),
    ):
        client = tickets.client(role, unit, person)
        for look in (*LOOKS, f"/files/{photo}"):
            assert (await client.get(f"{CASES}/{case}/ticket{look}")).status_code == 404, (role, look)
    assert (await tickets.client("resident", "310104", member).get(f"{CASES}/{case}/ticket")).status_code == 403


async def test_a_case_opens_no_other_ticket(tickets: Running, member: UUID) -> None:
    case = await converted(tickets, (await reported(tickets))[0])
    _, photo = await reported(tickets)
    mediator = tickets.client("volunteer", SIBLING, member)
    assert (await mediator.get(f"{CASES}/{case}/ticket/files/{photo}")).status_code == 404
    body = {"unit": MICRO, "grade": 1, "summary": "两家为楼道堆物争执"}
    manager = tickets.client("community_manager", COMMUNITY)
    without = (await manager.post(CASES, json=body)).json()["id"]
    for look in (*LOOKS, f"/files/{photo}"):
        assert (await mediator.get(f"{CASES}/{without}/ticket{look}")).status_code == 404, look


async def test_every_look_at_the_ticket_is_kept_as_one_at_the_case(tickets: Running, member: UUID) -> None:
    ticket, photo = await reported(tickets)
    case = await converted(tickets, ticket)
    mediator = tickets.client("volunteer", SIBLING, member)
    for look in (*LOOKS, f"/files/{photo}"):
        assert (await mediator.get(f"{CASES}/{case}/ticket{look}")).status_code == 200, look
    rows: list[Any] = await tickets.database.fetch(
        "SELECT action, fields, subjects FROM audit WHERE actor = $1 ORDER BY sequence", member
    )
    assert [(row["action"], row["fields"], row["subjects"]) for row in rows] == [
        ("cases.read", [field], [UUID(case)]) for field in ("ticket", "ticket_trail", "ticket_files", "ticket_files")
    ]
