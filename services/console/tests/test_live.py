"""Traces as they come in."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from services.console.tests.conftest import QINGYANG, Console

from console import live


class Watcher:
    """Reads a stream."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def line(self) -> str:
        async with asyncio.timeout(20):
            while not (line := await anext(self._lines)):
                pass
            return line

    async def trace(self) -> dict[str, Any]:
        while (line := await self.line()) != "event: trace":
            assert line.startswith(":")
        item: dict[str, Any] = json.loads((await self.line()).removeprefix("data: "))
        return item


@asynccontextmanager
async def watching(console: Console, at: str = "0", life: int = 600, **query: str) -> AsyncIterator[Watcher]:
    async with (
        console.client(unit=at, exp=int(time.time()) + life) as client,
        client.stream("GET", "/console/v1/live", params=query) as response,
    ):
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield Watcher(response)


@pytest.mark.alone
async def test_a_new_trace_shows_within_two_seconds(console: Console) -> None:
    async with watching(console) as watcher:
        began = time.monotonic()
        trace_id = await console.report()
        item = await watcher.trace()
        while item["spans"] < 4:  # it is told again when it has grown
            item = await watcher.trace()
        assert time.monotonic() - began < 2
        assert item == (await console.get("/traces"))["items"][0]
        assert item["trace_id"] == trace_id


async def test_only_what_was_asked_for_and_may_be_seen_is_shown(console: Console) -> None:
    async with watching(console, at="310104", error="true") as watcher:
        await console.report(QINGYANG, fails=True)
        await console.report()
        wanted = await console.report(fails=True)
        assert (await watcher.trace())["trace_id"] == wanted


async def test_a_stream_beats_and_ends_with_the_token(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_HEARTBEAT", 0.1)
    async with watching(console, life=6) as watcher:  # a busy machine may stand still for half of it
        assert await watcher.line() == ": welcome"
        assert await watcher.line() == ": still here"
        ended = False
        while not ended:
            try:
                assert await watcher.line() == ": still here"
            except StopAsyncIteration:
                ended = True


async def test_a_stream_ends_before_the_gateway_would_cut_it(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LASTS", 0.6)
    async with watching(console) as watcher:
        assert await watcher.line() == ": welcome"
        with pytest.raises(StopAsyncIteration):
            await watcher.line()


async def test_who_leaves_makes_room_for_another(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS", 1)
    async with watching(console) as watcher:
        await watcher.line()
        async with console.client() as client:
            refused = await client.get("/console/v1/live")
            assert refused.status_code == 429
            assert refused.headers["Retry-After"] == "10"
    async with asyncio.timeout(30):
        while True:
            try:
                async with watching(console) as watcher:
                    assert await watcher.line() == ": welcome"
                    return
            except AssertionError:
                await asyncio.sleep(0.1)
