from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, SIBLING, STREET, inbox, put
from sqlalchemy import text

from linli import units
from linli.db import Scope, transaction
from linli.events import Event
from linli.events.tickets import TicketClosed, TicketReopened, TicketResolved, TicketUnfolded
from linli.events.wishes import WishReturned
from linli.testing import Running, eventually, tell

ABSENT = UUID(int=7)
INBOX = "/notifications/v1/inbox"
STAFF = [
    ("resident", "310104"),
    ("volunteer", STREET),
    ("grid_worker", GRID),
    ("grid_worker", SIBLING),
    ("department_staff", SIBLING[:9]),
    ("community_manager", COMMUNITY),
    ("street_admin", STREET),
    ("district_admin", "310104"),
    ("app", STREET),
]


def without_trace(body: dict[str, Any]) -> str:
    return str({key: value for key, value in body.items() if key != "trace_id"})


@pytest.mark.parametrize(("role", "unit"), STAFF)
async def test_an_inbox_is_personal_whatever_the_role(notifications: Running, role: str, unit: str) -> None:
    person, other = uuid4(), uuid4()
    await put(notifications, person)
    await put(notifications, other)
    client = notifications.client(role, unit, person)
    assert len(await inbox(client)) == 1
    assert (await client.get(f"{INBOX}/unread-count")).json() == {"unread": 1}


@pytest.mark.parametrize(("role", "unit"), [*STAFF, ("operator", "0"), ("street_admin", FOREIGN[:9])])
async def test_a_message_of_another_is_as_if_it_were_not(notifications: Running, role: str, unit: str) -> None:
    owner = uuid4()
    await put(notifications, owner)
    (message,) = await inbox(notifications.client("resident", "310104", owner))
    client = notifications.client(role, unit)
    change: dict[str, Any] = {"json": {"read": True}, "headers": {"If-Match": "*"}}
    for method, options in (("GET", {}), ("PATCH", change)):
        foreign = await client.request(method, f"{INBOX}/{message['id']}", **options)
        absent = await client.request(method, f"{INBOX}/{ABSENT}", **options)
        assert foreign.status_code == absent.status_code == 404
        assert without_trace(foreign.json()).replace(message["id"], str(ABSENT)) == without_trace(absent.json())
    assert await inbox(notifications.client("resident", "310104", owner), unread="true") == [message]


async def test_a_person_reads_in_each_district_what_belongs_to_it(notifications: Running) -> None:
    person, here, there = uuid4(), uuid4(), uuid4()
    await put(notifications, person, here, MICRO)
    await put(notifications, person, there, FOREIGN)
    for district, ticket in (("310104", here), ("310115", there)):
        client = notifications.client("resident", district, person)
        assert [message["subject"] for message in await inbox(client)] == [str(ticket)]
        assert (await client.get(f"{INBOX}/unread-count")).json() == {"unread": 1}
    foreign = (await inbox(notifications.client("resident", "310115", person)))[0]["id"]
    assert (await notifications.client("resident", "310104", person).get(f"{INBOX}/{foreign}")).status_code == 404


async def test_without_any_filter_a_transaction_finds_what_its_scope_allows(notifications: Running) -> None:
    mine, other = uuid4(), uuid4()
    for person in (mine, other):
        await put(notifications, person, unit=SIBLING)
    sees = {
        Scope.of_person(mine, 310104): {mine},
        Scope.of_person(mine, 310115): set(),
        Scope.of_unit(units.parse(SIBLING[:9]), mine): {mine, other},
        Scope.of_unit(units.parse(STREET), mine): set(),
    }
    for scope, recipients in sees.items():
        async with transaction(notifications.app.state.sessions, scope) as session:
            found = set(await session.scalars(text("SELECT recipient FROM notification")))
        assert (found if scope.role == "linli_person" else found & {mine, other}) == recipients, scope


async def test_an_operator_of_a_district_sees_no_other(notifications: Running) -> None:
    ticket = uuid4()
    await put(notifications, uuid4(), ticket, MICRO)
    sees = {"0": 1, "310104": 1, STREET: 1, SIBLING[:9]: 0, "310115": 0}
    for unit, count in sees.items():
        operator = notifications.client("operator", unit)
        answer = await operator.get(f"/notifications/v1/notifications?subject={ticket}")
        assert len(answer.json()["items"]) == count, unit


ME, OTHER = uuid4(), uuid4()
_OF: dict[str, Any] = {"unit": units.parse(MICRO), "sequence": 3}
_HANDLER: dict[str, Any] = {"handler": units.parse(COMMUNITY)}


def _mine() -> dict[str, Any]:
    return {**_OF, "ticket": uuid4(), "reporter": ME, "followers": (OTHER,)}


@pytest.mark.parametrize(
    "event",
    [
        TicketResolved(**_mine(), resolved_by=uuid4()),
        TicketClosed(**_mine(), closed_by=ME),
        TicketReopened(**_mine(), **_HANDLER, reopened_by=ME, times=1),
        TicketUnfolded(**_mine(), **_HANDLER, withdrawn=uuid4()),
        WishReturned(**_OF, wish=uuid4(), wisher=ME, claimer=OTHER, reason="expire"),
    ],
    ids=lambda event: event.type,
)
async def test_nobody_is_told_where_in_its_community_another_reported_or_wished(
    notifications: Running, event: Event
) -> None:
    await tell(notifications, event)
    for person, unit in ((ME, MICRO), (OTHER, COMMUNITY)):
        client = notifications.client("resident", "310104", person)
        (message,) = await eventually(partial(inbox, client, subject=event.aggregate))
        assert message["unit"] == unit
        assert (await client.get(f"{INBOX}/{message['id']}")).json()["unit"] == unit
