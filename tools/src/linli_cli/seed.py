"""`linli seed`: make up grids, buildings, households and residents below a unit, the same every time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from linli_cli.api import Api, ApiProblem
from linli_cli.console import Trouble, err, out
from linli_cli.home import Home
from linli_cli.identity import Identities
from linli_cli.seed_plan import Building, Community, Wish, plan

_AT_ONCE = 4
"""Requests under way; more only wait for the same two cores."""
_ROWS = 2_000
_BATCH = 300_000
"""Bytes of a batch of households: far below the limit of 1 MiB, and small enough that the bar moves."""
_PATIENCE = 60.0
"""Seconds the other services may take to hear of new units and buildings."""

Advance = Callable[[int], None]


def seed(  # noqa: PLR0913, PLR0917 one option each
    unit: Annotated[str, typer.Option(help="Community, street or district, e.g. 510108006004.")],
    households: Annotated[int, typer.Option(min=1, max=1_000_000, help="户")],
    grids: Annotated[int, typer.Option(min=1, max=100_000, help="网格")],
    micro_grids: Annotated[int, typer.Option(min=1, max=500_000, help="微网格")],
    special_grids: Annotated[int, typer.Option(min=0, max=100_000, help="专属网格")] = 0,
    seed: Annotated[int, typer.Option(help="Another number makes up other people.")] = 1,
) -> None:
    """Make up grids, buildings and residents below a unit; safe to run twice 生成演示数据."""
    home = Home.find()
    home.require()
    began = time.perf_counter()
    asyncio.run(_run(home, unit, Wish(households, grids, micro_grids, special_grids, seed)))
    err.print(f"[green]✓[/] {unit}  [cyan]{time.perf_counter() - began:.1f} s[/]")


async def _run(home: Home, unit: str, wish: Wish) -> None:
    async with Api(home.url) as api:
        counts = await sow(home, api, unit, wish)
    titles = (
        "buildings 楼栋",
        "households 户",
        "occupied 实住户",
        "residents 人",
        "living alone 独居",
        "all elderly 纯老",
    )
    table = Table(*titles)
    names = ("buildings", "households", "occupied_households", "residents", "living_alone", "all_elderly")
    table.add_row(*(f"{counts[name]:,}" for name in names))
    out.print(table)


async def sow(home: Home, api: Api, unit: str, wish: Wish) -> dict[str, Any]:
    """Make everything through the public API, as the district's administrator.

    Args:
        home: whose stack.
        api: how to reach it.
        unit: a community, or something above.
        wish: how much.

    Returns:
        The unit's counts afterwards.

    Raises:
        Trouble: when the unit has no community, or the platform does not keep up.
    """
    admin = api.by(Identities(home, api).login("district_admin", unit[:6]))
    communities = plan(await _communities(admin, unit), wish)
    people = sum(one.people for one in communities)
    async with _progress() as begin:
        advance = begin("units 单元", sum(len(one.units()) for one in communities))
        await _import(admin, "units", communities, _units, advance)
        groups = await _groups(admin, unit, communities, begin)
        buildings = {one.code: one.buildings() for one in communities}

        def sites(one: Community) -> Iterable[dict[str, Any]]:
            return (_site(one, building, groups) for building in buildings[one.code])

        advance = begin("buildings 楼栋", sum(map(len, buildings.values())))
        await _import(admin, "buildings", communities, sites, advance)
        await _heard(admin, communities, buildings)
        advance = begin("residents 居民", people)
        await _register(admin, communities, buildings, advance)
    counts: dict[str, Any] = (await admin.get(f"/residents/v1/units/{unit}/counts")).json()
    return counts


async def _communities(api: Api, unit: str) -> list[str]:
    found: list[str] = []
    path: str | None = "/directory/v1/units"
    params: dict[str, str | int] = {"within": unit, "kind": "community", "limit": 200}
    while path:
        page = (await api.get(path, **params)).json()
        found += [one["code"] for one in page["items"]]
        params["cursor"] = page["next"] or ""
        path = path if page["next"] else None
    if not found:
        raise Trouble(
            f"{unit} is no community and has none.",
            f"{unit} 不是社区，其下也没有社区。",
            hint="`linli import divisions FILE` brings the official ones.  可先导入行政区划。",
        )
    return found


def _units(one: Community) -> Iterable[dict[str, Any]]:
    # The directory wants parents before what hangs under them.
    return ({"code": unit.code, "name": unit.name} for unit in one.units())


def _site(one: Community, building: Building, groups: dict[tuple[str, str], str]) -> dict[str, Any]:
    return {
        "id": str(building.id),
        "unit": building.unit,
        "name": building.name,
        "group": groups[building.unit[:15], one.group_name(building)],
        "staircases": building.staircases,
    }


async def _import(
    api: Api,
    kind: str,
    communities: Sequence[Community],
    rows: Callable[[Community], Iterable[dict[str, Any]]],
    advance: Advance,
) -> None:
    every = [row for one in communities for row in rows(one)]
    for start in range(0, len(every), _ROWS):
        batch = every[start : start + _ROWS]
        await api.post(f"/directory/v1/{kind}/import", {kind: batch})
        advance(len(batch))


async def _groups(
    api: Api, unit: str, communities: Sequence[Community], begin: Callable[[str, int], Advance]
) -> dict[tuple[str, str], str]:
    """Create the residents' groups that are missing; give all ids by grid and name."""
    found: dict[tuple[str, str], str] = {}
    params: dict[str, str | int] = {"within": unit, "limit": 200}
    while True:
        page = (await api.get("/directory/v1/groups", **params)).json()
        found |= {(one["unit"], one["name"]): one["id"] for one in page["items"]}
        if not page["next"]:
            break
        params["cursor"] = page["next"]
    missing = [group for one in communities for group in one.groups() if (group.code, group.name) not in found]
    advance = begin("groups 居民小组", len(missing))

    async def create(code: str, name: str) -> None:
        answer = await api.post("/directory/v1/groups", {"unit": code, "name": name})
        found[code, name] = answer.json()["id"]
        advance(1)

    await _together(create(group.code, group.name) for group in missing)
    return found


async def _heard(api: Api, communities: Sequence[Community], buildings: dict[str, list[Building]]) -> None:
    """Wait until the residents service knows the buildings."""
    for one in communities:

        async def known(code: str = one.code) -> bool:
            counts = (await api.get(f"/residents/v1/units/{code}/counts")).json()
            return bool(counts["buildings"] >= len(buildings[code]))

        await _until(known)


async def _register(
    api: Api, communities: Sequence[Community], buildings: dict[str, list[Building]], advance: Advance
) -> None:
    async def send(households: list[dict[str, Any]]) -> None:
        async def taken() -> bool:
            await api.post("/residents/v1/imports", {"households": households})
            return True

        await _until(taken)
        advance(sum(len(one["residents"]) for one in households))

    await _together(send(batch) for one in communities for batch in _batches(one.registrations(buildings[one.code])))


def _batches(rows: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(json.dumps(row, ensure_ascii=False).encode())
        if size > _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _until(check: Callable[[], Awaitable[bool]]) -> None:
    """Ask again while the platform has not heard of what was just made."""
    deadline = time.monotonic() + _PATIENCE
    pause = 0.05
    while True:
        try:
            if await check():
                return
        except ApiProblem as problem:
            unheard = problem.body.get("type", "").endswith((":not-found", ":unknown-unit"))
            if not unheard or time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise Trouble(
                f"The residents service has not heard of the new buildings within {_PATIENCE:.0f} s.",
                f"居民服务在 {_PATIENCE:.0f} 秒内未收到新楼栋。",
                hint="`linli doctor` tells what is late; then run the command again.  请先运行 linli doctor。",
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 1.0)


async def _together(jobs: Iterable[Awaitable[None]]) -> None:
    """Run jobs a few at a time, made only when their turn comes."""
    turns = iter(jobs)

    async def worker() -> None:
        for job in turns:
            await job

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(worker())


@asynccontextmanager
async def _progress() -> AsyncIterator[Callable[[str, int], Advance]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:

        def begin(words: str, total: int) -> Advance:
            task: TaskID = progress.add_task(words, total=total)
            return lambda done: progress.advance(task, done)

        yield begin
