"""Routes of the console."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from console import live, operations, schemas, statistics
from console.access import Filters, Operator, expiry, window
from console.models import Span, Trace
from linli import units
from linli.paging import Paging
from linli.schemas import Moment, Paged
from linli.service import Router, Transaction

router = Router(prefix="/console/v1", tags=["console"])

_POINTS: Final = 2_000
_QUARTER: Final = timedelta(minutes=15)
_DAY: Final = timedelta(days=1)
TraceId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="32 hex digits (追踪编号)")]
Since = Annotated[Moment | None, Query()]


@router.get("/me")
async def me(operator: Operator, request: Request) -> schemas.Me:
    """Tell who is signed in (当前用户)."""
    return schemas.Me(
        subject=operator.id,
        roles=sorted(operator.roles),
        district=str(operator.district) if operator.district else None,
        unit=units.short(operator.unit),
        expires_at=expiry(request),
    )


@router.get("/traces")
async def list_traces(
    filters: Annotated[Filters, Depends()],
    page: Paging,
    session: Transaction,
    request: Request,
    response: Response,
) -> Paged[schemas.TraceItem]:
    """List traces, newest first (追踪列表)."""
    key = (Trace.started_at.desc(), Trace.trace_id.desc())
    rows, following = await page.of(session, filters.select(), key=key, request=request, response=response)
    return Paged(items=[operations.item(row) for row in rows], next=following)


@router.get("/traces/scatter")
async def scatter_traces(filters: Annotated[Filters, Depends()], session: Transaction) -> schemas.Scatter:
    """Give durations over time, of the newest traces (耗时散点)."""
    found = filters.select().order_by(Trace.started_at.desc()).limit(_POINTS + 1)
    rows = (
        await session.execute(
            found.with_only_columns(
                Trace.trace_id, Trace.started_at, Trace.duration, Trace.errors, Trace.service, Trace.operation
            )
        )
    ).all()
    points = [
        schemas.Point(
            trace_id=trace_id.hex(), at=at, duration=duration, error=errors > 0, service=service, operation=operation
        )
        for trace_id, at, duration, errors, service, operation in rows[:_POINTS]
    ]
    return schemas.Scatter(points=points, truncated=len(rows) > _POINTS)


@router.get("/traces/{trace_id}")
async def read_trace(trace_id: TraceId, _: Operator, session: Transaction) -> schemas.Trace:
    """Read one trace with its spans, log lines and waits (追踪详情)."""
    return await operations.read_trace(session, trace_id)


@router.get("/subjects/{subject}")
async def read_subject(
    subject: UUID,
    _: Operator,
    page: Paging,
    session: Transaction,
    request: Request,
    response: Response,
) -> schemas.Subject:
    """Tell what happened to a ticket, a booking or whatever has this id, oldest first (事件脉络)."""
    found, key = operations.happened_to(subject), (Span.started_at, Span.span_id)
    rows, following = await page.of(session, found, key=key, request=request, response=response)
    return operations.show_subject(subject, rows, following)


@router.get("/services")
async def list_services(operator: Operator, session: Transaction) -> schemas.Services:
    """List services and operations of the last 24 hours (服务与操作)."""
    return await statistics.services(session, operator.district, window(None, None, _DAY))


@router.get("/map")
async def draw_map(operator: Operator, session: Transaction, since: Since = None, until: Since = None) -> schemas.Map:
    """Draw services with rates, errors and p95; of the last 15 minutes unless told (服务地图)."""
    return await statistics.service_map(session, operator.district, window(since, until, _QUARTER))


@router.get("/operations")
async def list_operations(
    operator: Operator,
    session: Transaction,
    service: Annotated[str | None, Query(max_length=200)] = None,
    since: Since = None,
) -> schemas.Operations:
    """Set operations beside themselves at the same time yesterday; an hour unless told (操作对比)."""
    return await statistics.operations(session, operator.district, service, window(since, None))


@router.get("/operations/compare")
async def compare_operation(
    operator: Operator,
    session: Transaction,
    service: Annotated[str, Query(max_length=200)],
    operation: Annotated[str, Query(max_length=200)],
) -> schemas.Hours:
    """Set an operation's last 24 hours beside the 24 before, by hour (与昨日对比)."""
    return await statistics.compare(session, operator.district, service, operation, datetime.now(UTC))


@router.get(
    "/live",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def watch_traces(filters: Annotated[Filters, Depends()], request: Request) -> StreamingResponse:
    """Watch traces come in: `trace` events, again when a trace has grown; connect again when it ends (实时)."""
    return live.stream(request, filters)
