"""Who plays the demo's day: residents, a few grids with their worker, community managers and the street."""

import random
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from linli_cli.api import Api
from linli_cli.console import Trouble
from linli_cli.demo_plan import STREET
from linli_cli.demo_run import Actor, Run, together
from linli_cli.home import Home
from linli_cli.identity import Identities

_RESIDENTS: Final = 20
_BEATS: Final = 6
_DOOR: Final = "演示01"
_FAMILY: Final = (
    {"name": "陈秀英", "gender": "female", "born_on": "1943-05-12", "phone": "13800000001"},
    {"name": "陈国强", "gender": "male", "born_on": "1968-09-30", "phone": "13800000002"},
)
"""People who do not exist."""


@dataclass(frozen=True)
class Beat:
    """A grid (网格) and who answers for it.

    Attributes:
        grid: its code.
        places: the grid and its micro-grids, where matters arise.
        manager: of the community, assigns.
        worker: of the grid, resolves.
    """

    grid: str
    places: tuple[str, ...]
    manager: Actor
    worker: Actor


@dataclass(frozen=True)
class Cast:
    """Everybody who takes part; `chief` is the street's administrator."""

    residents: list[Actor]
    beats: list[Beat]
    chief: Actor


async def gather(home: Home, api: Api, seed: int, tickets: int) -> Cast:
    """Sign everybody in, each once; who is missing is engaged.

    Args:
        home: whose stack.
        api: how to reach it.
        seed: chooses the grids.
        tickets: how many there will be; few need few reporters.

    Raises:
        Trouble: when the street has no grids yet.
    """
    identities = Identities(home, api)
    # Alone: the first to come makes the embedded provider known to the district.
    chief = await Actor.enter(api, identities.login("street_admin", STREET))
    grids = await _grids(chief, seed)
    residents: dict[int, Actor] = {}
    managers: dict[str, Actor] = {}
    beats: dict[int, Beat] = {}

    async def resident(number: int) -> None:
        login = identities.login("resident", STREET, f"demo-resident-{number + 1}")
        residents[number] = await Actor.enter(api, login)

    async def manager(community: str) -> None:
        managers[community] = await Actor.enter(api, identities.login("community_manager", community))

    async def beat(number: int, grid: str) -> None:
        worker = await Actor.enter(api, identities.login("grid_worker", grid))
        micro = await chief.items("/directory/v1/units", within=grid, kind="micro_grid")
        places = (grid, *(unit["code"] for unit in micro))
        beats[number] = Beat(grid, places, managers[grid[:12]], worker)

    await together(partial(resident, number) for number in range(min(_RESIDENTS, tickets + 4)))
    await together(partial(manager, community) for community in sorted({grid[:12] for grid in grids}))
    await together(partial(beat, number, grid) for number, grid in enumerate(grids))
    return Cast([residents[n] for n in sorted(residents)], [beats[n] for n in sorted(beats)], chief)


async def _grids(chief: Actor, seed: int) -> list[str]:
    """Choose a few grids, of different communities as far as there are."""
    found = [unit["code"] for unit in await chief.items("/directory/v1/units", within=STREET, kind="grid")]
    if not found:
        raise Trouble(
            f"{STREET} has no grids yet.",
            f"{STREET} 尚无网格。",
            hint=f"Make them up first 请先生成演示数据:\n"
            f"  linli import divisions && linli seed --unit {STREET} --households 4200 --grids 84 --micro-grids 420",
        )
    random.Random(seed).shuffle(found)  # noqa: S311 guards no secret
    first_of = {grid[:12]: grid for grid in reversed(found)}
    return [*first_of.values(), *(grid for grid in found if grid not in first_of.values())][:_BEATS]


async def register_family(beat: Beat, run: Run) -> dict[str, Any]:
    """Let the grid's worker register a household with its people, if that was not done before."""
    buildings = await beat.worker.items("/directory/v1/buildings", within=beat.grid)
    if not buildings:
        raise Trouble(
            f"Grid {beat.grid} has no buildings yet.",
            f"网格 {beat.grid} 尚无楼栋。",
            hint=f"`linli seed --unit {STREET} ...` makes them up.  可用 linli seed 生成。",
        )
    building = min(building["id"] for building in buildings)
    # Ids of our own make the import find what an earlier run has registered.
    home = uuid5(NAMESPACE_URL, f"linli:demo:{building}")
    people = [{"id": str(uuid5(home, person["name"])), **person} for person in _FAMILY]
    household = {"id": str(home), "building": building, "door": _DOOR, "residents": people}
    body = {"households": [household]}
    answer = await beat.worker.post("/residents/v1/imports", body, key=run.key("household"))
    counts: dict[str, Any] = answer.json()
    return counts
