"""A body has an end, announced or not."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from fastapi import FastAPI, Request

from linli import errors
from linli.limits import BODY, BodyLimit


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.add_middleware(BodyLimit)
    errors.add_handlers(app)

    @app.post("/json")
    async def take_json(body: dict[str, str]) -> int:
        return len(body)

    @app.post("/raw")
    async def take_raw(request: Request) -> int:
        return len(await request.body())

    @app.post("/none")
    async def take_nothing() -> int:
        return 0

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as found:
        yield found


async def chunks(sizes: Iterable[int]) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b" " * size


@pytest.mark.parametrize("path", ["/json", "/raw", "/none"])
async def test_a_body_announced_too_large_is_refused_unread(client: httpx.AsyncClient, path: str) -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    answer = await client.post(path, content=never(), headers={"Content-Length": str(BODY + 1)})
    assert (answer.status_code, answer.json()["limit"]) == (413, BODY)


@pytest.mark.parametrize("path", ["/json", "/raw"])
async def test_a_body_that_grows_too_large_is_refused(client: httpx.AsyncClient, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post(path, content=chunks([BODY, 1]), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:linli:problem:body-too-large")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_of_just_the_limit_is_taken(client: httpx.AsyncClient) -> None:
    assert (await client.post("/raw", content=b" " * BODY)).json() == BODY
    assert (await client.post("/raw", content=chunks([BODY - 1, 1]))).json() == BODY
    assert (await client.post("/raw")).json() == 0


@pytest.mark.parametrize("length", ["x", "-1", "", "9" * 5000, "1e3", "１"], ids=range(6))
async def test_a_length_that_is_none_is_no_error_of_ours(client: httpx.AsyncClient, length: str) -> None:
    answer = await client.post("/raw", content=chunks([1]), headers={b"Content-Length": length.encode()})
    assert answer.status_code in {400, 413}


async def test_few_paths_take_more() -> None:
    app = FastAPI()
    app.add_middleware(BodyLimit, larger={r"/files/[^/]+": 2 * BODY})
    errors.add_handlers(app)

    @app.post("/{path:path}")
    async def take(path: str, request: Request) -> int:
        assert path
        return len(await request.body())

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for path, size, status in (
            ("/files/a", 2 * BODY, 200),
            ("/files/a", 2 * BODY + 1, 413),
            ("/files/a/b", BODY + 1, 413),
            ("/other/files/a", BODY + 1, 413),
        ):
            announced = await client.post(path, content=b" " * size)
            streamed = await client.post(path, content=chunks([size // 2, size - size // 2]))
            assert (announced.status_code, streamed.status_code) == (status, status), path
