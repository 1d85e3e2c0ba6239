import re

import pytest
from typer.testing import CliRunner

from linli_cli import main
from linli_cli.console import Trouble, err
from linli_cli.home import Home
from linli_cli.stack import up

OUTER, INNER = "outer", "inner"


def outer() -> None:
    main.run([INNER])


def stopped() -> None:
    raise KeyboardInterrupt


def failing() -> None:
    raise Trouble("no bricks", "没有砖")


@pytest.mark.parametrize(
    ("inner", "code", "said"),
    [("stopped", 130, ["Stopped; run"]), ("failing", 1, ["no bricks", "`linli inner` failed"])],
)
def test_a_command_within_a_command_that_was_stopped_is_told_once(
    monkeypatch: pytest.MonkeyPatch, inner: str, code: int, said: list[str]
) -> None:
    monkeypatch.setattr(main, "COMMANDS", {OUTER: f"{__name__}:outer", INNER: f"{__name__}:{inner}"})
    with err.capture() as screen:
        assert CliRunner().invoke(main.app, [OUTER]).exit_code == code
    assert len(re.findall("Stopped|✗", screen.get())) == len(said)
    assert all(words in screen.get() for words in said)


def test_what_filled_a_platform_once_is_not_run_again_with_other_options(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(main, "run", lambda command: ran.append(command[0]))
    home.first_run_done.write_text("import divisions\nseed --unit 310104003\n")
    up._first_run(home)
    up._first_run(home)
    assert ran == ["demo"]
