"""What the command line says: progress and summaries for people, errors with what to do next."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from time import perf_counter

from rich.console import Console

for _stream in (sys.stdout, sys.stderr):
    if isinstance(_stream, TextIOWrapper):
        _stream.reconfigure(errors="replace")  # a terminal in GBK knows no check mark: better a ? than no answer
out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
"""Results: what a pipe should carry, in whole lines."""
err = Console(stderr=True, highlight=False)
"""Progress and errors: what a person should see."""


class Trouble(Exception):  # noqa: N818 the word the user reads
    """Something the user can put right: what is wrong in English and Chinese, and what to do."""

    def __init__(self, english: str, chinese: str, *, hint: str = "") -> None:
        super().__init__(english)
        self.english = english
        self.chinese = chinese
        self.hint = hint

    def show(self) -> None:
        """Print it for a person, on stderr."""
        err.print("[bold red]✗[/]", end=" ")
        err.print(self.english, self.chinese, sep="\n  ", markup=False, soft_wrap=True)
        if self.hint:
            err.print(self.hint, markup=False, style="dim", soft_wrap=True)


@contextmanager
def step(english: str, chinese: str) -> Iterator[None]:
    """Show a step while it runs, then with the seconds it took."""
    began = perf_counter()
    with err.status(f"{english}  [dim]{chinese}[/]"):
        yield
    err.print(f"[green]✓[/] {english}  [dim]{chinese}[/]  [cyan]{perf_counter() - began:.1f} s[/]", soft_wrap=True)
