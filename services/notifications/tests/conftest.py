from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from linli import units
from linli.db import Scope, transaction
from linli.events import Event
from linli.events.tickets import TicketOpened
from linli.testing import Running, Stage
from notifications.app import create_app
from notifications.models import Kind
from notifications.operations import notify
from notifications.subscribers import subscriptions

STREET = "310104003"
COMMUNITY = "310104003001"
GRID = "310104003001001"
MICRO = "310104003001001001"
SIBLING = "310104004001001"
FOREIGN = "310115005001001"


@pytest.fixture(scope="module")
async def notifications(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("notifications", create_app, subscriptions) as running:
        yield running


def reported(reporter: UUID, ticket: UUID | None = None, unit: str = MICRO) -> TicketOpened:
    return TicketOpened(
        ticket=ticket or uuid4(), unit=units.parse(unit), sequence=1, reporter=reporter, category="other"
    )


async def put(
    notifications: Running, recipient: UUID, subject: UUID | None = None, unit: str = MICRO, event: Event | None = None
) -> None:
    """Put a message into an inbox as a subscriber does, but without the inbox of events."""
    event = event or reported(recipient, subject, unit)
    async with transaction(notifications.app.state.sessions, Scope.of_district(event.district)) as session:
        await notify(session, event, UUID(event.aggregate), {recipient: Kind.TICKET_OPENED})


async def inbox(client: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await client.get("/notifications/v1/inbox", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items
