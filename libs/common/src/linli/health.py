"""Is it alive, and can it take requests."""

import asyncio

from fastapi import APIRouter, Request, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from linli.security import Tokens

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer while the process runs."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request, response: Response) -> dict[str, str]:
    """Answer 200 when requests can be taken: the database answers and there are keys to verify tokens with.

    The broker is not asked: without it changes wait in the outbox and nothing is refused.
    """
    state = request.app.state
    parts = {"database": await _database(state.engine), "keys": await _keys(state.tokens)}
    ready = set(parts.values()) == {"ok"}
    response.status_code = 200 if ready else 503
    return {"status": "ready" if ready else "not ready", **parts}


async def _database(engine: AsyncEngine) -> str:
    try:
        async with asyncio.timeout(2), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except Exception as error:  # noqa: BLE001 whatever it is, it is the answer
        return type(error).__name__
    return "ok"


async def _keys(tokens: Tokens) -> str:
    return "ok" if await tokens.ready() else "none yet"
