"""What is hidden from those who see where it lies: private tickets from grid workers, others' from department staff.

Row-level security holds them to their range or grids, as it holds everybody. Of that department staff see only the
tickets that are for a department they answer for, or assigned to themselves, and grid workers see of what is private
only what they were given or reported: the criteria below are put into each of their statements, so that no route can
forget it.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import CompoundSelect, event, or_, select, union_all
from sqlalchemy.orm import LoaderCriteriaOption, ORMExecuteState, with_loader_criteria

from linli.db import Scope, ScopedSession
from tickets.models.categories import Visibility
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


def _private_from(person: UUID) -> LoaderCriteriaOption:
    seen = or_(Ticket.visibility != Visibility.PRIVATE.value, Ticket.assignee == person, Ticket.reporter == person)
    return with_loader_criteria(Ticket, seen, include_aliases=True)


def _narrow(state: ORMExecuteState) -> None:
    scope: Scope = state.session.info["scope"]
    if scope.role == "linli_worker" and not state.is_column_load:
        state.statement = state.statement.options(_private_from(scope.person))
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
    """Put the criteria into every statement of theirs from now on."""
    event.listen(ScopedSession, "do_orm_execute", _narrow)
