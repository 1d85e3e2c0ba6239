"""A newer version, beside this one in an upgrade or rolled back, has written what is not known here."""

from services.tickets.tests.conftest import GRID

from linli.testing import Running


async def test_a_step_that_is_not_known_yet_is_left_to_the_version_that_knows_it(tickets: Running) -> None:
    client = tickets.client("resident", "310104")
    body = {"unit": GRID, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
    ticket = (await client.post("/tickets/v1/tickets", json=body)).json()["id"]
    await tickets.database.execute(
        "INSERT INTO ticket_entry (district, id, unit, ticket_id, reporter, sequence, move, actor, at)"
        " SELECT district, gen_random_uuid(), unit, ticket_id, reporter, 2, 'from_tomorrow', actor, at"
        " FROM ticket_entry WHERE ticket_id = $1",
        ticket,
    )
    timeline = await client.get(f"/tickets/v1/tickets/{ticket}/timeline")
    assert [step["move"] for step in timeline.json()["items"]] == ["open"]
