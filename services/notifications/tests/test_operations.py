import asyncio
from uuid import uuid4

import pytest
from services.notifications.tests.conftest import put, reported
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from linli import units
from linli.db import Scope, transaction
from linli.testing import Running
from notifications.models import Kind
from notifications.texts import TEMPLATES, words_of

PARAMS = {
    "rating": 5,
    "starts_at": "2026-03-01T10:30:00+00:00",
    "due_at": "2026-03-01T16:30:00Z",
    "amount": 10,
    "balance": 30,
    "times": 2,
    "parts": 3,
}


async def test_a_person_is_told_of_an_event_once_however_often_it_comes(notifications: Running) -> None:
    person = uuid4()
    event = reported(person)
    await asyncio.gather(*(put(notifications, person, event=event) for _ in range(8)))
    found = await notifications.database.fetchval("SELECT count(*) FROM notification WHERE recipient = $1", person)
    assert found == 1
    told = [event for event in await notifications.events() if event["recipient"] == str(person)]
    assert [(one["cause"], one["kind"], one["sequence"]) for one in told] == [(str(event.id), "ticket_opened", 1)]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_words(kind: Kind) -> None:
    words = words_of(kind, PARAMS)
    assert all(words)
    assert "{" not in "".join(words)
    assert not words.title.isspace()
    assert any("\u4e00" <= character <= "\u9fff" for character in words.title_zh)
    assert any("\u4e00" <= character <= "\u9fff" for character in words.body_zh)


def test_words_carry_their_numbers_and_china_s_time() -> None:
    assert "18:30" in words_of(Kind.SEAT_BOOKED, PARAMS).body
    assert "2026-03-01 18:30" in words_of(Kind.SEAT_BOOKED, PARAMS).body_zh
    assert words_of(Kind.POINTS_AWARDED, PARAMS).body == "You earned 10 points and have 30 now."
    assert "5 分" in words_of(Kind.TICKET_RATED, PARAMS).body_zh
    assert set(TEMPLATES) == set(Kind)
    assert "2026-03-02 00:30" in words_of(Kind.TICKET_RESOLVED, {"confirm_by_at": PARAMS["due_at"]}).body_zh


def test_the_last_hours_of_the_calendar_have_their_words() -> None:
    words = words_of(Kind.SEAT_BOOKED, {"starts_at": "9999-12-31T23:59:59+00:00"})
    assert "9999-12-31 23:59" in words.body
    assert "9999-12-31 23:59" in words.body_zh


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("linli_scoped", "UPDATE notification SET read_at = now()"),
        ("linli_person", "UPDATE notification SET params = '{}'"),
        ("linli_person", "INSERT INTO notification (kind) VALUES ('ticket_opened')"),
        ("linli_worker", "SELECT * FROM notification"),
        *((role, "DELETE FROM notification") for role in ("linli_scoped", "linli_worker", "linli_person")),
    ],
)
async def test_nobody_rewrites_what_was_told(notifications: Running, role: str, statement: str) -> None:
    person = uuid4()
    await put(notifications, person)
    scope = Scope(role, *units.span(units.parse("310104")), person=person)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with transaction(notifications.app.state.sessions, scope) as session:
            await session.execute(text(statement))
