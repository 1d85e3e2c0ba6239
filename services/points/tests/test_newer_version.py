"""A newer version, beside this one during an upgrade or before it was rolled back, has paid by a rule of its own."""

from uuid import uuid4

from services.points.tests.conftest import SIBLING, hear, rated

from linli.testing import Running


async def test_points_by_a_rule_not_known_yet_count_and_are_left_to_the_version_that_knows_it(points: Running) -> None:
    worker, ticket = uuid4(), uuid4()
    await hear(points, rated(worker, ticket=ticket, unit=SIBLING))
    await points.database.execute(
        "INSERT INTO transfer (district, id, unit, holder, debit_account, credit_account, amount, rule, cause,"
        " event_id, at) SELECT district, gen_random_uuid(), unit, holder, debit_account, credit_account, 5,"
        " 'from_tomorrow', gen_random_uuid(), gen_random_uuid(), at FROM transfer WHERE cause = $1",
        ticket,
    )
    await points.database.execute("UPDATE account SET balance = balance + 5 WHERE holder = $1", worker)
    for role, path in (("resident", "me/transfers"), ("district_admin", f"accounts/{worker}/transfers")):
        client = points.client(role, "310104", worker if role == "resident" else None)
        answer = await client.get(f"/points/v1/{path}")
        assert answer.status_code == 200, path
        assert [item["rule"] for item in answer.json()["items"]] == ["ticket_rated"]
        assert answer.json()["balance"] == 15


async def test_a_rule_not_known_yet_is_left_to_the_version_that_knows_it(points: Running) -> None:
    admin = points.client("street_admin", SIBLING[:9])
    body = {"min_rating": 4, "points": 3}
    path = f"/points/v1/rules/{SIBLING[:9]}/ticket_rated"
    assert (await admin.put(path, json=body, headers={"If-Match": "*"})).status_code == 200
    await points.database.execute(
        "INSERT INTO earning_rule (district, id, unit, code, min_rating, points, active, version)"
        " SELECT district, gen_random_uuid(), unit, 'from_tomorrow', 1, 5, true, 1 FROM earning_rule"
    )
    listed = await admin.get("/points/v1/rules")
    assert listed.status_code == 200
    assert [item["code"] for item in listed.json()["items"]] == ["ticket_rated"]
