"""What is written at once: rows by day, and what they say of their traces and operations."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from console.models import ALL, Kind
from console.otlp import LogRow, Read, SpanRow

if TYPE_CHECKING:
    from uuid import UUID

BASE: Final = 1.1
"""Each class of durations is so many times as long as the one before: a quantile is right to 5 %."""
_SHORTEST: Final = 0.01
_MOST_NAMES: Final = 50
_COUNTED: Final = frozenset({0, Kind.INTERNAL, Kind.SERVER, Kind.CONSUMER})


def bucket_of(duration: float) -> int:
    """Give the class of a duration in milliseconds."""
    return math.ceil(math.log(max(duration, _SHORTEST) / _SHORTEST, BASE))


def duration_of(bucket: int) -> float:
    """Give the milliseconds in the middle of a class."""
    return float(_SHORTEST * BASE ** (bucket - 0.5)) if bucket else _SHORTEST


class Operation(NamedTuple):
    """What is counted together."""

    district: int
    at: datetime
    service: str
    operation: str
    kind: int
    bucket: int


class Batch:
    """Rows to write, and sums over them."""

    def __init__(self) -> None:
        self.spans: defaultdict[date, list[SpanRow]] = defaultdict(list)
        self.logs: defaultdict[date, list[LogRow]] = defaultdict(list)
        self._traces: dict[tuple[int, bytes], _Trace] = {}
        self._activity: defaultdict[Operation, list[int]] = defaultdict(lambda: [0, 0])
        self.size = 0

    def add_span(self, read: Read) -> None:
        """Take a span."""
        row = read.row
        self.spans[row.started_at.date()].append(row)
        self.size += 1
        for district in (ALL, row.district) if row.district else (ALL,):
            key = district, row.trace_id
            trace = self._traces.get(key)
            if trace is None:
                trace = self._traces[key] = _Trace(row.started_at)
            trace.add(read)
            if row.kind in _COUNTED:
                minute = row.started_at.replace(second=0, microsecond=0)
                bucket = bucket_of(row.duration)
                sums = self._activity[Operation(district, minute, row.service, row.name, row.kind, bucket)]
                sums[0] += 1
                sums[1] += row.error

    def add_log(self, row: LogRow) -> None:
        """Take a line."""
        self.logs[row.at.date()].append(row)
        self.size += 1

    def traces(self) -> str:
        """Give what is known of the traces, as JSON; in one order, so that two writers never wait for each other."""
        return json.dumps(
            [
                {"district": district, "trace_id": f"\\x{trace_id.hex()}", **trace.told()}
                for (district, trace_id), trace in sorted(self._traces.items())
            ],
            ensure_ascii=False,
        )

    def activity(self) -> Iterator[tuple[Any, ...]]:
        """Give the counts, in one order too."""
        return ((*key, *sums) for key, sums in sorted(self._activity.items()))


class _Trace:
    """What a batch's spans of one trace and district come to."""

    __slots__ = (
        "began_at", "ended", "errors", "home", "operation", "operations",
        "place", "redeliveries", "service", "services", "spans", "started_at", "subject",
    )  # fmt: skip

    def __init__(self, started_at: datetime) -> None:
        self.started_at = started_at
        self.ended = started_at.timestamp()
        self.began_at: datetime | None = None
        self.service = ""
        self.operation = ""
        self.spans = 0
        self.errors = 0
        self.redeliveries = 0
        self.services: set[str] = set()
        self.operations: set[str] = set()
        self.home = 0
        self.place: int | None = None
        self.subject: UUID | None = None

    def add(self, read: Read) -> None:
        row = read.row
        self.spans += 1
        self.errors += row.error
        self.redeliveries += read.delivery > 1
        self.started_at = min(self.started_at, row.started_at)
        self.ended = max(self.ended, row.started_at.timestamp() + row.duration / 1000)
        self.services.add(row.service)
        self.home = self.home or row.district
        if read.place is not None:
            self.place = max(self.place or 0, read.place)  # what lies deeper has the higher code
        if row.kind == Kind.CLIENT:
            return
        self.operations.add(f"{row.service} {row.name}")
        if self.began_at is None or row.started_at < self.began_at:
            self.began_at, self.service, self.operation = row.started_at, row.service, row.name
            self.subject = row.subject or self.subject
        else:
            self.subject = self.subject or row.subject

    def told(self) -> dict[str, Any]:
        return {
            "started_at": self.started_at.isoformat(),
            "ended": self.ended,
            "began_at": self.began_at and self.began_at.isoformat(),
            "service": self.service,
            "operation": self.operation,
            "spans": self.spans,
            "errors": self.errors,
            "redeliveries": self.redeliveries,
            "services": sorted(self.services)[:_MOST_NAMES],
            "operations": sorted(self.operations)[:_MOST_NAMES],
            "home": self.home,
            "place": self.place,
            "subject": self.subject and str(self.subject),
        }
