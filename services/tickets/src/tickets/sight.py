"""What department staff don't see of the range of their unit: tickets that are not their business, and all of those.

Row-level security holds them to that range as it holds everybody, and hides what is private from grid workers
(docs/decisions/0010-what-belongs-to-a-ticket.md). That staff see of their range only the tickets that are for a
department they answer for, that it was called to, or that are assigned to themselves, is said by the criteria below:
they are put into each statement of the ORM, so that no route can forget them. A policy can't say it at a bearable
price. It would have to ask three tables for each row; and if rows carried their readers, a colleague who joins a
department would rewrite all of its tickets with their trails.

What goes past the ORM is not narrowed, so staff can read nothing by it: `operations.figures` and `operations.calendar`
ask for permissions they don't have, `operations.rules`, `operations.offices` and `linli.timers` read no tickets, and
`operations.intake` and `operations.tickets.enter` only write.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from uuid import UUID

from sqlalchemy import CompoundSelect, event, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria

from linli.db import Scope, ScopedSession
from tickets.models.departments import Member
from tickets.models.files import File
from tickets.models.open311 import Update
from tickets.models.tickets import Entry, Follower, Ticket
from tickets.models.whistles import Whistle

PARTS: Final = (Entry, File, Follower, Update)
"""What belongs to a ticket, and is seen by whoever sees that; calls of other departments are not."""
# Tables, not classes: criteria for classes would be put into these as well, without end.
_TICKET: Final = Ticket.__table__.alias()
_WHISTLE: Final = Whistle.__table__.alias()
_MEMBER: Final = Member.__table__.alias()
_BECOME: Final = text("SELECT set_config('role', :role, true)")


def _called_to(person: UUID) -> CompoundSelect[tuple[UUID]]:
    own = select(_MEMBER.c.department).where(_MEMBER.c.staff == person)
    return union_all(
        select(_WHISTLE.c.ticket_id).where(_WHISTLE.c.department.in_(own)),
        select(_TICKET.c.id).where(_TICKET.c.department.in_(own)),
        select(_TICKET.c.id).where(_TICKET.c.assignee == person),
    )


def _narrow(state: ORMExecuteState) -> None:
    scope: Scope = state.session.info["scope"]
    if not scope.called or state.is_column_load:
        return
    own = select(_MEMBER.c.department).where(_MEMBER.c.staff == scope.person)
    called_to = _called_to(scope.person)
    state.statement = state.statement.options(
        with_loader_criteria(Ticket, Ticket.id.in_(called_to), include_aliases=True),
        with_loader_criteria(Whistle, Whistle.department.in_(own), include_aliases=True),
        *(with_loader_criteria(part, part.ticket_id.in_(called_to), include_aliases=True) for part in PARTS),
    )


def narrow() -> None:
    """Put the criteria into every statement of theirs from now on."""
    event.listen(ScopedSession, "do_orm_execute", _narrow)


@asynccontextmanager
async def widened(session: AsyncSession) -> AsyncIterator[None]:
    """See all of the caller's range for what follows from his move by itself.

    A part of a ticket may be with somebody who does not see the whole, and his move may be its last.
    """
    own: Scope = session.info["scope"]
    await _become(session, replace(own, role="linli_scoped", called=False))
    yield
    await _become(session, own)


async def _become(session: AsyncSession, scope: Scope) -> None:
    await session.flush()
    await session.execute(_BECOME, {"role": scope.role})
    session.info["scope"] = scope
