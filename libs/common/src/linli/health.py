"""Is it alive, and can it take requests."""

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from linli.security import Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from linli.shards import Server

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer while the process runs."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request, response: Response) -> dict[str, str]:
    """Answer 200 when requests can be taken: a database answers and there are keys to verify tokens with.

    Of several servers one is enough: the districts of the others are answered 503, and these are not. The broker is
    not asked: without it changes wait in the outbox and nothing is refused.
    """
    engines: Mapping[Server, AsyncEngine] = request.app.state.engines
    answers = await asyncio.gather(*map(_database, engines.values()))
    names = (f"database {server}" if server else "database" for server in engines)
    keys = await _keys(request.app.state.tokens)
    ready = "ok" in answers and keys == "ok"
    response.status_code = 200 if ready else 503
    return {"status": "ready" if ready else "not ready", **dict(zip(names, answers, strict=True)), "keys": keys}


async def _database(engine: AsyncEngine) -> str:
    try:
        async with asyncio.timeout(2), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except Exception as error:  # noqa: BLE001 whatever it is, it is the answer
        return type(error).__name__
    return "ok"


async def _keys(tokens: Tokens) -> str:
    return "ok" if await tokens.ready() else "none yet"
