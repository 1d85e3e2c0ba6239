"""Alerts and dashboards ask for what services really say, under the names that it gets on the way."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from tests.deploy.watching import ALERTS, dashboards, rules

from linli.testing import Stage, eventually, free_port, fresh_streams
from tickets.subscribers import subscriptions

Labels = dict[str, set[str]]
"""Of each metric."""

_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "1": "ratio", "": ""}
_OF_PROMETHEUS = {"ALERTS": {"alertname", "alertstate", "severity", "service_name", "consumer", "clock"}}
_OF_THE_DIRECTORY = {"linli_signins_failed_total": {"district", "reason"}}
"""What it alone sends; its own tests see it say so (services/directory/tests/test_attempts.py)."""
_ELSEWHERE = _OF_PROMETHEUS | _OF_THE_DIRECTORY


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def translated(request: ExportMetricsServiceRequest) -> Iterator[tuple[str, set[str]]]:
    """Give names and labels as OpenTelemetry's specification has them in Prometheus, with a resource's attributes.

    https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
    """
    for of_resource in request.resource_metrics:
        common = {_plain(attribute.key) for attribute in of_resource.resource.attributes} | {"job", "instance"}
        for metric in (metric for scope in of_resource.scope_metrics for metric in scope.metrics):
            kind = metric.WhichOneof("data")
            data: Any = getattr(metric, str(kind))
            unit = _UNITS[re.sub(r"\{.*\}", "", metric.unit)]
            name = _plain(metric.name)
            if unit and (unit != "ratio" or kind == "gauge") and not name.endswith(unit):
                name += f"_{unit}"
            if kind == "sum" and data.is_monotonic:
                name += "_total"
            for point in data.data_points:
                labels = common | {_plain(attribute.key) for attribute in point.attributes}
                if kind == "histogram":
                    yield f"{name}_bucket", labels | {"le"}
                    yield f"{name}_sum", labels
                    yield f"{name}_count", labels
                else:
                    yield name, labels


class Collector:
    """Stands in for the collector: takes metrics as services send them."""

    def __init__(self) -> None:
        self.metrics: Labels = defaultdict(set)
        found = self.metrics

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/metrics":
                    for name, labels in translated(ExportMetricsServiceRequest.FromString(body)):
                        found[name] |= labels
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
async def metrics(stage: Stage) -> Labels:
    """What a service that has clocks and consumers sends; the chassis sends it for all."""
    client = await nats.connect(stage.server.url)
    await fresh_streams(client.jetstream(), [subscriptions])
    await client.close()
    settings = stage.settings("tickets", await stage.fresh_database("tickets"))
    collector, port = Collector(), free_port()
    told = {
        "LINLI_DATABASE_URL": settings.database_url.get_secret_value(),
        "LINLI_RELAY_DATABASE_URL": settings.relay_database_url.get_secret_value(),
        "LINLI_NATS_URL": settings.nats_url.get_secret_value(),
        "LINLI_MASTER_KEY": settings.master_key.get_secret_value(),
        "LINLI_JWKS_URL": settings.jwks_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }
    command = [sys.executable, "-m", "uvicorn", "tickets.app:create_app", "--factory", "--port", str(port)]
    process = subprocess.Popen(  # noqa: ASYNC220 it returns at once
        command, env={**os.environ, **told}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client_of_service:

            async def asked() -> bool:
                try:
                    return (await client_of_service.get("/tickets/v1/tickets")).status_code == 401
                except httpx.TransportError:
                    return False

            await eventually(asked, within=90)
        await eventually(lambda: _wanted() <= collector.metrics.keys() | _ELSEWHERE.keys(), within=60)
    except AssertionError:
        missing = _wanted() - collector.metrics.keys() - _ELSEWHERE.keys()
        pytest.fail(f"nobody sends {sorted(missing)}; sent are {sorted(collector.metrics)}")
    finally:
        process.kill()
        process.wait(10)
        collector.close()
    return {**collector.metrics, **_ELSEWHERE}


def expressions() -> Iterator[tuple[str, str]]:
    """Give every expression with where it stands."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]


def named(expression: str) -> set[str]:
    """Name the metrics that an expression asks for."""
    without_strings = re.sub(r'"[^"]*"', "", expression)
    without_labels = re.sub(r"\b(by|on|without)\s*\([^)]*\)|\{[^}]*\}|\[[^\]]*\]", "", without_strings)
    return {word for word in re.findall(r"[A-Za-z_]\w*(?!\w*\s*\()", without_labels) if "_" in word or word.isupper()}


def asked_labels(expression: str) -> set[str]:
    """Name the labels by which an expression chooses or groups."""
    grouped = {label.strip() for group in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in group.split(",")}
    return grouped | set(re.findall(r'(\w+)\s*=~?\s*"', expression))


def _wanted() -> set[str]:
    return {name for _, expression in expressions() for name in named(expression)}


def test_names_and_labels_are_read_from_expressions() -> None:
    expression = (
        'sum by (a, le) (rate(x_total{b=~"c_d"}[$__rate_interval])) and histogram_quantile(0.9, http_y_bucket) > 1'
    )
    assert named(expression) == {"x_total", "http_y_bucket"}
    assert asked_labels(expression) == {"a", "le", "b"}


def test_all_that_is_asked_for_is_sent_with_its_labels(metrics: Mapping[str, set[str]]) -> None:
    for where, expression in expressions():
        for name in named(expression) & metrics.keys():
            asked = asked_labels(expression) - (set() if name.endswith("_bucket") else {"le"})
            assert asked <= metrics[name], f"{where}: {name} has no {asked - metrics[name]}"


def test_what_people_read_is_filled_in(metrics: Mapping[str, set[str]]) -> None:
    for rule in rules():
        filled = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert filled <= asked_labels(rule["expr"]), rule["alert"]
    for dashboard in dashboards().values():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                shown = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
                assert shown <= asked_labels(target["expr"]), panel["title"]
    assert metrics


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, of Prometheus, is not on the PATH")
    for verb, file in (("check", ALERTS), ("test", Path(__file__).with_name("alerts_test.yml"))):
        command = [promtool, verb, "rules", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
