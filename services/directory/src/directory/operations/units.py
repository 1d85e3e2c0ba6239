"""The unit tree (单元树): read, created, renamed, closed, imported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, and_, any_, exists, literal, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from directory.models import Assignment, Building, Staff, Unit
from directory.operations.lookup import find_unit, within_unit
from directory.problems import ParentMissing, UnitExists, UnitInUse, WrongRows, naming, wrong
from directory.states import unit_state
from linli import units
from linli.outbox import publish, publish_many
from linli.problems import NotFound
from linli.security import Principal
from linli.units import Kind

POSTS: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.COMMUNITY: ("community_manager",),
    Kind.BLOCK: ("community_manager",),
    Kind.GRID: ("grid_worker", "community_manager"),
    Kind.SPECIAL_GRID: ("grid_worker", "community_manager"),
    Kind.MICRO_GRID: ("grid_worker",),
}
"""Which roles staff a unit: a community its manager, a grid its 网格长 or 网格员, a micro-grid its 微网格员."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What an import did, in rows."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


async def children_of(session: AsyncSession, code: int) -> Select[Any]:
    """Select what hangs directly under a unit.

    Raises:
        NotFound: 404.
    """
    await find_unit(session, code)
    if code == units.PLATFORM:
        return select(Unit).where(Unit.kind == Kind.DISTRICT.value)
    return select(Unit).where(Unit.district == units.district(code), Unit.parent == code)


async def units_within(
    session: AsyncSession, within: int, kind: Kind | None = None, *, unstaffed: bool = False
) -> Select[Any]:
    """Select the units at or below one, of one kind or all, those without staff or all.

    Raises:
        NotFound: 404.
    """
    found = await within_unit(session, Unit, within)
    if kind is not None:
        found = found.where(Unit.kind == kind.value)
    return found.where(_unstaffed()) if unstaffed else found


def _unstaffed() -> ColumnElement[bool]:
    def without(kind: Kind, roles: tuple[str, ...]) -> ColumnElement[bool]:
        held = exists().where(
            Assignment.district == Unit.district,
            Assignment.unit == Unit.unit,
            Assignment.role.in_(roles),
            Assignment.ended_at.is_(None),
        )
        return and_(Unit.kind == kind.value, ~held)

    return and_(Unit.active, or_(*(without(kind, roles) for kind, roles in POSTS.items())))


async def lock_active(session: AsyncSession, codes: Iterable[int]) -> set[int]:
    """Tell which of some units are in use, and keep them so until the transaction ends."""
    wanted = sorted(set(codes))
    found = await session.scalars(
        select(Unit.unit)
        .where(
            Unit.district.in_({units.district(code) for code in wanted}),
            Unit.unit == any_(literal(wanted, ARRAY(BigInteger))),
            Unit.active,
        )
        .order_by(Unit.unit)
        .with_for_update(read=True)
    )
    return set(found)


async def create_unit(session: AsyncSession, principal: Principal, code: int, name: str) -> Unit:
    """Create one unit under its parent.

    Raises:
        OutsideScope: 403, unless the caller covers the parent.
        ParentMissing: 422.
        UnitExists: 409.
    """
    await _under(session, principal, code)
    unit = Unit(district=units.district(code), unit=code, name=name, active=True)
    session.add(unit)
    with naming(pk_unit=UnitExists(unit=units.short(code))):
        await session.flush()
    await publish(session, unit_state(unit))
    return unit


async def change_unit(
    session: AsyncSession, principal: Principal, unit: Unit, *, name: str | None, active: bool | None
) -> Unit:
    """Rename a locked unit, close it or open it again.

    Raises:
        OutsideScope: 403, unless the caller covers the parent: a unit is not its own master.
        ParentMissing: 422, when it is opened under a closed one.
        UnitInUse: 409, when it is closed with something active in it.
    """
    await _under(session, principal, unit.unit, opening=active is True)
    if active is False and await _in_use(session, unit.unit):
        raise UnitInUse(unit=units.short(unit.unit))
    unit.name = unit.name if name is None else name
    unit.active = unit.active if active is None else active
    if session.is_modified(unit):
        await session.flush()
        await publish(session, unit_state(unit))
    return unit


async def _under(session: AsyncSession, principal: Principal, code: int, *, opening: bool = True) -> None:
    parent = units.parent(code)
    if parent is None:
        raise NotFound(kind="unit above", id=units.short(code))
    principal.must_cover(parent)
    if opening and not await lock_active(session, [parent]):
        raise ParentMissing(unit=units.short(code), parent=units.short(parent))


async def _in_use(session: AsyncSession, code: int) -> bool:
    district = units.district(code)
    below = exists().where(Unit.district == district, Unit.parent == code, Unit.active)
    held = exists().where(Assignment.district == district, Assignment.unit == code, Assignment.ended_at.is_(None))
    staff = exists().where(Staff.district == district, Staff.unit == code)
    buildings = exists().where(Building.district == district, Building.unit == code, Building.active)
    return bool(await session.scalar(select(or_(below, held, staff, buildings))))


# One statement for all rows, in order of the key, so that two imports at once wait for each other and never deadlock.
_LOCK: Final = text(
    "SELECT unit, active FROM unit WHERE district = ANY(CAST(:districts AS integer[]))"
    " AND unit = ANY(CAST(:codes AS bigint[])) ORDER BY unit FOR NO KEY UPDATE"
)
_IMPORT: Final = text(
    "INSERT INTO unit (district, unit, name) SELECT code / 1000000000000, code, name"
    " FROM unnest(CAST(:codes AS bigint[]), CAST(:names AS text[])) AS given (code, name) ORDER BY code"
    " ON CONFLICT (district, unit) DO UPDATE SET name = excluded.name, version = unit.version + 1"
    " WHERE unit.name <> excluded.name"
    " RETURNING unit, name, active, version"
)


async def import_units(session: AsyncSession, principal: Principal, rows: Sequence[tuple[int, str]]) -> Counts:
    """Create and rename many units at once, all or none; running it again changes nothing.

    Raises:
        OutsideScope: 403, when the caller doesn't cover the parent of one.
        WrongRows: 422, naming each wrong row.
    """
    parents = {code: units.parent(code) for code, _ in rows}
    for parent in {parent for parent in parents.values() if parent is not None}:
        principal.must_cover(parent)
    involved = sorted(parents.keys() | {parent for parent in parents.values() if parent is not None})
    locked = await session.execute(
        _LOCK, {"codes": involved, "districts": sorted({units.district(code) for code in involved})}
    )
    active = dict.fromkeys(parents, True) | {row.unit: row.active for row in locked}
    if errors := _wrong_rows(rows, active):
        raise WrongRows(errors=errors)
    found = await session.execute(_IMPORT, {"codes": [code for code, _ in rows], "names": [name for _, name in rows]})
    changed = found.all()
    await publish_many(session, [unit_state(row) for row in changed])
    created = sum(row.version == 1 for row in changed)
    return Counts(created, len(changed) - created, len(rows) - len(changed))


def _wrong_rows(rows: Sequence[tuple[int, str]], active: dict[int, bool]) -> list[dict[str, str]]:
    errors = []
    first: dict[int, int] = {}
    for index, (code, _) in enumerate(rows):
        pointer = f"#/units/{index}/code"
        parent = units.parent(code)
        if parent is None:
            errors.append(wrong(pointer, "the platform itself is no row", "平台本身不能导入"))
        elif code in first:
            errors.append(wrong(pointer, f"the same unit is in row {first[code]}", f"与第 {first[code]} 行重复"))
        elif not active.get(parent):
            short = units.short(parent)
            errors.append(
                wrong(pointer, f"its parent {short} does not exist or is not active", f"上级 {short} 不存在或未启用")
            )
        first.setdefault(code, index)
    return errors
