"""What department staff and apps don't see of the range of their unit: tickets, and all that belongs to those.

Row-level security holds them to that range as it holds everybody, and hides what is private from grid workers
(docs/decisions/0010-what-belongs-to-a-ticket.md). That staff see of their range only the tickets that are for a
department they answer for, that it was called to, or that are assigned to themselves, is said by the criteria below:
they are put into each statement of the ORM, so that no route can forget them. A policy can't say it at a bearable
price. It would have to ask three tables for each row; and if rows carried their readers, a colleague who joins a
department would rewrite all of its tickets with their trails. The criteria look at rows that were found; a list finds
those of staff by its ways (`linli.paging.Way`).

An app (应用) that calls in its own name, and not in a person's, sees of its range what is not private, and what it has
reported itself. That could be a policy, if it had a way of seeing of its own in all services; who manages would pay for
it in theirs.

What goes past the ORM is not narrowed, so neither can read anything by it: `operations.figures` and
`operations.calendar` ask for permissions they don't have, `operations.rules` and `linli.timers` read no tickets,
`operations.offices` tells nothing of those whose assignees it holds, `operations.intake` and `operations.tickets.enter`
only write, and `operations.whistles.call_off` asks no more than whether anybody was called. Whoever is both sees
as staff do.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, event, exists, false, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria

from linli.db import Scope, ScopedSession
from linli.paging import Way, grids_of
from tickets.models.categories import Visibility
from tickets.models.departments import Member
from tickets.models.files import File
from tickets.models.open311 import Update
from tickets.models.tickets import Entry, Follower, Ticket
from tickets.models.whistles import Whistle

PARTS: Final = (Entry, File, Follower, Update)
"""What belongs to a ticket, and is seen by whoever sees that; calls of other departments are not."""
Criterion = tuple[type[Any], ColumnElement[bool]]
# Tables, not classes: criteria for classes would be put into these as well, without end.
_TICKET: Final = Ticket.__table__.alias()
_WHISTLE: Final = Whistle.__table__.alias()
_MEMBER: Final = Member.__table__.alias()
_BECOME: Final = text(
    "SELECT set_config('role', :role, true), set_config('app.lo', :lo, true), set_config('app.hi', :hi, true)"
)


def _for_staff(person: UUID) -> Iterator[Criterion]:
    own = select(_MEMBER.c.department).where(_MEMBER.c.staff == person)

    def for_him(ticket: Any) -> ColumnElement[bool]:  # noqa: ANN401 a class or its table
        its = and_(_WHISTLE.c.district == ticket.district, _WHISTLE.c.ticket_id == ticket.id)
        called = select(_WHISTLE.c.department).where(its, _WHISTLE.c.department.in_(own))
        # An array, so that calls are looked up ticket by ticket: EXISTS would collect all that there ever were first.
        return or_(
            ticket.assignee == person,
            ticket.department.in_(own),
            func.cardinality(func.array(called.scalar_subquery())) > 0,
        )

    yield Ticket, for_him(Ticket)
    yield Whistle, Whistle.department.in_(own)
    for part in PARTS:
        its = and_(_TICKET.c.district == part.district, _TICKET.c.id == part.ticket_id)
        yield part, exists().where(its, for_him(_TICKET.c))


def _for_app(app: UUID) -> Iterator[Criterion]:
    def open_to(ticket: Any) -> ColumnElement[bool]:  # noqa: ANN401 a class or its table
        return or_(ticket.visibility != Visibility.PRIVATE.value, ticket.reporter == app)

    yield Ticket, open_to(Ticket)
    for part in (*PARTS, Whistle):
        # Looked up ticket by ticket: a list of all that it may see would be as long as the range is wide.
        its = and_(_TICKET.c.district == part.district, _TICKET.c.id == part.ticket_id)
        yield part, exists().where(its, open_to(_TICKET.c))


def _narrow(state: ORMExecuteState) -> None:
    scope: Scope = state.session.info["scope"]
    if not (scope.called or scope.app) or state.is_column_load:
        return
    criteria = _for_staff(scope.person) if scope.called else _for_app(scope.person)
    state.statement = state.statement.options(
        *(with_loader_criteria(entity, criterion, include_aliases=True) for entity, criterion in criteria)
    )


async def ways_to_tickets(session: AsyncSession) -> list[Way]:
    """Give the ways in which the caller sees tickets, if it is not simply by where they are."""
    scope: Scope = session.info["scope"]
    if not scope.called:
        return grids_of(session, Ticket.unit_grid)
    ways = [Way(Ticket.assignee == scope.person)]
    for department in await _own(session):
        called = Whistle.__table__.alias()
        its = and_(called.c.district == Ticket.district, called.c.ticket_id == Ticket.id)
        ways.append(Way(Ticket.department == department))
        ways.append(Way(and_(its, called.c.department == department), (called.c.ticket_id.desc(),)))
    return ways


async def ways_to_whistles(session: AsyncSession) -> list[Way]:
    """Give the ways in which the caller sees calls, if it is not simply by where they are."""
    scope: Scope = session.info["scope"]
    if not scope.called:
        return grids_of(session, Whistle.unit_grid)
    return [Way(Whistle.department == department) for department in await _own(session)] or [Way(false())]


async def _own(session: AsyncSession) -> Sequence[str]:
    """List the departments that the caller answers for."""
    return (await session.scalars(select(Member.department).where(Member.staff == session.info["scope"].person))).all()


def narrow() -> None:
    """Put the criteria into every statement of theirs from now on, once however often this is asked."""
    if not event.contains(ScopedSession, "do_orm_execute", _narrow):
        event.listen(ScopedSession, "do_orm_execute", _narrow)


@asynccontextmanager
async def widened(session: AsyncSession) -> AsyncIterator[None]:
    """See all of the caller's district for what follows from his move by itself.

    A part of a ticket may be with somebody who does not see the whole, and his move may be its last; and what he takes
    back may go on as the report of another.
    """
    own: Scope = session.info["scope"]
    district = Scope.of_district(own.district)
    all_of_it = replace(own, role=district.role, lo=district.lo, hi=district.hi, called=False, app=False)
    await _become(session, all_of_it)
    yield
    await _become(session, own)


async def _become(session: AsyncSession, scope: Scope) -> None:
    await session.flush()
    await session.execute(_BECOME, {"role": scope.role, "lo": str(scope.lo), "hi": str(scope.hi)})
    session.info["scope"] = scope
