"""What department staff see: the tickets that they or their departments were called to, and no others.

Row-level security holds them to the range of their unit, as it holds everybody. Of that range all their statements
see only the tickets that are for a department they answer for, or assigned to themselves: the criteria below are
put into every one of them, so that no route can forget it.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import CompoundSelect, event, select, union_all
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria

from linli.db import Scope, ScopedSession
from tickets.models.departments import Member
from tickets.models.tickets import Entry, Ticket
from tickets.models.whistles import Whistle

# Tables, not classes: criteria for classes would be put into these as well, without end.
_TICKET: Final = Ticket.__table__.alias()
_WHISTLE: Final = Whistle.__table__.alias()
_MEMBER: Final = Member.__table__.alias()


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
        with_loader_criteria(Entry, Entry.ticket_id.in_(called_to), include_aliases=True),
        with_loader_criteria(Whistle, Whistle.department.in_(own), include_aliases=True),
    )


def narrow() -> None:
    """Put the criteria into every statement from now on, of department staff only."""
    event.listen(ScopedSession, "do_orm_execute", _narrow)
