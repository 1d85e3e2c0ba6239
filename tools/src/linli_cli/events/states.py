"""States of the directory (单元、楼栋、任职): the last of each, which its tables know and its log may know no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import unquote

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from linli.db import async_url
from linli.events import Event
from linli.outbox import publish_many
from linli_cli.archive.stores import Stores
from linli_cli.events.stream import headers

STREAM: Final = "DIRECTORY_STATE"
_DISTRICTS: Final = text("SELECT DISTINCT district FROM unit WHERE district > 0 ORDER BY 1")
_WAITING: Final = text("SELECT EXISTS (SELECT FROM outbox WHERE district = :district AND created_at <= :before)")
_GOES_OUT_WITHIN: Final = 5.0
_AT_ONCE: Final = 1_000


async def untold(stores: Stores, js: JetStreamContext, district: int | None) -> AsyncIterator[tuple[int, list[Event]]]:
    """Count states, and give those that the stream does not have, or has older, one district after the other."""
    async with _directory(stores) as session:
        districts = [district] if district else list(await session.scalars(_DISTRICTS))
        await session.rollback()
        for one in districts:
            yield await _untold(session, js, one)


async def _untold(session: AsyncSession, js: JetStreamContext, district: int) -> tuple[int, list[Event]]:
    from directory.states import all_states  # noqa: PLC0415 slow to load

    now = await session.scalar(text("SELECT now()"))
    states = [state async for some in all_states(session, district) for state in some]
    await session.rollback()
    # What was changed a moment ago goes out first: it is on its way, not lost.
    for _ in range(int(_GOES_OUT_WITHIN * 10)):
        waiting = await session.scalar(_WAITING, {"district": district, "before": now})
        await session.rollback()
        if not waiting:
            break
        await asyncio.sleep(0.1)
    streamed = {
        message.subject: _sequence(message) async for message in headers(js, STREAM, f"linli.directory.{district}.>")
    }
    return len(states), [state for state in states if streamed.get(state.subject, 0) < state.sequence]


def _sequence(message: Msg) -> int:
    """Read which of its states a message tells; 0 of one that is none, which is older than any."""
    try:
        return int(unquote((message.headers or {})["ce-sequence"]))
    except (KeyError, ValueError):
        return 0


async def tell(stores: Stores, states: list[Event]) -> None:
    """Put states into the directory's outbox again; copies that know them stay as they are."""
    async with _directory(stores) as session:
        for first in range(0, len(states), _AT_ONCE):
            async with session.begin():
                await publish_many(session, states[first : first + _AT_ONCE])


@asynccontextmanager
async def _directory(stores: Stores) -> AsyncIterator[AsyncSession]:
    engine = create_async_engine(async_url(stores.url("directory", 0)))
    try:
        async with AsyncSession(engine) as session:
            yield session
    finally:
        await engine.dispose()
