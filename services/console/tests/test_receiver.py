"""What comes in: within bounds, whatever it is, and never at a service's cost."""

import asyncio
import gzip
import logging
import math
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import asyncpg
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from services.console.tests.conftest import Console, running, trace_of

from console import forward, otlp, writer
from console.batch import Batch
from linli.logs import OtlpHandler
from linli.testing import Stage, eventually, free_port


def export(*spans: Span, service: str = "tickets") -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=service)))
    resource.scope_spans.add().spans.extend(spans)
    return bytes(request.SerializeToString())


def span(number: int = 1, name: str = "GET /", **others: object) -> Span:
    now = time.time_ns()
    told = {"kind": Span.SPAN_KIND_SERVER, "start_time_unix_nano": now, "end_time_unix_nano": now + 10**6, **others}
    ids = {"trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big")}
    return Span(**{**ids, "name": name, **told})  # type: ignore[arg-type]


async def test_what_is_no_otlp_is_refused(console: Console) -> None:
    assert (await console.send(b"{}", Content_Type="application/json")).status_code == 415
    assert (await console.send(export(span()), Content_Encoding="br")).status_code == 415
    assert (await console.send(b"\xff\xff\xff")).status_code == 400
    assert (await console.send(b"\xff\xff\xff", "logs")).status_code == 400
    assert (await console.send(b"no gzip", Content_Encoding="gzip")).status_code == 400
    assert (await console.send(gzip.compress(export(span()))[:-9], Content_Encoding="gzip")).status_code == 400
    assert (await console.send(export(span()))).status_code == 200
    await console.written(1)


async def test_a_body_that_is_too_large_is_refused_however_small_it_was_packed(console: Console) -> None:
    assert (await console.send(b"\0" * (otlp.LARGEST + 1))).status_code == 413
    bomb = gzip.compress(b"\0" * (16 * otlp.LARGEST))
    assert len(bomb) < 2**20
    tracemalloc.start()
    try:
        assert (await console.send(bomb, Content_Encoding="gzip")).status_code == 413
        assert tracemalloc.get_traced_memory()[1] < 6 * otlp.LARGEST
    finally:
        tracemalloc.stop()


async def test_spans_come_packed_as_well(console: Console) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{console.url}/otlp/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def record() -> None:
        provider.get_tracer("test").start_span("work").end()

    await asyncio.to_thread(record)
    await console.written(1)
    provider.shutdown()


async def test_lines_are_kept_with_their_trace_and_without_what_an_exception_says(console: Console) -> None:
    lines = LoggerProvider(Resource.create({"service.name": "tickets"}), shutdown_on_exit=False)
    lines.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{console.url}/otlp/v1/logs")))
    logger = logging.getLogger("linli.test")
    logger.addHandler(OtlpHandler(lines))
    provider = console.provider("tickets")
    with provider.get_tracer("test").start_as_current_span("work", attributes={"linli.district": 310104}) as work:
        failed = ValueError("13800001111")
        logger.error("could not handle %s", "opened", extra={"event_id": "42"}, exc_info=failed)
    logger.warning("of no trace")
    logger.handlers.clear()
    for one in (lines, provider):
        await asyncio.to_thread(one.shutdown)
    await console.written(1)
    await eventually(lambda: _has_line(console))
    (line,) = (await console.get(f"/traces/{trace_of(work)}", at="310104"))["logs"]
    assert (line["service"], line["level"], line["logger"]) == ("tickets", "ERROR", "linli.test")
    assert line["message"] == "could not handle opened"
    assert line["attributes"] == {"event_id": "42", "exception.type": "ValueError"}


async def _has_line(console: Console) -> bool:
    return await console.count("log") == 1


async def test_whatever_a_span_says_can_be_stored(console: Console) -> None:
    deep = AnyValue(string_value="x")
    for _ in range(30):
        deep = AnyValue(array_value=ArrayValue(values=[deep]))
    odd = [
        KeyValue(key="nan", value=AnyValue(double_value=math.nan)),
        KeyValue(key="n\0ul", value=AnyValue(string_value="a\0b")),
        KeyValue(key="long", value=AnyValue(string_value="x" * 100_000)),
        KeyValue(key="deep", value=deep),
        KeyValue(key="bytes", value=AnyValue(bytes_value=b"\xff\0")),
        KeyValue(key="linli.unit", value=AnyValue(string_value="31")),
        KeyValue(key="linli.district", value=AnyValue(int_value=2**62)),
        KeyValue(key="linli.delivery", value=AnyValue(string_value="often")),
        *(KeyValue(key=f"many{number}", value=AnyValue(bool_value=True)) for number in range(500)),
    ]
    events = [Span.Event(name="e\0", time_unix_nano=2**63)] * 500
    assert (
        await console.send(export(span(name="n\0" * 5000, kind=77, attributes=odd, events=events)))
    ).status_code == 200
    await console.written(1)
    (found,) = (await console.get(f"/traces/{1:032x}"))["spans"]
    told = found["attributes"]
    assert (told["nan"], told["nul"], told["bytes"]) == ("nan", "ab", "ff00")
    assert len(told["long"]) < 5000
    assert len(told) < 200
    assert len(found["events"]) < 200


async def test_spans_of_no_time_or_without_an_id_are_dropped_and_the_others_kept(console: Console) -> None:
    week = 9 * 86_400 * 10**9
    late = span(2, start_time_unix_nano=time.time_ns() - week)
    early = span(3, start_time_unix_nano=time.time_ns() + week)
    endless = span(4, start_time_unix_nano=2**63)
    nameless = span(5)
    nameless.span_id = b"short"
    assert (await console.send(export(late, early, endless, nameless, span(6)))).status_code == 200
    await console.written(1)
    assert await console.database.fetchval("SELECT array_agg(trace_id) FROM span") == [(6).to_bytes(16, "big")]


async def test_a_service_that_sends_too_much_is_told_to_come_back_and_nothing_taken_is_lost(
    own_console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUEUE", 4 * len(export(span())))
    blocked = own_console.database.transaction()
    await blocked.start()
    await own_console.database.execute("LOCK TABLE trace IN ACCESS EXCLUSIVE MODE")
    taken = 0
    async with asyncio.timeout(20):
        while (answer := await own_console.send(export(span(taken + 1)))).status_code == 200:
            taken += 1
            await asyncio.sleep(0.05)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    await blocked.rollback()
    await own_console.written(taken)
    assert (await own_console.send(export(span(taken + 1)))).status_code == 200


async def test_what_was_taken_while_the_database_was_away_is_written_when_it_is_back(console: Console) -> None:
    await console.send(export(span(1)))
    await console.written(1)
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'console writer'"
    assert await console.database.fetch(ended)
    await console.send(export(span(2)))
    await console.written(2)


async def test_a_batch_that_the_database_refuses_keeps_out_no_other(
    own_console: Console, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "_WAIT_AT_MOST", 0.05)
    await own_console.database.execute("ALTER TABLE span ADD CONSTRAINT good CHECK (name <> 'bad')")
    await own_console.send(export(span(1, "bad")))
    await eventually(lambda: "CheckViolation" in caplog.text)  # it was tried, without what comes now
    await own_console.send(export(span(2, "good")))
    await own_console.written(1)


async def test_days_come_and_go(own_console: Console) -> None:
    async def days() -> list[str]:
        rows = await own_console.database.fetch(
            "SELECT relid::text FROM pg_partition_tree('span') WHERE isleaf ORDER BY 1"
        )
        return [row[0] for row in rows]

    relay = await asyncpg.connect(own_console.settings.relay_database_url.get_secret_value())
    # The database was copied, maybe from one of the day before.
    today: date = await relay.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date FROM telemetry_roll(7)")
    fresh = [f"span_{today + timedelta(ahead):%Y%m%d}" for ahead in range(-1, 4)]
    assert set(fresh) <= set(await days())
    for day in await days():
        if day != fresh[0]:
            await own_console.database.execute(f"DROP TABLE {day}")
    await own_console.database.execute(
        "CREATE TABLE span_20200101 PARTITION OF span FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')"
    )
    await relay.execute("SELECT telemetry_roll(7)")
    assert await days() == fresh
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await relay.execute(f"SELECT * FROM {fresh[0]}")  # noqa: S608 a test's own
    await relay.close()


async def test_whoever_reads_all_for_long_keeps_out_neither_spans_nor_other_readers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_ROLL_EVERY", 0.2)
    async with running(stage) as console:
        await console.send(export(span(1)))
        await console.written(1)
        database = await console.database.fetchval("SELECT current_database()")
        reader = await asyncpg.connect(stage.url("postgres", database))
        last = await console.database.fetchval(
            "SELECT relid::text FROM pg_partition_tree('span') WHERE isleaf ORDER BY 1 DESC LIMIT 1"
        )
        async with reader.transaction():
            await console.database.execute(f"DROP TABLE {last}")  # as at the beginning of a day
            await reader.execute("LOCK TABLE span IN ACCESS SHARE MODE")  # as pg_dump does
            await asyncio.sleep(0.5)
            await console.send(export(span(2)))
            await console.written(2)
            assert (await console.get(f"/traces/{2:032x}"))["spans"]
            assert await console.database.fetchval("SELECT to_regclass($1)", last) is None
        await reader.close()

        async def made() -> bool:
            return await console.database.fetchval("SELECT to_regclass($1)", last) is not None

        await eventually(made)


async def test_what_is_a_week_old_is_forgotten(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_ROLL_EVERY", 0.2)
    async with running(stage) as console:
        await console.send(export(span(1), span(2)))
        await console.written(2)
        await console.database.execute("UPDATE trace SET started_at = now() - interval '8 days' WHERE trace_id = $1",
                                       (1).to_bytes(16, "big"))  # fmt: skip
        await console.database.execute("UPDATE activity SET at = at - interval '8 days'")

        async def gone() -> bool:
            return await console.count("trace") == 1 and await console.count("activity") == 0

        await eventually(gone)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]], threading.Event]]:
    """Somebody to pass telemetry on to: his address, what he got, and whether he answers."""
    got: list[tuple[str, bytes]] = []
    answers = threading.Event()
    answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            answers.wait(20)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got, answers
    answers.set()
    server.shutdown()
    server.server_close()


async def test_telemetry_is_passed_on_as_it_came(
    stage: Stage, collector: tuple[str, list[tuple[str, bytes]], threading.Event]
) -> None:
    url, got, _ = collector
    async with running(stage, url + "/") as console:
        packed = gzip.compress(export(span()))
        await console.send(packed, Content_Encoding="gzip")
        await console.send(b"metrics are not read here", "metrics")
        await eventually(lambda: got == [("/v1/traces", packed), ("/v1/metrics", b"metrics are not read here")])
        await console.written(1)


async def test_a_collector_that_does_not_answer_holds_up_nobody(
    stage: Stage, collector: tuple[str, list[tuple[str, bytes]], threading.Event]
) -> None:
    url, _, answers = collector
    answers.clear()
    async with running(stage, url) as console:
        for number in range(1, 21):
            assert (await console.send(export(span(number)))).status_code == 200
        await console.written(20)
        answers.set()
    async with running(stage, f"http://127.0.0.1:{free_port()}") as console:
        assert (await console.send(export(span()))).status_code == 200
        await console.written(1)


async def test_an_address_that_is_none_is_said_again_and_again_and_holds_up_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forward, "_PAUSE", 0.0)
    monkeypatch.setattr(forward, "_SAY_EVERY", 0.0)
    async with running(stage, "http://collector:4318otlp") as console:
        for number in range(1, 4):
            assert (await console.send(export(span(number)))).status_code == 200
        await eventually(lambda: caplog.text.count("can't be passed on to http://collector:4318otlp: InvalidURL") == 3)
        await console.written(3)
    assert "Application shutdown failed" not in caplog.text


def test_a_batch_that_is_written_again_says_the_same() -> None:
    batch = Batch()
    request = otlp.parse_traces(export(span(1), span(2, kind=Span.SPAN_KIND_CLIENT)))
    for read in otlp.spans(request):
        assert read is not None
        batch.add_span(read._replace(row=read.row._replace(district=310104)))
    first = (batch.traces(), list(batch.activity()))
    assert (batch.traces(), list(batch.activity())) == first
    assert [(row[0], row[-2]) for row in first[1]] == [(0, 1), (310104, 1)]
