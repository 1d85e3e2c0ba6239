"""A console on a real database and a real address, and what services would send it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from console.app import create_app
from console.settings import ConsoleSettings
from linli.testing import Authority, Stage, eventually, free_port

XUHUI, QINGYANG = 310104, 510105


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
    app: Any

    def client(self, role: str | None = "operator", unit: str = "0", **claims: int) -> httpx.AsyncClient:
        headers = {"Authorization": "Bearer " + self.authority.token(role, unit, None, **claims)} if role else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=15, trust_env=False)

    async def get(self, path: str, unit: str = "0", **query: object) -> Any:  # noqa: ANN401 JSON
        """Ask as an operator."""
        async with self.client(unit=unit) as client:
            answer = await client.get(f"/console/v1{path}", params={k: str(v) for k, v in query.items()})
            assert answer.status_code == 200, answer.text
            return answer.json()

    async def send(self, body: bytes, signal: str = "traces", **headers: str) -> httpx.Response:
        """Send telemetry as a service would."""
        headers = {"Content-Type": "application/x-protobuf"} | {k.replace("_", "-"): v for k, v in headers.items()}
        async with self.client(None) as client:
            return await client.post(f"/otlp/v1/{signal}", content=body, headers=headers)

    async def written(self, count: int) -> None:
        """Wait until so many spans are in the database."""
        await eventually(lambda: self._has(count))

    async def _has(self, count: int) -> bool:
        return bool(await self.database.fetchval("SELECT count(*) >= $1 FROM span", count))

    def provider(self, service: str) -> TracerProvider:
        """Give what a service records spans with: the SDK and its exporter."""
        resource = Resource.create({"service.name": service, "service.instance.id": f"{service}-1"})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{self.url}/otlp/v1/traces", timeout=5)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return provider


@asynccontextmanager
async def running(stage: Stage, forward: str | None = None) -> AsyncIterator[Console]:
    database = await stage.fresh_database("console")
    settings = ConsoleSettings(
        database_url=stage.url("console_app", database),
        relay_database_url=stage.url("console_relay", database),
        jwks_url=stage.authority.jwks_url,
        otlp_forward=forward,
    )
    app = create_app(settings)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1, lifespan="on"))
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started or task.done())
    connection = await asyncpg.connect(stage.url("postgres", database))
    try:
        yield Console(f"http://127.0.0.1:{port}", connection, stage.authority, settings, app)
    finally:
        await connection.close()
        server.should_exit = True
        await task


@pytest.fixture
async def console(stage: Stage) -> AsyncIterator[Console]:
    async with running(stage) as found:
        yield found


@pytest.fixture
def no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which the page was not built."""
    monkeypatch.setattr("console.page._STATIC", tmp_path)
    return tmp_path
