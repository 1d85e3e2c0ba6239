"""What points hears from others."""

from sqlalchemy.ext.asyncio import AsyncSession

from linli.events.tickets import TicketRated
from linli.events.wishes import WishConfirmed
from linli.inbox import Subscriptions
from points import operations
from points.models import RuleCode

subscriptions = Subscriptions("points", known_units=True)


@subscriptions.on(TicketRated)
async def award(session: AsyncSession, event: TicketRated) -> None:
    """Give points to whoever resolved a ticket that was rated well by somebody else: nobody awards himself.

    A ticket that was reopened is rated anew; it earns points once, and what it has earned is not taken back.
    """
    if event.reporter == event.resolved_by:
        return
    await operations.award(
        session,
        RuleCode.TICKET_RATED,
        unit=event.unit,
        cause=event.ticket,
        holder=event.resolved_by,
        rating=event.rating,
        event_id=event.id,
    )


@subscriptions.on(WishConfirmed, since="0.2")
async def award_wish(session: AsyncSession, event: WishConfirmed) -> None:
    """Give points to whoever made somebody's wish come true."""
    await operations.award(
        session,
        RuleCode.WISH_CONFIRMED,
        unit=event.unit,
        cause=event.wish,
        holder=event.claimer,
        event_id=event.id,
    )
