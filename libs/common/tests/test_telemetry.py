import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest
from asgi_lifespan import LifespanManager
from libs.common.tests.conftest import Chassis, opened, record
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from linli import consumer, logs, telemetry
from linli.cloudevents import headers_of
from linli.db import create_engine
from linli.events.tickets import TicketOpened
from linli.inbox import Subscriptions
from linli.outbox import publish
from linli.relay import Relay
from linli.service import Router, Transaction, service
from linli.testing import Running, Stage, Watch, eventually

DESTINATION = "linli.tickets.{district}.opened.v1"
router = Router(prefix="/tickets/v1")


@router.get("/tickets/{ticket}/steps/{step}")
async def read_one(ticket: UUID, step: int, session: Transaction) -> None:
    await session.execute(text("SELECT :ticket, :step"), {"ticket": str(ticket), "step": str(step)})


@router.post("/tickets", status_code=201)
async def open_one(session: Transaction) -> dict[str, str]:
    event = opened()
    await publish(session, event)
    return {"id": str(event.ticket), "trace": str(telemetry.trace_id())}


@pytest.fixture
async def running(chassis: Chassis, stage: Stage) -> AsyncIterator[Running]:
    subscriptions = Subscriptions("tickets")
    subscriptions.on(TicketOpened)(record)
    await chassis.prepare(subscriptions)
    app = service("tickets", chassis.settings, routers=[router], subscriptions=subscriptions, publishes=[TicketOpened])
    async with LifespanManager(app, startup_timeout=20, shutdown_timeout=20), chassis.connection() as client:
        await eventually(app.state.tokens.ready)  # or a busy machine answers the first request 503
        yield Running(app, chassis.database, client, chassis.settings, stage.authority)


@pytest.fixture
def spans(running: Running) -> Iterator[InMemorySpanExporter]:
    """The spans of this test; the provider is the one that the service set up."""
    assert running.app
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


def find(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in spans.get_finished_spans() if span.name == name]
    return found


async def both_ended(spans: InMemorySpanExporter) -> None:
    """Wait for the sender's span and the receiver's, of which either may be the last."""
    wanted = {f"send {DESTINATION}", f"process {DESTINATION}"}
    await eventually(lambda: wanted <= {span.name for span in spans.get_finished_spans()})


def child_of(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and parent.context is not None and span.parent.span_id == parent.context.span_id


async def test_one_trace_leads_from_the_request_over_the_broker_to_the_statement(
    running: Running, spans: InMemorySpanExporter
) -> None:
    client = running.client("resident", "310104")
    incoming = f"00-{'a1' * 16}-{'b2' * 8}-01"
    answer = await client.post("/tickets/v1/tickets", headers={"traceparent": incoming})
    assert answer.json()["trace"] == "a1" * 16, answer.text
    await both_ended(spans)
    request = find(spans, "POST /tickets/v1/tickets")
    send, process = find(spans, f"send {DESTINATION}"), find(spans, f"process {DESTINATION}")
    assert request.parent
    assert f"{request.parent.span_id:016x}" == "b2" * 8
    assert child_of(send, request)
    assert child_of(process, send)
    assert [span.kind for span in (request, send, process)] == [SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER]
    statements = [span for span in spans.get_finished_spans() if span.kind is SpanKind.CLIENT]
    assert any(child_of(span, request) for span in statements)
    assert any(child_of(span, process) for span in statements)
    for span, operation in ((send, "send"), (process, "process")):
        told = span.attributes or {}
        assert told["messaging.system"] == "nats"
        assert told["messaging.operation.type"] == operation
        assert told["messaging.destination.template"] == DESTINATION
        assert told["messaging.destination.name"] == "linli.tickets.310104.opened.v1"
        assert told["linli.district"] == 310104
        assert told["linli.aggregate"] == answer.json()["id"]
    assert (process.attributes or {})["linli.delivery"] == 1


async def test_every_span_says_whose_district_it_is_and_a_request_what_it_is_about(
    running: Running, spans: InMemorySpanExporter
) -> None:
    client = running.client("resident", "310104")
    ticket = (await client.post("/tickets/v1/tickets")).json()["id"]
    await both_ended(spans)
    told = find(spans, "POST /tickets/v1/tickets").attributes or {}
    assert (told["linli.subject"], told["linli.unit"]) == (ticket, "310104003001001")
    assert (find(spans, f"send {DESTINATION}").attributes or {})["linli.outbox.waited"]
    assert {(span.attributes or {}).get("linli.district") for span in spans.get_finished_spans()} == {310104}
    spans.clear()
    other = uuid4()
    assert (await client.get(f"/tickets/v1/tickets/{other}/steps/1")).status_code == 200
    told = find(spans, "GET /tickets/v1/tickets/{ticket}/steps/{step}").attributes or {}
    assert (told["linli.subject"], told["linli.unit"]) == (str(other), "310104")
    assert {(span.attributes or {}).get("linli.district") for span in spans.get_finished_spans()} == {310104}


async def test_a_trace_holds_neither_query_nor_parameters_nor_probes(
    running: Running, spans: InMemorySpanExporter
) -> None:
    client = running.client("resident", "310104")
    await client.get("/readyz")
    assert spans.get_finished_spans() == ()
    await client.post("/tickets/v1/tickets?phone=13800001111", json={})
    await eventually(lambda: len(spans.get_finished_spans()) > 3)
    assert "13800001111" not in repr([dict(span.attributes or {}) for span in spans.get_finished_spans()])
    assert (find(spans, "POST /tickets/v1/tickets").attributes or {})["url.query"] == "REDACTED"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/tickets/v1/13800001111", "*"),
        ("/tickets/v1/dead-letters/13800001111", "/tickets/v1/dead-letters/*"),
        ("/tickets/v1/dead-letters/310104194901010425/replay", "/tickets/v1/dead-letters/*/replay"),
        (f"/tickets/v1/dead-letters/{UUID(int=7)}", f"/tickets/v1/dead-letters/{UUID(int=7)}"),
        ("/tickets/v1/dead-letters/310104003001", "/tickets/v1/dead-letters/310104003001"),
    ],
)
async def test_a_trace_holds_of_an_address_what_are_ids(
    running: Running, spans: InMemorySpanExporter, path: str, shown: str
) -> None:
    await running.client("resident", "310104").request("POST" if path.endswith("replay") else "GET", path)
    (request,) = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    assert (request.attributes or {})["url.path"] == shown


async def test_a_statement_that_fails_is_recorded_without_its_values(
    running: Running, spans: InMemorySpanExporter
) -> None:
    async with running.app.state.engines[None].connect() as connection:
        with trace.get_tracer("test").start_as_current_span("request"), pytest.raises(DBAPIError):
            await connection.execute(text("SELECT CAST(:phone AS integer)"), {"phone": "13800001111"})
    (failed,) = [span for span in spans.get_finished_spans() if span.status.status_code is StatusCode.ERROR]
    assert failed.status.description
    assert "13800001111" not in failed.to_json()


async def test_a_caller_who_records_nothing_keeps_nothing_out_of_sight(
    running: Running, spans: InMemorySpanExporter
) -> None:
    client = running.client("resident", "310104")
    await client.post("/tickets/v1/tickets", headers={"traceparent": f"00-{'c3' * 16}-{'d4' * 8}-00"})
    await eventually(lambda: _effects(running, 1))
    await eventually(lambda: len(spans.get_finished_spans()) >= 3)
    assert {span.context.trace_id for span in spans.get_finished_spans() if span.context} == {int("c3" * 16, 16)}


async def test_a_trace_that_is_not_sampled_stays_so_to_the_end(
    running: Running, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace.get_tracer_provider(), "sampler", ParentBased(ALWAYS_OFF))
    client = running.client("resident", "310104")
    await client.post("/tickets/v1/tickets", headers={"traceparent": f"00-{'c3' * 16}-{'d4' * 8}-00"})
    await eventually(lambda: _effects(running, 1))
    assert spans.get_finished_spans() == ()


@pytest.fixture(scope="module")
def reader() -> InMemoryMetricReader:
    found = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([found]))
    return found


def measured(reader: InMemoryMetricReader, name: str, by: str = "consumer") -> dict[str, float]:
    data = reader.get_metrics_data()
    return {
        str((point.attributes or {}).get(by, "")): point.value
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint)
    }


async def test_age_lag_redeliveries_and_dead_letters_are_measured(
    chassis: Chassis, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "TRIES", 2)
    subscriptions = Subscriptions("points")

    @subscriptions.on(TicketOpened)
    async def choke(*_: object) -> None:
        raise ValueError("poison")

    await chassis.prepare(subscriptions)
    async with chassis.connection() as client:
        async with chassis.consuming(subscriptions):
            # From the beginning: what first appears with its first event shows no increase by it.
            assert await eventually(lambda: measured(reader, "linli.dead_letters")) == {"points-tickets": 0}
        for _ in range(3):
            event = opened()
            body = event.model_dump_json().encode()
            await client.jetstream().publish(event.subject, body, headers=headers_of(event))
        async with chassis.relaying(), chassis.consuming(subscriptions):
            await eventually(lambda: _letters(chassis, 3))
            # A letter is counted once it is kept, and the relay says that it is connected when it is.
            await eventually(lambda: measured(reader, "linli.dead_letters")["points-tickets"] == 3)
            assert measured(reader, "linli.redeliveries")["points-tickets"] == 3
            assert measured(reader, "linli.consumer.lag")["points-tickets"] == 0
            await eventually(lambda: measured(reader, "linli.outbox.age").get("") == 0)
            both = {"postgresql": 1, "nats": 1}
            await eventually(lambda: measured(reader, "linli.dependency.up", "dependency") == both)
    assert measured(reader, "linli.consumer.lag") == {}


async def test_it_shows_when_database_or_broker_are_away(
    chassis: Chassis, reader: InMemoryMetricReader, stage: Stage
) -> None:
    def up() -> dict[str, float]:
        return measured(reader, "linli.dependency.up", "dependency")

    async with chassis.relaying():
        assert await eventually(lambda: up() == {"postgresql": 1, "nats": 1})
        stage.server.kill()
        try:
            assert await eventually(lambda: up() == {"postgresql": 1, "nats": 0})
        finally:
            stage.server.start()
        assert await eventually(lambda: up() == {"postgresql": 1, "nats": 1})
    away = chassis.settings.model_copy(update={"relay_database_url": SecretStr("postgresql://x@127.0.0.1:1/x")})
    async with Relay("tickets", away).running():
        assert await eventually(lambda: up() == {"postgresql": 0, "nats": 1})
    assert up() == {}


async def test_it_shows_how_much_of_the_pool_is_in_use(chassis: Chassis, reader: InMemoryMetricReader) -> None:
    def used() -> list[float]:
        return list(measured(reader, "linli.pool.use").values())

    engine = create_engine(chassis.settings.model_copy(update={"pool_size": 2}), "tickets")
    telemetry.watch_engine(engine)
    async with engine.connect():
        assert used() == [0.5]
    assert used() == [0]
    await engine.dispose()
    assert used() == []


def test_a_log_line_is_json_with_its_trace() -> None:
    record = logging.LogRecord("linli.x", logging.INFO, __file__, 1, "楼道 %s", ("3",), None)
    with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
        line = json.loads(logs.Formatter("tickets").format(record))
    assert line["message"] == "楼道 3"
    assert (line["service"], line["level"], line["logger"]) == ("tickets", "INFO", "linli.x")
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert line["span_id"] == f"{span.get_span_context().span_id:016x}"


_BUSY = """
import logging
import time
from fastapi import FastAPI
from linli import telemetry
from linli.settings import Settings
from opentelemetry import trace
telemetry.setup("tickets", Settings(database_url="x", relay_database_url="x", nats_url="x", jwks_url="x",
                                    master_key="x"), FastAPI())
tracer = trace.get_tracer("test")
def work():
    begun = time.perf_counter()
    for _ in range(5000):
        with tracer.start_as_current_span("work"):
            pass
    for number in range(5000):
        logging.getLogger("linli.test").warning("line %d", number)
    return time.perf_counter() - begun
for _ in range(2):
    work()  # more than the queues hold
print("busy for", min(work() for _ in range(3)), flush=True)
"""


async def test_a_collector_that_never_answers_slows_nothing() -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1)
        endpoint = f"http://127.0.0.1:{hole.getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _BUSY), env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, stdout=subprocess.PIPE
        )
        assert process.stdout
        said = b""
        while not said.startswith(b"busy for"):
            said = await process.stdout.readuntil()
        async with Watch() as watch:
            await process.communicate()
    assert process.returncode == 0
    assert float(said.split()[-1]) < 3, "5,000 spans and 5,000 lines, in the best of three times"
    assert watch.seconds < 12, "the process ended"


async def _effects(running: Running, count: int) -> bool:
    return bool(await running.database.fetchval("SELECT count(*) = $1 FROM effect", count))


async def _letters(chassis: Chassis, count: int) -> bool:
    return await chassis.count("dead_letter") == count
