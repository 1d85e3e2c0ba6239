"""Figures are what the trail says: kept days and days counted when asked give the same, whatever was done."""

import json
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.tickets.tests.conftest import COMMUNITY, MICRO, SIBLING, STREET, employ
from services.tickets.tests.test_departments import DISTRICT, made
from services.tickets.tests.test_followers import PARTS
from services.tickets.tests.test_moves import done, opened
from services.tickets.tests.test_whistles import staffed

from linli import clockwork, units
from linli.db import Scope, transaction
from linli.models import uuid7
from linli.testing import Running, eventually
from linli.timers import Timer
from tickets import clocks
from tickets.calendar import ZONE
from tickets.models.figures import By, Period
from tickets.operations.figures import FIGURES, count_days, figures

UNITS = (MICRO, "310104003001002001", "310104003002001", SIBLING)
LAST = datetime.now(ZONE).date() - timedelta(days=1)
"""The last day of history, which is over whenever a test begins."""
BACK = 20
"""Days of history."""
Step = dict[str, Any]
Facts = dict[str, str]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clocks look often."""
    monkeypatch.setattr(clockwork, "POLL", 0.05)


@pytest.fixture(scope="module")
async def history(tickets: Running) -> list[Step]:
    """Give tickets lives of chance in the last days, as their trail has them; nothing else is true of them."""
    await tickets.know_units(*UNITS)
    for department in ("urban", "water"):
        await made(tickets, department)
    chance = random.Random(20260105)  # noqa: S311 lives of tests
    people = [uuid4() for _ in range(12)]
    steps: list[Step] = []
    for _ in range(400):
        at = datetime.combine(LAST - timedelta(days=chance.randrange(BACK + 1)), time(0), ZONE)
        at += timedelta(minutes=chance.randrange(24 * 60))
        lived = await _live(tickets, chance, at, chance.choice(people))
        steps += lived
        if not chance.randrange(3):
            whole = chance.choice(lived)  # at a time at which that had lived
            steps += await _live(tickets, chance, whole["at"], chance.choice(people), whole["ticket"])
    opens = [step for step in steps if step["move"] == "open"]
    return [{**step, "repeats": _repeats(step, opens)} for step in steps]


async def _live(
    tickets: Running, chance: random.Random, at: datetime, reporter: UUID, whole: UUID | None = None
) -> list[Step]:
    ticket: Step = {
        "id": _id(at),
        "unit": units.parse(chance.choice(UNITS)),
        "category": chance.choice(("lighting", "noise")),
        "department": chance.choice((None, "urban", "water")),
        "part": whole is not None,
        "source": "app" if whole else chance.choice(("app", "qr", "hotline")),
        "reporter": reporter,
        "opened_at": at,
    }
    moves: list[tuple[str, Facts]] = [("open", {})]
    state = "open"
    for _ in range(chance.randrange(8)):
        move, facts, state = chance.choice(_LIFE[state])
        moves.append((move, facts))
    await tickets.database.execute(
        "INSERT INTO ticket (district, id, unit, title, description, category, department, state, reporter, assignee,"
        " resolved_by, resolved_at, closed_at, outcome, opened_at, version, parent, source) VALUES ($1, $2, $3, 't',"
        " 'd', $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13, $14, $15)",
        *(310104, ticket["id"], ticket["unit"], ticket["category"], ticket["department"]),
        *(("closed", reporter, reporter, reporter, at) if state == "closed" else ("open", reporter, None, None, None)),
        *("fixed" if state == "closed" else None, at, len(moves), whole, ticket["source"]),
    )
    steps: list[Step] = []
    for sequence, (move, facts) in enumerate(moves, start=1):
        steps.append({**ticket, "ticket": ticket["id"], "move": move, "facts": facts, "at": at})
        await tickets.database.execute(
            "INSERT INTO ticket_entry (district, id, unit, ticket_id, reporter, sequence, move, facts, actor, at)"
            " VALUES (310104, $1, $2, $3, $4, $5, $6, $7, $4, $8)",
            *(_id(at), ticket["unit"], ticket["id"], reporter, sequence, move),
            *(json.dumps(facts) if facts else None, at),
        )
        at += timedelta(minutes=chance.randrange(1, 3 * 24 * 60))
        if at > datetime.now(ZONE):
            break
    if steps[-1]["move"] != moves[-1][0] or len(steps) < len(moves):
        await tickets.database.execute(
            "UPDATE ticket SET state = 'open', assignee = NULL, resolved_by = NULL, resolved_at = NULL,"
            " closed_at = NULL, outcome = NULL WHERE id = $1",
            ticket["id"],
        )
    return steps


_LIFE: dict[str, list[tuple[str, Facts, str]]] = {
    "open": [
        *[("assign", {}, "assigned"), ("withdraw", {}, "closed"), ("answer_overdue", {}, "open")],
        ("fold", {}, "folded"),
    ],
    "folded": [("unfold", {}, "open"), ("unfold", {"assignee": str(uuid4())}, "assigned")],
    "assigned": [("resolve", {}, "resolved"), ("solve_overdue", {}, "assigned"), ("assign", {}, "assigned")],
    "resolved": [
        *[("close", {"outcome": "fixed"}, "closed"), ("close", {"outcome": "no_answer"}, "closed")],
        ("reopen", {}, "assigned"),
    ],
    "closed": [("rate", {}, "closed"), ("poorly_rated", {}, "assigned")],
}


_MORE = {"open": 1, "poorly_rated": 1, "unfold": 1, "close": -1, "withdraw": -1, "fold": -1}
"""How many more are open after a step."""


def _id(at: datetime) -> UUID:
    """Make an id of its time, as rows get them."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | uuid7().int & (1 << 80) - 1)


def counted(steps: list[Step], key: Callable[[Step], str], period: Period, days: list[date]) -> list[Step]:
    """Count the same in Python, step by step."""
    starts = sorted({_start(day, period) for day in days})
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    given: set[UUID] = set()
    for step in sorted(steps, key=lambda step: (step["ticket"], step["at"])):
        day = step["at"].astimezone(ZONE).date()
        took = (step["at"] - step["opened_at"]).total_seconds()
        somebody = step["move"] == "assign" or (step["move"] == "unfold" and "assignee" in step["facts"])
        if first := somebody and step["ticket"] not in given:
            given.add(step["ticket"])
        more = _MORE.get(step["move"], 0)
        for start in starts:
            if _start(day, period) <= start and day <= max(days):
                found[start.isoformat(), key(step)]["open"] += more
        if day not in days:
            continue
        figure = found[_start(day, period).isoformat(), key(step)]
        figure["opened"] += step["move"] == "open"
        figure["repeated"] += step["move"] == "open" and step["repeats"]
        figure["overdue"] += step["move"].endswith("_overdue")
        figure["closed"] += _MORE.get(step["move"]) == -1
        figure["fixed"] += step["facts"].get("outcome") == "fixed"
        figure["reopened"] += step["move"] in {"reopen", "poorly_rated"}
        if first:
            figure.setdefault("answering", []).append(took)
        if step["move"] == "resolve":
            figure.setdefault("solving", []).append(took)
    return [
        {
            "start": start,
            "key": key_,
            **{name: figure[name] for name in _COUNTS},
            "answering_median": median(figure["answering"]) if figure.get("answering") else None,
            "solving_median": median(figure["solving"]) if figure.get("solving") else None,
        }
        for (start, key_), figure in sorted(found.items())
        if any(figure[name] for name in _COUNTS) or figure.get("answering") or figure.get("solving")
    ]


_COUNTS = ("opened", "repeated", "open", "overdue", "closed", "fixed", "reopened")


def _start(day: date, period: Period) -> date:
    return {
        Period.DAY: day,
        Period.WEEK: day - timedelta(days=day.weekday()),
        Period.MONTH: day.replace(day=1),
    }[period]


def _repeats(step: Step, opens: list[Step]) -> bool:
    """Tell whether a report, no part of one, repeats another of who reports for himself."""
    return _for_himself(step) and any(
        _for_himself(other)
        and (other["reporter"], other["category"]) == (step["reporter"], step["category"])
        and other["unit"] // 10**6 == step["unit"] // 10**6
        and (other["opened_at"], other["ticket"]) < (step["opened_at"], step["ticket"])
        for other in opens
    )


def _for_himself(step: Step) -> bool:
    return step["source"] in {"app", "qr"} and not step["part"]


async def asked(tickets: Running, role: str, unit: str, **query: str) -> list[Step]:
    client = tickets.client(role, unit)
    found: list[Step] = []
    url: str | None = "/tickets/v1/figures"
    params: dict[str, str] | None = {**query, "limit": "37"}
    while url:
        answer = await client.get(url, params=params)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        url, params = answer.links.get("next", {}).get("url"), None
    return found


def same(shown: list[Step], expected: list[Step]) -> None:
    names = ("start", "key", *_COUNTS, "answering_median", "solving_median")
    told = [{name: row[name] for name in names} for row in shown]
    for row in expected:
        for name in ("answering_median", "solving_median"):
            row[name] = None if row[name] is None else pytest.approx(row[name], abs=1)
    assert told == expected


@pytest.mark.usefixtures("often")
async def test_figures_are_counted_for_the_first_time_when_somebody_asks(tickets: Running) -> None:
    client = tickets.client("community_manager", COMMUNITY)
    refused = await client.get("/tickets/v1/figures")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")

    async def counted_() -> bool:
        return (await client.get("/tickets/v1/figures")).status_code == 200

    await eventually(counted_)

    async def ahead() -> bool:  # whoever asked while it was counted has set a clock for it once more, which runs out
        clocks_ = await tickets.database.fetch("SELECT due_at FROM timer WHERE kind = 'figures'")
        return len(clocks_) == 1 and clocks_[0]["due_at"] > datetime.now(UTC)

    await eventually(ahead)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("kept", [False, True], ids=["counted when asked", "counted in the night"])
async def test_figures_are_what_the_trail_says(
    tickets: Running, history: list[Step], monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    before = LAST - timedelta(days=BACK + 1)
    for table in ("ticket_daily", "ticket_stock"):
        await tickets.database.execute(f"DELETE FROM {table}")  # noqa: S608 of the test's own
    await tickets.database.execute(
        "INSERT INTO figures_until VALUES (310104, 310104000000000000, $1)"
        " ON CONFLICT (district) DO UPDATE SET day = excluded.day",
        before,
    )
    await tickets.database.execute("DELETE FROM timer WHERE kind = 'figures'")
    if kept:
        night = datetime.combine(LAST, time(1), ZONE)
        monkeypatch.setattr(clocks.timers, "now", lambda: night)  # so that the last day is not counted yet
        await tickets.database.execute(
            "INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at)"
            " VALUES (310104, 'figures', $1, 310104000000000000, $2, $2)",
            UUID(int=(before + timedelta(days=1)).toordinal()),
            night,
        )
        yesterday = "SELECT day = $1 FROM figures_until WHERE district = 310104"
        await eventually(lambda: tickets.database.fetchval(yesterday, LAST - timedelta(days=1)))
        assert await tickets.database.fetchval("SELECT count(*) > 100 FROM ticket_daily")
    days = [LAST - timedelta(days=number) for number in range(BACK + 1)]
    time_ = {"from": min(days).isoformat(), "to": LAST.isoformat()}
    district: dict[By, Callable[[Step], Any]] = {
        By.UNIT: lambda step: step["unit"] // 10**9 * 10**9,
        By.CATEGORY: lambda step: step["category"],
        By.DEPARTMENT: lambda step: step["department"],
    }
    for by, key in district.items():
        for period in Period:
            shown = await asked(tickets, "district_admin", DISTRICT, by=by, period=period, **time_)
            of_it = [step for step in history if (step["department"] if by is By.DEPARTMENT else not step["part"])]
            expected = counted(of_it, lambda step: str(key(step)), period, days)  # noqa: B023 used at once
            for row in expected:
                row["key"] = units.short(int(row["key"])) if by is By.UNIT else row["key"]
            same(shown, expected)
    wholes = [step for step in history if not step["part"]]
    in_street = [step for step in wholes if units.contains(units.parse(STREET), step["unit"])]
    part = days[3:9]
    time_ = {"from": min(part).isoformat(), "to": max(part).isoformat()}
    shown = await asked(tickets, "street_admin", STREET, by="unit", period="week", **time_)
    expected = counted(in_street, lambda step: str(step["unit"] // 10**6 * 10**6), Period.WEEK, part)
    for row in expected:
        row["key"] = units.short(int(row["key"]))
    same(shown, expected)


async def test_no_day_counts_twice_for_whoever_asks_while_the_night_s_count_is_kept(
    tickets: Running, history: list[Step]
) -> None:
    assert history
    set_back = "UPDATE figures_until SET day = $1 WHERE district = 310104"
    for table in ("ticket_daily", "ticket_stock"):
        await tickets.database.execute(f"DELETE FROM {table}")  # noqa: S608 of the test's own
    await tickets.database.execute("DELETE FROM timer WHERE kind = 'figures'")
    await tickets.database.execute(set_back, LAST - timedelta(days=BACK + 1))
    sessions, district = tickets.app.state.sessions, Scope.of_district(310104)
    unit, night = units.parse(DISTRICT), datetime.combine(LAST, time(1), ZONE)
    timer = Timer(310104, FIGURES, UUID(int=(LAST - timedelta(days=1)).toordinal()), unit, night, 0)
    async with transaction(sessions, district) as session:
        asked_for = (LAST - timedelta(days=BACK), LAST)
        statement, figure = await figures(session, unit, By.CATEGORY, Period.MONTH, asked_for)
        statement = statement.order_by(figure.start, figure.key).execution_options(populate_existing=True)
        before = [(row.key, row.opened, row.open) for row in await session.scalars(statement)]
        async with transaction(sessions, district) as other:
            await count_days(other, timer, night)
        assert [(row.key, row.opened, row.open) for row in await session.scalars(statement)] == before


async def test_what_is_open_is_what_is_not_closed(tickets: Running, history: list[Step]) -> None:
    assert history
    today = datetime.now(ZONE).date()
    shown = await asked(tickets, "district_admin", DISTRICT, by="category", period="month", to=today.isoformat())
    last = {row["key"]: row["open"] for row in shown if row["start"] == today.replace(day=1).isoformat()}
    rows = await tickets.database.fetch(
        "SELECT category, count(*) FROM (SELECT DISTINCT ON (ticket_id) ticket_id, move FROM ticket_entry"
        " WHERE move = ANY ($1) ORDER BY ticket_id, sequence DESC) AS latest"
        " JOIN ticket ON ticket.id = ticket_id WHERE move = ANY ($2) AND parent IS NULL GROUP BY 1",
        [*_MORE],
        [move for move, more in _MORE.items() if more > 0],
    )
    assert last == {row["category"]: row["count"] for row in rows}


async def test_what_is_done_through_the_api_is_counted(tickets: Running) -> None:
    manager_id, reporter = await employ(tickets, "community_manager", COMMUNITY), uuid4()
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    resident = tickets.client("resident", DISTRICT, reporter)
    report = {"unit": MICRO, "title": "井盖缺失", "description": "路口井盖缺失", "category": "manhole"}
    steps: list[tuple[str, dict[str, object]]] = [
        ("assign", {"assignee": str(manager_id)}),
        ("resolve", {"note": "x"}),
        ("close", {}),
        ("rate", {"rating": 1}),
        ("resolve", {"note": "y"}),
    ]
    begun = datetime.now(ZONE).date()
    for _ in range(2):
        ticket = (await resident.post("/tickets/v1/tickets", json=report)).json()["id"]
        for step, body in steps:
            client = manager if step in {"assign", "resolve"} else resident
            done = await client.post(f"/tickets/v1/tickets/{ticket}/{step}", json=body, headers={"If-Match": "*"})
            assert done.status_code == 200, done.text
    today = {"from": begun.isoformat(), "to": datetime.now(ZONE).date().isoformat()}
    shown = await asked(tickets, "community_manager", COMMUNITY, by="category", period="month", **today)
    (row,) = [row for row in shown if row["key"] == "manhole"]
    expected = {"opened": 2, "repeated": 1, "open": 2, "overdue": 0, "closed": 2, "fixed": 2, "reopened": 2}
    assert {name: row[name] for name in _COUNTS} == expected
    assert 0 <= row["answering_median"] <= row["solving_90"]


async def test_parts_repeat_nothing(tickets: Running) -> None:
    """Neither each other nor their own whole, though whoever splits one reports them all."""
    manager = tickets.client("community_manager", COMMUNITY, uuid4())
    for department in ("gas", "power"):
        await staffed(tickets, department)
    ticket = await opened(manager, category="cables")
    parts = [{**PARTS[0], "category": "cables", "department": department} for department in ("gas", "power")]
    await done(manager, ticket, "split", parts=parts)
    rows = [row for row in await asked(tickets, "district_admin", DISTRICT, by="department") if row["opened"]]
    assert [row["repeated"] for row in rows if row["key"] in {"gas", "power"}] == [0, 0]


async def test_what_is_taken_up_again_with_somebody_is_answered_then(tickets: Running) -> None:
    """Whoever had the report that was withdrawn has the other of the same, which nobody gives him."""
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    manager = tickets.client("community_manager", COMMUNITY, manager_id)
    one, two = (tickets.client("resident", DISTRICT, uuid4()) for _ in range(2))
    withdrawn, same = await opened(one, category="drain"), await opened(two, category="gutter")
    await done(manager, withdrawn, "assign", assignee=str(manager_id))
    await done(manager, same, "fold", into=withdrawn)
    await done(one, withdrawn, "withdraw")
    rows = await asked(tickets, "community_manager", COMMUNITY, by="category")
    (row,) = [row for row in rows if row["key"] == "gutter"]
    assert (row["opened"], row["open"], row["answering_median"] is not None) == (1, 1, True)


async def test_figures_are_for_those_who_manage_and_of_their_own_units(tickets: Running) -> None:
    for role, unit in (
        ("resident", DISTRICT),
        ("grid_worker", MICRO[:15]),
        ("department_staff", STREET),
        ("operator", "0"),
    ):
        assert (await tickets.client(role, unit).get("/tickets/v1/figures")).status_code == 403, role
    client = tickets.client("community_manager", COMMUNITY)
    assert (await client.get("/tickets/v1/figures", params={"within": STREET})).status_code == 403
    for wrong in ({"from": "2026-02-01", "to": "2026-01-01"}, {"from": "2024-01-01", "to": "2026-01-01"}):
        refused = await client.get("/tickets/v1/figures", params=wrong)
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:linli:problem:time-too-long")
    fine = {"from": "2026-01-01", "to": "2026-12-01", "period": "day"}
    assert (await client.get("/tickets/v1/figures", params=fine)).status_code == 422
    assert (await client.get("/tickets/v1/figures", params={**fine, "period": "month"})).status_code == 200


async def test_departments_are_ranked_by_how_they_answer(tickets: Running, history: list[Step]) -> None:
    for code in ("swift", "slow", "silent"):
        await made(tickets, code)
    now = datetime.now(UTC)
    calls: list[tuple[str, int, bool, int | None, int | None, int | None]] = [
        ("swift", 1, False, 10, 100, 5),
        ("swift", 9, False, 20, 300, 2),
        ("slow", 1, True, 200, 400, 3),
        ("slow", 1, False, 50, None, None),
        ("silent", 1, True, None, None, None),
    ]
    of_it = {step["ticket"]: step["unit"] for step in history if units.short(step["unit"]).startswith(COMMUNITY)}
    for (ticket, unit), (code, weight, missed, reported, acted, rating) in zip(of_it.items(), calls, strict=False):
        state = "rated" if rating else "acted" if acted else "reported" if reported else "called"
        someone = uuid4()
        await tickets.database.execute(
            "INSERT INTO whistle (district, id, unit, ticket_id, department, weight, caller_unit, called_by, state,"
            " called_at, report_minutes, report_due_at, missed_at, reported_at, reported_by, report_took, acted_at,"
            " acted_by, act_took, rated_at, rated_by, rating, version) VALUES (310104, $1, $2, $3, $4, $5, $2, $6, $7,"
            " $8, 120, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 1)",
            *(uuid4(), unit, ticket, code, weight, someone, state, now, now + timedelta(hours=1)),
            *(now if missed else None, now + timedelta(hours=2 * missed) if reported else None),
            *(someone if reported else None, reported, now if acted else None, someone if acted else None, acted),
            *(now if rating else None, someone if rating else None, rating),
        )
    client = tickets.client("community_manager", COMMUNITY)

    async def ranked(by: str) -> list[Step]:
        answer = await client.get("/tickets/v1/departments/ranking", params={"by": by})
        assert answer.status_code == 200, answer.text
        items: list[Step] = answer.json()["items"]
        return items

    by_rating = await ranked("rating")
    assert [(row["place"], row["department"]) for row in by_rating] == [(1, "slow"), (2, "swift"), (3, "silent")]
    swift = by_rating[1]
    assert swift["rating"] == pytest.approx((5 * 1 + 2 * 9) / 10)  # weights count, not numbers
    assert swift["solving_mean"] == pytest.approx((100 * 1 + 300 * 9) / 10)
    assert (swift["reporting_median"], swift["reporting_90"], swift["solving_median"]) == (15, 19, 200)
    assert (swift["called"], swift["reported"], swift["missed"], swift["acted"], swift["rated"]) == (2, 2, 0, 2, 2)
    by_reporting = await ranked("reporting")
    assert [(row["department"], row["in_time"]) for row in by_reporting] == [("swift", 1), ("slow", 0.5), ("silent", 0)]
    assert [row["department"] for row in await ranked("solving")] == ["swift", "slow", "silent"]
    elsewhere = tickets.client("community_manager", "310104003002")
    assert (await elsewhere.get("/tickets/v1/departments/ranking")).json()["items"] == []


@pytest.mark.parametrize("path", ["figures", "departments/ranking"])
@pytest.mark.parametrize("time_", [{"from": "9999-12-30", "to": "9999-12-31"}, {"to": "0001-01-02"}])
async def test_days_at_the_ends_of_the_calendar_are_refused(tickets: Running, path: str, time_: dict[str, str]) -> None:
    refused = await tickets.client("street_admin", STREET).get(f"/tickets/v1/{path}", params=time_)
    assert refused.status_code == 422, refused.text
    assert {error["parameter"] for error in refused.json()["errors"]} == set(time_)
