"""How units, buildings and assignments are now, in the words of their events; all told again on a new platform."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from directory.models import Assignment, Building, Unit
from linli import units
from linli.events import Event
from linli.events.directory import AssignmentChanged, BuildingChanged, UnitChanged
from linli.outbox import publish_many

_AT_ONCE: Final = 1_000


def unit_state(unit: Any) -> UnitChanged:  # noqa: ANN401 an entity or a row of the same columns
    """Tell how a unit is."""
    return UnitChanged(
        unit=unit.unit, kind=units.kind(unit.unit), name=unit.name, active=unit.active, sequence=unit.version
    )


def building_state(building: Any) -> BuildingChanged:  # noqa: ANN401 as above
    """Tell how a building is."""
    return BuildingChanged(
        building=building.id,
        unit=building.unit,
        group=building.group_id,
        name=building.name,
        staircases=building.staircases,
        active=building.active,
        sequence=building.version,
    )


def assignment_state(assignment: Assignment) -> AssignmentChanged:
    """Tell how an assignment is."""
    return AssignmentChanged(
        assignment=assignment.id,
        unit=assignment.unit,
        staff=assignment.staff,
        role=assignment.role,
        active=assignment.active,
        sequence=assignment.version,
    )


_STATES: Final[dict[type[Unit | Building | Assignment], Callable[[Any], Event]]] = {
    Unit: unit_state,
    Building: building_state,
    Assignment: assignment_state,
}


async def all_states(session: AsyncSession, district: int) -> AsyncIterator[list[Event]]:
    """Say how everything in a district is, some at a time, under the sequences it was told with last."""
    for model, state in _STATES.items():
        rows = await session.stream_scalars(
            select(model).where(model.district == district).execution_options(yield_per=_AT_ONCE)
        )
        async for some in rows.partitions():
            yield [state(row) for row in some]


async def tell_all(session: AsyncSession, district: int) -> int:
    """Tell how everything in a district is, under the sequences it was told with before: copies that know it stay.

    Returns:
        How many events.
    """
    told = 0
    async for some in all_states(session, district):
        await publish_many(session, some)
        told += len(some)
    return told
