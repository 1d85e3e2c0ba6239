"""The released version runs, is filled, and this one is started beside it while clients ask on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from tests.upgrade.versions import BOTH, NEW, OLD, Platform, released

from linli.testing import eventually

STREET = "310104003"
COMMUNITY = "310104003001"
GRID = "310104003001001"
MICRO = "310104003001001001"
_UNITS = {
    "310104": "徐汇区",
    STREET: "天平路街道",
    COMMUNITY: "永嘉居民区",
    GRID: "第一网格",
    MICRO: "第一微网格",
}
REPORT = {"unit": GRID, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}


@dataclass
class Load:
    """Residents who never stop asking while something happens to the platform."""

    platform: Platform
    login: str
    answers: Counter[str] = field(default_factory=Counter)
    opened: list[str] = field(default_factory=list)

    async def ask(self) -> None:
        reads = (
            "/tickets/v1/tickets",
            "/notifications/v1/inbox",
            "/points/v1/me",
            f"/directory/v1/units/{STREET}",
            "/bookings/v1/centres",
        )
        while True:
            for path in reads:
                await self._count("GET", path)
            answer = await self._count(
                "POST", "/tickets/v1/tickets", json=REPORT, headers={"Idempotency-Key": str(uuid4())}
            )
            if answer is not None and answer.is_success:
                self.opened.append(answer.json()["id"])
            await asyncio.sleep(0.1)

    async def _count(self, method: str, path: str, **options: Any) -> httpx.Response | None:  # noqa: ANN401 httpx's own
        try:
            answer = await self.platform.call(method, path, self.login, **options)
        except httpx.TransportError as error:
            self.answers[f"{error!r} {method} {path}"] += 1
            return None
        self.answers[f"{answer.status_code} {method} {path}" if answer.is_error else str(answer.status_code)] += 1
        return answer

    async def check(self) -> None:
        """Nobody saw an error, and every ticket that was opened is there once, with one message for its reporter."""
        assert set(self.answers) == {"200", "201"}, self.answers
        async with self.platform.rows("tickets") as database:
            there = await database.fetchval("SELECT count(*) FROM ticket WHERE id = ANY($1)", self.opened)
        assert there == len(self.opened) == len(set(self.opened)) > 0
        told = "SELECT count(*) AS times, count(DISTINCT subject) AS subjects FROM notification WHERE subject = ANY($1)"
        async with self.platform.rows("notifications") as database:

            async def complete() -> bool:
                return bool((await database.fetchrow(told, self.opened))["subjects"] == len(self.opened))

            await eventually(complete, within=45)
            assert (await database.fetchrow(told, self.opened))["times"] == len(self.opened)


@dataclass
class People:
    """Tokens: some from the released directory, some from this one's; each is good for both versions' services."""

    resident: str
    manager: str
    worker: str
    operator: str

    @property
    def worker_id(self) -> str:
        return str(jwt.decode(self.worker, options={"verify_signature": False})["sub"])


@dataclass
class Upgraded:
    platform: Platform
    people: People
    load: Load
    before: list[str]
    """Tickets opened with the released version, before any table was changed."""
    consumers: dict[str, list[str]]
    """What the broker told whom then."""

    @asynccontextmanager
    async def under_load(self, clients: int = 3) -> AsyncIterator[Load]:
        load = Load(self.platform, self.people.resident)
        tasks = [asyncio.create_task(load.ask()) for _ in range(clients)]
        try:
            yield load
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="module")
async def upgraded() -> AsyncIterator[Upgraded]:
    """Both versions' services on one schema, the new one's; the released one's ran under load while it was made."""
    async with released() as platform:
        operator = await platform.token("operator", "0", side=OLD)
        units = {"units": [{"code": code, "name": name} for code, name in _UNITS.items()]}
        (await platform.call("POST", "/directory/v1/units/import", operator, json=units)).raise_for_status()
        people = People(
            resident=await platform.token("resident", STREET, side=OLD),
            manager=await platform.token("community_manager", COMMUNITY, side=OLD),
            worker=await platform.token("grid_worker", GRID, side=OLD),
            operator=operator,
        )
        await eventually(lambda: _heard(platform))
        made = Upgraded(platform, people, Load(platform, people.resident), [], await platform.consumers())
        for _ in range(3):
            answer = await platform.call("POST", "/tickets/v1/tickets", people.resident, json=REPORT)
            made.before.append(answer.raise_for_status().json()["id"])
        async with made.under_load() as made.load:
            await platform.configure(NEW)
            await platform.job(NEW, "prepare")
            await platform.start(NEW)
            platform.reload_broker()
            platform.serving = BOTH
            await asyncio.sleep(1)
        yield made


async def _heard(platform: Platform) -> bool:
    """Wait until the services know the units and who works there."""
    async with platform.rows("tickets") as tickets, platform.rows("points") as points:
        known = (
            await tickets.fetchval("SELECT count(*) FROM known_unit"),
            await points.fetchval("SELECT count(*) FROM known_unit"),
        )
        staff = await tickets.fetchval("SELECT count(*) FROM known_assignment WHERE active")
    return known == (len(_UNITS), len(_UNITS)) and staff >= 2
