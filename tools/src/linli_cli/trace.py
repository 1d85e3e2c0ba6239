"""`linli trace`: what became of one request, as a tree over all services."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from linli_cli.console import Trouble, out
from linli_cli.home import Home

_COLOURS = {
    "directory": "cyan",
    "residents": "green",
    "tickets": "blue",
    "points": "yellow",
    "bookings": "magenta",
    "notifications": "bright_cyan",
}
"""No red: that is for what failed."""
_RECENT_BYTES = 2_000_000


@dataclass(frozen=True)
class Span:
    """One piece of work of one service."""

    trace: str
    id: str
    parent: str | None
    name: str
    service: str
    start: int
    end: int
    failed: bool
    statement: bool
    """Whether it is a statement of the database."""

    @classmethod
    def read(cls, line: str) -> "Span | None":
        """Read a line a service wrote; None for one that was cut off."""
        try:
            found: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            return None
        return cls(
            found["trace_id"],
            found["span_id"],
            found.get("parent_id"),
            found["name"],
            found["service"],
            found["start"],
            found["end"],
            found.get("status") == "ERROR",
            any(name.startswith("db.") for name in found.get("attributes", ())),
        )


def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits; without it, the latest that went furthest.")] = "",
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Show each statement of the databases 显示每条语句.")] = False,
) -> None:
    """Draw one request's way through the services 显示一次请求的调用链."""
    home = Home.embedded()
    home.require()
    found = tree(home, trace_id.strip().lower() or latest(home), sql=sql)
    if found is None:
        raise Trouble(
            f"No span of {trace_id or 'any trace'} in {home.traces}.",
            "没有找到该追踪。",
            hint="Services write a span when it ends; try again in a second.  稍后重试。",
        )
    out.print(found)


def latest(home: Home, name: str = "") -> str:
    """Give the trace that most services took part in, the newest of equals.

    Args:
        home: whose traces.
        name: only traces that have a span whose name contains this.

    Returns:
        Its id, or "" when there is none.
    """
    spans: dict[str, list[Span]] = defaultdict(list)
    for path in _files(home):
        with path.open("rb") as file:
            if file.seek(0, 2) > _RECENT_BYTES:
                file.seek(-_RECENT_BYTES, 2)
                file.readline()
            else:
                file.seek(0)
            for line in file:
                span = Span.read(line.decode(errors="replace"))
                if span:
                    spans[span.trace].append(span)
    named = {key: found for key, found in spans.items() if any(name in span.name for span in found)}
    return max(named, key=lambda key: _reach(named[key]), default="")


def _reach(spans: Iterable[Span]) -> tuple[int, int]:
    found = list(spans)
    return len({span.service for span in found}), max(span.end for span in found)


def tree(home: Home, trace_id: str, *, sql: bool = False) -> Tree | None:
    """Draw a trace, its statements one by one or counted; None when there is nothing of it."""
    spans = sorted(_spans(home, trace_id), key=lambda span: span.start)
    if not spans:
        return None
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = defaultdict(list)
    statements: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        where = statements if span.statement and not sql else below
        where[span.parent if span.parent in known else ""].append(span)
    began = spans[0].start
    took = (max(span.end for span in spans) - began) / 1e6
    services = len({span.service for span in spans})
    drawn = Tree(Text(f"{trace_id}  {took:.1f} ms  {services} services 服务  {len(spans)} spans", style="bold"))
    waiting = [(drawn, span) for span in reversed(below[""])]
    while waiting:
        branch, span = waiting.pop()
        twig = branch.add(_label(span, began, statements[span.id]))
        waiting += [(twig, child) for child in reversed(below[span.id])]
    return drawn


def _label(span: Span, began: int, statements: list[Span]) -> Text:
    spent = sum(one.end - one.start for one in statements) / 1e6
    return Text.assemble(
        (f"{span.service:<14}", _COLOURS.get(span.service, "white")),
        (span.name, "bold red" if span.failed else ""),
        (f"  +{(span.start - began) / 1e6:.1f} ms", "dim"),
        (f"  {(span.end - span.start) / 1e6:.1f} ms", "cyan"),
        (f"  {len(statements)} SQL {spent:.1f} ms" if statements else "", "dim"),
        (" ✗" if span.failed else "", "bold red"),
    )


def _spans(home: Home, trace_id: str) -> Iterator[Span]:
    if not trace_id:
        return
    for path in _files(home):
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if trace_id in line and (span := Span.read(line)) and span.trace == trace_id:
                    yield span


def _files(home: Home) -> list[Path]:
    return sorted(home.traces.glob("*.jsonl*"))
