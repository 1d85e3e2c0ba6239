from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from bookings.app import create_app
from bookings.subscribers import subscriptions
from linli.testing import Running, Stage

Schedule = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
async def bookings(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("bookings", create_app, subscriptions) as running:
        await running.know_units("310104003001001001", "310104004001", "310115005001")
        yield running


@pytest.fixture
async def centre(bookings: Running) -> str:
    """A centre of 天平路街道."""
    answer = await bookings.client("street_admin", "310104003").post(
        "/bookings/v1/centres", json={"unit": "310104003", "name": "天平邻里汇", "address": "乌鲁木齐南路180号"}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def schedule(bookings: Running, centre: str) -> Schedule:
    """Schedule a session in two days at the centre; arguments change what it is."""

    async def at_centre(**changes: object) -> httpx.Response:
        starts = datetime.now(UTC) + timedelta(days=2)
        ends = starts + timedelta(hours=1)
        body = {"title": "书法课", "starts_at": starts.isoformat(), "ends_at": ends.isoformat(), "seats": 3}
        manager = bookings.client("street_admin", "310104003")
        return await manager.post(f"/bookings/v1/centres/{centre}/sessions", json={**body, **changes})

    return at_centre


@pytest.fixture
async def session(schedule: Schedule) -> str:
    """A session of three seats in two days."""
    answer = await schedule()
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
async def started(bookings: Running, session: str) -> str:
    """A session that has begun."""
    await bookings.database.execute("UPDATE session SET starts_at = now() - interval '1 second' WHERE id = $1", session)
    return session
