from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from linli.db import Scope, transaction
from linli.testing import Running

UNKNOWN = str(UUID(int=7))


async def booked(bookings: Running, session: str, person: UUID) -> str:
    answer = await bookings.client("resident", "310104", person).post(f"/bookings/v1/sessions/{session}/bookings")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def everything(bookings: Running) -> list[object]:
    statements = [f"SELECT * FROM {table} ORDER BY id" for table in ("centre", "session", "booking")]  # noqa: S608
    return [*[await bookings.database.fetch(statement) for statement in statements], await bookings.events()]


@pytest.mark.parametrize(
    ("role", "unit"),
    [("district_admin", "310115"), ("street_admin", "310104004"), ("community_manager", "310104003001")],
    ids=["other district", "sibling street", "community below"],
)
async def test_staff_of_elsewhere_find_nothing_and_change_nothing(
    bookings: Running, centre: str, session: str, role: str, unit: str
) -> None:
    await booked(bookings, session, uuid4())
    before = await everything(bookings)
    client = bookings.client(role, unit)
    sessions = f"/bookings/v1/sessions/{session}"
    times = {"starts_at": "2099-01-01T10:00:00+08:00", "ends_at": "2099-01-01T11:00:00+08:00"}
    any_version = {"If-Match": "*"}
    requests = [
        ("GET", f"/bookings/v1/centres/{centre}", None),
        ("PATCH", f"/bookings/v1/centres/{centre}", {"name": "改名"}),
        ("POST", f"/bookings/v1/centres/{centre}/sessions", {"title": "课", "seats": 3, **times}),
        ("GET", sessions, None),
        ("PATCH", sessions, {"seats": 9}),
        ("GET", f"{sessions}/bookings", None),
    ]
    for method, path, body in requests:
        answer = await client.request(method, path, json=body, headers=any_version)
        assert answer.status_code == 404, (method, path)
        foreign = {**answer.json(), "trace_id": ""}
        absent = await client.request(
            method, path.replace(session, UNKNOWN).replace(centre, UNKNOWN), json=body, headers=any_version
        )
        assert str(foreign).replace(session, UNKNOWN).replace(centre, UNKNOWN) == str({**absent.json(), "trace_id": ""})
    for path in ("/bookings/v1/centres", "/bookings/v1/sessions"):
        assert (await client.get(path, params={"within": "310104003"})).status_code == 403
        assert (await client.get(path)).json()["items"] == []
    assert (await client.get("/bookings/v1/sessions", params={"centre": centre})).json()["items"] == []
    assert await everything(bookings) == before


@pytest.mark.parametrize("unit", ["310104004", "310104", "310115005001"], ids=["sibling", "ancestor", "foreign"])
async def test_a_centre_opens_only_where_its_staff_answer(bookings: Running, unit: str) -> None:
    before = await everything(bookings)
    refused = await bookings.client("street_admin", "310104003").post(
        "/bookings/v1/centres", json={"unit": unit, "name": "他处", "address": "他处"}
    )
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:linli:problem:outside-scope"
    assert await everything(bookings) == before


async def test_residents_see_the_sessions_of_their_district_and_of_no_other(bookings: Running, session: str) -> None:
    for unit, expected in (("310104", 200), ("310104004", 200), ("310115", 404)):
        resident = bookings.client("resident", unit)
        assert (await resident.get(f"/bookings/v1/sessions/{session}")).status_code == expected, unit
    before = await everything(bookings)
    refused = await bookings.client("resident", "310115").post(f"/bookings/v1/sessions/{session}/bookings")
    assert refused.status_code == 404
    assert await everything(bookings) == before


async def test_another_persons_booking_is_not_found(bookings: Running, session: str) -> None:
    booking = await booked(bookings, session, uuid4())
    before = await everything(bookings)
    for role, unit in (("resident", "310104"), ("street_admin", "310104003"), ("district_admin", "310104")):
        client = bookings.client(role, unit)
        answer = await client.post(f"/bookings/v1/bookings/{booking}/cancel", headers={"If-Match": "*"})
        assert answer.status_code == 404, role
        assert (await client.get("/bookings/v1/bookings")).json()["items"] == []
    assert await everything(bookings) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE session SET seats = 999",
        "UPDATE session SET version = version + 1",
        "UPDATE centre SET name = 'x'",
        "UPDATE booking SET person = current_setting('app.person')::uuid",
        "UPDATE booking SET session_id = gen_random_uuid()",
        "DELETE FROM booking",
        "DELETE FROM session",
        "INSERT INTO centre (id) VALUES (gen_random_uuid())",
    ],
)
async def test_the_database_lets_a_resident_change_nothing_but_seats(
    bookings: Running, session: str, statement: str
) -> None:
    person = uuid4()
    await booked(bookings, session, person)
    await refused_to_resident(bookings, person, statement)


async def test_the_database_shows_and_gives_a_resident_nobody_elses_booking(bookings: Running, session: str) -> None:
    person, other = uuid4(), uuid4()
    await booked(bookings, session, person)
    await booked(bookings, session, other)
    assert [row.person for row in await as_resident(bookings, person, "SELECT person FROM booking")] == [person]
    forged = (
        "INSERT INTO booking (district, id, unit, session_id, person, state, booked_at, version)"
        " SELECT district, gen_random_uuid(), unit, id, gen_random_uuid(), 'booked', now(), 1 FROM session"
    )
    await refused_to_resident(bookings, person, forged)


async def as_resident(bookings: Running, person: UUID, statement: str) -> list[Any]:
    """Run a statement as the service would in a resident's name."""
    async with transaction(bookings.app.state.sessions, Scope.of_person(person, 310104)) as db:
        return list(await db.execute(text(statement)))


async def refused_to_resident(bookings: Running, person: UUID, statement: str) -> None:
    with pytest.raises(DBAPIError) as refused:
        await as_resident(bookings, person, statement)
    assert getattr(refused.value.orig, "sqlstate", None) == "42501"
