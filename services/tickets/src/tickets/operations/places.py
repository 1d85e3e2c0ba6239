"""Use cases of places with a QR code."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.db import require_unit
from linli.problems import NotFound
from linli.security import Principal
from tickets.models.places import Place
from tickets.operations.intake import Report, open_ticket


async def make_place(  # noqa: PLR0913 a place is these facts
    session: AsyncSession, caller: Principal, *, unit: int, name: str, latitude: float | None, longitude: float | None
) -> Place:
    """Make a place (新建点位).

    Raises:
        OutsideScope: 403.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    place = Place(district=units.district(unit), unit=unit, name=name, latitude=latitude, longitude=longitude)
    session.add(place)
    await session.flush()
    return place


async def find_place(session: AsyncSession, place_id: UUID, *, to_change: bool = False) -> Place:
    """Read a place; `to_change` locks it.

    Raises:
        NotFound: 404.
    """
    statement = select(Place).where(Place.id == place_id)
    place = await session.scalar(statement.with_for_update() if to_change else statement)
    if place is None:
        raise NotFound(kind="place", id=str(place_id))
    return place


async def find_code(session: AsyncSession, caller: Principal, code: str) -> Place:
    """Find the place that a code stands at.

    Raises:
        NotFound: 404, also for a code that was good once.
    """
    statement = select(Place).where(Place.district == caller.district, Place.code == code, Place.active)
    place = await session.scalar(statement)
    if place is None:
        raise NotFound(kind="place with the code", id=code)
    return place


def places_within(district: int, unit: int | None, *, active: bool | None = None) -> Select[tuple[Place]]:
    """Select a district's places by where they are."""
    statement = select(Place).where(Place.district == district)
    if unit is not None:
        statement = statement.where(Place.unit.between(*units.span(unit)))
    if active is not None:
        statement = statement.where(Place.active == active)
    return statement


async def report_place(  # noqa: PLR0913 a report is these facts
    session: AsyncSession,
    caller: Principal,
    code: str,
    *,
    title: str,
    description: str,
    category: str,
    answers: dict[str, Any] | None,
) -> Report:
    """Take in a report on a place (扫码报事).

    Raises:
        NotFound: 404.
        OutsideScope: 403, for staff who have nothing to do with the place.
        Unprocessable: 422, for a category out of use, or answers that its form does not ask for.
    """
    place = await find_code(session, caller, code)
    return await open_ticket(
        session,
        caller,
        unit=place.unit,
        title=title,
        description=description,
        category=category,
        answers=answers,
        source="qr",
        subject_kind="place",
        subject=str(place.id),
        latitude=place.latitude,
        longitude=place.longitude,
    )
