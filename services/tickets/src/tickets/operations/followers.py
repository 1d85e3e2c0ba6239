"""Who reported the same as another (并单诉求人), and still follows how that goes on."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli.events.tickets import FOLLOWERS
from tickets.models.tickets import Follower, Ticket
from tickets.sight import widened


async def reports_of_the_same(session: AsyncSession, ticket: Ticket) -> Sequence[Follower]:
    """List what was folded into a ticket and still is, the first first: what was taken up since may have ended."""
    if not ticket.followers:
        return ()
    folded = exists().where(
        Ticket.district == Follower.district, Ticket.id == Follower.folded, Ticket.folded_into.is_not(None)
    )
    found = select(Follower).where(Follower.district == ticket.district, Follower.ticket_id == ticket.id, folded)
    async with widened(session):  # whoever sees the ticket need not see those
        return (await session.scalars(found.order_by(Follower.id).limit(FOLLOWERS))).all()


async def followers_of(session: AsyncSession, ticket: Ticket) -> tuple[UUID, ...]:
    """List the people who follow a ticket, each once."""
    return tuple(sorted({one.follower for one in await reports_of_the_same(session, ticket)}))
