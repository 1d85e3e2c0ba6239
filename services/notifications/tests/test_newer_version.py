"""A newer version, beside this one during an upgrade or before it was rolled back, has put more into inboxes."""

from uuid import uuid4

from services.notifications.tests.conftest import inbox, put

from linli.testing import Running


async def test_a_message_there_are_no_words_for_yet_is_left_to_the_version_that_has_them(
    notifications: Running,
) -> None:
    person, ticket = uuid4(), uuid4()
    await put(notifications, person, ticket)
    newer = await notifications.database.fetchval(
        "INSERT INTO notification"
        " (district, id, unit, recipient, kind, subject, params, event_id, occurred_at, version)"
        " SELECT district, gen_random_uuid(), unit, recipient, 'from_tomorrow', subject, params, gen_random_uuid(),"
        " occurred_at, 1 FROM notification WHERE subject = $1 RETURNING id",
        ticket,
    )
    client = notifications.client("resident", "310104", person)
    assert [message["kind"] for message in await inbox(client)] == ["ticket_opened"]
    assert (await client.get("/notifications/v1/inbox/unread-count")).json() == {"unread": 1}
    assert (await client.get(f"/notifications/v1/inbox/{newer}")).status_code == 404
    operator = notifications.client("operator", "0")
    told = await operator.get("/notifications/v1/notifications", params={"subject": str(ticket)})
    assert [one["kind"] for one in told.json()["items"]] == ["ticket_opened"]
