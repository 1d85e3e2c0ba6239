"""The console beside a running platform: what it shows at once, and what nobody notices when it is not there."""

import asyncio
import json
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest
from tests.integration.conftest import Platform
from tests.integration.test_ticket_trace import REPORT, notified

from linli.testing import Watch

pytestmark = pytest.mark.xdist_group("platform")
PORT = 7
"""Of the console, behind the gateway's."""


@contextmanager
def hung(platform: Platform) -> Iterator[None]:
    """Stop the console's process as it is: it takes connections and never answers."""
    own = {"console.app:create_app", str(platform.port + PORT)}
    (process,) = (one for one in psutil.process_iter(["cmdline"]) if own <= set(one.info["cmdline"] or ()))
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def trace_of(platform: Platform, resident: httpx.AsyncClient, trace_id: str) -> str:
    """Open a ticket under a trace of its own; gives the ticket's id."""
    headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    answer = await resident.post("/tickets/v1/tickets", json=REPORT, headers=headers)
    assert answer.status_code == 201, platform.url
    return str(answer.json()["id"])


@pytest.mark.alone
async def test_a_new_trace_is_seen_through_the_gateway_within_two_seconds(platform: Platform) -> None:
    wanted = secrets.token_hex(16)
    async with (
        platform.client("operator", "0") as operator,
        platform.client("resident", "310104") as resident,
        operator.stream("GET", "/console/v1/live", params={"service": "tickets"}) as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == ": welcome"
        async with Watch() as watch:
            await trace_of(platform, resident, wanted)
            async for line in lines:
                if line.startswith("data: ") and json.loads(line.removeprefix("data: "))["trace_id"] == wanted:
                    break
        assert watch.seconds < 2


@pytest.mark.alone
async def test_nobody_notices_that_the_console_hangs(platform: Platform) -> None:
    async with platform.client("resident", "310104") as resident:
        ticket = await trace_of(platform, resident, secrets.token_hex(16))
        with hung(platform):
            slowest = 0.0
            for _ in range(20):
                async with Watch() as watch:
                    ticket = await trace_of(platform, resident, secrets.token_hex(16))
                slowest = max(slowest, watch.seconds)
                await asyncio.sleep(0.1)
            await notified(resident, ticket)
            assert slowest < 2
        wanted = secrets.token_hex(16)
        await trace_of(platform, resident, wanted)
        deadline = time.monotonic() + 30
        while not platform.spans(wanted):
            assert time.monotonic() < deadline, "it does not go on"
            await asyncio.sleep(0.2)


async def test_what_happened_to_a_ticket_is_one_timeline(platform: Platform) -> None:
    async with platform.client("resident", "310104") as resident, platform.client("operator", "0") as operator:
        ticket = await trace_of(platform, resident, secrets.token_hex(16))
        await notified(resident, ticket)
        deadline = time.monotonic() + 30
        while True:
            answer = await operator.get(f"/console/v1/subjects/{ticket}")
            seen = {(item["kind"], item["service"]) for item in answer.json().get("items", [])}
            if {("request", "tickets"), ("event", "tickets"), ("effect", "notifications")} <= seen:
                break
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.2)
        assert answer.json()["kind"] == "ticket"
        assert answer.json()["district"] == "310104"
