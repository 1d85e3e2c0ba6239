"""A span for every SQL statement (语句): what was asked of which table, never with its parameters.

Written for what it costs, which is paid several times a request: docs/decisions/0008-spans-that-cost-less.md
"""

import re
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext

from linli.db import SET_SCOPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AttributeValue

tracer = trace.get_tracer(__name__)

_KNOWN: Final = 1000
"""Statements whose summary is remembered; a service has some hundred."""
_TARGET: Final = re.compile(r"\b(?:INTO|UPDATE|FROM)\s+([a-z_]+)", re.IGNORECASE)


class Statements:
    """Gives an engine's statements their spans, within work that is traced."""

    def __init__(self, engine: Engine) -> None:
        url = engine.url
        self._about: Mapping[str, AttributeValue] = {
            "db.system.name": "postgresql",
            "db.namespace": url.database or "",
            "server.address": url.host or "",
        }
        self._known: dict[str, tuple[str, Mapping[str, AttributeValue]]] = {}
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)
        event.listen(engine, "handle_error", self._fail)

    def _begin(self, *given: Any) -> None:  # noqa: ANN401 SQLAlchemy calls it so
        statement: str = given[2]
        context: ExecutionContext = given[4]
        # Whose seeing a transaction takes is part of every one, and tells nothing.
        if statement is SET_SCOPE or not trace.get_current_span().is_recording():
            return
        name, attributes = self._known.get(statement) or self._describe(statement)
        context._linli_span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)  # type: ignore[attr-defined]  # noqa: SLF001 ours

    def _describe(self, statement: str) -> tuple[str, "Mapping[str, AttributeValue]"]:
        operation = statement.split(None, 1)[0].upper()
        target = _TARGET.search(statement)
        name = f"{operation} {target[1]}" if target else operation
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[statement] = name, {**self._about, "db.operation.name": operation, "db.query.text": statement}
        return self._known[statement]

    def _end(self, *given: Any) -> None:  # noqa: ANN401 as above
        span = _span(given[4])
        if span:
            span.end()

    def _fail(self, context: ExceptionContext) -> None:
        span = _span(context.execution_context)
        if span:
            # Its words may quote what residents said; its name does not.
            span.set_status(Status(StatusCode.ERROR, type(context.original_exception).__name__))
            span.end()


def _span(context: ExecutionContext | None) -> Span | None:
    return getattr(context, "_linli_span", None)
