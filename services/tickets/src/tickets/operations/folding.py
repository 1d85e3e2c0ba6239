"""Use cases of tickets that are one (并单), or several (拆单): found, folded into one, split into parts."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.events.tickets import FOLLOWERS, TicketFolded, TicketSplit
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import Conflict, NotFound
from linli.security import Principal
from tickets.models.categories import Visibility
from tickets.models.moves import Clock, Level, Move, Outcome, State
from tickets.models.tickets import Follower, Source, Ticket, handler_of
from tickets.operations.departments import require_answering
from tickets.operations.intake import Report, take_in
from tickets.operations.tickets import enter, note_ticket
from tickets.operations.whistles import call_off
from tickets.sight import widened

NEAR: Final = 0.0018
"""Degrees of latitude in 200 m."""
_NEAR_EAST: Final = 0.0021
"""Degrees of longitude in about as many, in the middle of China."""


class NotFoldable(Conflict):
    """The ticket {into} takes in no others: closed, a part, this one itself, or {most} were folded into it already."""

    title_zh = "不能并入该工单"
    detail_zh = "工单 {into} 不能并入其他工单：已结案、为子单、即为本单，或已并入 {most} 件。"


def similar_to(  # noqa: PLR0913 what a report says
    caller: Principal,
    *,
    unit: int,
    category: str | None,
    latitude: float | None,
    longitude: float | None,
    subject: str | None,
) -> Select[tuple[Ticket]]:
    """Select tickets that are not closed and may be about the same: the same subject, or near by, or in that unit.

    Of what the caller may not see otherwise, what is public is among them. Where exactly that is, and whom it is about,
    nobody finds out by asking: all of the community may be about the same, but for what Open311 shows on the map.
    """
    in_community = Ticket.unit.between(*units.span(handler_of(unit, Level.COMMUNITY)))
    alike: list[ColumnElement[bool]] = []
    as_published: ColumnElement[bool] = in_community
    if subject is not None:
        alike.append(Ticket.subject == subject)
    if latitude is not None and longitude is not None:
        near = and_(
            Ticket.latitude.between(latitude - NEAR, latitude + NEAR),
            Ticket.longitude.between(longitude - _NEAR_EAST, longitude + _NEAR_EAST),
        )
        alike.append(near)
        # Each has an index: what is open in the community, and what did not come by an app.
        through_open311 = and_(Ticket.source == Source.OPEN311.value, Ticket.source != Source.APP.value)
        nowhere = or_(~through_open311, Ticket.latitude.is_(None))
        as_published = or_(and_(in_community, nowhere), and_(through_open311, near))
    if not alike:
        alike.append(Ticket.unit.between(*units.span(unit)))
    about = [] if category is None else [Ticket.category == category]
    return select(Ticket).where(
        Ticket.unit.between(*units.span(units.district(unit) * 10**12)),
        Ticket.closed_at.is_(None),
        Ticket.parent.is_(None),
        or_(and_(_sees(caller), or_(*alike)), and_(_PUBLIC, ~_sees(caller), as_published)),
        *about,
    )


async def seen_of(session: AsyncSession, caller: Principal, tickets: Sequence[Ticket]) -> set[UUID]:
    """Tell which of some tickets, by their ids, are shown to a caller whole; the others as Open311 shows them."""
    ids = [ticket.id for ticket in tickets]
    which = select(Ticket.id).where(Ticket.district == caller.district, Ticket.id.in_(ids), _sees(caller))
    return set(await session.scalars(which))


_PUBLIC: Final = Ticket.visibility == Visibility.PUBLIC.value


def _sees(caller: Principal) -> ColumnElement[bool]:
    """Say what a caller may see of a district whole."""
    scope = caller.scope
    if scope.app:
        return and_(Ticket.unit.between(scope.lo, scope.hi), Ticket.visibility != Visibility.PRIVATE.value)
    if scope.role == "linli_person":
        return Ticket.reporter == caller.id
    if scope.role == "linli_worker":
        return and_(Ticket.unit_grid.in_(scope.grids), Ticket.visibility != Visibility.PRIVATE.value)
    return Ticket.unit.between(scope.lo, scope.hi) if "tickets.assign" in caller.permissions else false()


async def find_two(session: AsyncSession, ticket_id: UUID, into: UUID) -> tuple[Ticket, Ticket]:
    """Read two tickets and lock them, always in the same order.

    Raises:
        NotFound: 404, for either.
    """
    both = select(Ticket).where(Ticket.id.in_([ticket_id, into])).order_by(Ticket.id).with_for_update(key_share=True)
    found = {ticket.id: ticket for ticket in await session.scalars(both)}
    for one in (ticket_id, into):
        if one not in found:
            raise NotFound(kind="ticket", id=str(one))
    return found[ticket_id], found[into]


async def fold_ticket(session: AsyncSession, caller: Principal, ticket: Ticket, into: Ticket, note: str | None) -> None:
    """Fold a duplicate into another (并单): it ends, and its reporter is told how the other goes on.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
        NotFoldable: 409.
    """
    ticket.close(Move.FOLD, caller, Outcome.DUPLICATE)
    both = ticket.followers + 1 + into.followers
    # A part ends before the matter does, and its reporter is who split that.
    if into is ticket or into.parent is not None or into.state == State.CLOSED or both > FOLLOWERS:
        raise NotFoldable(into=str(into.id), most=FOLLOWERS)
    ticket.folded_into = into.id
    ticket.stop(Clock)
    await enter(session, ticket, Move.FOLD, caller.id, note, into=str(into.id))
    await _follow(session, ticket, into)
    if into.visibility == Visibility.PRIVATE.value:
        await keep_private(session, into)
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=Clock)
    await publish(
        session,
        TicketFolded(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            into=into.id,
            folded_by=caller.id,
        ),
    )
    await call_off(session, ticket)
    into.followers = both  # with the note it is one change, and one step of its trail
    await note_ticket(session, caller, into, None, folded=str(ticket.id))


async def _follow(session: AsyncSession, ticket: Ticket, into: Ticket) -> None:
    """Have the reporter, and whoever followed his ticket, follow the other one."""
    whose = {
        "district": into.district,
        "unit": into.unit,
        "ticket_id": into.id,
        "reporter": into.reporter,
    }
    followed = await session.execute(
        select(Follower.follower, Follower.folded).where(
            Follower.district == ticket.district, Follower.ticket_id == ticket.id
        )
    )
    own = [(ticket.reporter, ticket.id), *(tuple(row) for row in followed)]
    rows = [{**whose, "id": uuid7(), "follower": follower, "folded": folded} for follower, folded in own]
    await session.execute(insert(Follower), rows)


async def split_ticket(
    session: AsyncSession, caller: Principal, ticket: Ticket, parts: Sequence[dict[str, Any]], note: str | None
) -> list[Report]:
    """Split a ticket into parts (拆单), each a ticket of its own; it is resolved when all of them have ended.

    Whoever splits it is the parts' reporter: of the whole its own one is asked.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
        Unprocessable: 422, for a part of a category that is out of use.
        UnknownDepartment: 422.
        NobodyAnswers: 422, when nobody who sees the parts answers for it.
    """
    ticket.move(Move.SPLIT, caller)
    ticket.stop(Clock)
    for number, department in enumerate(part["department"] for part in parts):
        if department is not None:
            await require_answering(session, department, ticket.unit, f"#/parts/{number}/department")
    hidden = ticket.visibility == Visibility.PRIVATE.value
    made = [Report(unit=ticket.unit, parent=ticket.id, hidden=hidden, reporter=caller.id, **part) for part in parts]
    await enter(session, ticket, Move.SPLIT, caller.id, note, parts=[str(part.id) for part in made])
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=Clock)
    await publish(
        session,
        TicketSplit(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            parts=tuple(part.id for part in made),
            split_by=caller.id,
        ),
    )
    for part in made:
        await take_in(session, part)
    return made


async def keep_private(session: AsyncSession, whole: Ticket) -> None:
    """Show the parts of what is private, and reports of the same, to nobody else, whatever their own categories say.

    It is no step of theirs.

    Args:
        session: an open transaction in which the whole was locked.
        whole: a private ticket.
    """
    same = select(Follower.folded).where(Follower.district == whole.district, Follower.ticket_id == whole.id)
    async with widened(session):  # reports of the same may lie elsewhere in the district
        for theirs in (Ticket.parent == whole.id, Ticket.id.in_(same)):
            # Not what is private already: who works on a part has locked it, and waits for the whole.
            shown = Ticket.visibility != whole.visibility
            own = update(Ticket).where(Ticket.district == whole.district, theirs, shown)
            private = own.values(visibility=whole.visibility).execution_options(synchronize_session="fetch")
            await session.execute(private)
