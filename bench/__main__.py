"""Run all of it: `make bench`, or `python -m bench NAME...` for some."""

import asyncio
import sys

from rich.console import Console

from bench import events, http, results, system, tickets
from bench.platform import Platform, platform
from bench.results import Result
from linli_cli.home import APPS

_PARTS = ("system", "http", "events", "tickets")


async def _measured(running: Platform, wished: list[str]) -> list[Result]:
    found: list[Result] = []
    if "system" in wished:
        found += system.idle(running, len(APPS))
    for name, part in (
        ("http", http.measure),
        ("events", events.measure),
        ("tickets", tickets.measure),
        ("system", system.security),
    ):
        if name in wished:
            Console(stderr=True).print(f"[dim]{name} …[/]")
            found += await part(running)
    return found


def main() -> None:
    """Measure, write and show."""
    wished = sys.argv[1:] or list(_PARTS)
    if unknown := set(wished) - set(_PARTS):
        sys.exit(f"There is no {', '.join(unknown)}; there are {', '.join(_PARTS)}.")
    with platform() as running:
        found = asyncio.run(_measured(running, wished))
    results.show(found)
    if len(wished) == len(_PARTS):
        results.write(found)
    if missed := [one.name for one in found if one.reached is False]:
        sys.exit(f"Below its bar: {', '.join(missed)}")


if __name__ == "__main__":
    main()
