import asyncio
import logging
from uuid import UUID, uuid4

import pytest
from services.residents.tests.conftest import (
    COMMUNITY,
    GRID,
    MICRO,
    OTHER_GRID,
    build,
    found,
    id_number,
    person,
    register,
)

from linli import audit, units
from linli.db import Scope, transaction
from linli.testing import Running
from residents.operations.residents import REVEALS_AN_HOUR, SEARCHES_AN_HOUR, UNSEEN_AN_HOUR


async def reveal(
    residents: Running, resident: str, by: UUID, role: str = "community_manager", unit: str = COMMUNITY
) -> tuple[int, dict[str, str | None]]:
    answer = await residents.client(role, unit, by).post(
        f"/residents/v1/residents/{resident}/reveal",
        json={"fields": ["phone", "id_number"], "purpose": "慰问电话"},
        headers={"Idempotency-Key": str(uuid4())},
    )
    return answer.status_code, answer.json()


async def test_what_is_shown_in_full_is_in_the_audit_log_without_its_value(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    number = id_number()
    household = await found(manager, await build(residents))
    one = await register(manager, household, phone="13812341234", id_number=number)
    actor = uuid4()
    assert await reveal(residents, one["id"], actor, "grid_worker", GRID) == (
        200,
        {"phone": "13812341234", "id_number": number},
    )
    listed = await residents.client("street_admin", MICRO[:9]).get("/residents/v1/audit?limit=1")
    (row,) = listed.json()["items"]
    assert (row["actor"], row["action"], row["purpose"]) == (str(actor), "residents.reveal", "慰问电话")
    assert (row["subjects"], row["fields"], row["unit"]) == ([one["id"]], ["id_number", "phone"], MICRO)
    async with transaction(residents.app.state.sessions, Scope.of_district(310104)) as session:
        assert (await audit.verify(session, 310104)).rows > 0


async def test_revealing_needs_a_purpose_a_field_and_the_permission(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    one = await register(manager, await found(manager, await build(residents)))
    url = f"/residents/v1/residents/{one['id']}/reveal"
    for body in ({"fields": ["phone"]}, {"fields": [], "purpose": "走访"}, {"fields": ["name"], "purpose": "走访"}):
        assert (await manager.post(url, json=body)).status_code == 422
    body = {"fields": ["phone"], "purpose": "走访"}
    assert (await manager.post(url, json=body)).json() == {"phone": None, "id_number": None}
    assert (await residents.client("resident", "310104").post(url, json=body)).status_code == 403
    assert (await residents.client("community_manager", "310104004001").post(url, json=body)).status_code == 404
    assert (await manager.post(f"/residents/v1/residents/{uuid4()}/reveal", json=body)).status_code == 404


async def test_nobody_reveals_more_than_the_limit_within_an_hour(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    one = await register(manager, await found(manager, await build(residents)))
    actor = uuid4()
    await residents.database.executemany(
        "INSERT INTO audit (district, unit, actor, client, action, subjects, fields)"
        " VALUES (310104, $1, $2, 'test', 'residents.reveal', '{}', '{}')",
        [(units.parse(MICRO), actor)] * (REVEALS_AN_HOUR - 1),
    )
    assert (await reveal(residents, one["id"], actor))[0] == 200
    status, problem = await reveal(residents, one["id"], actor)
    assert status == 429
    assert problem["type"] == "urn:linli:problem:too-many-reveals"
    assert (await reveal(residents, one["id"], uuid4()))[0] == 200
    await residents.database.execute("SET session_replication_role = replica")
    await residents.database.execute("UPDATE audit SET at = at - interval '1 hour' WHERE actor = $1", actor)
    await residents.database.execute("DELETE FROM audit; DELETE FROM audit_head")
    await residents.database.execute("SET session_replication_role = origin")
    assert (await reveal(residents, one["id"], actor))[0] == 200


@pytest.mark.parametrize(("role", "unit"), [("community_manager", COMMUNITY), ("grid_worker", GRID)])
async def test_nobody_tries_out_phone_numbers_one_after_the_other(residents: Running, role: str, unit: str) -> None:
    actor = uuid4()
    await residents.database.executemany(
        "INSERT INTO audit (district, unit, actor, client, action, subjects, fields)"
        " VALUES (310104, $1, $2, 'test', 'residents.search', '{}', '{phone}')",
        [(units.parse(MICRO), actor)] * (SEARCHES_AN_HOUR - 1),
    )
    url = "/residents/v1/residents/search"
    caller = residents.client(role, unit, actor)
    assert (await caller.post(url, json={"phone": "13812340000"})).status_code == 200
    for sought in ({"phone": "13812340001"}, {"id_number": id_number()}, {"name": "林"}):
        answer = await caller.post(url, json=sought)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
        assert answer.json()["type"] == "urn:linli:problem:too-many-searches"
        assert str(SEARCHES_AN_HOUR) in answer.json()["detail"]
    another = residents.client(role, unit, uuid4())
    assert (await another.post(url, json={"phone": "13812340001"})).status_code == 200


async def test_whoever_learns_that_somebody_out_of_sight_is_registered_is_noted(residents: Running) -> None:
    manager, actor = residents.client("community_manager", COMMUNITY), uuid4()
    worker = residents.client("grid_worker", GRID, actor)
    elsewhere = await found(manager, await build(residents, OTHER_GRID))
    there, here = id_number(), id_number()
    await register(manager, elsewhere, id_number=there)
    building = await build(residents)
    household = await found(worker, building)
    mine = await register(worker, household, id_number=here)

    async def noted() -> int:
        rows = await residents.database.fetch("SELECT * FROM audit WHERE actor = $1", actor)
        unseen = [row for row in rows if row["action"] == "residents.unseen"]
        assert {(row["unit"], *row["fields"]) for row in unseen} <= {
            (units.parse(MICRO), "id_number"),
            (units.parse(f"{GRID}000"), "id_number"),
        }
        return len(unseen)

    url = "/residents/v1/residents"
    assert (await worker.post(url, json=person(household=household, id_number=here))).status_code == 409
    assert await noted() == 0
    assert (await worker.post(url, json=person(household=household, id_number=there))).status_code == 409
    assert await noted() == 1
    changed = await worker.patch(f"{url}/{mine['id']}", json={"id_number": there}, headers={"If-Match": "*"})
    assert (changed.status_code, await noted()) == (409, 2)
    twice = id_number()
    people = [person(id_number=number) for number in (there, here, twice, twice)]
    home = {"building": str(building), "door": "9", "residents": people}
    imported = await worker.post("/residents/v1/imports", json={"households": [home]})
    assert (imported.status_code, len(imported.json()["errors"]), await noted()) == (409, 3, 3)
    async with transaction(residents.app.state.sessions, Scope.of_district(310104)) as session:
        await audit.verify(session, 310104)


async def test_nobody_tries_out_id_numbers_one_after_the_other(residents: Running) -> None:
    manager, actor = residents.client("community_manager", COMMUNITY), uuid4()
    worker = residents.client("grid_worker", GRID, actor)
    there = id_number()
    await register(manager, await found(manager, await build(residents, OTHER_GRID)), id_number=there)
    building = await build(residents)
    household = await found(worker, building)
    mine = await register(worker, household)
    await residents.database.executemany(
        "INSERT INTO audit (district, unit, actor, client, action, subjects, fields)"
        " VALUES (310104, $1, $2, 'test', 'residents.unseen', '{}', '{id_number}')",
        [(units.parse(MICRO), actor)] * (UNSEEN_AN_HOUR - 1),
    )
    url = "/residents/v1/residents"
    assert (await worker.post(url, json=person(household=household, id_number=there))).status_code == 409
    # From here on the answer is the same, whether somebody is registered or not.
    home = {"building": str(building), "door": "9", "residents": [person(id_number=id_number())]}
    answers = [
        await worker.post(url, json=person(household=household, id_number=there)),
        await worker.post(url, json=person(household=household, id_number=id_number())),
        await worker.patch(f"{url}/{mine['id']}", json={"id_number": there}, headers={"If-Match": "*"}),
        await worker.post("/residents/v1/imports", json={"households": [home]}),
    ]
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {
        (429, "urn:linli:problem:too-many-unseen")
    }
    assert (await worker.post(url, json=person(household=household))).status_code == 201


async def test_nobody_tries_out_id_numbers_all_at_once(residents: Running) -> None:
    manager, actor = residents.client("community_manager", COMMUNITY), uuid4()
    worker = residents.client("grid_worker", GRID, actor)
    elsewhere, there = await found(manager, await build(residents, OTHER_GRID)), [id_number() for _ in range(6)]
    for number in there:
        await register(manager, elsewhere, id_number=number)
    household = await found(worker, await build(residents))
    await residents.database.executemany(
        "INSERT INTO audit (district, unit, actor, client, action, subjects, fields)"
        " VALUES (310104, $1, $2, 'test', 'residents.unseen', '{}', '{id_number}')",
        [(units.parse(MICRO), actor)] * (UNSEEN_AN_HOUR - 2),
    )
    answers = await asyncio.gather(
        *(
            worker.post("/residents/v1/residents", json=person(household=household, id_number=number))
            for number in there
        )
    )
    assert sorted(answer.status_code for answer in answers) == [409, 409, 429, 429, 429, 429]


async def test_an_import_names_no_more_people_out_of_sight_than_an_hour_allows(residents: Running) -> None:
    manager, actor = residents.client("community_manager", COMMUNITY), uuid4()
    worker = residents.client("grid_worker", GRID, actor)
    url = "/residents/v1/imports"
    there = [id_number() for _ in range(UNSEEN_AN_HOUR + 10)]
    moved_in = {"building": str(await build(residents, OTHER_GRID)), "door": "9"}
    people = [person(id_number=number) for number in there]
    assert (await manager.post(url, json={"households": [{**moved_in, "residents": people}]})).status_code == 200
    building, here = await build(residents), id_number()
    await register(worker, await found(worker, building), id_number=here)
    await residents.database.executemany(
        "INSERT INTO audit (district, unit, actor, client, action, subjects, fields)"
        " VALUES (310104, $1, $2, 'test', 'residents.unseen', '{}', '{id_number}')",
        [(units.parse(MICRO), actor)] * 5,
    )
    home = {"building": str(building), "door": "9", "residents": [*people, person(id_number=here)]}
    answer = await worker.post(url, json={"households": [home]})
    assert answer.status_code == 409
    # Whom he sees himself is always named.
    named = [error["pointer"] for error in answer.json()["errors"]]
    places = [*range(UNSEEN_AN_HOUR - 5), len(there)]
    assert named == [f"#/households/0/residents/{place}/id_number" for place in places]
    query = "SELECT count(*) FROM audit WHERE actor = $1 AND action = 'residents.unseen'"
    assert await residents.database.fetchval(query, actor) == UNSEEN_AN_HOUR
    assert (await worker.post(url, json={"households": [home]})).status_code == 429


async def test_no_cache_keeps_what_is_known_about_people(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    building = await build(residents)
    body = {"building": str(building), "door": "101"}
    key = {"Idempotency-Key": str(uuid4())}
    household = await manager.post("/residents/v1/households", json=body, headers=key)
    again = await manager.post("/residents/v1/households", json=body, headers=key)
    one = await manager.post("/residents/v1/residents", json=person(household=household.json()["id"]))
    url = one.headers["location"]
    answers = [
        household,
        again,
        one,
        await manager.get(url),
        await manager.get("/residents/v1/residents"),
        await manager.get(household.headers["location"]),
        await manager.patch(url, json={"lives_here": False}, headers={"If-Match": "*"}),
        await manager.post("/residents/v1/residents/search", json={"name": "林"}),
        await manager.post(f"{url}/reveal", json={"fields": ["phone"], "purpose": "走访"}),
        await manager.get(f"/residents/v1/units/{COMMUNITY}/counts"),
        await residents.client("street_admin", MICRO[:9]).get("/residents/v1/audit"),
    ]
    assert again.headers["idempotency-replayed"] == "true"
    for answer in answers:
        assert answer.is_success, answer.text
        assert answer.headers.get("cache-control") == "no-store", answer.request.url


async def test_phone_and_id_number_stand_nowhere_in_plain(
    residents: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    manager = residents.client("community_manager", COMMUNITY)
    phone, number = "13500007777", id_number()
    building = await build(residents)
    household = await found(manager, building)
    key = {"Idempotency-Key": "canary"}
    body = person(household=household, phone=phone, id_number=number)
    one = (await manager.post("/residents/v1/residents", json=body, headers=key)).json()
    assert (await manager.post("/residents/v1/residents", json=body)).status_code == 409
    assert (await manager.post("/residents/v1/residents", json={**body, "phone": phone + "9"})).status_code == 422
    for sought in ({"phone": phone}, {"id_number": number}):
        await manager.post("/residents/v1/residents/search", json=sought, headers=key)
    assert (await reveal(residents, one["id"], uuid4()))[1]["phone"] == phone
    people = [person(id_number=id_number(), phone=phone)]
    home = {"building": str(building), "door": "9", "residents": people}
    body = {"households": [home]}
    answer = await manager.post("/residents/v1/imports", json=body, headers={"Idempotency-Key": "canaries"})
    assert answer.status_code == 200, answer.text
    assert (await manager.post("/residents/v1/imports", json=body)).status_code == 409
    await manager.patch(f"/residents/v1/residents/{one['id']}", json={"phone": phone}, headers={"If-Match": "*"})
    tables = await residents.database.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    kept = ""
    for table in tables:
        rows = await residents.database.fetch(f"SELECT t::text AS row FROM {table['name']} t")  # noqa: S608 the catalogue's own
        kept += "\n".join(row["row"] for row in rows)
    said = caplog.text + "".join(capfd.readouterr())
    assert one["id"] in kept
    for canary in (phone, number, people[0]["id_number"]):
        assert str(canary) not in kept
        assert str(canary).encode().hex() not in kept
        assert str(canary) not in said


async def test_keys_rotate_while_the_service_runs(residents: Running) -> None:
    manager = residents.client("community_manager", COMMUNITY)
    household = await found(manager, await build(residents))
    before = await register(manager, household, phone="13411112222")
    operator = residents.client("operator", "0")
    rotated = await operator.post("/residents/v1/districts/310104/keys")
    assert rotated.status_code == 201, rotated.text
    after = await register(manager, household, phone="13411112222")
    versions = await residents.database.fetch(
        "SELECT get_byte(phone_cipher, 4) AS key FROM resident WHERE id = ANY ($1) ORDER BY registered_at",
        [UUID(before["id"]), UUID(after["id"])],
    )
    assert [row["key"] for row in versions] == [rotated.json()["key"] - 1, rotated.json()["key"]]
    answer = await manager.post("/residents/v1/residents/search", json={"phone": "13411112222"})
    assert [row["phone"] for row in answer.json()["items"]] == ["134****2222"] * 2
    assert (await manager.post("/residents/v1/districts/310104/keys")).status_code == 403
    assert (await operator.post("/residents/v1/districts/310104003/keys")).status_code == 404


async def test_the_audit_log_is_for_those_who_answer_for_a_street(residents: Running) -> None:
    assert (await residents.client("community_manager", COMMUNITY).get("/residents/v1/audit")).status_code == 403
    sibling = await residents.client("street_admin", "310104004").get("/residents/v1/audit")
    assert sibling.json()["items"] == []
