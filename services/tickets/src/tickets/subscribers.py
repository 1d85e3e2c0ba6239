"""What tickets hears from others."""

from collections.abc import Sequence

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.events.directory import AssignmentChanged
from linli.inbox import Subscriptions
from tickets.models.offices import STAFF, KnownAssignment
from tickets.operations import case_teams, departments, figures, offices

subscriptions = Subscriptions("tickets", known_units=True)


@subscriptions.state(AssignmentChanged)
async def keep_assignments(session: AsyncSession, events: Sequence[AssignmentChanged]) -> None:
    """Keep a copy of who answers for which unit; the newest word of each assignment counts."""
    newest = {event.assignment: event for event in sorted(events, key=lambda event: event.sequence)}
    statement = insert(KnownAssignment).values(
        [
            {
                "district": units.district(event.unit),
                "id": event.assignment,
                "unit": event.unit,
                "staff": event.staff,
                "role": event.role,
                "active": event.active,
                "sequence": event.sequence,
            }
            for event in sorted(newest.values(), key=lambda event: event.assignment)  # as `hold_offices` locks them
        ]
    )
    changed = {name: statement.excluded[name] for name in ("unit", "staff", "role", "active", "sequence")}
    kept = statement.on_conflict_do_update(
        index_elements=["district", "id"], set_=changed, where=KnownAssignment.sequence < statement.excluded.sequence
    )
    new = await session.execute(kept.returning(KnownAssignment.staff, KnownAssignment.unit, KnownAssignment.active))
    ended = [(staff, unit) for staff, unit, active in new.all() if not active]
    await figures.begin_figures(session, events[0].district * 10**12)
    if left := {event.staff for event in newest.values() if event.role == STAFF}:
        await departments.leave(session, events[0].district, left)
    if ended:
        await offices.leave(session, events[0].district, ended)
        await case_teams.leave(session, events[0].district)
