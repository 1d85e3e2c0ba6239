"""`linli trace`: what became of one request, as a tree over all services, drawn from what the console keeps."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from linli_cli.api import Api, ApiProblem
from linli_cli.console import Trouble, out
from linli_cli.home import Home
from linli_cli.identity import Identities

_COLOURS = {
    "directory": "cyan",
    "residents": "green",
    "tickets": "blue",
    "points": "yellow",
    "bookings": "magenta",
    "notifications": "bright_cyan",
}
"""No red: that is for what failed."""
_NEWEST = 200


@dataclass(frozen=True)
class Span:
    """One piece of work of one service; times are milliseconds since its trace began."""

    id: str
    parent: str | None
    name: str
    service: str
    offset: float
    duration: float
    failed: bool
    statement: bool
    """Whether it is a statement of the database."""

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Span":
        """Take what the console tells of it."""
        return cls(
            told["span_id"],
            told["parent_id"],
            told["name"],
            told["service"],
            told["offset"],
            told["duration"],
            told["error"],
            any(name.startswith("db.") for name in told["attributes"]),
        )


def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits; without it, the latest that went furthest.")] = "",
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Show each statement of the databases 显示每条语句.")] = False,
) -> None:
    """Draw one request's way through the services 显示一次请求的调用链."""
    home = Home.find()
    home.require()
    wanted = trace_id.strip().lower()
    found = asyncio.run(_drawn(home, wanted, sql=sql))
    if found is None:
        raise Trouble(
            f"No span of {wanted or 'any trace'} is known.",
            "没有找到该追踪。",
            hint="Services tell of a span when it ends; try again in a second. Traces are kept for seven days.  "
            "请稍后重试；追踪保留七天。",
        )
    out.print(found)


def newest(home: Home, operation: str) -> Tree | None:
    """Draw the trace with this operation that most services took part in, the newest of equals."""
    return asyncio.run(_drawn(home, "", operation=operation))


async def _drawn(home: Home, trace_id: str, *, operation: str = "", sql: bool = False) -> Tree | None:
    async with Api(home.url) as api:
        operator = api.by(Identities(home, api).login("operator", "0"))
        if not trace_id:
            wanted = {"operation": operation} if operation else {}
            answer = await operator.get("/console/v1/traces", limit=_NEWEST, **wanted)
            items = answer.json()["items"]
            if not items:
                return None
            # Of equals the first, and they come newest first.
            trace_id = max(items, key=lambda item: len(item["services"]))["trace_id"]
        try:
            answer = await operator.get(f"/console/v1/traces/{trace_id}")
        except ApiProblem as problem:
            if problem.status in {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}:
                return None
            raise
    return tree(trace_id, map(Span.of, answer.json()["spans"]), sql=sql)


def tree(trace_id: str, found: Iterable[Span], *, sql: bool = False) -> Tree:
    """Draw a trace, its statements one by one or counted."""
    spans = sorted(found, key=lambda span: span.offset)
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = defaultdict(list)
    statements: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        where = statements if span.statement and not sql else below
        where[span.parent if span.parent in known else ""].append(span)
    took = max(span.offset + span.duration for span in spans)
    services = len({span.service for span in spans})
    drawn = Tree(Text(f"{trace_id}  {took:.1f} ms  {services} services 服务  {len(spans)} spans", style="bold"))
    waiting = [(drawn, span) for span in reversed(below[""])]
    while waiting:
        branch, span = waiting.pop()
        twig = branch.add(_label(span, statements[span.id]))
        waiting += [(twig, child) for child in reversed(below[span.id])]
    return drawn


def _label(span: Span, statements: list[Span]) -> Text:
    spent = sum(one.duration for one in statements)
    return Text.assemble(
        (f"{span.service:<14}", _COLOURS.get(span.service, "white")),
        (span.name, "bold red" if span.failed else ""),
        (f"  +{span.offset:.1f} ms", "dim"),
        (f"  {span.duration:.1f} ms", "cyan"),
        (f"  {len(statements)} SQL {spent:.1f} ms" if statements else "", "dim"),
        (" ✗" if span.failed else "", "bold red"),
    )
