"""A service is alive while it runs, and ready when it can answer."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from asgi_lifespan import LifespanManager
from libs.common.tests.shelf.app import create_app
from pydantic import SecretStr
from sqlalchemy import text

from linli.testing import Running, Stage, Watch, eventually


@pytest.fixture
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app, pool_size=1) as running:
        yield running


async def test_a_service_is_ready_with_a_database_and_keys(shelf: Running) -> None:
    answer = await shelf.client().get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "database": "ok", "keys": "ok"})


async def test_it_is_not_ready_while_there_are_no_keys_and_is_as_soon_as_there_are(shelf: Running) -> None:
    tokens = shelf.app.state.tokens
    url, tokens._url = tokens._url, "http://127.0.0.1:9/jwks.json"
    tokens._keys.clear()
    answer = await shelf.client().get("/readyz")
    assert (answer.status_code, answer.json()["keys"]) == (503, "none yet")
    assert (await shelf.client("resident").get("/shelf/v1/books")).status_code == 503
    tokens._url, tokens._asked = url, float("-inf")
    assert (await shelf.client().get("/readyz")).status_code == 200


async def test_it_says_so_in_time_when_the_database_does_not_answer(shelf: Running) -> None:
    async with shelf.app.state.engines[None].connect() as connection:
        await connection.execute(text("SELECT 1"))
        async with Watch() as watch:
            answer, alive = await asyncio.gather(shelf.client().get("/readyz"), shelf.client().get("/healthz"))
    assert (answer.status_code, answer.json()["database"]) == (503, "TimeoutError")
    assert watch.seconds < 4
    assert alive.json() == {"status": "alive"}
    assert (await shelf.client().get("/readyz")).status_code == 200


async def test_it_tells_strangers_nothing_more(shelf: Running) -> None:
    assert "/readyz" not in (await shelf.client().get("/shelf/v1/openapi.json")).json()["paths"]


async def test_the_broker_is_not_asked(stage: Stage) -> None:
    settings = stage.settings("shelf", await stage.fresh_database("shelf"))
    app = create_app(settings.model_copy(update={"nats_url": SecretStr("nats://127.0.0.1:9")}))
    async with LifespanManager(app, startup_timeout=20, shutdown_timeout=20):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            assert await eventually(ready)
