"""Waiting for the parts, with a time-out, and the failing part's last words when one does not come."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import httpx

from linli_cli.console import Trouble
from linli_cli.home import APPS, Home
from linli_cli.stack import database
from linli_cli.stack.logs import tail
from linli_cli.stack.supervisor import Supervisor

_SECONDS = 90
_PATIENCE = 15
"""A part that keeps ending is given up after this many seconds; one that is merely slow gets all the time."""
_LINES = 15


async def postgres(home: Home, supervisor: Supervisor) -> None:
    """Wait until the database takes statements."""

    async def check() -> bool:
        try:
            connection = await asyncpg.connect(database.superuser_url(home), timeout=5)
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        await connection.close()
        return True

    await _until(home, supervisor, {"postgres": check})


async def nats(home: Home, supervisor: Supervisor) -> None:
    """Wait until the broker and its streams are there."""
    await _until_ok(home, supervisor, {"nats": f"http://127.0.0.1:{home.monitor_port}/healthz"})


async def services(home: Home, supervisor: Supervisor) -> None:
    """Wait until every service takes requests."""
    addresses = {name: f"http://127.0.0.1:{home.service_port(name)}/readyz" for name in APPS}
    await _until_ok(home, supervisor, addresses)


async def gateway(home: Home, supervisor: Supervisor) -> None:
    """Wait until the gateway passes requests on; it answers its ping before it knows its routes."""
    await _until_ok(home, supervisor, {"gateway": f"{home.url}/directory/.well-known/jwks.json"})


async def _until_ok(home: Home, supervisor: Supervisor, addresses: dict[str, str]) -> None:
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:

        def asking(address: str) -> Callable[[], Awaitable[bool]]:
            async def check() -> bool:
                try:
                    return (await client.get(address)).is_success
                except httpx.TransportError:
                    return False

            return check

        await _until(home, supervisor, {name: asking(address) for name, address in addresses.items()})


async def _until(home: Home, supervisor: Supervisor, checks: dict[str, Callable[[], Awaitable[bool]]]) -> None:
    waiting = checks
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        answers = await asyncio.gather(*(check() for check in waiting.values()))
        waiting = {name: check for (name, check), well in zip(waiting.items(), answers, strict=True) if not well}
        if not waiting:
            return
        waited = clock() - began
        if waited > _PATIENCE:
            states = supervisor.states()
            failing = [name for name in waiting if name not in states or not states[name].up]
            if failing or waited > _SECONDS:
                raise _trouble(home, (failing or list(waiting))[0])
        await asyncio.sleep(0.1)


def _trouble(home: Home, name: str) -> Trouble:
    path = home.logs / f"{name}.log"
    words = "\n".join(tail(path, _LINES))
    return Trouble(
        f"{name} did not become ready. Its last words ({path}):\n{words}",
        f"{name} 未能就绪，日志见上。",
        hint="The rest runs on: `make logs`, `make doctor`; `make up` tries again, `make down` stops it.\n"
        "其余部分仍在运行；可用 make logs、make doctor 查看，make up 重试，make down 停止。",
    )
