"""`linli logs`: the last lines of the parts' logs, and those to come."""

import time
from collections import deque
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.text import Text

from linli_cli.console import Trouble, out
from linli_cli.home import APPS, Home

PARTS = (*APPS, "gateway", "nats", "postgres", "supervisor")
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_red")
_POLL_SECONDS = 0.3
_TAIL_BYTES = 256 * 1024


def tail(path: Path, lines: int) -> list[str]:
    """Give a file's last lines without reading all of it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            return [line.decode(errors="replace").rstrip() for line in deque(file, lines)]
    except FileNotFoundError:
        return []


def logs(
    part: Annotated[str, typer.Argument(help="One part only: a service, gateway, nats, postgres.")] = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=10_000)] = 20,
) -> None:
    """Show what the parts log 查看日志."""
    home = Home.embedded()
    home.require()
    if part and part not in PARTS:
        raise Trouble(f"There is no part {part}; there are {', '.join(PARTS)}.", f"没有名为 {part} 的部分。")
    chosen = [part] if part else list(PARTS)
    followed = [_Followed(name, home.logs / f"{name}.log") for name in chosen]
    for name in chosen:
        for line in tail(home.logs / f"{name}.log", lines):
            _show(name, line)
    while follow:
        for one in followed:
            for line in one.new_lines():
                _show(one.name, line)
        time.sleep(_POLL_SECONDS)


class _Followed:
    """A log that grows, and is now and then replaced when the supervisor turns it over."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._file: TextIO | None = None
        self._inode = 0
        self._open(at_end=True)

    def _open(self, *, at_end: bool) -> None:
        try:
            self._file = self._path.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        self._inode = self._path.stat().st_ino
        if at_end:
            self._file.seek(0, 2)

    def new_lines(self) -> list[str]:
        found = self._file.readlines() if self._file else []
        if self._path.exists() and self._path.stat().st_ino != self._inode:
            if self._file:
                self._file.close()
            self._open(at_end=False)
            found += self._file.readlines() if self._file else []
        return [line.rstrip() for line in found]


def _show(name: str, line: str) -> None:
    colour = _COLOURS[PARTS.index(name) % len(_COLOURS)]
    out.print(Text.assemble((f"{name:13} ", colour), line), soft_wrap=True)
