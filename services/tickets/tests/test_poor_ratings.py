"""A poor rating takes a ticket up again twice, and then reaches those above whoever dealt with it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import MICRO, employ
from services.tickets.tests.test_moves import done, told, trail

from linli.testing import Running

OFFICES = {"grid_worker": MICRO[:15], "community_manager": MICRO[:12], "street_admin": MICRO[:9]}


@dataclass
class Around:
    """A ticket's reporter, and one in office at each level above it; nobody else is."""

    tickets: Running
    reporter: httpx.AsyncClient
    offices: dict[str, UUID] = field(default_factory=dict)

    def client(self, role: str) -> httpx.AsyncClient:
        return self.tickets.client(role, {**OFFICES, "district_admin": "310104"}[role], self.offices[role])

    async def resolved(self, by: str) -> str:
        report = {"unit": MICRO, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
        ticket = str((await self.reporter.post("/tickets/v1/tickets", json=report)).raise_for_status().json()["id"])
        await done(self.client("district_admin"), ticket, "assign", assignee=str(self.offices[by]))
        await done(self.client(by), ticket, "resolve")
        return ticket

    async def rate(self, ticket: str, rating: int = 1) -> dict[str, object]:
        await done(self.reporter, ticket, "close")
        stands: dict[str, object] = await done(self.reporter, ticket, "rate", rating=rating)
        return stands

    async def rate_until_kept(self, ticket: str, by: str) -> None:
        for _ in range(2):
            assert (await self.rate(ticket))["state"] == "assigned"
            await done(self.client(by), ticket, "resolve")
        assert (await self.rate(ticket))["state"] == "closed"

    async def leave(self, role: str) -> None:
        ended = "UPDATE known_assignment SET active = false WHERE staff = $1"
        await self.tickets.database.execute(ended, self.offices[role])

    async def heard(self, ticket: str) -> list[set[str]]:
        """Tell who was told of each rating, by his office."""
        of = {str(person): role for role, person in self.offices.items()}
        return [{of[one] for one in event["supervisors"]} for event in await told(self.tickets, ticket, "rated")]


@pytest.fixture
async def around(tickets: Running) -> AsyncIterator[Around]:
    found = Around(tickets, tickets.client("resident", "310104", uuid4()))
    for role, unit in OFFICES.items():
        found.offices[role] = await employ(tickets, role, unit)
    found.offices["district_admin"] = await employ(tickets, "district_admin", "310104")
    yield found
    await tickets.database.execute("DELETE FROM known_assignment")


async def test_what_people_reopened_is_taken_up_by_poor_ratings_all_the_same(around: Around) -> None:
    ticket = await around.resolved("grid_worker")
    for _ in range(2):
        await done(around.reporter, ticket, "reopen", note="又灭了")
        await done(around.client("grid_worker"), ticket, "resolve")
    stands = await around.rate(ticket)
    assert (stands["state"], stands["level"], stands["reopened"]) == ("assigned", "community", 3)
    await done(around.client("grid_worker"), ticket, "resolve")
    stands = await around.rate(ticket)
    assert (stands["state"], stands["level"], stands["reopened"]) == ("assigned", "street", 4)
    await done(around.client("grid_worker"), ticket, "resolve")
    assert (await around.rate(ticket))["state"] == "closed"
    assert [entry["move"] for entry in await trail(around.reporter, ticket)].count("poorly_rated") == 2
    assert await around.heard(ticket) == [set(), set(), {"district_admin"}]


async def test_a_poor_rating_that_is_kept_reaches_the_level_above_that_at_which_it_lies(around: Around) -> None:
    ticket = await around.resolved("street_admin")
    await around.rate_until_kept(ticket, "street_admin")
    assert await around.heard(ticket) == [set(), set(), {"district_admin"}]


async def test_at_the_district_it_reaches_the_others_there(around: Around) -> None:
    around.offices["colleague"] = await employ(around.tickets, "district_admin", "310104")
    ticket = await around.resolved("street_admin")
    await done(around.client("street_admin"), ticket, "reopen", note="再查")
    await done(around.client("street_admin"), ticket, "escalate", note="须区里协调")
    await done(around.client("district_admin"), ticket, "resolve")
    await around.rate_until_kept(ticket, "district_admin")
    assert (await around.heard(ticket))[-1] == {"colleague"}


@pytest.mark.parametrize(("empty", "heard"), [("district_admin", "street_admin"), ("street_admin", "district_admin")])
async def test_where_nobody_is_above_it_reaches_who_is_there(around: Around, empty: str, heard: str) -> None:
    ticket = await around.resolved("community_manager")
    await around.leave(empty)
    await around.rate_until_kept(ticket, "community_manager")
    assert (await around.heard(ticket))[-1] == {heard}


async def test_who_dealt_with_it_hears_of_it_as_who_answers_for_it_only_where_nobody_else_does(around: Around) -> None:
    ticket = await around.resolved("street_admin")
    await around.leave("district_admin")
    await around.rate_until_kept(ticket, "street_admin")
    assert (await around.heard(ticket))[-1] == {"street_admin"}
