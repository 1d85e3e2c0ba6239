"""One ticket through the whole platform: told at once, in one trace, with every hop in its place."""

import asyncio
import secrets
import time
from typing import Any

import httpx
import pytest
from tests.integration.conftest import Platform

from linli.testing import Watch

pytestmark = pytest.mark.xdist_group("platform")

COMMUNITY = "310104003001"
REPORT = {"unit": COMMUNITY, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
Span = dict[str, Any]


async def notified(client: httpx.AsyncClient, ticket: str, within: float = 30) -> dict[str, Any]:
    """Wait for the first notification about a ticket."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        items = (await client.get("/notifications/v1/inbox", params={"subject": ticket})).json()["items"]
        if items:
            found: dict[str, Any] = items[0]
            return found
        await asyncio.sleep(0.005)
    raise AssertionError("nobody was told")


@pytest.mark.alone
async def test_the_reporter_is_told_within_a_second(platform: Platform) -> None:
    took: list[float] = []
    async with platform.client("resident", "310104") as resident:
        for _ in range(15):
            async with Watch() as watch:
                ticket = (await resident.post("/tickets/v1/tickets", json=REPORT)).json()["id"]
                await notified(resident, ticket)
            took.append(watch.seconds)
            await asyncio.sleep(0.1)
    assert max(took) < 1


async def test_one_trace_leads_from_the_request_to_the_notification(platform: Platform) -> None:
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    async with platform.client("resident", "310104", traceparent=f"00-{trace_id}-{caller}-01") as resident:
        ticket = (await resident.post("/tickets/v1/tickets", json=REPORT)).json()["id"]
    async with platform.client("resident", "310104") as resident:
        told = await notified(resident, ticket)
        trail = (await resident.get(f"/tickets/v1/tickets/{ticket}/timeline")).json()["items"]
    assert told["trace_id"] == trace_id
    assert [entry["trace_id"] for entry in trail] == [trace_id]
    server, send, process = await edges(platform, trace_id, "linli.tickets.{district}.opened.v1", "notifications")
    assert (server["service"], server["kind"], server["parent_id"]) == ("tickets", "server", caller)
    assert (send["service"], send["kind"]) == ("tickets", "producer")
    assert (process["service"], process["kind"], process["parent_id"]) == (
        "notifications",
        "consumer",
        send["span_id"],
    )
    assert send["attributes"]["messaging.system"] == "nats"
    assert send["attributes"]["linli.aggregate"] == process["attributes"]["linli.aggregate"] == ticket
    spans = platform.spans(trace_id)
    assert is_below(send, server, spans)
    for above in (server, process):
        assert any("INSERT" in span["name"] and is_below(span, above, spans) for span in spans), above["name"]
    assert all(server["offset"] <= span["offset"] for span in spans)
    assert {span["attributes"].get("linli.district") for span in spans} == {310104}
    assert server["attributes"]["linli.subject"] == ticket
    assert server["attributes"]["linli.unit"] == COMMUNITY
    assert send["attributes"]["linli.outbox.waited"] > 0


async def edges(platform: Platform, trace_id: str, destination: str, service: str) -> tuple[Span, Span, Span]:
    """Wait for the three spans that a step of a ticket must leave."""
    deadline = time.monotonic() + 30  # spans are written in batches
    while time.monotonic() < deadline:
        spans = platform.spans(trace_id)
        server = [span for span in spans if span["kind"] == "server" and span["service"] == "tickets"]
        send = [span for span in spans if span["name"] == f"send {destination}"]
        process = [span for span in spans if span["name"] == f"process {destination}" and span["service"] == service]
        if server and send and process:
            return server[0], send[0], process[0]
        await asyncio.sleep(0.1)
    raise AssertionError(f"the trace is not whole: {sorted(span['name'] for span in spans)}")


def is_below(span: Span, above: Span, spans: list[Span]) -> bool:
    parents = {one["span_id"]: one["parent_id"] for one in spans}
    at = span["span_id"]
    while at in parents:
        if at == above["span_id"]:
            return True
        at = parents[at]
    return False


async def test_no_district_stands_in_a_span_name(platform: Platform) -> None:
    async with platform.client("resident", "310104") as resident:
        await notified(resident, (await resident.post("/tickets/v1/tickets", json=REPORT)).json()["id"])
    await asyncio.sleep(1)
    async with platform.database("console") as console:
        names = [row["name"] for row in await console.fetch("SELECT DISTINCT name FROM span")]
    assert names
    assert not [name for name in names if "310104" in name]
