from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.conftest import MICRO, STREET, inbox, put, reported

from linli.testing import Running

INBOX = "/notifications/v1/inbox"


async def test_a_message_says_what_happened_in_two_languages(notifications: Running) -> None:
    person, ticket = uuid4(), uuid4()
    await put(notifications, person, ticket)
    client = notifications.client("resident", "310104", person)
    (message,) = await inbox(client)
    assert message["kind"] == "ticket_opened"
    assert message["subject"] == str(ticket)
    assert message["unit"] == MICRO
    assert (message["title"], message["title_zh"]) == ("Your report was received", "诉求已受理")
    assert message["body"]
    assert message["body_zh"]
    assert message["read_at"] is None
    one = await client.get(f"{INBOX}/{message['id']}")
    assert one.json() == message
    assert one.headers["etag"] == '"1"'


async def test_an_inbox_is_read_page_by_page_newest_first(notifications: Running) -> None:
    person = uuid4()
    tickets = [uuid4() for _ in range(5)]
    for ticket in tickets:
        await put(notifications, person, ticket)
    client = notifications.client("grid_worker", MICRO[:15], person)
    seen: list[str] = []
    url: str | None = f"{INBOX}?limit=2"
    while url:
        page = await client.get(url)
        seen += [item["subject"] for item in page.json()["items"]]
        url = page.links.get("next", {}).get("url")
    assert seen == [str(ticket) for ticket in tickets[::-1]]


async def test_an_inbox_is_in_the_order_in_which_things_happened(notifications: Running) -> None:
    person = uuid4()
    events = [reported(person) for _ in range(4)]
    for event in (events[2], events[0], events[3], events[1]):  # as replicas may hear of them
        await put(notifications, person, event=event)
    told = await inbox(notifications.client("resident", "310104", person))
    assert [message["subject"] for message in told] == [event.aggregate for event in events[::-1]]


async def test_what_was_read_counts_no_more(notifications: Running) -> None:
    person = uuid4()
    for _ in range(3):
        await put(notifications, person)
    client = notifications.client("resident", "310104", person)
    messages = await inbox(client)
    assert (await client.get(f"{INBOX}/unread-count")).json() == {"unread": 3}
    path = f"{INBOX}/{messages[0]['id']}"
    read = await client.patch(path, json={"read": True}, headers={"If-Match": '"1"'})
    assert read.status_code == 200, read.text
    assert read.json()["read_at"]
    assert read.headers["etag"] == '"2"'
    assert (await client.get(f"{INBOX}/unread-count")).json() == {"unread": 2}
    assert [item["id"] for item in await inbox(client, unread="true")] == [item["id"] for item in messages[1:]]
    assert len(await inbox(client)) == 3
    again = await client.patch(path, json={"read": True}, headers={"If-Match": '"2"'})
    assert again.json() == read.json()
    unread = await client.patch(path, json={"read": False}, headers={"If-Match": '"2"'})
    assert unread.json()["read_at"] is None
    assert (await client.get(f"{INBOX}/unread-count")).json() == {"unread": 3}


async def test_an_inbox_is_searched_by_ticket(notifications: Running) -> None:
    person, ticket = uuid4(), uuid4()
    await put(notifications, person, ticket)
    await put(notifications, person)
    client = notifications.client("resident", "310104", person)
    assert [item["subject"] for item in await inbox(client, subject=str(ticket))] == [str(ticket)]
    assert await inbox(client, subject=str(uuid4())) == []


async def test_a_change_needs_the_etag_it_was_read_with(notifications: Running) -> None:
    person = uuid4()
    await put(notifications, person)
    client = notifications.client("resident", "310104", person)
    (message,) = await inbox(client)
    path = f"{INBOX}/{message['id']}"
    assert (await client.patch(path, json={"read": True})).status_code == 428
    assert (await client.patch(path, json={"read": True}, headers={"If-Match": '"1"'})).status_code == 200
    stale = await client.patch(path, json={"read": False}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert stale.json()["etag"] == '"2"'


@pytest.mark.parametrize(
    ("body", "pointer"), [({}, "#/read"), ({"read": "yes"}, "#/read"), ({"read": True, "title": "x"}, "#/title")]
)
async def test_only_whether_it_is_read_can_be_changed(
    notifications: Running, body: dict[str, Any], pointer: str
) -> None:
    person = uuid4()
    await put(notifications, person)
    client = notifications.client("resident", "310104", person)
    (message,) = await inbox(client)
    refused = await client.patch(f"{INBOX}/{message['id']}", json=body, headers={"If-Match": "*"})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_an_operator_sees_who_was_told_of_a_ticket_but_not_what(notifications: Running) -> None:
    ticket, people = uuid4(), [uuid4(), uuid4(), uuid4()]
    for person in people:
        await put(notifications, person, ticket)
    operator = notifications.client("operator", "0")
    seen: list[dict[str, Any]] = []
    url: str | None = f"/notifications/v1/notifications?subject={ticket}&limit=2"
    while url:
        page = await operator.get(url)
        assert page.status_code == 200, page.text
        seen += page.json()["items"]
        url = page.links.get("next", {}).get("url")
    assert [told["recipient"] for told in seen] == [str(person) for person in people[::-1]]
    assert set(seen[0]) == {
        *("id", "unit", "recipient", "kind", "subject", "event_id", "trace_id", "occurred_at", "read_at")
    }


@pytest.mark.parametrize("role", ["resident", "grid_worker", "street_admin", "district_admin", "app"])
async def test_only_operators_see_who_was_told(notifications: Running, role: str) -> None:
    refused = await notifications.client(role, STREET).get(f"/notifications/v1/notifications?subject={uuid4()}")
    assert refused.status_code == 403
    assert refused.json()["permission"] == "events.read"


async def test_bad_input_is_named(notifications: Running) -> None:
    client = notifications.client("operator", "0")
    for path in (
        "inbox?limit=0",
        "inbox?unread=perhaps",
        "inbox?subject=7",
        "inbox?cursor=e30",
        "inbox/7",
        "notifications",
        "notifications?subject=7",
    ):
        answer = await client.get(f"/notifications/v1/{path}")
        assert answer.status_code in {400, 422}, path
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await notifications.client().get(INBOX)).status_code == 401
    absent = await client.get(f"{INBOX}/{UUID(int=7)}")
    assert absent.json()["type"] == "urn:linli:problem:not-found"
