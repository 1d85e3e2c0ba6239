"""Tables of the tickets service, with the moves a ticket may make."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, Integer, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.orm.attributes import flag_modified

from linli.models import Base, Placed, Versioned
from linli.problems import Conflict, Forbidden


class State(StrEnum):
    """Where a ticket stands on its way from report to feedback (收集-解决-反馈)."""

    OPEN = "open"
    ASSIGNED = "assigned"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Move(StrEnum):
    """What is done with a ticket, or happens to it when a clock runs out."""

    OPEN = "open"
    ASSIGN = "assign"
    RESOLVE = "resolve"
    CLOSE = "close"
    RATE = "rate"
    ANSWER_OVERDUE = "answer_overdue"
    SOLVE_OVERDUE = "solve_overdue"


MOVES: Final = {
    Move.ASSIGN: ({State.OPEN, State.ASSIGNED}, State.ASSIGNED),
    Move.RESOLVE: ({State.ASSIGNED}, State.RESOLVED),
    Move.CLOSE: ({State.RESOLVED}, State.CLOSED),
    Move.RATE: ({State.CLOSED}, State.CLOSED),
}
"""The whole life of a ticket: which states a move starts from, and which it ends in."""


class Clock(StrEnum):
    """What must be done in time (时限): somebody answers for it (接单), it is dealt with (办结)."""

    ANSWER = "answer"
    SOLVE = "solve"

    @property
    def overdue(self) -> Move:
        """What happens when it runs out."""
        return {Clock.ANSWER: Move.ANSWER_OVERDUE, Clock.SOLVE: Move.SOLVE_OVERDUE}[self]


CLOCKS: Final = {
    Clock.ANSWER: (timedelta(hours=24), {State.OPEN}),
    Clock.SOLVE: (timedelta(days=7), {State.OPEN, State.ASSIGNED}),
}
"""How long each clock runs from the opening of a ticket, and in which states."""


class IllegalMove(Conflict):
    """A ticket that is {state} can't make the move {move}; possible now: {possible}."""

    title_zh = "当前状态不允许此操作"
    detail_zh = "工单当前状态为 {state}，不能执行 {move}；当前可执行：{possible}。"


class TicketAlreadyAssigned(Conflict):
    """The ticket is with {assignee} already."""

    title_zh = "已派给该人员"
    detail_zh = "该工单已派给 {assignee}。"


class AlreadyRated(Conflict):
    """The ticket was rated before; a rating is given once."""

    title_zh = "已评价"
    detail_zh = "该工单已评价，只能评价一次。"


class NotYours(Forbidden):
    """Only {who} may {move} this ticket."""

    title_zh = "不是您的工单"
    detail_zh = "只有 {who} 可以对该工单执行 {move}。"


class Ticket(Placed, Versioned, Base):
    """A report of a resident (诉求), and its way to an answer."""

    __tablename__ = "ticket"
    __table_args__ = (
        ForeignKeyConstraint(["district", "unit"], ["known_unit.district", "known_unit.unit"]),
        Index("ix_ticket_unit", "unit", "id"),
        Index("ix_ticket_reporter", "reporter", "id"),
        Index("ix_ticket_assignee", "assignee", "id"),
    )

    title: Mapped[str]
    description: Mapped[str]
    category: Mapped[str]
    state: Mapped[str] = mapped_column(default=State.OPEN.value)
    reporter: Mapped[UUID]
    assignee: Mapped[UUID | None]
    resolved_by: Mapped[UUID | None]
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    opened_at: Mapped[datetime]
    answer_due_at: Mapped[datetime | None]
    solve_due_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]

    def start_clocks(self) -> dict[str, datetime]:
        """Say when each clock of a newly opened ticket runs out."""
        due = {clock.value: self.opened_at + within for clock, (within, _) in CLOCKS.items()}
        self.answer_due_at, self.solve_due_at = due[Clock.ANSWER], due[Clock.SOLVE]
        return due

    def is_waiting(self, clock: Clock) -> bool:
        """Tell whether what a clock is for is still to be done."""
        return self.state in CLOCKS[clock][1]

    def run_out(self) -> None:
        """Count a clock's running out among the ticket's changes, as a step in its trail that no column shows."""
        flag_modified(self, "state")

    def possible(self) -> list[str]:
        """List the moves that are legal now."""
        moves = [move.value for move, (before, _) in MOVES.items() if self.state in before]
        return [move for move in moves if move != Move.RATE or self.rating is None]

    def _move(self, move: Move) -> None:
        before, after = MOVES[move]
        if self.state not in before:
            raise IllegalMove(state=self.state, move=move.value, possible=", ".join(self.possible()) or "nothing")
        self.state = after.value

    def assign(self, assignee: UUID) -> None:
        """Give the ticket to somebody who answers for it; may be repeated until it is resolved.

        Raises:
            IllegalMove: 409.
            TicketAlreadyAssigned: 409, to the same one again.
        """
        self._move(Move.ASSIGN)
        if assignee == self.assignee:
            raise TicketAlreadyAssigned(assignee=str(assignee))
        self.assignee = assignee

    def resolve(self, actor: UUID) -> None:
        """Say that the matter is dealt with.

        Raises:
            IllegalMove: 409.
        """
        self._move(Move.RESOLVE)
        self.resolved_by = actor
        self.resolved_at = datetime.now(UTC)

    def close(self) -> None:
        """End the ticket after it was resolved.

        Raises:
            IllegalMove: 409.
        """
        self._move(Move.CLOSE)
        self.closed_at = datetime.now(UTC)

    def rate(self, actor: UUID, rating: int) -> None:
        """Say how well the matter was answered, 1 to 5: the reporter, once.

        Raises:
            NotYours: 403, for anybody but the reporter.
            IllegalMove: 409, before the ticket is closed.
            AlreadyRated: 409.
        """
        if actor != self.reporter:
            raise NotYours(who="the reporter (诉求人)", move="rate", permission="reporter")
        self._move(Move.RATE)
        if self.rating is not None:
            raise AlreadyRated
        self.rating = rating


class Entry(Placed, Base):
    """One step of a ticket, kept for good (全程留痕)."""

    __tablename__ = "ticket_entry"
    __table_args__ = (
        ForeignKeyConstraint(["district", "ticket_id"], ["ticket.district", "ticket.id"]),
        UniqueConstraint("district", "ticket_id", "sequence"),
    )

    ticket_id: Mapped[UUID]
    reporter: Mapped[UUID]
    sequence: Mapped[int]
    move: Mapped[str]
    actor: Mapped[UUID]
    note: Mapped[str | None]
    trace_id: Mapped[str | None]
    at: Mapped[datetime]


class KnownAssignment(Base):
    """A copy of the directory's staff assignments: who may be given a ticket."""

    __tablename__ = "known_assignment"
    SUPERVISING: ClassVar = frozenset({"community_manager"})
    ANSWERING: ClassVar = frozenset({"grid_worker", "department_staff", "community_manager", "street_admin"})

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    unit: Mapped[int]
    staff: Mapped[UUID]
    role: Mapped[str]
    active: Mapped[bool]
    sequence: Mapped[int]
