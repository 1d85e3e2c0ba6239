"""Takes what the services of two versions tell of their work, in place of a console."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


class Sink:
    """Spans by version and service."""

    def __init__(self) -> None:
        self.spans: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self.url = ""

    def take(self, version: str, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            self.spans[version, told["service.name"]] += [
                {
                    "trace_id": span.trace_id.hex(),
                    "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    "status": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                }
                for scope in resource.scope_spans
                for span in scope.spans
            ]


@contextmanager
def listening() -> Iterator[Sink]:
    """Listen at `<url>/<version>/v1/traces`."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _, version, _, signal = self.path.split("/")
            if signal == "traces":
                sink.take(version, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
