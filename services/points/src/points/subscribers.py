"""What points hears from others."""

from sqlalchemy.ext.asyncio import AsyncSession

from linli.events.tickets import TicketRated
from linli.inbox import Subscriptions
from points import operations

subscriptions = Subscriptions("points", known_units=True)


@subscriptions.on(TicketRated)
async def award(session: AsyncSession, event: TicketRated) -> None:
    """Give points to whoever resolved a ticket that was rated well by somebody else: nobody awards himself.

    A ticket that was reopened is rated anew; it earns points once, and what it has earned is not taken back.
    """
    if event.reporter == event.resolved_by:
        return
    await operations.award_for_rating(
        session,
        unit=event.unit,
        ticket=event.ticket,
        resolver=event.resolved_by,
        rating=event.rating,
        event_id=event.id,
    )
