"""A span and a duration for each request (请求), by OpenTelemetry's conventions for HTTP servers."""

import re
import time
from http import HTTPStatus
from typing import Final

from opentelemetry import metrics
from opentelemetry.trace import SpanContext, SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linli import spans

_PROBES: Final = frozenset({"/healthz", "/readyz"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[1-9]\d{5}(\d{3}){0,2}")
"""A UUID, or a unit down to a community: the digits of smaller ones could be somebody's ID number."""
_duration: Final = metrics.get_meter("linli").create_histogram(
    "http.server.request.duration",
    "s",
    "Duration of HTTP server requests",
    explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
)


class Requests:
    """Records every request but those of probes, in a trace that its `traceparent` names or that begins with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        request = spans.begin(method, SpanKind.SERVER, cause=_cause(scope))
        try:
            with spans.at(request):
                await self._app(scope, receive, noting)
        finally:
            route = str(getattr(scope.get("route"), "path", ""))
            about = {"http.request.method": method, "url.scheme": scope["scheme"], "http.response.status_code": status}
            if route:
                about["http.route"] = route
                request.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
            _duration.record(time.perf_counter() - began, about)
            if request.is_recording():
                # What stands in an address and is no id is left out: somebody may put a phone number there.
                about["url.path"] = _path(scope["path"], route)
                if scope["query_string"]:
                    about["url.query"] = "REDACTED"
                if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    about["error.type"] = str(status)
                    spans.failed(request, HTTPStatus(status).phrase)
                request.set_attributes(about)
            request.end()


def _cause(scope: Scope) -> SpanContext:
    said = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in {b"traceparent", b"tracestate"}
    }
    return spans.cause_of(said)


def _path(path: str, route: str) -> str:
    said = zip(path.split("/"), route.split("/"), strict=False)
    return "/".join(here if here == known or _ID.fullmatch(here) else "*" for here, known in said) if route else "*"
