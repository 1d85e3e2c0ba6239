"""`linli demo`: one day of 天平路街道, played through the public API and checked to the last message."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from linli_cli.api import Api
from linli_cli.console import err, step
from linli_cli.demo_cast import Cast, gather, register_family
from linli_cli.demo_plan import Errand, errands
from linli_cli.demo_play import STEPS, Rule, play_session, play_ticket
from linli_cli.demo_report import Outcome
from linli_cli.demo_run import Run, together
from linli_cli.demo_story import Story, told_after
from linli_cli.home import Home
from linli_cli.identity import Identities

_ARRIVAL: Final = 90.0
"""Seconds after the last step in which everything must have arrived; longer than a message's slowest redelivery."""
_SPANS: Final = 5.0
"""Seconds until what the services recorded is with the console; without traces there is no figure."""


def demo(
    tickets: Annotated[int, typer.Option(min=1, max=10_000, help="How many 工单数")] = 12,
    seed: Annotated[int, typer.Option(help="Another number gives another day.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the outcome here 结果文件")] = None,
    *,
    brief: Annotated[bool, typer.Option("--brief", help="Show a few timelines only 仅显示部分")] = False,
) -> None:
    """Play one day of 天平路街道, and check that nothing is lost or doubled 演示街道的一天."""
    home = Home.find()
    home.require()
    outcome = asyncio.run(_day(home, seed, tickets))
    if json:
        outcome.write(json)
    outcome.show(brief=brief)
    if not outcome.complete:
        raise typer.Exit(1)


async def _day(home: Home, seed: int, tickets: int) -> Outcome:
    async with Api(home.url) as api:
        with step("Everybody signs in", "人员登录"):
            cast = await gather(home, api, seed, tickets)
            rule = await Rule.of(cast.chief)
        run = Run.begin(home, seed, tickets)
        with step("A grid worker registers a household", "网格员登记住户"):
            await register_family(cast.beats[0], run)
        with _progress() as progress:
            day = errands(seed, tickets, len(cast.residents), [beat.places for beat in cast.beats])
            bar = progress.add_task(
                "reported, assigned, resolved, rated 上报-派单-办结-评价", total=len(day) * len(STEPS)
            )
            stories = await _play(day, cast, run, rule, lambda: progress.advance(bar))
            bar = progress.add_task("seats booked 预约", total=5)
            session = await play_session(cast, run, lambda: progress.advance(bar))
            bar = progress.add_task("everything has arrived 全部送达", total=len(stories) + 1)
            await _arrive([*stories, session], lambda: progress.advance(bar))
        with step("How long first notifications took", "统计首条通知用时"):
            await _measure(api.by(Identities(home, api).login("operator", "0")), stories)
    outcome = Outcome(seed, stories, session)
    if outcome.complete:
        run.end()
    return outcome


async def _play(day: list[Errand], cast: Cast, run: Run, rule: Rule, advance: Callable[[], None]) -> list[Story]:
    stories: dict[int, Story] = {}

    async def one(errand: Errand) -> None:
        stories[errand.number] = await play_ticket(errand, cast, run, rule, advance)

    await together(partial(one, errand) for errand in day)
    return [stories[number] for number in sorted(stories)]


async def _measure(operator: Api, stories: list[Story]) -> None:
    deadline = time.monotonic() + _SPANS

    async def measure(story: Story) -> None:
        story.told_after = await told_after(operator, story.id, deadline)

    await together(partial(measure, story) for story in stories)


async def _arrive(stories: list[Story], advance: Callable[[], None]) -> None:
    """Look until nothing is missing any more, or for long enough."""
    deadline = time.monotonic() + _ARRIVAL
    pause = 0.1
    while True:

        async def look(story: Story) -> None:
            await story.refresh()
            if not story.missing:
                advance()

        await together(partial(look, story) for story in stories)
        stories = [story for story in stories if story.missing]
        if not stories or time.monotonic() > deadline:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
    )
