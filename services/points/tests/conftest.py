from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from linli import units
from linli.db import Scope, transaction
from linli.events.tickets import TicketRated
from linli.testing import Running, Stage
from points.app import create_app
from points.subscribers import award, subscriptions

STREET = "310104003"
COMMUNITY = "310104003001"
GRID = "310104003001001"
MICRO = "310104003001001001"
SIBLING = "310104004001001"
FOREIGN = "310115005001001"


@pytest.fixture(scope="module")
async def points(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("points", create_app, subscriptions) as running:
        await running.know_units(MICRO, SIBLING, FOREIGN)
        yield running


def rated(resolver: UUID, rating: int = 5, ticket: UUID | None = None, unit: str = MICRO) -> TicketRated:
    return TicketRated(
        ticket=ticket or uuid4(),
        unit=units.parse(unit),
        sequence=5,
        reporter=uuid4(),
        resolved_by=resolver,
        rating=rating,
    )


async def hear(points: Running, event: TicketRated) -> None:
    """Handle an event as the subscriber does, but without the inbox that would know it again."""
    async with transaction(points.app.state.sessions, Scope.of_district(event.district)) as session:
        await award(session, event)
