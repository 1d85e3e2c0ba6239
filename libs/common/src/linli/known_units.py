"""Keeps the service's copy of the directory's units (已知单元), so that a foreign key can say "this unit exists"."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from linli.events.directory import UnitChanged
from linli.models import KnownUnit


async def keep_units(session: AsyncSession, events: list[UnitChanged]) -> None:
    """Write down how units of one district are now; what is older than the copy is dropped."""
    latest = {event.unit: event for event in sorted(events, key=lambda event: event.sequence)}
    rows = [
        {
            "district": event.district,
            "unit": event.unit,
            "kind": event.kind,
            "name": event.name,
            "active": event.active,
            "sequence": event.sequence,
        }
        for event in latest.values()
    ]
    found = insert(KnownUnit).values(rows)
    newer = {name: found.excluded[name] for name in ("kind", "name", "active", "sequence")}
    await session.execute(
        found.on_conflict_do_update(
            index_elements=["district", "unit"], set_=newer, where=KnownUnit.sequence < found.excluded.sequence
        )
    )
