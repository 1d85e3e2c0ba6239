from datetime import UTC, datetime, timedelta

import pytest
from services.bookings.tests.conftest import Schedule

from linli.testing import Running

STREET = "310104003"
CENTRE = {"unit": STREET, "name": "天平邻里汇", "address": "乌鲁木齐南路180号"}


async def test_a_centre_is_opened_renamed_and_closed(bookings: Running) -> None:
    staff = bookings.client("street_admin", STREET)
    opened = await staff.post("/bookings/v1/centres", json=CENTRE)
    path = opened.headers["location"]
    assert opened.json() == {**CENTRE, "id": path.rsplit("/", 1)[1], "active": True, "version": 1}
    renamed = await staff.patch(path, json={"name": "66梧桐院"}, headers={"If-Match": opened.headers["etag"]})
    assert (renamed.json()["name"], renamed.json()["address"]) == ("66梧桐院", CENTRE["address"])
    closed = await staff.patch(path, json={"active": False}, headers={"If-Match": renamed.headers["etag"]})
    assert closed.json()["active"] is False
    assert (await staff.get(path)).json() == closed.json()


async def test_a_closed_centre_schedules_and_books_nothing(
    bookings: Running, schedule: Schedule, centre: str, session: str
) -> None:
    staff = bookings.client("street_admin", STREET)
    await staff.patch(f"/bookings/v1/centres/{centre}", json={"active": False}, headers={"If-Match": "*"})
    booked = await bookings.client("resident", "310104").post(f"/bookings/v1/sessions/{session}/bookings")
    for refused in (await schedule(), booked):
        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:linli:problem:centre-closed"


async def test_changing_a_centre_needs_the_etag_it_was_read_with(bookings: Running, centre: str) -> None:
    staff = bookings.client("street_admin", STREET)
    path = f"/bookings/v1/centres/{centre}"
    assert (await staff.patch(path, json={"name": "甲"})).status_code == 428
    assert (await staff.patch(path, json={"name": "甲"}, headers={"If-Match": '"1"'})).status_code == 200
    assert (await staff.patch(path, json={"name": "乙"}, headers={"If-Match": '"1"'})).status_code == 412
    assert (await staff.get(path)).json()["name"] == "甲"


@pytest.mark.parametrize("role", ["resident", "volunteer", "grid_worker", "department_staff", "app", "operator"])
async def test_only_managers_keep_centres_and_sessions(bookings: Running, centre: str, session: str, role: str) -> None:
    client = bookings.client(role, "310104003001001" if role == "grid_worker" else "310104")
    body = {"name": "改名"}
    answers = [
        await client.post("/bookings/v1/centres", json=CENTRE),
        await client.patch(f"/bookings/v1/centres/{centre}", json=body, headers={"If-Match": "*"}),
        await client.patch(f"/bookings/v1/sessions/{session}", json={"seats": 1}, headers={"If-Match": "*"}),
        await client.get(f"/bookings/v1/sessions/{session}/bookings"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4


async def test_centres_are_listed_by_name_page_by_page(bookings: Running) -> None:
    staff = bookings.client("district_admin", "310115")
    for name in ("C", "A", "B"):
        await staff.post("/bookings/v1/centres", json={**CENTRE, "unit": "310115005001", "name": name})
    first = (await staff.get("/bookings/v1/centres", params={"limit": 2, "within": "310115005"})).json()
    assert [centre["name"] for centre in first["items"]] == ["A", "B"]
    rest = await staff.get("/bookings/v1/centres", params={"limit": 2, "within": "310115005", "cursor": first["next"]})
    assert [centre["name"] for centre in rest.json()["items"]] == ["C"]
    assert rest.json()["next"] is None


async def test_a_session_is_scheduled_and_told_of(bookings: Running, schedule: Schedule, centre: str) -> None:
    answer = await schedule(title="太极拳", seats=12)
    found = answer.json()
    assert (found["centre_id"], found["unit"], found["seats"], found["booked"]) == (centre, STREET, 12, 0)
    assert answer.headers["location"] == f"/bookings/v1/sessions/{found['id']}"
    told = [event for event in await bookings.events("bookings.scheduled.v1") if event["session"] == found["id"]]
    assert [(event["centre"], event["seats"], event["sequence"]) for event in told] == [(centre, 12, 1)]


@pytest.mark.parametrize(
    ("hours", "pointer"),
    [((-1, 2), "#/starts_at"), ((24, 24), "#/ends_at"), ((24, 23), "#/ends_at")],
)
async def test_times_that_are_not_possible_are_pointed_at(
    bookings: Running, schedule: Schedule, session: str, hours: tuple[int, int], pointer: str
) -> None:
    now = datetime.now(UTC)
    starts, ends = (now + timedelta(hours=hour) for hour in hours)
    body = {"starts_at": starts.isoformat(), "ends_at": ends.isoformat()}
    changed = await bookings.client("street_admin", STREET).patch(
        f"/bookings/v1/sessions/{session}", json=body, headers={"If-Match": "*"}
    )
    for refused in (await schedule(**body), changed):
        assert refused.status_code == 422
        assert refused.json()["type"] == "urn:linli:problem:times-wrong"
        assert refused.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seats", 0),
        ("seats", 10_001),
        ("seats", "many"),
        ("starts_at", "2026-01-01T10:00:00"),
        ("title", " "),
        ("x", 1),
    ],
)
async def test_a_field_that_is_not_right_is_named(schedule: Schedule, field: str, value: object) -> None:
    refused = await schedule(**{field: value})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"#/{field}"]


async def test_a_change_of_a_session_is_told_of_once_and_no_change_is_silent(bookings: Running, session: str) -> None:
    staff = bookings.client("street_admin", STREET)
    path = f"/bookings/v1/sessions/{session}"
    more = await staff.patch(path, json={"seats": 5}, headers={"If-Match": '"1"'})
    assert (more.json()["seats"], more.headers["etag"]) == (5, '"2"')
    same = await staff.patch(path, json={"seats": 5, "title": None}, headers={"If-Match": '"2"'})
    assert same.headers["etag"] == '"2"'
    told = [event for event in await bookings.events("bookings.scheduled.v1") if event["session"] == session]
    assert [(event["sequence"], event["seats"]) for event in told] == [(1, 3), (2, 5)]


async def test_a_session_that_has_started_is_not_changed(bookings: Running, started: str) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    refused = await bookings.client("street_admin", STREET).patch(
        f"/bookings/v1/sessions/{started}", json={"starts_at": later, "ends_at": later}, headers={"If-Match": "*"}
    )
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:linli:problem:session-started"


async def test_sessions_are_listed_by_start(bookings: Running, schedule: Schedule, centre: str) -> None:
    day = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    made = {}
    for hours in (3, 1, 2):
        starts = day + timedelta(hours=hours)
        body = {"starts_at": starts.isoformat(), "ends_at": (starts + timedelta(hours=1)).isoformat()}
        made[hours] = (await schedule(**body)).json()["id"]
    resident = bookings.client("resident", "310104")

    async def listed(**params: str) -> list[str]:
        answer = await resident.get("/bookings/v1/sessions", params={"centre": centre, **params})
        assert answer.status_code == 200, answer.text
        return [session["id"] for session in answer.json()["items"]]

    assert await listed() == [made[1], made[2], made[3]]
    second = (day + timedelta(hours=2)).isoformat()
    assert await listed(**{"from": second}) == [made[2], made[3]]
    assert await listed(to=second) == [made[1]]
    assert await listed(within="310104004") == []
    first = await resident.get("/bookings/v1/sessions", params={"centre": centre, "limit": 1})
    rest = await resident.get(first.links["next"]["url"])
    assert rest.json()["items"][0]["id"] == made[2]
    naive = await resident.get("/bookings/v1/sessions", params={"from": "2026-01-01T00:00:00"})
    assert naive.status_code == 422
