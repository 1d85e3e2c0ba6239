from uuid import UUID, uuid4

import asyncpg
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, STREET, employ

from linli import units
from linli.events.directory import AssignmentChanged
from linli.testing import Running, eventually, tell

PATH = "/tickets/v1/departments"
DISTRICT = "310104"


def described(**changes: object) -> dict[str, object]:
    return {"unit": DISTRICT, "name": "城管执法局", "name_en": "Urban management", **changes}


async def made(tickets: Running, code: str, **changes: object) -> str:
    body = described(code=code, **changes)
    answer = await tickets.client("district_admin", DISTRICT).post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    return code


async def join(tickets: Running, code: str, staff: UUID) -> None:
    """Let somebody answer for a department."""
    client = tickets.client("district_admin", DISTRICT)
    answer = await client.post(f"{PATH}/{code}/members", json={"staff": str(staff)})
    assert answer.status_code == 201, answer.text


async def test_a_district_describes_its_departments(tickets: Running) -> None:
    client = tickets.client("district_admin", DISTRICT)
    made_ = await client.post(PATH, json=described(code="urban_management", report_minutes=30))
    assert (made_.status_code, made_.headers["location"]) == (201, f"{PATH}/urban_management")
    assert (await client.post(PATH, json=described(code="urban_management"))).status_code == 409
    etag = made_.headers["etag"]
    one = f"{PATH}/urban_management"
    assert (await client.put(one, json=described(name="城管局"))).status_code == 428
    changed = await client.put(one, json=described(name="城管局", unit=STREET), headers={"If-Match": etag})
    assert (changed.json()["name"], changed.json()["unit"], changed.json()["report_minutes"]) == ("城管局", STREET, 120)
    assert (await client.put(one, json=described(), headers={"If-Match": etag})).status_code == 412
    seen = (await tickets.client("community_manager", COMMUNITY).get(PATH)).json()["items"]
    assert [(department["code"], department["active"]) for department in seen] == [("urban_management", True)]


async def test_departments_are_listed_in_pages_by_code(tickets: Running) -> None:
    for code in ("b_water", "a_fire", "c_roads"):
        await made(tickets, code)
    client = tickets.client("grid_worker", GRID)
    seen: list[str] = []
    url: str | None = f"{PATH}?limit=2"
    while url:
        page = await client.get(url)
        seen += [department["code"] for department in page.json()["items"]]
        url = page.links.get("next", {}).get("url")
    assert seen == sorted(seen)
    assert {"a_fire", "b_water", "c_roads"} <= set(seen)


@pytest.mark.parametrize(
    ("role", "unit", "status"),
    [
        ("resident", DISTRICT, 403),
        ("community_manager", COMMUNITY, 403),
        ("street_admin", STREET, 403),
        ("department_staff", STREET, 403),
        ("operator", "0", 403),
        ("district_admin", "310115", 403),
    ],
)
async def test_only_the_district_itself_describes_its_departments(
    tickets: Running, role: str, unit: str, status: int
) -> None:
    assert (await tickets.client(role, unit).post(PATH, json=described(code="stray"))).status_code == status


async def test_another_district_s_department_is_not_there(tickets: Running) -> None:
    await made(tickets, "parks")
    elsewhere = await tickets.client("district_admin", "310115").get(f"{PATH}/parks")
    nowhere = await tickets.client("district_admin", DISTRICT).get(f"{PATH}/nowhere")
    assert (elsewhere.status_code, nowhere.status_code) == (404, 404)
    assert elsewhere.json()["detail"].replace("parks", "nowhere") == nowhere.json()["detail"]


async def test_only_department_staff_in_office_answer_for_a_department(tickets: Running) -> None:
    code = await made(tickets, "housing")
    client = tickets.client("district_admin", DISTRICT)
    worker = await employ(tickets, "grid_worker", GRID)
    for stranger in (worker, uuid4()):
        refused = await client.post(f"{PATH}/{code}/members", json={"staff": str(stranger)})
        assert refused.status_code == 404
    staff = await employ(tickets, "department_staff", STREET)
    await join(tickets, code, staff)
    await join(tickets, code, staff)
    members = (await client.get(f"{PATH}/{code}/members")).json()["items"]
    assert members == [{"staff": str(staff)}]
    assert (await client.delete(f"{PATH}/{code}/members/{staff}", headers={"If-Match": "*"})).status_code == 204
    assert (await client.delete(f"{PATH}/{code}/members/{staff}", headers={"If-Match": "*"})).status_code == 404
    assert (await client.get(f"{PATH}/{code}/members")).json()["items"] == []


@pytest.mark.parametrize("code", ["urban_managment", "elsewhere", "retired"])
async def test_nothing_is_for_a_department_that_there_is_not(tickets: Running, code: str) -> None:
    """A typo, another district's, and one that is called no more."""
    if code == "elsewhere":
        other = described(code=code, unit="310115")
        assert (await tickets.client("district_admin", "310115").post(PATH, json=other)).status_code == 201
    if code == "retired":
        await made(tickets, code, active=False)
    client = tickets.client("district_admin", DISTRICT)
    body = {"name": "路灯", "name_en": "Lamps", "department": code}
    refused = await client.put(f"/tickets/v1/categories/for_{code}", json=body)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:linli:problem:unknown-department")
    assert (refused.json()["errors"][0]["pointer"], code in refused.json()["detail_zh"]) == ("#/department", True)
    report = {"unit": MICRO, "title": "路灯不亮", "description": "三天不亮"}
    ticket = (await tickets.client("resident", DISTRICT).post("/tickets/v1/tickets", json=report)).json()["id"]
    part = {"title": "修灯", "description": "更换灯泡"}
    refused = await client.post(
        f"/tickets/v1/tickets/{ticket}/split",
        json={"parts": [part, {**part, "department": code}]},
        headers={"If-Match": "*"},
    )
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/parts/1/department")
    assert (await client.get(f"/tickets/v1/tickets/{ticket}")).json()["state"] == "open"


async def test_the_database_itself_knows_no_other_departments(tickets: Running) -> None:
    await made(tickets, "known")
    client = tickets.client("district_admin", DISTRICT)
    body = {"name": "路灯", "name_en": "Lamps", "department": "known"}
    assert (await client.put("/tickets/v1/categories/known", json=body)).status_code == 201
    report = {"unit": MICRO, "title": "路灯不亮", "description": "三天不亮", "category": "known"}
    made_ = await tickets.client("resident", DISTRICT).post("/tickets/v1/tickets", json=report)
    assert made_.json()["department"] == "known", made_.text
    for table, key in (("category", "code = 'known'"), ("ticket", "category = 'known'")):
        with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
            await tickets.database.execute(f"UPDATE {table} SET department = 'unknown' WHERE {key}")  # noqa: S608 of constants
        assert refused.value.constraint_name == f"fk_{table}_department"


async def test_who_leaves_office_answers_for_no_department_any_more(tickets: Running) -> None:
    code = await made(tickets, "health")
    leaving, staying = [await employ(tickets, "department_staff", STREET) for _ in range(2)]
    second = uuid4()  # the one who stays has two offices, and leaves one
    for staff in (leaving, staying):
        await join(tickets, code, staff)
    of_it = {"unit": units.parse(STREET), "role": "department_staff"}
    await tell(tickets, AssignmentChanged(assignment=second, staff=staying, active=True, sequence=1, **of_it))
    await tell(tickets, AssignmentChanged(assignment=second, staff=staying, active=False, sequence=2, **of_it))
    first = await tickets.database.fetchval("SELECT id FROM known_assignment WHERE staff = $1", leaving)
    await tell(tickets, AssignmentChanged(assignment=first, staff=leaving, active=False, sequence=2, **of_it))
    remaining = "SELECT array_agg(staff) FROM department_member WHERE department = $1"

    async def left() -> bool:
        return bool(await tickets.database.fetchval(remaining, code) == [staying])

    await eventually(left)
