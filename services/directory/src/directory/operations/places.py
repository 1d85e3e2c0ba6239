"""Places below the units: residents' groups (居民小组) and buildings (楼栋).

The rule of the three no-splits (三不破) is the database's: see the constraints in the migration. What is checked
here first only says it in better words, row by row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from directory.models import Building, ResidentsGroup
from directory.operations.staircases import fit_staircases
from directory.operations.units import Counts, lock_active
from directory.problems import (
    BuildingExists,
    GroupExists,
    GroupWouldBeSplit,
    UnknownGroup,
    WrongKind,
    WrongRows,
    naming,
    wrong,
)
from directory.states import building_state
from linli import units
from linli.models import uuid7
from linli.outbox import publish, publish_many
from linli.problems import UnknownUnit
from linli.security import Principal
from linli.units import Level


@dataclass(frozen=True, slots=True)
class Site:
    """What is said about a building; without an id it is known by its name within its community."""

    unit: int
    name: str
    group: UUID | None
    staircases: int
    id: UUID | None = None


async def create_group(session: AsyncSession, principal: Principal, unit: int, name: str) -> ResidentsGroup:
    """Create a residents' group in a grid.

    Raises:
        OutsideScope: 403.
        UnknownUnit, WrongKind: 422, unless the unit is an active grid.
        GroupExists: 409.
    """
    await _must_be(session, principal, unit, Level.GRID)
    group = ResidentsGroup(district=units.district(unit), unit=unit, name=name)
    session.add(group)
    with naming(uq_residents_group_name=GroupExists(unit=units.short(unit))):
        await session.flush()
    return group


async def create_building(session: AsyncSession, principal: Principal, site: Site) -> Building:
    """Create a building in a micro-grid, with its staircases.

    Raises:
        OutsideScope: 403.
        UnknownUnit, WrongKind: 422.
        UnknownGroup: 404.
        BuildingExists, GroupWouldBeSplit: 409.
    """
    await _must_be(session, principal, site.unit, Level.MICRO_GRID)
    district = units.district(site.unit)
    await _check_group(session, district, site.group, site.unit)
    building = Building(
        district=district,
        id=site.id or uuid7(),
        unit=site.unit,
        group_id=site.group,
        name=site.name,
        staircases=site.staircases,
        active=True,
    )
    session.add(building)
    await _save(session, building)
    return building


async def change_building(
    session: AsyncSession, principal: Principal, building: Building, changes: dict[str, Any]
) -> Building:
    """Move a locked building whole to another micro-grid, rename it, change its group, or pull it down.

    Raises:
        OutsideScope: 403.
        UnknownUnit, WrongKind: 422.
        UnknownGroup: 404.
        BuildingExists, GroupWouldBeSplit: 409.
    """
    principal.must_cover(building.unit)
    unit = changes.get("unit", building.unit)
    if units.district(unit) != building.district:
        raise UnknownUnit(unit=units.short(unit))
    await _must_be(session, principal, unit, Level.MICRO_GRID)
    await _check_group(session, building.district, changes.get("group_id", building.group_id), unit)
    for name, value in changes.items():
        setattr(building, name, value)
    if session.is_modified(building):
        await _save(session, building)
    return building


async def _must_be(session: AsyncSession, principal: Principal, unit: int, level: Level) -> None:
    principal.must_cover(unit)
    if units.level(unit) is not level:
        raise WrongKind(unit=units.short(unit), kind=units.kind(unit).value, needed=level.value)
    if not await lock_active(session, [unit]):
        raise UnknownUnit(unit=units.short(unit))


async def _save(session: AsyncSession, building: Building) -> None:
    unit = units.short(building.unit)
    with naming(
        pk_building=BuildingExists(unit=unit),
        uq_building_name=BuildingExists(unit=unit),
        fk_building_group=GroupWouldBeSplit(unit=unit),
    ):
        await session.flush()
    await fit_staircases(session, building.district, [building.id])
    await publish(session, building_state(building))


async def _check_group(session: AsyncSession, district: int, group: UUID | None, unit: int) -> None:
    if group is None:
        return
    found = await session.scalar(
        select(ResidentsGroup.unit).where(ResidentsGroup.district == district, ResidentsGroup.id == group)
    )
    if found is None:
        raise UnknownGroup(group=str(group), errors=[_no_group("#/group", group)])
    if found != units.grid(unit):
        raise GroupWouldBeSplit(unit=units.short(unit))


def _no_group(pointer: str, group: UUID | None) -> dict[str, str]:
    return wrong(pointer, f"there is no group {group}", f"没有居民小组 {group}")


_BY_NAME: Final = text(
    "SELECT given.place, b.id FROM unnest(CAST(:communities AS bigint[]), CAST(:names AS text[]))"
    " WITH ORDINALITY AS given (community, name, place)"
    " JOIN building b ON b.district = :district AND b.unit / 1000000 = given.community AND b.name = given.name"
)
_IMPORT: Final = text(
    "INSERT INTO building (district, id, unit, group_id, name, staircases)"
    " SELECT :district, * FROM unnest(CAST(:ids AS uuid[]), CAST(:units AS bigint[]), CAST(:groups AS uuid[]),"
    " CAST(:names AS text[]), CAST(:staircases AS smallint[])) AS given (id, unit, group_id, name, staircases)"
    " ORDER BY id"
    " ON CONFLICT (district, id) DO UPDATE SET unit = excluded.unit, group_id = excluded.group_id,"
    " name = excluded.name, staircases = excluded.staircases, version = building.version + 1"
    " WHERE (building.unit, building.group_id, building.name, building.staircases)"
    " IS DISTINCT FROM (excluded.unit, excluded.group_id, excluded.name, excluded.staircases)"
    " RETURNING id, unit, group_id, name, staircases, active, version"
)


async def import_buildings(session: AsyncSession, principal: Principal, sites: Sequence[Site]) -> Counts:
    """Create, move and rename many buildings of one district, all or none; running it again changes nothing.

    Raises:
        OutsideScope: 403.
        UnknownGroup: 404, naming each row whose group is not there or out of sight.
        WrongRows: 422, naming each other wrong row.
        BuildingExists, GroupWouldBeSplit: 409, when somebody changed something at the same moment.
    """
    for unit in {site.unit for site in sites}:
        principal.must_cover(unit)
    district = units.district(sites[0].unit)
    known = await _ids_by_name(session, district, sites)
    grids = await _grids_of_groups(session, district, sites)
    if errors := await _wrong_rows(session, district, sites, known, grids):
        raise WrongRows(errors=errors)
    columns = {
        "ids": [site.id or known.get(index) or uuid7() for index, site in enumerate(sites)],
        "units": [site.unit for site in sites],
        "groups": [site.group for site in sites],
        "names": [site.name for site in sites],
        "staircases": [site.staircases for site in sites],
    }
    place = units.short(sites[0].unit)
    with naming(uq_building_name=BuildingExists(unit=place), fk_building_group=GroupWouldBeSplit(unit=place)):
        changed = (await session.execute(_IMPORT, {"district": district, **columns})).all()
    await fit_staircases(session, district, [row.id for row in changed])
    await publish_many(session, [building_state(row) for row in changed])
    created = sum(row.version == 1 for row in changed)
    return Counts(created, len(changed) - created, len(sites) - len(changed))


async def _ids_by_name(session: AsyncSession, district: int, sites: Sequence[Site]) -> dict[int, UUID]:
    row = {
        "district": district,
        "communities": [site.unit // 10**6 for site in sites],
        "names": [site.name for site in sites],
    }
    return {row.place - 1: row.id for row in await session.execute(_BY_NAME, row)}


async def _grids_of_groups(session: AsyncSession, district: int, sites: Sequence[Site]) -> dict[UUID, int]:
    groups = {site.group for site in sites if site.group is not None}
    if not groups:
        return {}
    found = await session.execute(
        select(ResidentsGroup.id, ResidentsGroup.unit).where(
            ResidentsGroup.district == district, ResidentsGroup.id.in_(groups)
        )
    )
    grids = {row.id: row.unit for row in found}
    if unknown := [(index, site.group) for index, site in enumerate(sites) if site.group in groups - grids.keys()]:
        errors = [_no_group(f"#/buildings/{index}/group", group) for index, group in unknown]
        raise UnknownGroup(group=str(unknown[0][1]), errors=errors)
    return grids


async def _wrong_rows(
    session: AsyncSession, district: int, sites: Sequence[Site], known: dict[int, UUID], grids: dict[UUID, int]
) -> list[dict[str, str]]:
    active = await lock_active(session, (site.unit for site in sites))
    errors = []
    first: dict[object, int] = {}
    for index, site in enumerate(sites):
        pointer = f"#/buildings/{index}"
        errors += [wrong(f"{pointer}/{field}", *words) for field, *words in _faults(site, district, active, grids)]
        if site.id is not None and known.get(index, site.id) != site.id:
            errors.append(wrong(f"{pointer}/name", f"building {known[index]} has it", f"已用于楼栋 {known[index]}"))
        for key, field in ((site.id, "id"), ((site.unit // 10**6, site.name), "name")):
            if key is not None and first.setdefault(key, index) != index:
                errors.append(wrong(f"{pointer}/{field}", f"as in row {first[key]}", f"与第 {first[key]} 行重复"))
    return errors


def _faults(site: Site, district: int, active: set[int], grids: dict[UUID, int]) -> Iterator[tuple[str, str, str]]:
    """Give field, English and Chinese words of what is wrong with a row by itself."""
    unit = units.short(site.unit)
    if units.level(site.unit) is not Level.MICRO_GRID:
        yield "unit", f"{unit} is no micro-grid", f"{unit} 不是微网格"
    elif units.district(site.unit) != district:
        yield "unit", "one import is for one district", "一次导入只能属于一个区"
    elif site.unit not in active:
        yield "unit", f"there is no active unit {unit}", f"没有启用的单元 {unit}"
    elif site.group is not None and grids[site.group] != units.grid(site.unit):
        yield "group", f"{unit} is not in the group's grid", f"{unit} 不在该小组的网格内（三不破）"
