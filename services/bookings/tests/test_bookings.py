import asyncio
from datetime import datetime
from uuid import uuid4

import httpx
import pytest
from services.bookings.tests.conftest import Schedule

from linli.testing import Running, eventually

STREET = "310104003"


async def book(client: httpx.AsyncClient, session: str, **headers: str) -> httpx.Response:
    return await client.post(f"/bookings/v1/sessions/{session}/bookings", headers=headers)


async def cancel(client: httpx.AsyncClient, booking: str, etag: str = '"1"') -> httpx.Response:
    return await client.post(f"/bookings/v1/bookings/{booking}/cancel", headers={"If-Match": etag})


async def taken(bookings: Running, session: str) -> tuple[int, int]:
    """Give the seats counted as taken, and the bookings that take one."""
    row = await bookings.database.fetchrow(
        "SELECT booked, (SELECT count(*) FROM booking WHERE session_id = session.id AND state = 'booked') AS active"
        " FROM session WHERE id = $1",
        session,
    )
    return row["booked"], row["active"]


async def test_a_seat_is_booked_cancelled_and_booked_again(bookings: Running, session: str) -> None:
    person = uuid4()
    resident = bookings.client("resident", "310104", person)
    first = await book(resident, session)
    assert first.status_code == 201
    assert (first.json()["state"], first.json()["person"]) == ("booked", str(person))
    cancelled = await cancel(resident, first.json()["id"], first.headers["etag"])
    assert (cancelled.json()["state"], cancelled.json()["version"]) == ("cancelled", 2)
    assert await taken(bookings, session) == (0, 0)
    second = await book(resident, session)
    assert second.status_code == 201
    own = (await resident.get("/bookings/v1/bookings")).json()["items"]
    assert [booking["id"] for booking in own] == [second.json()["id"], first.json()["id"]]
    told = [event for event in await bookings.events() if event.get("session") == session and "person" in event]
    assert [(event["headers"]["ce-type"], event["booking"], event["sequence"]) for event in told] == [
        ("bookings.booked.v1", first.json()["id"], 1),
        ("bookings.cancelled.v1", first.json()["id"], 2),
        ("bookings.booked.v1", second.json()["id"], 1),
    ]


@pytest.fixture
def patient(bookings: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse nobody because a machine takes long: how long one waits for a connection is not tried here."""
    monkeypatch.setattr(bookings.app.state.engines[None].pool, "_timeout", 60)


@pytest.mark.usefixtures("patient")
async def test_fifty_who_book_at_once_share_seven_seats(bookings: Running, schedule: Schedule) -> None:
    session = (await schedule(seats=7)).json()["id"]
    residents = [bookings.client("resident", "310104", uuid4()) for _ in range(50)]
    answers = await asyncio.gather(*(book(resident, session) for resident in residents))
    won = [answer for answer in answers if answer.status_code == 201]
    lost = [answer.json()["type"] for answer in answers if answer.status_code != 201]
    assert (len(won), set(lost)) == (7, {"urn:linli:problem:session-full"})
    assert await taken(bookings, session) == (7, 7)
    told = [event for event in await bookings.events("bookings.booked.v1") if event["session"] == session]
    assert {event["booking"] for event in told} == {answer.json()["id"] for answer in won}


@pytest.mark.usefixtures("patient")
async def test_people_come_and_go_while_staff_edit(bookings: Running, schedule: Schedule) -> None:
    session = (await schedule(seats=10)).json()["id"]
    staff = bookings.client("street_admin", STREET)
    residents = [bookings.client("resident", "310104", uuid4()) for _ in range(20)]

    async def come_and_go(resident: httpx.AsyncClient) -> list[int]:
        booked = await book(resident, session)
        if booked.status_code != 201:
            return [booked.status_code]
        return [201, (await cancel(resident, booked.json()["id"])).status_code]

    async def edit(seats: int) -> list[int]:
        path = f"/bookings/v1/sessions/{session}"
        return [(await staff.patch(path, json={"seats": seats}, headers={"If-Match": "*"})).status_code]

    steps = [come_and_go(resident) for resident in residents] + [edit(seats) for seats in (11, 8, 12, 9)]
    statuses = {status for found in await asyncio.gather(*steps) for status in found}
    assert statuses <= {200, 201, 409}
    assert await taken(bookings, session) == (0, 0)


async def test_who_books_while_staff_move_the_session_is_told_when_it_starts(bookings: Running, session: str) -> None:
    resident = bookings.client("resident", "310104", uuid4())
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with bookings.database.transaction():
        moved = await bookings.database.fetchval(
            "UPDATE session SET starts_at = starts_at + interval '30 minutes' WHERE id = $1 RETURNING starts_at",
            session,
        )
        booking = asyncio.create_task(book(resident, session))
        await eventually(lambda: bookings.database.fetchval(waits))
    assert (await booking).status_code == 201
    (told,) = [event for event in await bookings.events("bookings.booked.v1") if event["session"] == session]
    assert datetime.fromisoformat(told["starts_at"]) == moved


async def test_one_person_who_books_twice_at_once_gets_one_seat(bookings: Running, session: str) -> None:
    resident = bookings.client("resident", "310104", uuid4())
    answers = await asyncio.gather(*(book(resident, session) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert {answer.json()["type"] for answer in answers if answer.status_code == 409} == {
        "urn:linli:problem:already-booked"
    }
    assert await taken(bookings, session) == (1, 1)


async def test_a_repeated_request_with_its_key_takes_no_second_seat(bookings: Running, session: str) -> None:
    resident = bookings.client("resident", "310104", uuid4())
    first, second = [await book(resident, session, **{"Idempotency-Key": "seat-1"}) for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert await taken(bookings, session) == (1, 1)


async def test_others_bookings_leave_the_etag_of_the_session_alone(bookings: Running, session: str) -> None:
    staff = bookings.client("street_admin", STREET)
    path = f"/bookings/v1/sessions/{session}"
    before = (await staff.get(path)).headers["etag"]
    await book(bookings.client("resident", "310104"), session)
    after = await staff.get(path)
    assert (after.headers["etag"], after.json()["booked"]) == (before, 1)
    edited = await staff.patch(path, json={"title": "行书课"}, headers={"If-Match": before})
    assert (edited.status_code, edited.json()["booked"]) == (200, 1)


async def test_seats_never_become_fewer_than_are_booked(bookings: Running, session: str) -> None:
    for _ in range(2):
        await book(bookings.client("resident", "310104"), session)
    staff = bookings.client("street_admin", STREET)
    path = f"/bookings/v1/sessions/{session}"
    refused = await staff.patch(path, json={"seats": 1}, headers={"If-Match": "*"})
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:linli:problem:fewer-seats-than-booked"
    assert (refused.json()["booked"], refused.json()["seats"]) == (2, 1)
    assert (await staff.patch(path, json={"seats": 2}, headers={"If-Match": "*"})).status_code == 200
    assert (await book(bookings.client("resident", "310104"), session)).json()["type"].endswith(":session-full")


async def test_a_session_that_has_started_is_neither_booked_nor_cancelled(bookings: Running, session: str) -> None:
    resident = bookings.client("resident", "310104", uuid4())
    booking = (await book(resident, session)).json()["id"]
    await bookings.database.execute("UPDATE session SET starts_at = now() - interval '1 second' WHERE id = $1", session)
    refusals = [await book(bookings.client("resident", "310104"), session), await cancel(resident, booking)]
    for refused in refusals:
        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:linli:problem:session-started"
    assert await taken(bookings, session) == (1, 1)


async def test_a_booking_is_cancelled_once_and_with_its_etag(bookings: Running, session: str) -> None:
    resident = bookings.client("resident", "310104", uuid4())
    booking = (await book(resident, session)).json()["id"]
    assert (await resident.post(f"/bookings/v1/bookings/{booking}/cancel")).status_code == 428
    assert (await cancel(resident, booking, '"9"')).status_code == 412
    assert (await cancel(resident, booking)).status_code == 200
    again = await cancel(resident, booking, '"2"')
    assert again.json()["type"] == "urn:linli:problem:already-cancelled"
    assert await taken(bookings, session) == (0, 0)


async def test_staff_list_who_booked(bookings: Running, session: str) -> None:
    people = [uuid4() for _ in range(3)]
    for person in people:
        await book(bookings.client("resident", "310104", person), session)
    staff = bookings.client("street_admin", STREET)
    path = f"/bookings/v1/sessions/{session}/bookings"
    first = await staff.get(path, params={"limit": 2})
    rest = await staff.get(first.links["next"]["url"])
    found = [booking["person"] for page in (first, rest) for booking in page.json()["items"]]
    assert found == [str(person) for person in people]


async def test_staff_book_for_themselves_as_residents_do(bookings: Running, session: str) -> None:
    for role, unit in (("grid_worker", "310104003001001"), ("community_manager", "310104003001")):
        person = uuid4()
        member = bookings.client(role, unit, person)
        booked = await book(member, session)
        assert (booked.status_code, booked.json()["person"]) == (201, str(person))
        assert (await cancel(member, booked.json()["id"])).status_code == 200
