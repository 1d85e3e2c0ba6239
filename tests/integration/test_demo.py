"""`linli demo`: a day of 天平路街道, also while services are killed; judged by what lies in the databases."""

import asyncio
import json
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.conftest import LINLI, Platform

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]


async def count(platform: Platform, service: str, query: str, *arguments: object) -> dict[str, int]:
    async with platform.database(service) as database:
        return {str(row[0]): row[1] for row in await database.fetch(query, *arguments)}


async def kinds_of(platform: Platform, tickets: list[str]) -> Counter[str]:
    """Count what the services hold of some tickets, in the demo's words."""
    steps = "SELECT move, count(*) FROM ticket_entry WHERE ticket_id = ANY($1) GROUP BY 1"
    told = "SELECT kind, count(*) FROM notification WHERE subject = ANY($1) GROUP BY 1"
    paid = "SELECT amount, count(*) FROM transfer WHERE cause = ANY($1) GROUP BY 1"
    found: Counter[str] = Counter()
    for service, query, prefix in (
        ("tickets", steps, "tickets "),
        ("notifications", told, "notifications "),
        ("points", paid, "points +"),
    ):
        rows = await count(platform, service, query, tickets)
        found.update({prefix + kind: times for kind, times in rows.items()})
    return found


def expected_of(outcome: dict[str, Any]) -> Counter[str]:
    """Count what a day must have led to; told from the steps and ratings alone."""
    count = len(outcome["tickets"])
    well = sum(ticket["title"].count("★") >= 4 for ticket in outcome["tickets"])
    badly = sum(ticket["title"].count("★") < 3 for ticket in outcome["tickets"])
    told = ("ticket_opened", "ticket_assigned", "ticket_assigned_to_you", "ticket_resolved", "ticket_closed")
    return +Counter(
        {f"tickets {step}": count for step in ("open", "assign", "resolve", "close", "rate")}
        | {f"notifications {kind}": count for kind in (*told, "ticket_rated")}
        | {"tickets poorly_rated": badly, "notifications ticket_reopened": badly}
        | {"notifications ticket_reopened_to_you": 2 * badly}  # the worker who had it, and the manager
        | {"points +10": well, "notifications points_awarded": well}
    )


async def test_a_day_ends_with_every_timeline_complete(platform: Platform, tmp_path: Path) -> None:
    done = platform.linli("demo", "--seed", "41", "--json", str(tmp_path / "day.json"))
    assert "✓ complete, nothing lost or doubled" in done.stdout
    day = json.loads((tmp_path / "day.json").read_text())
    tickets = [ticket["id"] for ticket in day["tickets"]]
    assert len(set(tickets)) == 12
    assert await kinds_of(platform, tickets) == expected_of(day)
    assert 0 < day["median_first_notification_ms"] < 10_000
    traces = {event["trace_id"] for event in day["tickets"][0]["events"]}
    assert traces == {day["tickets"][0]["trace_id"]}
    seats = "SELECT state, count(*) FROM booking WHERE session_id = $1 GROUP BY 1"
    assert await count(platform, "bookings", seats, day["session"]["id"]) == {"booked": 3, "cancelled": 1}
    # A second day is a day of its own.
    again = platform.linli("demo", "--seed", "41", "--tickets", "1", "--json", str(tmp_path / "again.json"))
    assert "1 tickets 工单 × 5 steps 步: 5 = 5" in again.stdout


async def test_a_day_on_which_services_and_player_are_killed_loses_and_doubles_nothing(
    platform: Platform, tmp_path: Path
) -> None:
    before = (await count(platform, "tickets", "SELECT 'all', count(*) FROM ticket"))["all"]
    # So many that the day is not over before this has seen that a third of it is: a busy machine may let it sleep.
    arguments = ("demo", "--tickets", "60", "--seed", "42", "--json", str(tmp_path / "day.json"))
    player = await asyncio.create_subprocess_exec(
        str(LINLI), *arguments, env=platform.environment, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        await reached(platform, before + 5, player)
        kill(platform, "tickets", "notifications", "points")
        await reached(platform, before + 20, player)
    finally:
        player.kill()
        await player.wait()
    done = platform.linli(*arguments)
    assert "Going on with the day that was interrupted" in done.stderr
    day = json.loads((tmp_path / "day.json").read_text())
    after = (await count(platform, "tickets", "SELECT 'all', count(*) FROM ticket"))["all"]
    assert after - before == 60
    assert await kinds_of(platform, [ticket["id"] for ticket in day["tickets"]]) == expected_of(day)


async def reached(platform: Platform, tickets: int, player: Process) -> None:
    """Wait until there are so many tickets."""
    async with platform.database("tickets") as database, asyncio.timeout(90):
        while await database.fetchval("SELECT count(*) FROM ticket") < tickets:
            assert player.returncode is None, "the day was over before anything could be killed"
            await asyncio.sleep(0.02)


def kill(platform: Platform, *services: str) -> None:
    """End services of this platform as a power cut would; their supervisor starts them again."""
    killed: set[str] = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get("LINLI_STACK") != str(platform.home):
                continue
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        for service in services:
            if f"{service}.app:create_app" in command:
                process.kill()
                killed.add(service)
    assert killed == set(services)
