"""A console on a real database and a real address, and what services would send it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

import asyncpg
import httpx
import pytest
import uvicorn
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from console.app import create_app
from console.settings import ConsoleSettings
from linli.testing import Authority, Stage, eventually

if TYPE_CHECKING:
    from opentelemetry.util.types import AnyValue

XUHUI, QINGYANG = 310104, 510105
OPENED = "linli.tickets.{district}.opened.v1"


@dataclass
class Console:
    """A running console.

    Attributes:
        url: where it listens.
        database: a superuser's connection to its database.
    """

    url: str
    database: asyncpg.Connection
    authority: Authority
    settings: ConsoleSettings

    def client(self, role: str | None = "operator", unit: str = "0", **claims: int) -> httpx.AsyncClient:
        headers = {"Authorization": "Bearer " + self.authority.token(role, unit, None, **claims)} if role else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    async def get(self, path: str, at: str = "0", **query: object) -> Any:  # noqa: ANN401 JSON
        """Ask as an operator."""
        async with self.client(unit=at) as client:
            answer = await client.get(f"/console/v1{path}", params={name: str(value) for name, value in query.items()})
            assert answer.status_code == 200, answer.text
            return answer.json()

    async def send(self, body: bytes, signal: str = "traces", **headers: str) -> httpx.Response:
        """Send telemetry as a service would."""
        told = {"Content-Type": "application/x-protobuf"} | {k.replace("_", "-"): v for k, v in headers.items()}
        async with self.client(None) as client:
            return await client.post(f"/otlp/v1/{signal}", content=body, headers=told)

    async def count(self, table: str = "span") -> int:
        return int(await self.database.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 a test's own

    async def written(self, spans: int) -> None:
        """Wait until so many spans are in the database."""

        async def there() -> bool:
            return await self.count() >= spans

        await eventually(there)

    def provider(self, service: str) -> TracerProvider:
        """Give what a service records spans with: the SDK and its exporter."""
        resource = Resource.create({"service.name": service, "service.instance.id": f"{service}-1"})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{self.url}/otlp/v1/traces", timeout=5)))
        return provider

    async def report(self, district: int = XUHUI, ticket: str = "", unit: str = "", *, fails: bool = False) -> str:
        """Record what a report of a ticket leaves: a request, an event, its effect elsewhere; gives the trace's id."""
        services = [self.provider(name) for name in ("tickets", "notifications")]
        tickets, notifications = (provider.get_tracer("test") for provider in services)
        place: dict[str, AnyValue] = {"linli.district": district}
        ticket = ticket or str(uuid4())
        request = tickets.start_span(
            "POST /tickets/v1/tickets",
            kind=SpanKind.SERVER,
            attributes={**place, "linli.subject": ticket, "linli.unit": unit or f"{district}003001"},
        )
        inside = set_span_in_context(request)
        statement: dict[str, AnyValue] = {**place, "db.system.name": "postgresql", "client.address": "10.9.8.7"}
        tickets.start_span("INSERT ticket", inside, SpanKind.CLIENT, statement).end()
        request.end()
        about: dict[str, AnyValue] = {**place, "linli.aggregate": ticket}
        send = tickets.start_span(f"send {OPENED}", inside, SpanKind.PRODUCER, {**about, "linli.outbox.waited": 15.5})
        send.end()
        await asyncio.sleep(0.02)
        process = notifications.start_span(
            f"process {OPENED}", set_span_in_context(send), SpanKind.CONSUMER, {**about, "linli.delivery": 1 + fails}
        )
        if fails:
            process.set_status(Status(StatusCode.ERROR, "TooSlow"))
        process.end()
        for provider in services:
            await asyncio.to_thread(provider.shutdown)
        return trace_of(request)


def trace_of(span: Span) -> str:
    return f"{span.get_span_context().trace_id:032x}"


@asynccontextmanager
async def running(stage: Stage, forward: str | None = None) -> AsyncIterator[Console]:
    """Run a console on a fresh database."""
    database = await stage.fresh_database("console")
    settings = ConsoleSettings(
        database_url=stage.url("console_app", database),
        relay_database_url=stage.url("console_relay", database),
        jwks_url=stage.authority.jwks_url,
        otlp_forward=forward,
    )
    with patch("console.app.log_as_json"):  # lines stay with pytest
        app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started or task.done())
    port = server.servers[0].sockets[0].getsockname()[1]
    connection = await asyncpg.connect(stage.url("postgres", database))
    try:
        yield Console(f"http://127.0.0.1:{port}", connection, stage.authority, settings)
    finally:
        await connection.close()
        server.should_exit = True
        await task


@pytest.fixture(scope="module")
async def _shared(stage: Stage) -> AsyncIterator[Console]:
    async with running(stage) as found:
        yield found


@pytest.fixture
async def console(_shared: Console) -> Console:
    """A console that knows of nothing yet."""
    await _shared.database.execute("TRUNCATE span, log, trace, activity")
    return _shared


@pytest.fixture
async def own_console(stage: Stage) -> AsyncIterator[Console]:
    """A console whose tables a test may change."""
    async with running(stage) as found:
        yield found
