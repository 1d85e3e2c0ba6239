"""Households (户): registered at a door of a known building, counted for any unit."""

from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from sqlalchemy import exists, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.models import KnownUnit, uuid7
from linli.problems import NotFound
from linli.security import Principal
from residents.models import Household, KnownBuilding, elderly_born_until
from residents.problems import HouseholdExists


async def add_household(
    session: AsyncSession, principal: Principal, building: UUID, staircase: int | None, door: str
) -> Household:
    """Register a household at a door.

    Raises:
        NotFound: 404, for a building that is not known, not in use or out of sight.
        HouseholdExists: 409.
    """
    unit = await session.scalar(
        select(KnownBuilding.unit).where(
            KnownBuilding.district == principal.district, KnownBuilding.id == building, KnownBuilding.active
        )
    )
    if unit is None:
        raise NotFound(kind="building", id=str(building))
    household = Household(
        district=principal.district, id=uuid7(), unit=unit, building_id=building, staircase=staircase, door=door
    )
    session.add(household)
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_household_door" in str(error.orig):
            raise HouseholdExists from None
        raise
    return household


async def find_household(session: AsyncSession, principal: Principal, household: UUID) -> Household:
    """Find a household.

    Raises:
        NotFound: 404, also for one out of sight.
    """
    found = await session.scalar(
        select(Household).where(Household.district == principal.district, Household.id == household)
    )
    if found is None:
        raise NotFound(kind="household", id=str(household))
    return found


@dataclass(frozen=True, slots=True)
class Counted:
    """The figures of a unit, as they are now."""

    unit: int
    buildings: int
    households: int
    occupied_households: int
    residents: int
    living_alone: int
    living_alone_elderly: int
    all_elderly: int


_COUNT: Final = text(
    "SELECT (SELECT count(*) FROM known_building WHERE unit BETWEEN :lo AND :hi AND active) AS buildings,"
    " count(*) AS households, count(*) FILTER (WHERE living > 0) AS occupied_households,"
    " coalesce(sum(residents), 0) AS residents, count(*) FILTER (WHERE living = 1) AS living_alone,"
    " count(*) FILTER (WHERE living = 1 AND youngest_born_on <= :born_until) AS living_alone_elderly,"
    " coalesce(sum(living) FILTER (WHERE youngest_born_on <= :born_until), 0) AS all_elderly"
    " FROM household WHERE unit BETWEEN :lo AND :hi"
)


async def count_unit(session: AsyncSession, principal: Principal, unit: int, on: date) -> Counted:
    """Count who lives at or below a unit; from each household's own make-up, in one pass over an index.

    Raises:
        OutsideScope: 403.
        NotFound: 404, for a unit that is not known here.
    """
    principal.must_cover(unit)
    known = exists().where(KnownUnit.district == units.district(unit), KnownUnit.unit == unit)
    if not await session.scalar(select(known)):
        raise NotFound(kind="unit", id=units.short(unit))
    lo, hi = units.span(unit)
    row = (await session.execute(_COUNT, {"lo": lo, "hi": hi, "born_until": elderly_born_until(on)})).one()
    return Counted(unit, *row)
