"""Double entry holds whatever comes, in whatever order, however often and at once."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.points.tests.conftest import COMMUNITY, MICRO, SIBLING, STREET, hear, rated
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from linli import units
from linli.db import Scope, transaction
from linli.testing import Running

BALANCES = """
SELECT account.holder, account.balance,
    coalesce(sum(CASE WHEN transfer.credit_account = account.id THEN amount ELSE -amount END), 0) AS moved
FROM account LEFT JOIN transfer ON account.id IN (debit_account, credit_account)
GROUP BY account.district, account.id
"""


async def books(database: asyncpg.Connection) -> dict[UUID | None, int]:
    """Check the books and give each person's balance."""
    rows = await database.fetch(BALANCES)
    assert sum(row["balance"] for row in rows) == 0
    for row in rows:
        assert row["balance"] == row["moved"]
    twice = await database.fetch("SELECT cause FROM transfer GROUP BY district, rule, cause HAVING count(*) > 1")
    assert twice == []
    return {row["holder"]: row["balance"] for row in rows}


telling = st.tuples(
    st.integers(0, 5),  # which ticket
    st.sampled_from([MICRO, COMMUNITY, SIBLING, "310104"]),
    st.integers(0, 2),  # who resolved it
    st.integers(1, 5),  # the rating
)


@settings(max_examples=25, deadline=None)
@given(tickets=st.lists(telling, unique_by=lambda told: told[0], max_size=6), data=st.data())
async def test_the_books_balance_and_no_ticket_counts_twice(
    points: Running, tickets: list[Any], data: st.DataObject
) -> None:
    people = [uuid4() for _ in range(3)]
    facts = [(uuid4(), unit, people[who], rating) for _, unit, who, rating in tickets]
    # Each is told once, twice or three times, some as the same event and some as another, in any order and company.
    first = [rated(who, rating, ticket, unit) for ticket, unit, who, rating in facts]
    again = [rated(who, rating, ticket, unit) for ticket, unit, who, rating in facts]
    told = data.draw(st.permutations([*first, *first, *again])) if facts else []
    together = data.draw(st.integers(1, 6))
    for start in range(0, len(told), together):
        await asyncio.gather(*(hear(points, event) for event in told[start : start + together]))
    balances = await books(points.database)
    for person in people:
        earned = 10 * sum(1 for _, _, who, rating in facts if who == person and rating >= 4)
        assert balances.get(person, 0) == earned
    for ticket, *_ in facts:
        awards = [event for event in await points.events("points.awarded.v1") if event["ticket"] == str(ticket)]
        assert len(awards) <= 1


async def test_an_account_is_opened_once_however_many_need_it_first(points: Running) -> None:
    worker = uuid4()
    await points.know_units("310109001")
    await asyncio.gather(*(hear(points, rated(worker, unit="310109001")) for _ in range(12)))
    accounts = await points.database.fetch("SELECT kind, balance, version FROM account WHERE district = 310109")
    assert sorted((row["kind"], row["balance"], row["version"]) for row in accounts) == [
        ("issuer", -120, 13),
        ("member", 120, 13),
    ]


async def test_points_follow_a_person_to_another_street_and_each_street_issues_its_own(points: Running) -> None:
    worker = uuid4()
    await hear(points, rated(worker, unit=MICRO))
    await hear(points, rated(worker, unit=SIBLING))
    assert (await books(points.database))[worker] == 20
    issuers = await points.database.fetch(
        "SELECT account.unit FROM transfer JOIN account ON account.id = debit_account WHERE transfer.holder = $1",
        worker,
    )
    assert sorted(units.short(row["unit"]) for row in issuers) == [STREET, SIBLING[:9]]


@pytest.mark.parametrize(("rating", "earned"), [(1, 0), (3, 0), (4, 10), (5, 10)])
async def test_by_default_a_rating_of_four_or_five_earns_ten_points(points: Running, rating: int, earned: int) -> None:
    worker = uuid4()
    await hear(points, rated(worker, rating))
    assert (await books(points.database)).get(worker, 0) == earned


async def test_the_streets_own_rule_replaces_the_default(points: Running) -> None:
    worker, unit = uuid4(), "310104009"
    await points.know_units(unit)
    admin = points.client("street_admin", unit)
    path = f"/points/v1/rules/{unit}/ticket_rated"
    strict = await admin.put(path, json={"min_rating": 5, "points": 7}, headers={"If-Match": '"0"'})
    await hear(points, rated(worker, 4, unit=unit + "001"))
    await hear(points, rated(worker, 5, unit=unit + "001"))
    assert (await books(points.database))[worker] == 7
    off = {"min_rating": 5, "points": 7, "active": False}
    assert (await admin.put(path, json=off, headers={"If-Match": strict.headers["etag"]})).status_code == 200
    await hear(points, rated(worker, 5, unit=unit + "001"))
    assert (await books(points.database))[worker] == 7


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transfer SET amount = 1000",
        "DELETE FROM transfer",
        "TRUNCATE transfer",
        "DELETE FROM account",
        "UPDATE account SET holder = gen_random_uuid()",
    ],
)
@pytest.mark.parametrize("role", ["linli_scoped", "linli_worker", "linli_person"])
async def test_what_was_booked_can_not_be_rewritten(points: Running, role: str, statement: str) -> None:
    worker = uuid4()
    await hear(points, rated(worker))
    scope = Scope(role, *units.span(units.parse("310104")), person=worker)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with transaction(points.app.state.sessions, scope) as session:
            await session.execute(text(statement))


@pytest.mark.parametrize(("kind", "change"), [("member", -11), ("issuer", 10**6)])
async def test_no_person_owes_points_and_no_street_hoards_them(points: Running, kind: str, change: int) -> None:
    worker = uuid4()
    await hear(points, rated(worker))
    with pytest.raises(asyncpg.CheckViolationError, match="ck_account_balance"):
        await points.database.execute(
            "UPDATE account SET balance = balance + $1 WHERE kind = $2 AND coalesce(holder, $3) = $3",
            change,
            kind,
            worker,
        )
