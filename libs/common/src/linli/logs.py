"""Log lines (日志): JSON on stdout with the trace they belong to, and to where the spans go."""

import logging
import sys
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry._logs import LoggerProvider, SeverityNumber
from opentelemetry.sdk.trace import ReadableSpan
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

_RESERVED: Final = frozenset({*RESERVED_ATTRS, "color_message"})  # uvicorn repeats each line with colours
_SEVERITY: Final = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}


def log_as_json(service: str, level: str) -> None:
    """Write log lines to stdout as JSON, with the trace they belong to."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Formatter(service))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # A line per request says less than its span, and would name what was searched for.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("httpx").setLevel(logging.WARNING)


class Formatter(JsonFormatter):
    """One object a line."""

    def __init__(self, service: str) -> None:
        super().__init__(
            "{levelname}{name}{message}",
            style="{",
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"service": service},
            reserved_attrs=list(_RESERVED),
            json_ensure_ascii=False,
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the trace."""
        super().add_fields(log_data, record, message_dict)
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            log_data |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


class OtlpHandler(logging.Handler):
    """Passes lines on as OTLP; what an exception says in its own words stays behind, as it may quote residents.

    Args:
        provider: queues them, and drops what it has no room for.
    """

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what the exporters say themselves: while nobody takes lines, each would make another."""
        return not record.name.startswith(("opentelemetry", "urllib3", "requests"))

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; never raises."""
        try:
            told = {name: str(value) for name, value in vars(record).items() if name not in _RESERVED}
            span = trace.get_current_span()
            district = (span.attributes or {}).get("linli.district") if isinstance(span, ReadableSpan) else None
            if record.exc_info and record.exc_info[0]:
                told["exception.type"] = record.exc_info[0].__name__
            self._provider.get_logger(record.name).emit(
                timestamp=int(record.created * 1e9),
                context=context.get_current(),
                severity_number=_SEVERITY.get(record.levelno, SeverityNumber.UNSPECIFIED),
                severity_text=record.levelname,
                body=record.getMessage(),
                attributes=told if district is None else {**told, "linli.district": district},
            )
        except Exception:  # noqa: BLE001 as logging's own handlers do
            self.handleError(record)
