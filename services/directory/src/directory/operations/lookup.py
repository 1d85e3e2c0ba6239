"""Finding rows: one by its id, many by where they lie."""

from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from directory.models import Unit
from linli import units
from linli.models import Placed
from linli.problems import NotFound

Row = TypeVar("Row", bound=Placed)


async def find(session: AsyncSession, table: type[Row], id_: UUID, kind: str, *, lock: bool = False) -> Row:
    """Find a row by its id, and keep others from changing it if asked.

    Raises:
        NotFound: 404, also for a row out of sight.
    """
    query: Select[Any] = select(table).where(table.id == id_)
    found: Row | None = await session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise NotFound(kind=kind, id=str(id_))
    return found


async def find_unit(session: AsyncSession, code: int, *, lock: bool = False) -> Unit:
    """Find a unit, and keep others from changing it if asked.

    Raises:
        NotFound: 404, also for a unit out of sight.
    """
    unit = await session.get(Unit, (units.district(code), code), with_for_update=lock)
    if unit is None:
        raise NotFound(kind="unit", id=units.short(code))
    return unit


async def within_unit(session: AsyncSession, table: Any, within: int) -> Select[Any]:  # noqa: ANN401 as below
    """Select the rows at or below a unit.

    Raises:
        NotFound: 404, for a unit that is not there.
    """
    await find_unit(session, within)
    return select(table).where(*inside(table, within))


def inside(table: Any, within: int) -> list[ColumnElement[bool]]:  # noqa: ANN401 any class with district and unit
    """Give the conditions that a row lies at or below a unit; the district makes the primary key usable."""
    conditions = [table.unit.between(*units.span(within))]
    return conditions if within == units.PLATFORM else [table.district == units.district(within), *conditions]
