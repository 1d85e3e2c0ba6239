"""Requests a second: beside an app that only inserts a row, without tracing, and of one street and of all."""

import asyncio
import itertools
import json
import statistics
from collections.abc import Callable, Iterator, Sequence

from bench import bare
from bench.load import load, request
from bench.platform import Platform
from bench.results import Result
from linli import units

_ROUNDS = 8
_SECONDS = 1.5
_PAUSE = 1.0
"""Seconds in which what a load has left behind is dealt with: spans to be written, events to be moved."""
_COMMUNITY = "310104003001"
_LISTENING = ("notifications", "points", "bookings", "residents", "tickets")
"""They stand still: the bare endpoint tells nobody of anything, and who hears of tickets works on the same cores."""


def _report(unit: str) -> bytes:
    return json.dumps(
        {"unit": unit, "title": "路灯不亮", "description": "小区北门路灯三天不亮", "category": "lighting"}
    ).encode()


async def _rates(*loads: tuple[int, Callable[[], bytes]]) -> list[tuple[float, ...]]:
    """Measure loads in turns; gives the rates of each round, which belong together: the machine's speed changes."""
    found: list[tuple[float, ...]] = []
    for port, requests in loads:  # pools are filled, keys read, statements prepared
        await load(port, requests, seconds=1)
    for _ in range(_ROUNDS):
        rates = []
        for port, requests in loads:
            rates.append((await load(port, requests, seconds=_SECONDS)).rate)
            await asyncio.sleep(_PAUSE)
        found.append(tuple(rates))
    return found


def _compared(name: str, rates: list[tuple[float, ...]], bar: float, *, least: bool = True) -> Result:
    """Compare a rate with a baseline: the medians of both, and of their ratio in each round."""
    value, baseline = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(one / base if least else base / one for one, base in rates)
    return Result(name, value, "requests/s", baseline, ratio, bar=bar, least=least)


async def measure(platform: Platform) -> Iterator[Result]:
    """Measure `http.ticket_create`, `tracing.overhead` and `scale.streets`."""
    token = await platform.token("resident", _COMMUNITY)
    create = request("POST", "/tickets/v1/tickets", token, _report(_COMMUNITY))
    async with platform.database("tickets") as connection:
        await connection.execute(bare.CREATE)
    insert = request("POST", "/reports", body=_report(_COMMUNITY))
    settings = platform.settings("tickets")
    streets = await _streets(platform)
    with platform.standing_still(*_LISTENING):
        found = await _measured(platform, settings, create, insert, streets)
    await platform.settled()
    return iter(found)


async def _measured(
    platform: Platform, settings: dict[str, str], create: bytes, insert: bytes, streets: list[bytes]
) -> list[Result]:
    async with (
        platform.process("tickets.app:create_app", settings, "/readyz") as ours,
        platform.process("tickets.app:create_app", settings | {"OTEL_SDK_DISABLED": "true"}, "/readyz") as untraced,
        platform.process("bench.bare:app", {"BENCH_DATABASE_URL": platform.owner("tickets")}, "/openapi.json") as base,
    ):
        rates = await _rates((ours, lambda: create), (untraced, lambda: create), (base, lambda: insert))
        both = await _rates((ours, _cycle(streets)), (ours, _cycle(streets[:1])))
    return [
        _compared("http.ticket_create", [(traced, least) for traced, _, least in rates], 0.35),
        _compared("tracing.overhead", [(traced, without) for traced, without, _ in rates], 1.25, least=False),
        _compared("scale.streets", both, 0.9),
    ]


def _cycle(requests: Sequence[bytes]) -> Callable[[], bytes]:
    turns = itertools.cycle(requests)
    return lambda: next(turns)


async def _streets(platform: Platform) -> list[bytes]:
    """Give a report from each of the published streets, in the name of somebody who works there."""
    async with platform.database("tickets") as connection:
        rows = await connection.fetch("SELECT min(unit) AS unit FROM known_unit WHERE kind = 'street' GROUP BY unit")
    codes = sorted(units.short(row["unit"]) for row in rows)
    return [
        request("POST", "/tickets/v1/tickets", await platform.token("street_admin", code), _report(code))
        for code in codes
    ]
