"""Tables of the tickets service: a ticket, its trail, and who follows it."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint, case, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.orm.attributes import flag_modified

from linli import units
from linli.models import Base, Placed, Versioned
from linli.problems import Conflict, Unprocessable
from linli.security import Principal
from tickets.models.clocks import Clocked
from tickets.models.moves import CLOCKS, MOVES, Clock, IllegalMove, Level, Move, Names, NotYours, Outcome, State

_SIZE: Final = {Level.COMMUNITY: 10**6, Level.STREET: 10**9, Level.DISTRICT: 10**12}
"""How many units lie in one of a level."""


def handler_of(unit: int, level: str) -> int:
    """Give the unit that answers for what is in a unit, at a level (承办单位)."""
    return unit - unit % _SIZE[Level(level)]


class Source(StrEnum):
    """How a report came (来源)."""

    APP = "app"
    HOTLINE = "hotline"
    PATROL = "patrol"
    OPEN311 = "open311"
    QR = "qr"


FIRST_HAND: Final = (Source.APP.value, Source.QR.value)
"""How people report for themselves; what came otherwise was taken down by its reporter (代录)."""


class SubjectKind(StrEnum):
    """What a ticket may be about (对象)."""

    RESIDENT = "resident"
    HOUSEHOLD = "household"
    ORGANISATION = "organisation"
    PLACE = "place"


class TicketAlreadyAssigned(Conflict):
    """The ticket is with {assignee} already."""

    title_zh = "已派给该人员"
    detail_zh = "该工单已派给 {assignee}。"


class AlreadyRated(Conflict):
    """The ticket was rated before; a rating is given once."""

    title_zh = "已评价"
    detail_zh = "该工单已评价，只能评价一次。"


class Ticket(Clocked, Placed, Versioned, Base):
    """A report of a resident (诉求), and its way to an answer.

    Attributes:
        level: of the unit that answers for it now: it begins at its community, and is raised from there.
        department: code of the department that it is for, if for one.
        outcome: how it ended; None while it runs, and when a version closed it that told no outcomes apart.
        confirmed: whether the outcome is the reporter's own word.
        reopened: how often it was.
        followers: how many have reported the same.
        parent: the ticket that it is a part of.
        folded_into: the ticket that it is a duplicate of.
        source: how it came.
        reference: its number there.
        answers: what the category's form asked for.
    """

    __tablename__ = "ticket"
    __table_args__ = (
        ForeignKeyConstraint(["district", "unit"], ["known_unit.district", "known_unit.unit"]),
        ForeignKeyConstraint(["district", "parent"], ["ticket.district", "ticket.id"]),
        ForeignKeyConstraint(["district", "folded_into"], ["ticket.district", "ticket.id"]),
        ForeignKeyConstraint(["district", "department"], ["department.district", "department.code"]),
        Index("ix_ticket_unit", "unit", "id"),
        Index("ix_ticket_reporter", "reporter", "id"),
        Index("ix_ticket_assignee", "assignee", "id"),
        Index("ix_ticket_level", "level", "id", postgresql_where=text("level <> 'community'")),
        Index("ix_ticket_source", "source", "id", postgresql_where=text("source <> 'app'")),
    )

    title: Mapped[str]
    description: Mapped[str]
    category: Mapped[str]
    state: Mapped[str] = mapped_column(default=State.OPEN.value)
    level: Mapped[str] = mapped_column(default=Level.COMMUNITY.value)
    department: Mapped[str | None]
    visibility: Mapped[str] = mapped_column(default="district")
    reporter: Mapped[UUID]
    assignee: Mapped[UUID | None]
    resolved_by: Mapped[UUID | None]
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    outcome: Mapped[str | None]
    confirmed: Mapped[bool] = mapped_column(default=False)
    reopened: Mapped[int] = mapped_column(SmallInteger, default=0)
    followers: Mapped[int] = mapped_column(SmallInteger, default=0)
    parent: Mapped[UUID | None]
    folded_into: Mapped[UUID | None]
    source: Mapped[str] = mapped_column(default="app")
    reference: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    subject_kind: Mapped[str | None]
    subject: Mapped[str | None]
    answers: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]

    @hybrid_property
    def handler(self) -> int:
        """The unit that answers for the ticket now (承办单位): it always has one."""
        return handler_of(self.unit, self.level)

    @handler.inplace.expression
    @classmethod
    def _handler(cls) -> ColumnElement[int]:
        return case({level.value: cls.unit - cls.unit % size for level, size in _SIZE.items()}, value=cls.level)

    def next_level(self, move: Move) -> Level | None:
        """Give the level that the ticket is raised or returned to: the next with a unit of its own; None at the end."""
        level = Level(self.level)
        following = level.above if move is Move.ESCALATE else level.below
        while following and self.unit - self.unit % _SIZE[following] == self.handler:
            following = following.above if move is Move.ESCALATE else following.below
        return following

    def is_waiting(self, clock: Clock) -> bool:
        """Tell whether what a clock is for is still to be done."""
        if clock in {Clock.STREET, Clock.DISTRICT} and self.level != clock.value:
            return False
        return self.state in CLOCKS[clock]

    def touch(self) -> None:
        """Count a step among the ticket's changes that no column shows."""
        flag_modified(self, "state")

    def legal_moves(self, caller: Principal | None = None) -> list[Move]:
        """List the moves that are legal now, for somebody or at all."""
        return [
            move
            for move, rule in MOVES.items()
            if rule.legal(self)
            and (caller is None or (rule.who.permission in caller.permissions and rule.who.is_(caller, self)))
        ]

    def move(self, move: Move, caller: Principal | None) -> None:
        """Make a move of the table; without a caller it follows from another, or from time.

        Raises:
            NotYours: 403, when it is not the caller's to make.
            IllegalMove: 409.
        """
        rule = MOVES[move]
        if caller is not None and not rule.who.is_(caller, self):
            raise NotYours(who=rule.who.name, move=move.value, permission=rule.who.permission)
        if not rule.legal(self):
            raise IllegalMove(state=self.state, move=move.value, possible=Names(self.legal_moves()))
        if rule.at_work:
            self.state = (State.ASSIGNED if self.assignee else State.OPEN).value
        elif rule.after is not None and not (rule.waits and self.state == State.WAITING):
            self.state = rule.after.value
        self.touch()

    def assign(self, caller: Principal, assignee: UUID) -> None:
        """Give the ticket to somebody who answers for it; may be repeated until it is resolved.

        Raises:
            NotYours: 403.
            IllegalMove: 409.
            TicketAlreadyAssigned: 409, to the same one again.
        """
        self.move(Move.ASSIGN, caller)
        if assignee == self.assignee:
            raise TicketAlreadyAssigned(assignee=str(assignee))
        self.assignee = assignee

    def hand_down(self, caller: Principal, unit: int) -> None:
        """Have the ticket lie in a unit below its own, which answers for it at its own level.

        Raises:
            NotYours: 403.
            IllegalMove: 409, when there is none below.
            Unprocessable: 422, for a unit that does not lie below the ticket's.
        """
        self.move(Move.HAND_DOWN, caller)
        if unit == self.unit or not units.contains(self.unit, unit):
            raise Unprocessable(errors=[_NOT_BELOW])
        self.unit = unit

    def resolve(self, caller: Principal | None, actor: UUID) -> None:
        """Say that the matter is dealt with; without a caller, as all of its parts are.

        Raises:
            NotYours: 403.
            IllegalMove: 409.
        """
        self.move(Move.RESOLVE if caller else Move.PARTS_DONE, caller)
        self.resolved_by = actor
        self.resolved_at = datetime.now(UTC)

    def close(self, move: Move, caller: Principal | None, outcome: Outcome) -> None:
        """End the ticket; what its reporter says of a solution is told apart from what time does.

        Raises:
            NotYours: 403.
            IllegalMove: 409.
        """
        self.move(move, caller)
        self.outcome = outcome.value
        self.confirmed = move is Move.CLOSE and caller is not None and caller.id == self.reporter
        self.closed_at = datetime.now(UTC)

    def reopen(self, move: Move, caller: Principal | None) -> None:
        """Take the ticket up again, with whoever had it.

        Raises:
            NotYours: 403.
            IllegalMove: 409.
        """
        self.move(move, caller)
        self.reopened += 1
        self.resolved_by = self.resolved_at = self.closed_at = self.outcome = self.rating = None
        self.confirmed = False

    def unfold(self, withdrawn: "Ticket") -> None:
        """Take a duplicate up again, as what it was folded into was withdrawn: where that lay, if in its own unit.

        There it is with whoever had that, which may have been handed down since.

        Raises:
            IllegalMove: 409.
        """
        if units.contains(self.unit, withdrawn.unit):
            self.unit, self.assignee, self.level = withdrawn.unit, withdrawn.assignee, withdrawn.level
        self.move(Move.UNFOLD, None)
        self.folded_into = self.outcome = self.closed_at = None

    def rate(self, caller: Principal, rating: int) -> None:
        """Say how well the matter was answered, 1 to 5: the reporter, once.

        Raises:
            NotYours: 403, for anybody but the reporter.
            IllegalMove: 409, before the ticket is closed, or when it ended without a solution.
            AlreadyRated: 409.
        """
        if self.rating is not None and caller.id == self.reporter:
            raise AlreadyRated
        self.move(Move.RATE, caller)
        self.rating = rating


_NOT_BELOW: Final = {
    "pointer": "#/unit",
    "detail": "a unit below the one that the ticket lies in",
    "detail_zh": "应为工单所在单元的下级单元",
}


class Entry(Placed, Base):
    """One step of a ticket, kept for good (全程留痕).

    Attributes:
        state: how the ticket stood after it; None in steps of a version that kept no states.
        facts: what was said with it besides the note: ids, codes, numbers.
    """

    __tablename__ = "ticket_entry"
    __table_args__ = (
        ForeignKeyConstraint(["district", "ticket_id"], ["ticket.district", "ticket.id"]),
        UniqueConstraint("district", "ticket_id", "sequence"),
    )

    ticket_id: Mapped[UUID]
    reporter: Mapped[UUID]
    sequence: Mapped[int]
    move: Mapped[str]
    state: Mapped[str | None]
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    actor: Mapped[UUID]
    note: Mapped[str | None]
    trace_id: Mapped[str | None]
    at: Mapped[datetime]


class Follower(Placed, Base):
    """Who reported the same and is told how the ticket goes on (并单诉求人).

    Attributes:
        ticket_id: the ticket that is followed.
        reporter: of that one, who sees how many follow.
        folded: the follower's own ticket.
    """

    __tablename__ = "ticket_follower"
    __table_args__ = (
        ForeignKeyConstraint(["district", "ticket_id"], ["ticket.district", "ticket.id"]),
        ForeignKeyConstraint(["district", "folded"], ["ticket.district", "ticket.id"]),
        UniqueConstraint("district", "ticket_id", "folded"),
    )

    ticket_id: Mapped[UUID]
    reporter: Mapped[UUID]
    follower: Mapped[UUID]
    folded: Mapped[UUID]
