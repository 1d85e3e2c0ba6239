from uuid import uuid4

import pytest
from services.directory.tests.conftest import (
    COMMUNITY,
    DISTRICT,
    FOREIGN,
    GRID,
    MICRO,
    OTHER_GRID,
    SIBLING,
    STREET,
    change,
    made,
    move,
)

from linli.testing import Running


async def test_staff_are_taken_on_and_assigned_and_others_are_told_without_names(directory: Running) -> None:
    client = directory.client("street_admin", STREET)
    staff = await made(client, "/staff", name="王小明", unit=COMMUNITY, issuer="https://id.example.cn", subject="w-1")
    held = await made(client, f"/staff/{staff['id']}/assignments", role="grid_worker", unit=GRID)
    assert (held["staff"], held["role"], held["unit"], held["active"]) == (staff["id"], "grid_worker", GRID, True)
    told = (await directory.events("directory.assignment.v1"))[-1]
    assert (told["staff"], told["role"], told["unit"], told["active"]) == (staff["id"], "grid_worker", GRID, True)
    assert (await client.post(f"/directory/v1/assignments/{held['id']}/end")).status_code == 428
    ended = (await move(client, f"/assignments/{held['id']}/end", '"1"')).json()
    assert ended["active"] is False
    assert ended["ended_at"]
    told = (await directory.events("directory.assignment.v1"))[-1]
    assert (told["assignment"], told["active"], told["sequence"]) == (held["id"], False, 2)
    assert "王小明" not in str(await directory.events())
    assert (await move(client, f"/assignments/{held['id']}/end", '"1"')).status_code == 412
    answer = await move(client, f"/assignments/{held['id']}/end", '"2"')
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:assignment-ended")


async def test_a_role_is_held_once_at_a_unit_and_again_after_it_ended(directory: Running) -> None:
    client = directory.client("street_admin", STREET)
    staff = await made(client, "/staff", name="李", unit=COMMUNITY)
    path = f"/staff/{staff['id']}/assignments"
    held = await made(client, path, role="grid_worker", unit=GRID)
    answer = await client.post(f"/directory/v1{path}", json={"role": "grid_worker", "unit": GRID})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:already-assigned")
    await made(client, path, role="grid_worker", unit=OTHER_GRID)
    assert (await move(client, f"/assignments/{held['id']}/end")).status_code == 200
    await made(client, path, role="grid_worker", unit=GRID)
    answer = await client.get(f"/directory/v1{path}")
    assert [item["active"] for item in answer.json()["items"]] == [False, True, True]


@pytest.mark.parametrize(
    ("role", "unit", "given", "at", "status"),
    [
        ("community_manager", COMMUNITY, "grid_worker", GRID, 201),
        ("community_manager", COMMUNITY, "grid_worker", MICRO, 201),
        ("community_manager", COMMUNITY, "community_manager", COMMUNITY, 403),
        ("community_manager", COMMUNITY, "department_staff", STREET, 403),
        ("community_manager", COMMUNITY, "grid_worker", f"{SIBLING}001001", 403),
        ("street_admin", STREET, "community_manager", COMMUNITY, 201),
        ("street_admin", STREET, "department_staff", STREET, 201),
        ("street_admin", STREET, "street_admin", STREET, 403),
        ("street_admin", STREET, "district_admin", DISTRICT, 403),
        ("district_admin", DISTRICT, "street_admin", STREET, 201),
        ("district_admin", DISTRICT, "district_admin", DISTRICT, 403),
        ("operator", "0", "district_admin", DISTRICT, 201),
        ("district_admin", DISTRICT, "grid_worker", COMMUNITY, 422),
        ("district_admin", DISTRICT, "street_admin", DISTRICT, 422),
        ("district_admin", DISTRICT, "volunteer", f"{COMMUNITY}777", 422),
        ("operator", "0", "operator", "0", 422),
        ("operator", "0", "street_admin", f"{FOREIGN}005", 422),
        ("grid_worker", GRID, "volunteer", GRID, 403),
    ],
)
async def test_one_gives_lower_roles_only_inside_ones_scope(
    *, directory: Running, role: str, unit: str, given: str, at: str, status: int
) -> None:
    staff = await made(directory.client("district_admin", DISTRICT), "/staff", name="赵", unit=COMMUNITY)
    client = directory.client(role, unit)
    answer = await client.post(f"/directory/v1/staff/{staff['id']}/assignments", json={"role": given, "unit": at})
    assert answer.status_code == status, answer.text


async def test_a_role_is_ended_only_from_above(directory: Running) -> None:
    street, community = directory.client("street_admin", STREET), directory.client("community_manager", COMMUNITY)
    staff = await made(street, "/staff", name="钱", unit=COMMUNITY)
    held = await made(street, f"/staff/{staff['id']}/assignments", role="community_manager", unit=COMMUNITY)
    answer = await move(community, f"/assignments/{held['id']}/end")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:linli:problem:role-too-high")


async def test_moving_home_ends_the_roles_there_and_keeps_those_elsewhere(directory: Running) -> None:
    district = directory.client("district_admin", DISTRICT)
    staff = await made(district, "/staff", name="孙", unit=COMMUNITY)
    path = f"/staff/{staff['id']}"
    await made(district, f"{path}/assignments", role="grid_worker", unit=GRID)
    await made(district, f"{path}/assignments", role="grid_worker", unit=f"{SIBLING}001001")
    assert (await change(directory.client("street_admin", STREET), path, unit=SIBLING)).status_code == 403
    moved = await change(district, path, '"1"', unit=f"{SIBLING}001")
    assert (moved.json()["unit"], moved.headers["etag"]) == (f"{SIBLING}001", '"2"')
    roles = (await district.get(f"/directory/v1{path}/assignments")).json()["items"]
    assert {item["unit"]: item["active"] for item in roles} == {GRID: False, f"{SIBLING}001001": True}
    assert (await directory.client("street_admin", STREET).get(f"/directory/v1{path}")).status_code == 404
    assert (await directory.client("street_admin", SIBLING).get(f"/directory/v1{path}")).status_code == 200


async def test_renaming_needs_the_etag(directory: Running) -> None:
    client = directory.client("street_admin", STREET)
    staff = await made(client, "/staff", name="旧", unit=COMMUNITY)
    path = f"/staff/{staff['id']}"
    assert (await client.patch(f"/directory/v1{path}", json={"name": "新"})).status_code == 428
    assert (await change(client, path, '"1"', name="新")).json()["name"] == "新"
    assert (await change(client, path, '"1"', name="别")).status_code == 412


async def test_a_person_is_on_the_staff_of_a_district_once(directory: Running) -> None:
    login = {"issuer": "https://id.example.cn", "subject": f"s-{uuid4()}"}
    await made(directory.client("street_admin", STREET), "/staff", name="周", unit=COMMUNITY, **login)
    answer = await directory.client("street_admin", SIBLING).post(
        "/directory/v1/staff", json={"name": "周", "unit": SIBLING, **login}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:staff-exists")
    foreign = await made(directory.client("district_admin", FOREIGN), "/staff", name="周", unit=FOREIGN, **login)
    assert foreign["unit"] == FOREIGN


async def test_an_account_needs_both_issuer_and_subject(directory: Running) -> None:
    answer = await directory.client("street_admin", STREET).post(
        "/directory/v1/staff", json={"name": "周", "unit": STREET, "issuer": "https://id.example.cn"}
    )
    assert answer.status_code == 422


async def test_staff_and_roles_are_listed_by_unit_and_role(directory: Running) -> None:
    client = directory.client("street_admin", STREET)
    ids = []
    for role in ("grid_worker", "community_manager"):
        staff = await made(client, "/staff", name=role, unit=OTHER_GRID)
        ids.append(staff["id"])
        await made(client, f"/staff/{staff['id']}/assignments", role=role, unit=OTHER_GRID)
    found = (await client.get(f"/directory/v1/staff?within={OTHER_GRID}")).json()["items"]
    assert [item["id"] for item in found] == ids
    found = (await client.get(f"/directory/v1/staff?within={OTHER_GRID}&role=grid_worker")).json()["items"]
    assert [item["id"] for item in found] == ids[:1]
    found = (await client.get(f"/directory/v1/assignments?within={OTHER_GRID}&role=community_manager")).json()["items"]
    assert [item["staff"] for item in found] == ids[1:]
    first = await client.get(f"/directory/v1/staff?within={OTHER_GRID}&limit=1")
    assert 'rel="next"' in first.headers["link"]


@pytest.mark.parametrize(("owner", "home"), [(SIBLING, SIBLING), (FOREIGN, FOREIGN), (DISTRICT, DISTRICT)])
async def test_staff_out_of_reach_look_like_staff_that_are_not_there(directory: Running, owner: str, home: str) -> None:
    above = directory.client("district_admin", owner[:6])
    staff = await made(above, "/staff", name="吴", unit=home)
    held = await made(above, f"/staff/{staff['id']}/assignments", role="volunteer", unit=home)
    client = directory.client("street_admin", STREET)
    attempts = [
        await client.get(f"/directory/v1/staff/{staff['id']}"),
        await client.get(f"/directory/v1/staff/{staff['id']}/assignments"),
        await change(client, f"/staff/{staff['id']}", name="x"),
        await client.post(f"/directory/v1/staff/{staff['id']}/assignments", json={"role": "volunteer", "unit": GRID}),
        await move(client, f"/assignments/{held['id']}/end"),
    ]
    assert [answer.status_code for answer in attempts] == [404] * 5
    for path in ("staff", "assignments"):
        assert (await client.get(f"/directory/v1/{path}?within={home}")).status_code == 403
    answer = await client.post("/directory/v1/staff", json={"name": "x", "unit": home})
    assert answer.status_code == 403
    mine = await made(client, "/staff", name="郑", unit=COMMUNITY)
    assert (await change(client, f"/staff/{mine['id']}", unit=home)).status_code in {403, 422}
    assert (await above.get(f"/directory/v1/staff/{staff['id']}")).json() == staff


@pytest.mark.parametrize(("role", "unit"), [("resident", DISTRICT), ("volunteer", DISTRICT), ("app", STREET)])
async def test_only_managers_see_staff(directory: Running, role: str, unit: str) -> None:
    answer = await directory.client(role, unit).get("/directory/v1/staff")
    assert answer.status_code == 403
