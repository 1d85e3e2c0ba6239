"""What goes out over HTTP; durations are milliseconds, times are UTC."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from linli.schemas import Out


class TraceItem(Out):
    """A trace in a list: how it began, and what came of it."""

    trace_id: str
    service: str
    operation: str
    started_at: datetime
    duration: float
    spans: int
    errors: int
    services: list[str]
    district: str | None
    unit: str | None
    subject: UUID | None
    redeliveries: int


class Point(Out):
    """A trace in a picture of durations."""

    trace_id: str
    at: datetime
    duration: float
    error: bool
    service: str
    operation: str


class Scatter(Out):
    """Durations over time; `truncated` when there are more, older ones."""

    points: list[Point]
    truncated: bool


class SpanEvent(Out):
    """Something that happened during a span."""

    name: str
    at: datetime
    attributes: dict[str, Any]


class Span(Out):
    """A piece of work of one service; `offset` counts from the trace's start."""

    span_id: str
    parent_id: str | None
    service: str
    instance: str
    name: str
    kind: str
    started_at: datetime
    offset: float
    duration: float
    error: bool
    status_message: str | None
    attributes: dict[str, Any]
    events: list[SpanEvent]


class Log(Out):
    """A line that a service wrote during the trace."""

    at: datetime
    service: str
    level: str
    logger: str
    message: str
    span_id: str | None
    attributes: dict[str, Any]


class Wait(Out):
    """Time in which nobody worked: an event lay in the outbox, or a message in the stream."""

    kind: Literal["outbox", "stream"]
    from_span: str
    to_span: str
    offset: float
    duration: float


class Redelivery(Out):
    """A message that came again; `delivery` says for which time."""

    span_id: str
    delivery: int


class Trace(Out):
    """A whole trace; `truncated` when it has more spans or lines than are shown."""

    trace_id: str
    started_at: datetime
    duration: float
    services: list[str]
    spans: list[Span]
    logs: list[Log]
    waits: list[Wait]
    redeliveries: list[Redelivery]
    truncated: bool


class Happening(Out):
    """Something that happened to a ticket, a booking or whatever it is."""

    at: datetime
    trace_id: str
    span_id: str
    parent_id: str | None
    kind: Literal["request", "event", "effect", "error"]
    service: str
    what: str
    duration: float
    error: bool
    delivery: int | None


class Subject(Out):
    """Everything that happened to one thing, oldest first."""

    subject: UUID
    kind: str | None
    district: str | None
    items: list[Happening]
    next: str | None


class Service(Out):
    """A service, with what it did of late."""

    service: str
    operations: list[str]
    last_seen: datetime


class Services(Out):
    """What can be looked for."""

    items: list[Service]


class Node(Out):
    """A service on the map: calls and failed calls a second."""

    service: str
    rate: float
    errors: float
    p95: float | None


class Edge(Out):
    """Who calls whom, or hears from whom."""

    from_: str = Field(alias="from")
    to: str
    kind: Literal["http", "event"]
    rate: float
    errors: float
    p95: float | None


class Map(Out):
    """The services as they work together (服务地图)."""

    nodes: list[Node]
    edges: list[Edge]


class Operation(Out):
    """An operation beside itself a day ago."""

    service: str
    operation: str
    count: int
    errors: int
    p50: float
    p95: float
    yesterday_p50: float | None
    yesterday_p95: float | None


class Operations(Out):
    """Operations, the busiest first."""

    items: list[Operation]


class Hour(Out):
    """An hour beside itself a day ago."""

    at: datetime
    count: int
    p50: float | None
    p95: float | None
    yesterday_p50: float | None
    yesterday_p95: float | None


class Hours(Out):
    """The last 24 hours."""

    hours: list[Hour]


class Me(Out):
    """Who is signed in, and until when."""

    subject: UUID
    roles: list[str]
    district: str | None
    unit: str
    expires_at: datetime
