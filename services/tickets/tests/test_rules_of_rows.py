"""What holds for a ticket's row, whoever writes it: each rule refuses what breaks it, by its name."""

from uuid import uuid4

import asyncpg
import pytest
from services.tickets.tests.conftest import MICRO

from linli.testing import Running

BROKEN = {
    "district": "district = 310115",
    "state": "state = 'lost'",
    "level": "level = 'city'",
    "visibility": "visibility = 'secret'",
    "source": "source = 'rumour'",
    "assignee": "state = 'assigned'",
    "resolved": "resolved_at = now()",
    "closed": "closed_at = now()",
    "rating": "rating = 3",
    "outcome": "outcome = 'fixed'",
    "confirmed": "confirmed = true, outcome = 'withdrawn', state = 'closed', closed_at = now()",
    "folded": "folded_into = id",
    "parent": "parent = id",
    "place": "latitude = 91, longitude = 0",
    "subject": "subject_kind = 'place'",
}


@pytest.mark.parametrize(("rule", "change"), BROKEN.items())
async def test_a_row_that_breaks_a_rule_is_refused_by_its_name(tickets: Running, rule: str, change: str) -> None:
    report = {"unit": MICRO, "title": "x", "description": "y", "category": "other"}
    resident = tickets.client("resident", "310104", uuid4())
    ticket = (await resident.post("/tickets/v1/tickets", json=report)).raise_for_status().json()["id"]
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await tickets.database.execute(f"UPDATE ticket SET {change} WHERE id = $1", ticket)  # noqa: S608 of constants
    assert refused.value.constraint_name == f"ck_ticket_{rule}"


async def test_every_rule_of_the_database_is_tried(tickets: Running) -> None:
    source = await tickets.database.fetchval("SELECT prosrc FROM pg_proc WHERE proname = 'ticket_holds'")
    rest = "SELECT conname FROM pg_constraint WHERE conrelid = 'ticket'::regclass AND contype = 'c' ORDER BY 1"
    assert [row["conname"] for row in await tickets.database.fetch(rest)] == ["ck_ticket", "ck_ticket_district"]
    assert source.count("RAISE") + 1 == len(BROKEN)
