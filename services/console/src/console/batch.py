"""What is written at once: rows by day, and what they say of their traces and operations."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from copy import copy
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from console.models import ALL, Kind
from console.otlp import LogRow, Read, SpanRow

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

BETWEEN: Final = "\x1f"
"""Stands between names that are written as one text: ASCII's unit separator."""
BASE: Final = 1.1
"""Each class of durations is so many times as long as the one before: a quantile is right to 5 %."""
_SHORTEST: Final = 0.01
_MOST_NAMES: Final = 50
_SECOND: Final = 1_000_000_000
_MINUTE: Final = 60 * _SECOND
_COUNTED: Final = frozenset({0, Kind.INTERNAL, Kind.SERVER, Kind.CONSUMER})


def bucket_of(duration: float) -> int:
    """Give the class of a duration in milliseconds."""
    return math.ceil(math.log(max(duration, _SHORTEST) / _SHORTEST, BASE))


def duration_of(bucket: int) -> float:
    """Give the milliseconds in the middle of a class."""
    return float(_SHORTEST * BASE ** (bucket - 0.5)) if bucket else _SHORTEST


class Operation(NamedTuple):
    """What is counted together; `minute` counts from 1970."""

    district: int
    minute: int
    service: str
    operation: str
    kind: int
    bucket: int


class Batch:
    """Rows to write, and sums over them: for each district that has a part in them, and for all together."""

    def __init__(self) -> None:
        self.spans: defaultdict[date, list[SpanRow]] = defaultdict(list)
        self.logs: defaultdict[date, list[LogRow]] = defaultdict(list)
        self.size = 0
        self._traces: defaultdict[bytes, dict[int, _Trace]] = defaultdict(dict)
        self._counts: Counter[Operation] = Counter()
        self._errors: Counter[Operation] = Counter()

    def add_span(self, read: Read) -> None:
        """Take a span."""
        row = read.row
        self.spans[row.started_at.date()].append(row)
        self.size += 1
        parts = self._traces[row.trace_id]
        trace = parts.get(row.district)
        if trace is None:
            trace = parts[row.district] = _Trace(read)
        trace.add(read)
        if row.kind in _COUNTED:
            minute = read.began // _MINUTE
            operation = Operation(row.district, minute, row.service, row.name, row.kind, bucket_of(row.duration))
            self._counts[operation] += 1
            if row.error:
                self._errors[operation] += 1

    def add_log(self, row: LogRow) -> None:
        """Take a line."""
        self.logs[row.at.date()].append(row)
        self.size += 1

    def traces(self) -> list[tuple[Any, ...]]:
        """Give what is known of the traces; in one order, so that two writers never wait for each other."""
        told = []
        for trace_id, parts in self._traces.items():
            first, *others = parts.values()
            if others:
                whole = parts | {ALL: first.merged(others)}
                told += [(district, trace_id, *trace.told()) for district, trace in whole.items()]
            else:
                facts = first.told()
                told += [(district, trace_id, *facts) for district in {*parts, ALL}]
        told.sort(key=itemgetter(0, 1))
        return told

    def activity(self) -> Iterator[tuple[Any, ...]]:
        """Give the counts, in one order too."""
        counts, errors = self._counts.copy(), self._errors.copy()
        for one in self._counts:
            if one.district != ALL:
                together = one._replace(district=ALL)
                counts[together] += self._counts[one]
                errors[together] += self._errors[one]
        return ((*one, counts[one], errors[one]) for one in sorted(counts))


class _Trace:
    """What spans of one trace and district come to; times are nanoseconds."""

    def __init__(self, read: Read) -> None:
        self.started = read.began
        self.ended = read.ended
        self.began: int | None = None
        self.service = ""
        self.operation = ""
        self.spans = 0
        self.errors = 0
        self.redeliveries = 0
        self.services: set[str] = set()
        self.operations: set[str] = set()
        self.home = read.row.district
        self.place: int | None = None
        self.subject: UUID | None = None

    def add(self, read: Read) -> None:
        row = read.row
        self.spans += 1
        self.errors += row.error
        self.redeliveries += read.again
        self.started = min(self.started, read.began)
        self.ended = max(self.ended, read.ended)
        self.services.add(row.service)
        if row.kind == Kind.CLIENT:
            return
        if read.place is not None:
            self.place = max(self.place or 0, read.place)  # what lies deeper has the higher code
        self.operations.add(f"{row.service} {row.name}")
        self._begin(read.began, row.service, row.name, row.subject)

    def _begin(self, began: int, service: str, operation: str, subject: "UUID | None") -> None:
        """Take what came first for its name and its subject."""
        if self.began is None or began < self.began:
            self.began, self.service, self.operation = began, service, operation
            self.subject = subject or self.subject
        else:
            self.subject = self.subject or subject

    def merged(self, others: "list[_Trace]") -> "_Trace":
        """Give what this and others come to together."""
        whole = copy(self)
        for other in others:
            whole.spans += other.spans
            whole.errors += other.errors
            whole.redeliveries += other.redeliveries
            whole.started = min(whole.started, other.started)
            whole.ended = max(whole.ended, other.ended)
            whole.services = whole.services | other.services
            whole.operations = whole.operations | other.operations
            whole.home = whole.home or other.home
            whole.place = whole.place or other.place
            if other.began is not None:
                whole._begin(other.began, other.service, other.operation, other.subject)  # noqa: SLF001 its own class
        return whole

    def told(self) -> tuple[Any, ...]:
        return (
            self.started / _SECOND,
            self.ended / _SECOND,
            None if self.began is None else self.began / _SECOND,
            self.service,
            self.operation,
            self.spans,
            self.errors,
            self.redeliveries,
            _joined(self.services),
            _joined(self.operations),
            self.home,
            self.place,
            self.subject,
        )


def _joined(names: set[str]) -> str:
    """Write names as one text: an array of arrays would have to be as long in each."""
    return BETWEEN.join(name.replace(BETWEEN, " ") for name in sorted(names)[:_MOST_NAMES])
