"""The `linli` command: every sub-command is one row here and is loaded only when it is called."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from linli_cli.console import Trouble, err

COMMANDS = {
    "up": "linli_cli.stack.up:up",
    "down": "linli_cli.stack.down:down",
    "logs": "linli_cli.stack.logs:logs",
    "reset": "linli_cli.stack.down:reset",
    "doctor": "linli_cli.stack.doctor:doctor",
    "migrate": "linli_cli.stack.database:migrate",
    "streams": "linli_cli.stack.streams:streams",
    "init": "linli_cli.deploy.init:init",
    "bundle": "linli_cli.deploy.bundle:bundle",
    "upgrade": "linli_cli.deploy.upgrade:upgrade",
    "job": "linli_cli.deploy.jobs:app",
    "token": "linli_cli.identity:token",
    "trace": "linli_cli.trace:trace",
    "import": "linli_cli.divisions:app",
    "backup": "linli_cli.backup.commands:app",
    "restore": "linli_cli.backup.restore:restore",
    "settle": "linli_cli.backup.commands:settle",
    "district": "linli_cli.district.commands:app",
    "events": "linli_cli.events.commands:app",
    "audit": "linli_cli.audit:app",
    "seed": "linli_cli.seed:seed",
    "demo": "linli_cli.demo:demo",
}
"""Name of a command: where its function, or the Typer app of its sub-commands, is."""

_STOPPED = 130
"""The exit code of what Ctrl-C ended."""


class _Commands(TyperGroup):
    """Loads a command when it is needed: `linli token` should not wait for what `linli up` imports."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 Typer keeps its context private
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 as above
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        found = getattr(import_module(module), name)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(add_completion=False)
            found.command(cmd_name)(function)
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 as above
        try:
            return super().invoke(ctx)
        except Trouble as trouble:
            trouble.show()
            raise typer.Exit(1) from trouble
        except KeyboardInterrupt as stop:
            err.print("Stopped; run the command again to go on.  已中断，重新执行即可继续。")
            raise typer.Exit(_STOPPED) from stop


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


@app.callback()
def linli() -> None:
    """Linli (邻里): run the platform, load it, look into it."""


def run(arguments: Sequence[str]) -> None:
    """Run a sub-command as if a person had typed it.

    Raises:
        Trouble: when it fails.
        Exit: when the person stopped it.
    """
    command = typer.main.get_command(app)
    code = command(list(arguments), prog_name="linli", standalone_mode=False)
    if code == _STOPPED:
        raise typer.Exit(code)  # it was said already
    if code:
        raise Trouble(f"`linli {' '.join(arguments)}` failed.", f"linli {' '.join(arguments)} 执行失败。")
