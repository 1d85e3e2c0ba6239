"""Reports that come at the same time are one statement, in which each is held to what its own sender may do."""

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from services.tickets.tests.conftest import FOREIGN, GRID, MICRO, SIBLING
from sqlalchemy.exc import DBAPIError

from linli import units
from linli.db import Scope
from linli.direct import Direct
from linli.problems import UnknownUnit
from linli.testing import Running
from tickets.operations.intake import Report, take_in

HERE, THERE = units.parse(MICRO), units.parse(FOREIGN)
NEAR, CLOSED = units.parse(SIBLING), units.parse("310104003001077")
LEVELS = {310104: "street", 310115: "district"}

Sees = Callable[[UUID, int], Scope]


def as_resident(person: UUID, unit: int) -> Scope:
    return Scope.of_person(person, units.district(unit))


def as_worker(person: UUID, unit: int) -> Scope:
    return Scope.of_grids((unit - unit % 1_000,), units.district(unit), person)


def as_manager(person: UUID, unit: int) -> Scope:
    return Scope.of_unit(unit - unit % 1_000_000, person)


EVERYBODY = pytest.mark.parametrize("sees", [as_resident, as_worker, as_manager])


@pytest.fixture(scope="module", autouse=True)
async def laid_down(tickets: Running) -> None:
    """Two districts with rules of their own, and a unit that is no longer in use."""
    await tickets.know_units(GRID, units.short(CLOSED))
    await tickets.database.execute("UPDATE known_unit SET active = false WHERE unit = $1", CLOSED)
    for district, level in LEVELS.items():
        await lay_down(tickets, district, level)
    # Of each district one alone, by which its rules become known.
    for one in (report(HERE), report(THERE)):
        await send(tickets, as_resident(one.reporter, one.unit), one)


async def lay_down(tickets: Running, district: int, level: str) -> None:
    path, client = "/tickets/v1/categories/shared", tickets.client("district_admin", str(district))
    etag = (await client.get(path)).headers.get("etag")
    body = {"name": "路灯", "name_en": "Street lamps", "level": level}
    (await client.put(path, json=body, headers={"If-Match": etag} if etag else {})).raise_for_status()


def report(unit: int, reporter: UUID | None = None, *, hidden: bool = False) -> Report:
    return Report(unit=unit, title="x", description="y", category="shared", reporter=reporter or uuid4(), hidden=hidden)


async def send(tickets: Running, scope: Scope, one: Report) -> None:
    async with Direct(tickets.app.state.sessions, scope) as direct:
        await take_in(direct, one)


async def kept(tickets: Running, *reports: Report) -> dict[UUID, str]:
    """Give the transaction of each that was kept, of which every part is there."""
    rows = await tickets.database.fetch(
        """
        SELECT id, xmin::text AS transaction FROM ticket WHERE id = ANY ($1)
        AND (SELECT array_agg(reporter) FROM ticket_entry WHERE ticket_id = ticket.id) = ARRAY[reporter]
        AND (SELECT count(*) FROM timer WHERE aggregate = ticket.id AND unit = ticket.unit) = 2""",
        [one.id for one in reports],
    )
    told = [event["ticket"] for event in await tickets.events("tickets.opened.v1")]
    assert [told.count(str(row["id"])) for row in rows] == [1] * len(rows)
    return {row["id"]: row["transaction"] for row in rows}


@EVERYBODY
async def test_reports_of_two_districts_share_a_statement_and_each_has_its_own_rules(
    tickets: Running, sees: Sees
) -> None:
    reports = [report(unit) for unit in (HERE, THERE, THERE, HERE) * 5]
    await asyncio.gather(*(send(tickets, sees(one.reporter, one.unit), one) for one in reports))
    assert len(shared := await kept(tickets, *reports)) == 20
    assert len(set(shared.values())) == 1, "one was refused under another's reach, and all were tried again alone"
    assert [one.level for one in reports] == [LEVELS[one.district] for one in reports]


@EVERYBODY
async def test_rules_that_have_changed_are_no_matter_of_another_district(tickets: Running, sees: Sees) -> None:
    await lay_down(tickets, 310115, "street")
    reports = [report(unit) for unit in (HERE, THERE) * 5]
    await asyncio.gather(*(send(tickets, sees(one.reporter, one.unit), one) for one in reports))
    assert {one.level for one in reports} == {"street"}
    found = await kept(tickets, *reports)
    assert len(found) == 10
    alone = [found[one.id] for one in reports if one.unit == THERE]
    (together,) = {found[one.id] for one in reports if one.unit == HERE}
    assert len({*alone, together}) == 6
    await lay_down(tickets, 310115, LEVELS[310115])
    await send(tickets, as_resident((one := report(THERE)).reporter, THERE), one)


@EVERYBODY
@pytest.mark.parametrize("before", [0, 1, 4])
async def test_who_reports_what_is_not_there_hears_so_and_nobody_else(
    tickets: Running, sees: Sees, before: int
) -> None:
    reports = [report(unit) for unit in (HERE, THERE) * 2]
    reports[before:before] = [report(CLOSED)]
    found = await asyncio.gather(
        *(send(tickets, sees(one.reporter, one.unit), one) for one in reports), return_exceptions=True
    )
    assert isinstance(found.pop(before), UnknownUnit)
    assert found == [None] * 4
    assert len(set((shared := await kept(tickets, *reports)).values())) == 1
    assert reports[before].id not in shared


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("sees", [as_resident, as_worker])
async def test_nobody_reports_in_the_name_of_who_shares_with_him(tickets: Running, sees: Sees, before: int) -> None:
    victim, forger = uuid4(), uuid4()
    # In whose name a worker reports is his own matter, but for what is private.
    reports = [report(HERE, victim, hidden=sees is as_worker) for _ in range(4)]
    forged = reports[before]
    found = await asyncio.gather(
        *(send(tickets, sees(forger if one is forged else victim, HERE), one) for one in reports),
        return_exceptions=True,
    )
    assert isinstance(refused := found.pop(before), DBAPIError)
    assert "row-level security" in str(refused.orig)
    assert found == [None] * 3
    assert (await kept(tickets, *reports)).keys() == {one.id for one in reports if one is not forged}
    assert not await tickets.database.fetchval("SELECT count(*) FROM ticket_entry WHERE ticket_id = $1", forged.id)


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize(
    ("sees", "own", "unit", "refusal"),
    [
        (as_resident, THERE, HERE, UnknownUnit),
        (as_worker, THERE, HERE, UnknownUnit),
        (as_worker, NEAR, HERE, DBAPIError),  # of his district he knows all units, and works in some
        (as_manager, THERE, HERE, UnknownUnit),
        (as_manager, NEAR, HERE, UnknownUnit),
    ],
)
async def test_nobody_reaches_as_far_as_who_shares_with_him(  # noqa: PLR0917 a table
    tickets: Running, sees: Sees, own: int, unit: int, refusal: type[Exception], before: int
) -> None:
    reports = [report(unit) for _ in range(4)]
    beyond = reports[before]
    found = await asyncio.gather(
        *(send(tickets, sees(one.reporter, own if one is beyond else unit), one) for one in reports),
        return_exceptions=True,
    )
    assert isinstance(found.pop(before), refusal)
    assert found == [None] * 3
    assert (await kept(tickets, *reports)).keys() == {one.id for one in reports if one is not beyond}
