"""`linli events dead` and its like, where a service or a message is not as it should be."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner, Result

from linli_cli.api import Api
from linli_cli.console import Trouble
from linli_cli.events import letters
from linli_cli.home import SERVICES
from linli_cli.main import app

BRACKETS = "[/red] [bold red]"
LETTER: dict[str, Any] = {
    "id": str(uuid4()),
    "district": 310104,
    "subject": "linli.tickets.310104.opened.v1",
    "died_at": "2026-05-01T08:00:00Z",
    "error": f"Unreadable: no contract is known for ce-type '{BRACKETS}'",
    "replayed_at": None,
    "discarded_at": None,
}


def linli(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["events", *arguments], env={"COLUMNS": "300"})


@pytest.mark.usefixtures("home")
def test_what_messages_say_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    async def listed(*_: object, **__: object) -> tuple[list[letters.Letter], dict[str, Trouble]]:
        return [letters.Letter("points", LETTER)], {}

    async def settle(*_: object) -> str:
        return BRACKETS

    monkeypatch.setattr(letters, "listed", listed)
    monkeypatch.setattr(letters, "settle", settle)
    dead = linli("dead")
    assert (dead.exit_code, BRACKETS in dead.output) == (0, True), dead.output
    replayed = linli("replay-dead", "--all")
    assert (replayed.exit_code, BRACKETS in replayed.output) == (1, True), replayed.output


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("letter", ["", "../../x"])
@pytest.mark.parametrize("command", ["show", "replay-dead", "discard"])
def test_a_dead_letter_is_asked_for_by_its_id_alone(command: str, letter: str) -> None:
    refused = linli(command, "points", letter)
    assert (refused.exit_code, "ID" in refused.output) == (2, True), refused.output


def answers(request: httpx.Request) -> httpx.Response:
    """Points hangs, all others answer."""
    service = request.url.path.split("/")[1]
    if service == "points":
        raise httpx.ReadTimeout("")
    items = [LETTER] if service == "tickets" else []
    return httpx.Response(200, json={"items": items, "next": None})


async def test_a_service_that_hangs_hides_nobody_elses_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linli_cli.api._PATIENCE", -1)
    client = httpx.AsyncClient(transport=httpx.MockTransport(answers), base_url="http://platform")
    async with Api("http://platform", client=client) as api:
        found, silent = await letters.listed(api, SERVICES, closed=False, most=10)
        assert [letter.service for letter in found] == ["tickets"]
        assert {name: trouble.english for name, trouble in silent.items()} == {
            "points": "GET /points/v1/dead-letters: ReadTimeout."
        }
        with pytest.raises(Trouble, match="ReadTimeout"):
            await letters.listed(api, ["points"], closed=False, most=10)


@pytest.mark.parametrize("knows_states", [True, False], ids=["this release", "the release before"])
@pytest.mark.parametrize("closed", [False, True])
async def test_open_letters_are_found_without_reading_those_dealt_with(*, knows_states: bool, closed: bool) -> None:
    done = LETTER | {"id": str(uuid4()), "discarded_at": "2026-05-02T08:00:00Z"}
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("state"))
        pending = asked[-1] == "pending" and knows_states
        return httpx.Response(200, json={"items": [LETTER] if pending else [done, LETTER], "next": None})

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://platform")
    async with Api("http://platform", client=client) as api:
        found, _ = await letters.listed(api, ["tickets"], closed=closed, most=10)
    assert [letter.facts["id"] for letter in found] == [one["id"] for one in ([done, LETTER] if closed else [LETTER])]
    assert asked == [None if closed else "pending"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", [["dead"], ["replay-dead", "--all"]], ids=" ".join)
def test_who_did_not_answer_is_named_beside_what_others_said(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    settled: list[str] = []

    async def listed(*_: object, **__: object) -> tuple[list[letters.Letter], dict[str, Trouble]]:
        return [letters.Letter("tickets", LETTER)], {"points": Trouble("GET: ReadTimeout.", "连接中断。")}

    async def settle(_: Api, service: str, *__: str) -> str:
        settled.append(service)
        return ""

    monkeypatch.setattr(letters, "listed", listed)
    monkeypatch.setattr(letters, "settle", settle)
    done = linli(*command)
    assert done.exit_code == 1
    assert LETTER["id"] in done.output
    assert "points: GET: ReadTimeout." in done.output
    assert "不含其死信" in done.output
    assert settled == (["tickets"] if command[0] == "replay-dead" else [])
