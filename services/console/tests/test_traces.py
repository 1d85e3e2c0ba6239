"""From a service's exporter to an operator's eyes."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.trace import SpanKind, set_span_in_context
from services.console.tests.conftest import OPENED, QINGYANG, XUHUI, Console, trace_of

TICKET = "01a2019b-2709-7e96-aee8-b91209e4315b"


def ids(answer: Any) -> list[str]:  # noqa: ANN401 JSON
    return [item["trace_id"] for item in answer["items"]]


async def test_a_trace_is_listed_with_what_came_of_it(console: Console) -> None:
    trace_id = await console.report(ticket=TICKET, fails=True)
    await console.written(4)
    (item,) = (await console.get("/traces"))["items"]
    assert item["trace_id"] == trace_id
    assert (item["service"], item["operation"]) == ("tickets", "POST /tickets/v1/tickets")
    assert (item["spans"], item["errors"], item["redeliveries"]) == (4, 1, 1)
    assert item["services"] == ["notifications", "tickets"]
    assert (item["district"], item["unit"], item["subject"]) == ("310104", "310104003001", TICKET)


async def test_a_trace_is_read_with_hops_waits_and_redeliveries(console: Console) -> None:
    trace_id = await console.report(ticket=TICKET, fails=True)
    await console.written(4)
    trace = await console.get(f"/traces/{trace_id}")
    request, statement, send, process = trace["spans"]
    assert [span["kind"] for span in trace["spans"]] == ["server", "client", "producer", "consumer"]
    assert request["parent_id"] is None
    assert statement["parent_id"] == send["parent_id"] == request["span_id"]
    assert process["parent_id"] == send["span_id"]
    assert (process["service"], process["instance"]) == ("notifications", "notifications-1")
    assert (process["error"], process["status_message"]) == (True, "TooSlow")
    outbox, stream = trace["waits"]
    assert (outbox["kind"], outbox["from_span"], outbox["to_span"]) == ("outbox", request["span_id"], send["span_id"])
    assert outbox["duration"] == 15.5
    assert (stream["kind"], stream["from_span"], stream["to_span"]) == ("stream", send["span_id"], process["span_id"])
    assert stream["duration"] >= 20
    assert stream["offset"] + stream["duration"] == pytest.approx(process["offset"])
    assert trace["redeliveries"] == [{"span_id": process["span_id"], "delivery": 2}]
    assert trace["duration"] == pytest.approx(process["offset"] + process["duration"])
    assert not trace["truncated"]


async def test_who_called_from_where_is_not_kept(console: Console) -> None:
    await console.report()
    await console.written(4)
    assert not await console.database.fetchval("SELECT count(*) FROM span WHERE attributes::text LIKE '%10.9.8.7%'")


async def test_traces_are_found_by_what_they_are(console: Console) -> None:
    mine = await console.report(ticket=TICKET, unit="310104003021")
    other = await console.report(QINGYANG, fails=True)
    await console.written(8)
    for query, found in (
        ({}, [other, mine]),
        ({"service": "notifications"}, [other, mine]),
        ({"service": "points"}, []),
        ({"service": "notifications", "operation": f"process {OPENED}"}, [other, mine]),
        ({"service": "tickets", "operation": f"process {OPENED}"}, []),
        ({"operation": "POST /tickets/v1/tickets"}, [other, mine]),
        ({"operation": "INSERT ticket"}, []),
        ({"district": "510105"}, [other]),
        ({"unit": "310104003"}, [mine]),
        ({"unit": "310104004"}, []),
        ({"error": "true"}, [other]),
        ({"slower_than": "60000"}, []),
        ({"slower_than": "1"}, [other, mine]),
        ({"subject": TICKET}, [mine]),
        ({"subject": uuid4()}, []),
        ({"until": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}, []),
        ({"since": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()}, []),
    ):
        assert ids(await console.get("/traces", **query)) == found, query
        points = (await console.get("/traces/scatter", **query))["points"]
        assert [point["trace_id"] for point in points] == found, query


async def test_a_list_is_read_page_by_page(console: Console) -> None:
    reported = [await console.report() for _ in range(3)]
    await console.written(12)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = await console.get("/traces", limit=1, **cursor)
        seen += ids(page)
        cursor = {"cursor": page["next"]}
    assert seen == reported[::-1]
    assert page["next"] is None


async def test_an_operator_of_a_district_sees_its_own_traces_alone(console: Console) -> None:
    mine, other = await console.report(), await console.report(QINGYANG, ticket=TICKET)
    await console.written(8)
    assert ids(await console.get("/traces", at="310104")) == [mine]
    assert ids(await console.get("/traces", at="310104", subject=TICKET)) == []
    assert len((await console.get("/map", at="310104"))["nodes"]) == 3
    assert (await console.get("/operations", at="310104"))["items"][0]["count"] == 1
    async with console.client(unit="310104") as client:
        foreign = await client.get(f"/console/v1/traces/{other}")
        unknown = await client.get(f"/console/v1/traces/{'f' * 32}")
        assert foreign.status_code == unknown.status_code == 404
        told, expected = ({**answer.json(), "trace_id": ""} for answer in (foreign, unknown))
        assert json.dumps(told).replace(other, "") == json.dumps(expected).replace("f" * 32, "")
        assert (await client.get(f"/console/v1/subjects/{TICKET}")).status_code == 404
        for query in ({"district": "510105"}, {"unit": "510105003"}, {"unit": "0"}):
            assert (await client.get("/console/v1/traces", params=query)).status_code == 403


async def test_spans_of_another_district_and_of_none_are_not_shown(console: Console) -> None:
    provider = console.provider("directory")
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("PUT /directory/v1/units", kind=SpanKind.SERVER) as request:
        for district in (XUHUI, QINGYANG):
            tracer.start_span(f"send {district}", kind=SpanKind.PRODUCER, attributes={"linli.district": district}).end()
    await asyncio.to_thread(provider.shutdown)
    await console.written(3)
    shared = trace_of(request)
    assert {span["name"] for span in (await console.get(f"/traces/{shared}", at="310104"))["spans"]} == {"send 310104"}
    (item,) = (await console.get("/traces", at="310104"))["items"]
    assert (item["operation"], item["spans"]) == ("send 310104", 1)
    (item,) = (await console.get("/traces"))["items"]
    assert (item["operation"], item["spans"]) == ("PUT /directory/v1/units", 3)


@pytest.mark.parametrize(
    ("role", "unit", "status"),
    [(None, "0", 401), ("resident", "310104", 403), ("street_admin", "310104003", 403), ("operator", "310104003", 403)],
)
async def test_only_operators_of_platform_or_district_look(
    console: Console, role: str | None, unit: str, status: int
) -> None:
    async with console.client(role, unit) as client:
        for path in (
            "me",
            "traces",
            f"traces/{'a' * 32}",
            f"subjects/{TICKET}",
            "services",
            "map",
            "operations",
            "live",
        ):
            assert (await client.get(f"/console/v1/{path}")).status_code == status, path


async def test_what_happened_to_a_ticket_is_told_with_what_followed(console: Console) -> None:
    first = await console.report(ticket=TICKET, fails=True)
    await console.report(ticket=str(uuid4()))
    points = console.provider("points")
    tracer = points.get_tracer("test")
    process = tracer.start_span(
        "process linli.tickets.{district}.rated.v1",
        kind=SpanKind.CONSUMER,
        attributes={"linli.district": XUHUI, "linli.aggregate": TICKET, "linli.delivery": 1},
    )
    # Told of another thing, the holder's account; but it followed from this ticket.
    tracer.start_span(
        "send linli.points.{district}.awarded.v1",
        set_span_in_context(process),
        SpanKind.PRODUCER,
        {"linli.district": XUHUI, "linli.aggregate": str(uuid4())},
    ).end()
    process.end()
    await asyncio.to_thread(points.shutdown)
    await console.written(10)
    told = await console.get(f"/subjects/{TICKET}")
    assert (told["subject"], told["kind"], told["district"], told["next"]) == (TICKET, "ticket", "310104", None)
    assert [(item["kind"], item["what"].split(" ")[0]) for item in told["items"]] == [
        ("request", "POST"),
        ("event", "send"),
        ("error", "process"),
        ("effect", "process"),
        ("event", "send"),
    ]
    assert told["items"][0]["trace_id"] == first
    assert [item["delivery"] for item in told["items"]] == [None, None, 2, 1, None]
    page = await console.get(f"/subjects/{TICKET}", limit=2)
    rest = await console.get(f"/subjects/{TICKET}", limit=10, cursor=page["next"])
    assert page["items"] + rest["items"] == told["items"]


@pytest.mark.parametrize(
    ("requests", "kind"),
    [
        (["POST /tickets/v1/tickets/{ticket_id}/close"], "ticket"),
        (["POST /tickets/v1/tickets/{ticket_id}/files", "POST /tickets/v1/tickets/{ticket_id}/assign"], "ticket"),
        (["POST /tickets/v1/codes/{code}/tickets"], "ticket"),
        (
            ["POST /bookings/v1/sessions/{session_id}/bookings", "POST /bookings/v1/bookings/{booking_id}/cancel"],
            "booking",
        ),
        (["PUT /directory/v1/units/{code}"], "unit"),
        (["POST /tickets/v1/sweep"], None),
    ],
)
async def test_a_thing_is_named_by_what_was_done_with_it(
    console: Console, requests: list[str], kind: str | None
) -> None:
    thing, provider = str(uuid4()), console.provider("tickets")
    about: dict[str, str | int] = {"linli.district": XUHUI, "linli.subject": thing}
    for request in requests:
        provider.get_tracer("test").start_span(request, kind=SpanKind.SERVER, attributes=about).end()
    await asyncio.to_thread(provider.shutdown)
    await console.written(len(requests))
    assert (await console.get(f"/subjects/{thing}"))["kind"] == kind


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_times_of_which_nothing_is_known_have_nothing(console: Console, moment: str) -> None:
    async with console.client("operator", "0") as client:
        for path in ("/map", "/operations", "/traces", "/traces/scatter"):
            for name in ("since", "until"):
                answer = await client.get(f"/console/v1{path}", params={name: moment})
                assert answer.status_code in {200, 422}, (path, name, answer.text)


async def test_services_and_operations_can_be_chosen_from(console: Console) -> None:
    await console.report()
    await console.written(4)
    items = (await console.get("/services"))["items"]
    assert {item["service"]: item["operations"] for item in items} == {
        "notifications": [f"process {OPENED}"],
        "tickets": ["POST /tickets/v1/tickets"],
    }


async def test_an_operator_is_told_who_he_is_and_until_when(console: Console) -> None:
    me = await console.get("/me", at="310104")
    assert (me["roles"], me["district"], me["unit"]) == (["operator"], "310104", "310104")
    assert timedelta(minutes=9) < datetime.fromisoformat(me["expires_at"]) - datetime.now(UTC) < timedelta(minutes=11)
