"""When all is well again: requests succeed, a ticket has all its effects, and what waited has been dealt with."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx
import nats

from chaos.load import People, Work, live
from chaos.stack import Stack
from linli.driver import LOST
from linli_cli.api import Api, ApiProblem, Login
from linli_cli.console import Trouble
from linli_cli.home import APPS, SERVICES
from linli_cli.stack import streams

GIVEN_UP_AFTER = 60.0
_EVERY = 0.1
_PATIENCE = 2.0
_WAITING = "SELECT EXISTS (SELECT FROM outbox WHERE created_at <= $1)"
_LOST = (*LOST, OSError, httpx.TransportError, nats.errors.Error)
_MANAGER_IS_TOLD = {"ticket_assigned_to_you", "ticket_rated", "points_awarded"}


@dataclass(frozen=True)
class Recovery:
    """Seconds from the end of a fault; None for what did not come within a minute.

    Attributes:
        answers: until every service is ready, and reached through the gateway.
        ticket: until a ticket reported after the fault was lived to its end, and the last message about it has arrived.
        backlog: until all that was told before has been handled by all who listen.
    """

    answers: float | None
    ticket: float | None
    backlog: float | None

    @property
    def seconds(self) -> float | None:
        """Until all of it."""
        parts = [part for part in (self.answers, self.ticket, self.backlog) if part is not None]
        return max(parts) if len(parts) == 3 else None  # noqa: PLR2004 all of them


class _Eager(Api):
    """Asks again at once, however it failed: what is measured is the platform's time, not the client's pauses."""

    def __init__(self, url: str, work: Work, login: Login | None = None, *, client: httpx.AsyncClient) -> None:
        super().__init__(url, login, client=client)
        self._work = work

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 httpx's own
        assert self._login
        headers = options.pop("headers", {})
        while True:
            try:
                bearer = {"Authorization": f"Bearer {await self._login()}"}
                response = await self._client.request(method, path, headers={**headers, **bearer}, **options)
            except ApiProblem as problem:
                self._work.refused(problem)
            except (httpx.TransportError, Trouble):
                pass
            else:
                if response.is_success:
                    return response
                self._work.refused(ApiProblem(response))
            await asyncio.sleep(_EVERY)

    def by(self, login: Login) -> Api:
        return _Eager(self._url, self._work, login, client=self._client)


class Probe:
    """Looks whether all is well after a fault.

    Args:
        stack: that was broken.
        people: in whose names requests are sent.
        work: notes refusals.
        ended: when the fault was over, by the monotonic clock.
        at: the same, by the calendar.
    """

    def __init__(self, stack: Stack, people: People, work: Work, ended: float, at: datetime) -> None:
        self._stack = stack
        self._people = people
        self._work = work
        self._ended = ended
        self._at = at

    async def recovery(self) -> Recovery:
        """Wait until all is well."""
        waits = (self._timed(check) for check in (self._answers, self._ticket, self._backlog))
        return Recovery(*await asyncio.gather(*waits))

    async def _timed(self, check: Callable[[], Awaitable[None]]) -> float | None:
        try:
            async with asyncio.timeout(self._ended + GIVEN_UP_AFTER - time.monotonic()):
                await check()
        except TimeoutError:
            return None
        return time.monotonic() - self._ended

    async def _answers(self) -> None:
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
            for app in APPS:
                await _until_ok(client, f"http://127.0.0.1:{self._stack.home.service_port(app)}/readyz")
                await _until_ok(client, f"{self._stack.home.url}/{app}/v1/openapi.json")

    async def _ticket(self) -> None:
        url = self._stack.home.url
        async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE, trust_env=False) as client:
            api = _Eager(url, self._work, client=client)
            ticket = await live(api, self._people, f"probe {uuid4()}", lambda _: None)
            manager = api.by(self._people.manager)
            told: set[str] = set()
            while not told >= _MANAGER_IS_TOLD:
                items = (await manager.get("/notifications/v1/inbox", subject=ticket)).json()["items"]
                told = {item["kind"] for item in items}
                await asyncio.sleep(_EVERY)

    async def _backlog(self) -> None:
        for service in SERVICES:
            await _until(lambda service=service: self._told(service))  # type: ignore[misc]
        last: dict[str, int] = {}
        await _until(lambda: self._handled(last))

    async def _told(self, service: str) -> bool:
        async with self._stack.database(service) as database:
            return not await database.fetchval(_WAITING, self._at)

    async def _handled(self, last: dict[str, int]) -> bool:
        client = await nats.connect(
            streams.url(self._stack.home, streams.ADMIN), connect_timeout=2, allow_reconnect=False, error_cb=_quietly
        )
        try:
            js = client.jetstream(timeout=_PATIENCE)
            for one in streams.subscriptions():
                for consumer in one.consumers:
                    if consumer.stream not in last:
                        last[consumer.stream] = (await js.stream_info(consumer.stream)).state.last_seq
                    info = await js.consumer_info(consumer.stream, consumer.name)
                    settled = info.ack_floor is not None and info.ack_floor.stream_seq >= last[consumer.stream]
                    if not settled and (info.num_pending or info.num_ack_pending):
                        return False
            return True
        finally:
            await client.close()


async def _until_ok(client: httpx.AsyncClient, url: str) -> None:
    async def ok() -> bool:
        return (await client.get(url)).status_code == HTTPStatus.OK

    await _until(ok)


async def _until(check: Callable[[], Awaitable[bool]]) -> None:
    while True:
        try:
            async with asyncio.timeout(2 * _PATIENCE):
                if await check():
                    return
        except _LOST:
            pass
        await asyncio.sleep(_EVERY)


async def _quietly(_: Exception) -> None:
    """Leave it to who asks."""
