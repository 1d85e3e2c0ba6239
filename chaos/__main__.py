"""Break everything in turn: `make chaos`, `python -m chaos KIND:PART...` for some; FULL=1 for ten times the load."""

import asyncio
import os
import signal
import sys
import time
from datetime import UTC, datetime

import httpx
from rich.console import Console

from chaos import report
from chaos.checks import verdict
from chaos.faults import Fault, planned
from chaos.load import COMMUNITY, EVENTS, People, Work, load
from chaos.probe import GIVEN_UP_AFTER, Probe
from chaos.report import Case
from chaos.stack import Stack, running
from linli import units
from linli_cli.api import Api
from linli_cli.identity import Identities

_SECONDS_EACH = 8.0
_PAUSE = 1.0
_ALL_WITHIN = 3600.0
_err = Console(stderr=True, highlight=False)


async def _in_office(stack: Stack, people: People) -> None:
    """Wait until all can be reported and given to the manager: tickets hears of units and offices a moment later."""
    async with asyncio.timeout(GIVEN_UP_AFTER), stack.database("tickets") as database:
        query = (
            "SELECT EXISTS (SELECT FROM known_assignment WHERE staff = $1)"
            " AND EXISTS (SELECT FROM known_unit WHERE unit = $2 AND active)"
        )
        while not await database.fetchval(query, people.manager_id, units.parse(COMMUNITY)):
            await asyncio.sleep(0.1)


async def _break(stack: Stack, people: People, work: Work, faults: list[Fault]) -> list[Case]:
    cases = []
    for fault in faults:
        _err.print(f"[dim]{fault.kind} {fault.part} …[/]", end=" ")
        await fault.befall(stack)
        probe = Probe(stack, people, work, time.monotonic(), datetime.now(UTC))
        cases.append(Case(fault, await probe.recovery()))
        _err.print(f"{cases[-1].recovery.seconds or float('inf'):.1f} s")
        await asyncio.sleep(_PAUSE)
    return cases


async def _chaos(wished: list[str], *, full: bool) -> bool:
    least = 100_000 if full else 10_000
    lives = least * 21 // 20 // EVENTS  # some are given up, as clients should when nobody answers them for long
    async with (
        running(3 if full else 1) as stack,
        httpx.AsyncClient(base_url=stack.home.url, timeout=15, trust_env=False) as client,
    ):
        faults = list(planned(stack, every=full or bool(wished)))
        if wished:
            faults = [fault for fault in faults if f"{fault.kind}:{fault.part}" in wished]
        api = Api(stack.home.url, client=client)
        people = await People.sign_in(Identities(stack.home, api))
        await _in_office(stack, people)
        work, enough = Work(), asyncio.Event()
        within = _SECONDS_EACH * len(faults)
        loading = asyncio.create_task(load(api, people, work, lives=lives, within=within, enough=enough))
        await asyncio.sleep(_PAUSE)
        cases = await _break(stack, people, work, faults)
        enough.set()
        _err.print(f"[dim]{work.steps:,} steps acknowledged; the rest of {lives:,} tickets …[/]")
        await loading
        found = await verdict(stack, work, least)
    report.show(cases, found, stack.left_out)
    for words, times in work.troubles.most_common(10):
        _err.print(f"[dim]{times} × not acknowledged 未确认: {words}[/]", soft_wrap=True)
    if not wished:
        report.write(cases, found, stack.left_out)
    return all(report.promises(found).values()) and all(case.within for case in cases)


def main() -> None:
    """Run, show and write."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing stays behind
    began = time.monotonic()
    well = asyncio.run(asyncio.wait_for(_chaos(sys.argv[1:], full=os.environ.get("FULL") == "1"), _ALL_WITHIN))
    _err.print(f"[dim]{time.monotonic() - began:.0f} s, load average {os.getloadavg()[1]:.1f}[/]")
    if not well:
        sys.exit("Not every promise was kept, or something took too long; see above.  有承诺未兑现或恢复超时，见上。")


if __name__ == "__main__":
    main()
