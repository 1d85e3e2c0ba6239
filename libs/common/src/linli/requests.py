"""A span and a duration for each request (请求), by OpenTelemetry's conventions for HTTP servers."""

import re
import time
from http import HTTPStatus
from typing import Final

from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanContext, SpanKind, set_span_in_context
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linli import spans
from linli.durations import Durations

_PROBES: Final = frozenset({"/healthz", "/readyz"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[1-9]\d{5}(\d{3}){0,2}")
"""A UUID, or a unit down to a community: the digits of smaller ones could be somebody's ID number."""
_ABOUT: Final = ("http.request.method", "url.scheme", "http.response.status_code", "http.route")
duration: Final = Durations(
    "http.server.request.duration",
    "Duration of HTTP server requests",
    _ABOUT,
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
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
        above = attach(set_span_in_context(request))
        try:
            await self._app(scope, receive, noting)
        finally:
            detach(above)
            route = str(getattr(scope.get("route"), "path", ""))
            said = (method, scope["scheme"], status, route)
            duration.record(time.perf_counter() - began, *said)
            if request.is_recording():
                about = dict(zip(_ABOUT, said, strict=True))
                if route:
                    request.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
                else:
                    del about["http.route"]
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
    if path == route:
        return path
    said = zip(path.split("/"), route.split("/"), strict=False)
    return "/".join(here if here == known or _ID.fullmatch(here) else "*" for here, known in said) if route else "*"
