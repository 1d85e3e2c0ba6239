"""From a service's exporter to an operator's eyes."""

import asyncio

from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from services.console.tests.conftest import XUHUI, Console

TICKET = "01a2019b-2709-7e96-aee8-b91209e4315b"


async def report(console: Console, *, district: int = XUHUI, ticket: str = TICKET) -> str:
    """Record what a report of a ticket leaves: a request, an event, its effect elsewhere."""
    tickets, notifications = console.provider("tickets"), console.provider("notifications")
    tracer, other = tickets.get_tracer("test"), notifications.get_tracer("test")
    common = {"linli.district": district}
    request = tracer.start_span(
        "POST /tickets/v1/tickets", kind=SpanKind.SERVER,
        attributes={**common, "linli.subject": ticket, "linli.unit": f"{district}003001", "client.address": "10.9.8.7"},
    )  # fmt: skip
    inside = set_span_in_context(request)
    tracer.start_span("INSERT ticket", inside, SpanKind.CLIENT, {**common, "db.system.name": "postgresql"}).end()
    request.end()
    await asyncio.sleep(0.02)
    send = tracer.start_span(
        "send linli.tickets.{district}.opened.v1", inside, SpanKind.PRODUCER,
        {**common, "linli.aggregate": ticket, "linli.outbox.waited": 15.5},
    )  # fmt: skip
    send.end()
    await asyncio.sleep(0.02)
    process = other.start_span(
        "process linli.tickets.{district}.opened.v1", set_span_in_context(send), SpanKind.CONSUMER,
        {**common, "linli.aggregate": ticket, "linli.delivery": 2},
    )  # fmt: skip
    process.set_status(Status(StatusCode.ERROR, "TooSlow"))
    process.end()
    for provider in (tickets, notifications):
        await asyncio.to_thread(provider.shutdown)
    return f"{request.get_span_context().trace_id:032x}"


async def test_a_trace_is_listed_and_read_with_all_its_hops(console: Console) -> None:
    trace_id = await report(console)
    await console.written(4)
    (item,) = (await console.get("/traces"))["items"]
    assert item["trace_id"] == trace_id
    assert (item["service"], item["operation"]) == ("tickets", "POST /tickets/v1/tickets")
    assert (item["spans"], item["errors"], item["redeliveries"]) == (4, 1, 1)
    assert item["services"] == ["notifications", "tickets"]
    assert (item["district"], item["unit"], item["subject"]) == ("310104", "310104003001", TICKET)
