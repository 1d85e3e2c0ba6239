"""Requests a second: beside an app that only inserts a row, without tracing, and of one street and of all."""

import itertools
import json
import statistics
from collections.abc import Callable, Iterator, Sequence

from bench import bare
from bench.load import load, request
from bench.platform import Platform
from bench.results import Result
from linli import units

_ROUNDS = 3
_SECONDS = 4.0
_COMMUNITY = "310104003001"
_LISTENING = ("notifications", "points", "bookings", "residents", "tickets")
"""They stand still: the bare endpoint tells nobody of anything, and who hears of tickets works on the same cores."""


def _report(unit: str) -> bytes:
    return json.dumps(
        {"unit": unit, "title": "路灯不亮", "description": "小区北门路灯三天不亮", "category": "lighting"}
    ).encode()


async def _rates(*loads: tuple[int, Callable[[], bytes]]) -> list[float]:
    """Measure loads in turns, so that whatever else the machine does meets all of them; gives the medians."""
    found: list[list[float]] = [[] for _ in loads]
    for port, requests in loads:  # pools are filled, keys read, statements prepared
        await load(port, requests, seconds=1)
    for _ in range(_ROUNDS):
        for rates, (port, requests) in zip(found, loads, strict=True):
            rates.append((await load(port, requests, seconds=_SECONDS)).rate)
    return [statistics.median(rates) for rates in found]


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
        traced, without, least = await _rates(
            (ours, lambda: create), (untraced, lambda: create), (base, lambda: insert)
        )
        one, every = await _rates((ours, _cycle(streets[:1])), (ours, _cycle(streets)))
    return [
        Result("http.ticket_create", traced, "requests/s", least, traced / least, bar=0.35),
        Result("tracing.overhead", traced, "requests/s", without, without / traced, bar=1.25, least=False),
        Result("scale.streets", every, "requests/s", one, every / one, bar=0.9),
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
