"""A span for every SQL statement (语句): what was asked of which table, never with its parameters.

Written for what it costs, which is paid several times a request: docs/decisions/0008-spans-that-cost-less.md
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext

from linli import spans

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AttributeValue

_SHOWN: Final = 500
"""Characters of a statement that its span shows."""
_TARGET: Final = re.compile(r"\b(?:INTO|UPDATE|FROM)\s+([a-z_]+)", re.IGNORECASE)
_CHANGE: Final = re.compile(r"\b(INSERT|UPDATE|DELETE)\b(?:\s+(?:INTO|FROM))?\s+([a-z_]+)")


@lru_cache(maxsize=1000)
def _described(statement: str) -> tuple[str, "Mapping[str, AttributeValue]"]:
    """Name a statement by what it does to which table: of one with several parts the first that changes something."""
    operation = statement.split(None, 1)[0].upper()
    target = _TARGET.search(statement)
    name = f"{operation} {target[1]}" if target else operation
    if operation == "WITH" and (change := _CHANGE.search(statement)):
        operation, name = change[1], f"{change[1]} {change[2]}"
    return name, {
        "db.system.name": "postgresql",
        "db.operation.name": operation,
        "db.query.text": statement if len(statement) <= _SHOWN else statement[:_SHOWN] + " ...",
    }


def begin_span(
    statement: str, about: "Mapping[str, AttributeValue] | None" = None, since: int | None = None
) -> Span | None:
    """Begin the span of a statement, now or `since`; None outside of traced work."""
    if not trace.get_current_span().is_recording():
        return None
    name, attributes = _described(statement)
    return spans.begin(name, SpanKind.CLIENT, {**attributes, **about} if about else dict(attributes), since=since)


class Statements:
    """Gives an engine's statements their spans, within work that is traced."""

    def __init__(self, engine: Engine) -> None:
        url = engine.url
        self._about = {"db.namespace": url.database or "", "server.address": url.host or ""}
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)
        event.listen(engine, "handle_error", self._fail)

    def _begin(self, *given: Any) -> None:  # noqa: ANN401 SQLAlchemy calls it so
        context: ExecutionContext = given[4]
        context._linli_span = begin_span(given[2], self._about)  # type: ignore[attr-defined]  # noqa: SLF001 ours

    def _end(self, *given: Any) -> None:  # noqa: ANN401 as above
        span = _span(given[4])
        if span:
            span.end()

    def _fail(self, context: ExceptionContext) -> None:
        span = _span(context.execution_context)
        if span:
            # Its words may quote what residents said; its name does not.
            spans.failed(span, type(context.original_exception).__name__)
            span.end()


def _span(context: ExecutionContext | None) -> Span | None:
    return getattr(context, "_linli_span", None)
