"""Spans as JSON lines in a file, so that a trace can be drawn where no collector runs."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger(__name__)

_LARGEST: Final = 20_000_000


class FileExporter(SpanExporter):
    """Appends spans to a file of at most 20 MB, and keeps the one before; trouble with the file is said once.

    Args:
        path: the file; `.1` is put behind the name of the one before.
        service: whose spans they are.
    """

    def __init__(self, path: Path, service: str) -> None:
        self._path = path
        self._service = service
        self._troubled = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write spans; never raises."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > _LARGEST:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(self._line(span) for span in spans)
        except OSError as error:
            if not self._troubled:
                log.warning("spans can't be written to %s: %s", self._path, error)
            self._troubled = True
            return SpanExportResult.FAILURE
        self._troubled = False
        return SpanExportResult.SUCCESS

    def _line(self, span: ReadableSpan) -> str:
        line = {
            "trace_id": f"{span.context.trace_id:032x}",
            "span_id": f"{span.context.span_id:016x}",
            "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
            "name": span.name,
            "kind": span.kind.name,
            "service": self._service,
            "start": span.start_time,
            "end": span.end_time,
            "attributes": dict(span.attributes or {}),
            "status": span.status.status_code.name,
        }
        return json.dumps(line, ensure_ascii=False, default=str) + "\n"
