import asyncio
from io import StringIO

import httpx
import pytest
from rich.console import Console

from linli.testing import Stage
from linli_cli.home import SERVICES, Home
from linli_cli.stack import database, doctor
from linli_cli.stack.supervisor import State

URL = "http://127.0.0.1:65535"


def found(home: Home) -> dict[str, doctor.Finding]:
    return {one.part: one for one in asyncio.run(doctor._examine(home))}


def test_parts_that_outlived_their_supervisor_run_and_the_supervisor_is_dead(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {name: State(name, "", "RUNNING", 1, 61) for name in SERVICES}
    monkeypatch.setattr(doctor, "abandoned", lambda _: left)
    findings = found(home)
    assert {findings[name].state for name in SERVICES} == {"running 1 min 1 s"}
    assert findings["gateway"].state == "stopped"
    assert findings["supervisor"].state.startswith("dead")
    assert "make up" in findings["supervisor"].advice


def test_a_supervisor_without_parts_was_stopped(home: Home) -> None:
    supervisor = found(home)["supervisor"]
    assert (supervisor.state, supervisor.advice) == ("stopped", "make up")


async def test_a_database_that_is_not_there_is_no_server_that_does_not_answer(
    stage: Stage, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taking_requests(*_: object) -> tuple[str, str]:
        return "running 5 s", ""

    async def advice(address: str) -> str:
        monkeypatch.setattr(database, "superuser_url", lambda *_: address)
        async with httpx.AsyncClient() as client:
            return (await doctor._service(home, client, {}, "points", {})).advice

    monkeypatch.setattr(doctor, "_app", taking_requests)
    missing = await advice(stage.url("postgres", "no_such_database"))
    empty = await advice(stage.url("postgres", "template1"))
    assert missing == empty == "Its database is not there 数据库缺失: make up"
    # Nobody listens there.
    assert "no answer" in await advice("postgresql://postgres@127.0.0.1:1/points")
    assert await advice(stage.url("postgres", await stage.fresh_database("points"))) == ""


def test_a_narrow_terminal_gets_all_of_it() -> None:
    advice = "Not ready 未就绪: database ok, broker failed; make logs ARGS=notifications"
    lag = "outbox 1234 (5 s), pending 0, dead letters 0"
    findings = [
        doctor.Finding("gateway", "3.5.0", "running 12 min 30 s", URL),
        doctor.Finding("notifications", "0.1.0", "running 12 min 30 s", lag, advice),
    ]
    screen = StringIO()
    doctor._show(findings, Console(width=80, file=screen))
    *table, told = screen.getvalue().splitlines()
    assert told == f"! notifications: {advice}"
    assert URL in table[1]
    assert set(lag.split()) < set(" ".join(table).split())
