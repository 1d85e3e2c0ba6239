"""What department staff and apps don't see of the range of their unit: tickets, and all that belongs to those.

Row-level security holds them to that range as it holds everybody, and hides what is private from grid workers
(docs/decisions/0010-what-belongs-to-a-ticket.md). That staff see of their range only the tickets that are for a
department they answer for, that it was called to, or that are assigned to themselves, is said by the criteria below:
they are put into each statement of the ORM, so that no route can forget them. A policy can't say it at a bearable
price. It would have to ask three tables for each row; and if rows carried their readers, a colleague who joins a
department would rewrite all of its tickets with their trails.

An app (应用) that calls in its own name, and not in a person's, sees of its range what is not private, and what it has
reported itself. That could be a policy, if it had a way of seeing of its own in all services; who manages would pay for
it in theirs.

What goes past the ORM is not narrowed, so neither can read anything by it: `operations.figures` and
`operations.calendar` ask for permissions they don't have, `operations.rules`, `operations.offices` and `linli.timers`
read no tickets, and `operations.intake` and `operations.tickets.enter` only write. Whoever is both sees as staff do.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, and_, event, exists, or_, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria

from linli.db import Scope, ScopedSession
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


def _called_to(person: UUID) -> CompoundSelect[tuple[UUID]]:
    own = select(_MEMBER.c.department).where(_MEMBER.c.staff == person)
    return union_all(
        select(_WHISTLE.c.ticket_id).where(_WHISTLE.c.department.in_(own)),
        select(_TICKET.c.id).where(_TICKET.c.department.in_(own)),
        select(_TICKET.c.id).where(_TICKET.c.assignee == person),
    )


def _for_staff(person: UUID) -> Iterator[Criterion]:
    own = select(_MEMBER.c.department).where(_MEMBER.c.staff == person)
    called_to = _called_to(person)
    yield Ticket, Ticket.id.in_(called_to)
    yield Whistle, Whistle.department.in_(own)
    for part in PARTS:
        yield part, part.ticket_id.in_(called_to)


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


def narrow() -> None:
    """Put the criteria into every statement of theirs from now on."""
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
