"""Staircases (楼组) of buildings and their heads (楼组长)."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from directory.models import Staff, Staircase
from directory.problems import UnknownStaff, wrong
from linli.security import Principal

_MORE: Final = text(
    "INSERT INTO staircase (district, id, unit, building_id, number)"
    " SELECT b.district, gen_random_uuid(), b.unit, b.id, number FROM building b"
    " CROSS JOIN LATERAL generate_series(1, b.staircases) AS number"
    " WHERE b.district = :district AND b.id = ANY(CAST(:ids AS uuid[]))"
    " ON CONFLICT (district, building_id, number) DO NOTHING"
)
_FEWER: Final = text(
    "DELETE FROM staircase s USING building b WHERE s.district = :district"
    " AND s.building_id = ANY(CAST(:ids AS uuid[]))"
    " AND b.district = s.district AND b.id = s.building_id AND s.number > b.staircases"
)


async def fit_staircases(session: AsyncSession, district: int, buildings: Sequence[UUID]) -> None:
    """Give buildings as many staircases as they say they have, numbered from 1; those that stay keep their heads."""
    row = {"district": district, "ids": buildings}
    await session.execute(_MORE, row)
    await session.execute(_FEWER, row)


async def appoint_head(
    session: AsyncSession, principal: Principal, staircase: Staircase, head: UUID | None
) -> Staircase:
    """Make a member of staff the head of a staircase (楼组长), or leave it without one.

    Raises:
        OutsideScope: 403.
        UnknownStaff: 404.
    """
    principal.must_cover(staircase.unit)
    if head is not None and await session.get(Staff, (staircase.district, head)) is None:
        nobody = wrong("#/head", f"there is no member of staff {head}", f"没有人员 {head}")
        raise UnknownStaff(staff=str(head), errors=[nobody])
    staircase.head = head
    await session.flush()
    return staircase
