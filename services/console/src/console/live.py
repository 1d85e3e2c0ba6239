"""New traces as they come in: server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from fastapi import Request
from fastapi.responses import StreamingResponse

from console.access import Filters, expiry
from console.models import Trace
from console.operations import item
from linli.db import Sessions, transaction
from linli.problems import TooManyRequests

STREAMS: Final = 50
_LOOK_EVERY: Final = 0.5
_BACK: Final = timedelta(minutes=1)
"""How far back it looks: a slow trace is not known before it ends."""
_AT_ONCE: Final = 200
_HEARTBEAT: Final = 10.0
LASTS: Final = 50.0
"""Seconds; less than the 60 after which the gateway ends any answer, so that a stream ends whole."""


class TooManyStreams(TooManyRequests):
    """{streams} operators are watching already. Try again in a moment, or read the list."""

    title_zh = "实时查看人数过多"
    detail_zh = "已有 {streams} 个实时连接，请稍后重试，或使用列表。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "10"}


def stream(request: Request, filters: Filters) -> StreamingResponse:
    """Open a stream.

    Raises:
        TooManyStreams: 429.
    """
    if request.app.state.streams >= STREAMS:
        raise TooManyStreams(streams=STREAMS)
    request.app.state.streams += 1
    answer = StreamingResponse(_events(request, filters, expiry(request)), media_type="text/event-stream")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


async def _events(request: Request, filters: Filters, expires_at: datetime) -> AsyncIterator[str]:
    sessions: Sessions = request.app.state.sessions
    sent: dict[bytes, int] = {}
    clock = asyncio.get_running_loop().time
    began = spoke = clock()
    try:
        yield ": welcome\n\n"
        while clock() - began < LASTS and datetime.now(UTC) < expires_at:
            statement = filters.select(_BACK).order_by(Trace.started_at.desc()).limit(_AT_ONCE)
            async with transaction(sessions, filters.operator.scope) as session:
                rows = (await session.scalars(statement)).all()
            for row in reversed(rows):
                if sent.get(row.trace_id) != row.spans:
                    yield f"event: trace\ndata: {json.dumps(item(row).model_dump(mode='json'), ensure_ascii=False)}\n\n"
                    spoke = clock()
            sent = {row.trace_id: row.spans for row in rows}
            if clock() - spoke >= _HEARTBEAT:
                yield ": still here\n\n"
                spoke = clock()
            await asyncio.sleep(_LOOK_EVERY)
    finally:
        request.app.state.streams -= 1
