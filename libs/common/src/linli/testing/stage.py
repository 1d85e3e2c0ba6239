"""Runs services for tests on real servers, each on databases and streams of its own."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import httpx
import nats
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from nats.aio.client import Client as Nats
from nats.js import JetStreamContext
from nats.js.errors import ServerError

from linli import bootstrap, migrate, units
from linli.cloudevents import headers_of
from linli.events import Event
from linli.inbox import Subscriptions
from linli.settings import Settings
from linli.shards import Server, Shards
from linli.streams import ensure_streams
from linli.testing.documented import held_to_document
from linli.testing.servers import Authority, NatsServer

_PASSWORD = "test"  # noqa: S105 a server of the test's own, on a socket of its own
_PATIENCE = 30
"""Seconds that a server may take to answer on a machine that is busy with other things."""


class CreateApp(Protocol):
    """A service's `create_app`."""

    def __call__(self, settings: Settings) -> FastAPI:
        """Build the app."""
        ...


@dataclass
class Running:
    """A service that runs on real servers.

    Attributes:
        app: the app, started.
        database: a superuser's connection to its database, for looking and preparing.
        nats: a connection to the broker, for telling it what other services would.
        settings: what it was started with.
    """

    app: FastAPI
    database: asyncpg.Connection
    nats: Nats
    settings: Settings
    authority: Authority
    _clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(
        self, role: str | None = None, unit: str = "310104003", person: UUID | None = None, **claims: object
    ) -> httpx.AsyncClient:
        """Give an HTTP client that calls with a token of this role, or with none."""
        headers = (
            {} if role is None else {"Authorization": "Bearer " + self.authority.token(role, unit, person, **claims)}
        )
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        hooks = {"response": [held_to_document(self.app)]}
        client = httpx.AsyncClient(
            transport=transport,
            base_url="http://test",
            headers=headers,
            timeout=15,
            event_hooks=hooks,
            trust_env=False,
        )
        self._clients.append(client)
        return client

    async def know_units(self, *codes: str) -> None:
        """Make units known, with all that lie above them."""
        rows: dict[int, tuple[int, int, str]] = {}
        for code in map(units.parse, codes):
            unit: int | None = code
            while unit:
                rows[unit] = (units.district(unit), unit, units.kind(unit).value)
                unit = units.parent(unit)
        await self.database.executemany(
            "INSERT INTO known_unit VALUES ($1, $2, $3, 'unit', true, 1) ON CONFLICT DO NOTHING", list(rows.values())
        )

    async def events(self, event_type: str | None = None) -> list[dict[str, Any]]:
        """List what was published so far, whether the relay has moved it or not, oldest first."""
        rows = await self.database.fetch(
            "SELECT id, headers, payload FROM outbox UNION ALL SELECT id, headers, payload FROM event_log ORDER BY id"
        )
        found = [{"headers": json.loads(row["headers"]), **json.loads(row["payload"])} for row in rows]
        return [event for event in found if event_type in (None, event["headers"]["ce-type"])]


async def tell(running: Running, *events: Event) -> None:
    """Publish events as another service's relay would."""
    for event in events:
        headers = headers_of(event) | {"Nats-Msg-Id": str(event.id)}
        js = running.nats.jetstream(timeout=_PATIENCE)
        await js.publish(event.subject, event.model_dump_json().encode(), headers=headers)


async def eventually(check: Callable[[], Any], within: float = 30, every: float = 0.02) -> Any:  # noqa: ANN401
    """Wait until an (async) check gives something true, and give it."""
    deadline = time.monotonic() + within
    while True:
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s; last seen: {found!r}")
        await asyncio.sleep(every)


async def fresh_streams(js: JetStreamContext, subscriptions: Sequence[Subscriptions]) -> None:
    """Make all streams and consumers anew.

    The broker removes a stream's files after it has said that it is gone; one of the same name that is deleted
    meanwhile comes back with its messages, or can't be made.
    """

    async def made() -> bool:
        for info in await js.streams_info():
            await js.delete_stream(str(info.config.name))
        try:
            await ensure_streams(js, subscriptions)
        except ServerError:
            return False
        return not any(info.state.last_seq for info in await js.streams_info())

    await eventually(made, within=30)


class Stage:
    """Prepares databases and streams, and runs services on them.

    Args:
        postgres: address of the services' own database server, with `{user}` and `{database}` to fill in.
        server: the broker.
        authority: who issues tokens.
        others: `host:port` of further database servers, which get the same databases.
    """

    def __init__(self, postgres: str, server: NatsServer, authority: Authority, others: Sequence[str] = ()) -> None:
        self.postgres = postgres
        self.server = server
        self.authority = authority
        self.others = others
        self._templates: set[str] = set()

    def url(self, user: str, database: str, server: Server = None) -> str:
        """Give the address of a database for a login."""
        return Shards.at(self.postgres.format(user=user, database=database), server)

    async def fresh_database(self, service: str) -> str:
        """Copy the service's migrated template; gives the copy's name."""
        name = f"{service}_{secrets.token_hex(4)}"
        for server in (None, *self.others):
            admin = self.url("postgres", "postgres", server)
            if service not in self._templates:
                passwords = dict.fromkeys(bootstrap.logins(service), _PASSWORD)
                await bootstrap.provision(admin, [service], passwords)
                await migrate.upgrade_async(service, self.url(f"{service}_owner", service, server))
            connection = await asyncpg.connect(admin)
            try:
                await connection.execute(f"CREATE DATABASE {name} TEMPLATE {service} STRATEGY file_copy")
            finally:
                await connection.close()
        self._templates.add(service)
        return name

    def settings(self, service: str, database: str, **others: Any) -> Settings:  # noqa: ANN401 any setting
        """Give the settings of a service on these servers."""
        return Settings(
            database_url=self.url(f"{service}_app", database),
            relay_database_url=self.url(f"{service}_relay", database),
            nats_url=self.server.url,
            jwks_url=self.authority.jwks_url,
            master_key="MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            **others,
        )

    @asynccontextmanager
    async def run(
        self,
        service: str,
        create_app: CreateApp,
        subscriptions: Subscriptions | None = None,
        **others: Any,  # noqa: ANN401
    ) -> AsyncIterator[Running]:
        """Run a service on a fresh database and clean streams.

        Args:
            service: its name.
            create_app: its composition root.
            subscriptions: what it subscribes to; their streams and consumers are made first.
            others: settings that differ.
        """
        part = service, create_app, subscriptions or Subscriptions(service)
        async with self.run_together(part, **others) as (running,):
            yield running

    @asynccontextmanager
    async def run_together(
        self,
        *services: tuple[str, CreateApp, Subscriptions],
        **others: Any,  # noqa: ANN401 any setting
    ) -> AsyncIterator[list[Running]]:
        """Run services that hear each other's events, each on a fresh database, and clean streams.

        Args:
            services: name, composition root and subscriptions of each.
            others: settings that differ.
        """
        async with AsyncExitStack() as stack:
            client = await nats.connect(self.server.url)
            stack.push_async_callback(client.close)
            js = client.jetstream(timeout=_PATIENCE)
            await fresh_streams(js, [subscriptions for _, _, subscriptions in services])
            found: list[Running] = []
            for service, create_app, _ in services:
                database = await self.fresh_database(service)
                settings = self.settings(service, database, **others)
                app = create_app(settings)
                await stack.enter_async_context(LifespanManager(app, startup_timeout=60, shutdown_timeout=60))
                # Now, as it can wait: a request that came before the keys would be answered 503 on a busy machine.
                await eventually(app.state.tokens.ready)
                connection = await asyncpg.connect(self.url("postgres", database))
                stack.push_async_callback(connection.close)
                found.append(Running(app, connection, client, settings, self.authority))
            yield found
            for running in found:
                for opened in running._clients:  # noqa: SLF001 its own module
                    await opened.aclose()
