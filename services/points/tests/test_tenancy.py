from typing import Any
from uuid import UUID, uuid4

import pytest
from services.points.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, SIBLING, STREET, hear, rated
from sqlalchemy import text

from linli import units
from linli.db import Scope, transaction
from linli.testing import Running

ABSENT = UUID(int=7)


def without_trace(body: dict[str, Any]) -> str:
    return str({key: value for key, value in body.items() if key != "trace_id"})


@pytest.mark.parametrize("tail", ["", "/transfers"])
async def test_who_sees_an_account(points: Running, tail: str) -> None:
    worker = uuid4()
    await hear(points, rated(worker, unit=MICRO))
    may = {
        ("resident", "310104", worker),
        ("volunteer", "310104", worker),
        ("department_staff", STREET, None),
        ("street_admin", STREET, None),
        ("district_admin", "310104", None),
    }
    may_not = {
        ("resident", "310104", None),
        ("resident", "310115", worker),
        ("grid_worker", GRID, worker),
        ("grid_worker", SIBLING, None),
        ("community_manager", COMMUNITY, None),
        ("street_admin", SIBLING[:9], None),
        ("district_admin", FOREIGN[:6], None),
    }
    for role, unit, person in may:
        answer = await points.client(role, unit, person).get(f"/points/v1/accounts/{worker}{tail}")
        assert answer.status_code == 200, (role, unit)
        assert answer.json()["balance"] == 10
    absent = (await points.client("street_admin", STREET).get(f"/points/v1/accounts/{ABSENT}{tail}")).json()
    for role, unit, person in may_not:
        answer = await points.client(role, unit, person).get(f"/points/v1/accounts/{worker}{tail}")
        assert answer.status_code == 404, (role, unit)
        assert without_trace(answer.json()).replace(str(worker), str(ABSENT)) == without_trace(absent)


@pytest.mark.parametrize("table", ["account", "transfer"])
async def test_without_any_filter_a_transaction_finds_what_its_scope_allows(points: Running, table: str) -> None:
    mine, others = uuid4(), uuid4()
    for holder in (mine, others):
        await hear(points, rated(holder, unit=SIBLING))
    district, sibling, grid = (units.parse(unit) for unit in ("310104", SIBLING[:9], SIBLING))
    sees = {
        Scope.of_person(mine, 310104): {mine},
        Scope.of_unit(sibling): {mine, others},
        Scope.of_unit(district): {mine, others},
        Scope.of_unit(units.parse(STREET)): set(),
        Scope.of_person(mine, 310115): set(),
        Scope.of_grids((grid,), 310104, mine): {mine, others} if table == "transfer" else set(),
        Scope.of_grids((units.parse(GRID),), 310104, mine): set(),
    }
    for scope, holders in sees.items():
        async with transaction(points.app.state.sessions, scope) as session:
            found = set(await session.scalars(text(f"SELECT holder FROM {table} WHERE holder IS NOT NULL")))  # noqa: S608 a fixed name
        if scope.role == "linli_person":
            assert found == holders, scope
        else:
            assert found & {mine, others} == holders, scope


@pytest.mark.parametrize(
    ("role", "unit"),
    [
        ("resident", "310104"),
        ("volunteer", STREET),
        ("grid_worker", GRID),
        ("department_staff", SIBLING[:9]),
        ("community_manager", COMMUNITY),
        ("street_admin", STREET),
        ("district_admin", "310104"),
    ],
)
async def test_whatever_the_role_me_is_me_alone(points: Running, role: str, unit: str) -> None:
    person = uuid4()
    await hear(points, rated(person, unit=MICRO))
    await hear(points, rated(uuid4(), unit=MICRO))
    client = points.client(role, unit, person)
    assert (await client.get("/points/v1/me")).json()["balance"] == 10
    assert len((await client.get("/points/v1/me/transfers")).json()["items"]) == 1


async def test_a_person_has_an_account_in_each_district_and_none_sees_the_others(points: Running) -> None:
    person = uuid4()
    await hear(points, rated(person, unit=MICRO))
    await hear(points, rated(person, unit=MICRO))
    await hear(points, rated(person, unit=FOREIGN))
    for district, balance in (("310104", 20), ("310115", 10)):
        client = points.client("resident", district, person)
        assert (await client.get("/points/v1/me")).json()["balance"] == balance
        assert (await client.get("/points/v1/me/transfers")).json()["balance"] == balance
        assert len((await client.get("/points/v1/me/transfers")).json()["items"]) == balance // 10


@pytest.mark.parametrize(
    ("role", "unit"),
    [
        ("street_admin", SIBLING[:9]),
        ("district_admin", FOREIGN[:6]),
        ("street_admin", FOREIGN[:9]),
    ],
)
async def test_a_streets_rule_is_set_by_nobody_outside(points: Running, role: str, unit: str) -> None:
    client = points.client(role, unit)
    path = f"/points/v1/rules/{STREET}/ticket_rated"
    body = {"min_rating": 1, "points": 9999}
    for answer in (await client.get(path), await client.put(path, json=body, headers={"If-Match": "*"})):
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:linli:problem:outside-scope"
    assert await points.database.fetchval("SELECT count(*) FROM earning_rule WHERE points = 9999") == 0


async def test_rules_are_listed_to_their_district_and_to_no_other(points: Running) -> None:
    body, match = {"min_rating": 2, "points": 77}, {"If-Match": "*"}
    admin = points.client("street_admin", STREET)
    assert (await admin.put(f"/points/v1/rules/{STREET}/ticket_rated", json=body, headers=match)).status_code == 200
    sees = {
        ("resident", "310104"): 1,
        ("grid_worker", SIBLING): 1,
        ("district_admin", "310104"): 1,
        ("street_admin", STREET): 1,
        ("street_admin", SIBLING[:9]): 0,
        ("resident", "310115"): 0,
        ("district_admin", "310115"): 0,
    }
    for (role, unit), count in sees.items():
        client = points.client(role, unit)
        assert len((await client.get("/points/v1/rules")).json()["items"]) == count, (role, unit)
        narrowed = await client.get(f"/points/v1/rules?within={STREET}")
        if count:
            assert len(narrowed.json()["items"]) == count, (role, unit)
        else:
            assert narrowed.status_code == 403, (role, unit)
