"""The baseline of `http.ticket_create`: FastAPI and asyncpg, one row inserted and committed, and nothing else."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
from fastapi import FastAPI
from pydantic import BaseModel

CREATE = """
    CREATE TABLE bare (
        id uuid PRIMARY KEY, unit bigint NOT NULL, title text NOT NULL, description text NOT NULL,
        category text NOT NULL, state text NOT NULL, opened_at timestamptz NOT NULL DEFAULT now()
    )"""
_INSERT = "INSERT INTO bare (id, unit, title, description, category, state) VALUES ($1, $2, $3, $4, $5, 'open')"


class Report(BaseModel):
    """What is reported."""

    unit: str
    title: str
    description: str
    category: str = "other"


class Reported(Report):
    """What was kept."""

    id: UUID


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["BENCH_DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/reports", status_code=201)
async def report(body: Report) -> Reported:
    """Keep a report."""
    found = Reported(id=uuid4(), **body.model_dump())
    async with app.state.pool.acquire() as connection:
        await connection.execute(_INSERT, found.id, int(body.unit), body.title, body.description, body.category)
    return found
