"""What residents hears from others."""

from collections.abc import Sequence

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from linli.events.directory import BuildingChanged
from linli.inbox import Subscriptions
from residents.models import KnownBuilding

subscriptions = Subscriptions("residents", known_units=True)


@subscriptions.state(BuildingChanged)
async def keep_buildings(session: AsyncSession, events: Sequence[BuildingChanged]) -> None:
    """Keep a copy of the buildings; one that moved takes its households and residents along."""
    newest = {event.building: event for event in sorted(events, key=lambda event: event.sequence)}
    rows = [
        {
            "district": event.district,
            "id": event.building,
            "unit": event.unit,
            "name": event.name,
            "active": event.active,
            "sequence": event.sequence,
        }
        for _, event in sorted(newest.items())
    ]
    found = insert(KnownBuilding).values(rows)
    changed = {name: found.excluded[name] for name in ("unit", "name", "active", "sequence")}
    await session.execute(
        found.on_conflict_do_update(
            index_elements=["district", "id"], set_=changed, where=KnownBuilding.sequence < found.excluded.sequence
        )
    )
