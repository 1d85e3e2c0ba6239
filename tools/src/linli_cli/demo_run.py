"""One run of the demo: what makes it safe to interrupt, repeat and go on with."""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import httpx
import jwt

from linli_cli.api import Api, ApiProblem, Login
from linli_cli.console import Trouble, err
from linli_cli.home import Home

_LASTS: Final = timedelta(hours=12)
"""How long a run may be gone on with: less than the day for which the platform knows its Idempotency-Keys."""
_PATIENCE: Final = 30.0
"""Seconds one service may take to hear from another of what was just made."""
_UNHEARD: Final = (":unknown-unit", ":nobody-there")
_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Run:
    """A run, known by an id that all its keys and traces are made from."""

    id: UUID
    seed: int
    tickets: int
    began: datetime
    path: Path

    @classmethod
    def begin(cls, home: Home, seed: int, tickets: int) -> "Run":
        """Go on with the run that was interrupted, or begin a new one."""
        path = home.run / "demo.json"
        try:
            kept = json.loads(path.read_text())
            found = cls(UUID(kept["id"]), kept["seed"], kept["tickets"], datetime.fromisoformat(kept["began"]), path)
        except (OSError, ValueError, KeyError):
            found = None
        if found and (found.seed, found.tickets) == (seed, tickets) and datetime.now(UTC) - found.began < _LASTS:
            err.print("Going on with the day that was interrupted  [dim]继续上次未完成的演示[/]")
            return found
        run = cls(uuid4(), seed, tickets, datetime.now(UTC), path)
        kept = {"id": str(run.id), "seed": seed, "tickets": tickets, "began": run.began.isoformat()}
        path.write_text(json.dumps(kept))
        return run

    def end(self) -> None:
        """Let the next run be a new one."""
        self.path.unlink(missing_ok=True)

    def key(self, *parts: object) -> str:
        """Name a step: its Idempotency-Key, the same each time the step is tried."""
        return str(uuid5(self.id, "/".join(map(str, parts))))

    def trace(self, *parts: object) -> str:
        """Give the id of the trace in which a ticket's whole way is recorded."""
        return uuid5(self.id, "/".join(("trace", *map(str, parts)))).hex


@dataclass(frozen=True)
class Actor:
    """Somebody who takes part, calling the platform in his own name."""

    id: str
    api: Api

    @classmethod
    async def enter(cls, api: Api, login: Login) -> "Actor":
        """Sign in; the token says who it is."""
        claims = jwt.decode(await login(), options={"verify_signature": False})
        return cls(claims["sub"], api.by(login))

    async def post(
        self, path: str, body: object = None, *, key: str, trace: str | None = None, etag: str | None = None
    ) -> httpx.Response:
        """Do something once, however often it has to be tried; waits for what other services have not heard of yet.

        Args:
            path: from the gateway's root.
            body: what becomes JSON.
            key: its Idempotency-Key.
            trace: the trace it belongs to.
            etag: what it changes, as it was read.

        Raises:
            ApiProblem: when it is refused.
        """
        headers = {"Idempotency-Key": key}
        if trace:
            headers["traceparent"] = f"00-{trace}-{secrets.token_hex(8)}-01"
        if etag:
            headers["If-Match"] = etag
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return await self.api.request("POST", path, json=body, headers=headers)
            except ApiProblem as problem:
                unheard = str(problem.body.get("type", "")).endswith(_UNHEARD)
                if not unheard or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.2)

    async def items(self, path: str, **params: str | int) -> list[dict[str, Any]]:
        """Read the first 200 rows of a list."""
        found: list[dict[str, Any]] = (await self.api.get(path, limit=200, **params)).json()["items"]
        return found


async def together(jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run jobs, a few at a time; the first that fails ends all.

    Raises:
        Trouble: of the job that failed.
    """
    waiting = iter(jobs)

    async def lane() -> None:
        for job in waiting:
            await job()

    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(_AT_ONCE):
                lanes.create_task(lane())
    except ExceptionGroup as group:  # early releases of Python 3.11 wrap again what is raised under `except*`
        troubles, others = group.split(Trouble)
        if troubles is None or others is not None:
            raise
        raise troubles.exceptions[0] from None
