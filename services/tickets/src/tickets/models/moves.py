"""The life of a ticket (诉求工单) as one table: its states, the moves between them, and who may make them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from linli import units
from linli.problems import Conflict, Forbidden
from linli.security import Principal

if TYPE_CHECKING:
    from tickets.models.tickets import Ticket


class State(StrEnum):
    """Where a ticket stands on its way from report to feedback (收集-解决-反馈)."""

    OPEN = "open"
    ASSIGNED = "assigned"
    WAITING = "waiting"
    SPLIT = "split"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Outcome(StrEnum):
    """How a closed ticket ended: closed (结案) is not yet fixed (已解决)."""

    FIXED = "fixed"
    NOT_FIXED = "not_fixed"
    WITHDRAWN = "withdrawn"
    DUPLICATE = "duplicate"
    NO_ANSWER = "no_answer"


class Level(StrEnum):
    """Who answers for a ticket in three levels (三级处置)."""

    COMMUNITY = "community"
    STREET = "street"
    DISTRICT = "district"

    @classmethod
    def of(cls, unit: int) -> "Level":
        """Give the level that a unit is of, or in."""
        return {units.Level.DISTRICT: cls.DISTRICT, units.Level.STREET: cls.STREET}.get(
            units.level(unit), cls.COMMUNITY
        )

    @property
    def above(self) -> "Level | None":
        """The level that it is raised to."""
        return {Level.COMMUNITY: Level.STREET, Level.STREET: Level.DISTRICT}.get(self)

    @property
    def below(self) -> "Level | None":
        """The level that it is given back to."""
        return {Level.STREET: Level.COMMUNITY, Level.DISTRICT: Level.STREET}.get(self)


class Move(StrEnum):
    """What is done with a ticket, or happens to it when a clock runs out."""

    OPEN = "open"
    ASSIGN = "assign"
    ASSIGNEE_LEFT = "assignee_left"
    ASK = "ask"
    ANSWER = "answer"
    ESCALATE = "escalate"
    RETURN = "return"
    HAND_DOWN = "hand_down"
    RESOLVE = "resolve"
    CLOSE = "close"
    REOPEN = "reopen"
    RATE = "rate"
    POORLY_RATED = "poorly_rated"
    WITHDRAW = "withdraw"
    FOLD = "fold"
    UNFOLD = "unfold"
    SPLIT = "split"
    PARTS_DONE = "parts_done"
    NOTE = "note"
    ANSWER_OVERDUE = "answer_overdue"
    SOLVE_OVERDUE = "solve_overdue"
    STREET_OVERDUE = "street_overdue"
    DISTRICT_OVERDUE = "district_overdue"
    CASE = "case"
    WHISTLE = "whistle"
    REPORT = "report"
    REPORT_MISSED = "report_missed"
    ACT = "act"
    RATE_WHISTLE = "rate_whistle"
    CALL_OFF = "call_off"


class Clock(StrEnum):
    """What must be done in time (时限)."""

    ANSWER = "answer"
    """Somebody answers for it (接单)."""
    SOLVE = "solve"
    """It is dealt with (办结)."""
    STREET = "street"
    """The street that it was raised to takes it up (街道处置)."""
    DISTRICT = "district"
    """So does the district (区级处置)."""
    CONFIRM = "confirm"
    """The reporter says whether it is fixed (确认)."""

    @property
    def overdue(self) -> Move:
        """What happens when it runs out."""
        return Move.CLOSE if self is Clock.CONFIRM else Move(f"{self}_overdue")

    @property
    def column(self) -> str:
        """Where a ticket keeps when it runs out: of two levels one at a time has it."""
        return "level_due_at" if self in {Clock.STREET, Clock.DISTRICT} else f"{self}_due_at"


class IllegalMove(Conflict):
    """A ticket that is {state} can't make the move {move}; possible now: {possible}."""

    title_zh = "当前状态不允许此操作"
    detail_zh = "工单当前状态为 {state}，不能执行 {move}；当前可执行：{possible}。"


class NotYours(Forbidden):
    """Only {who} may {move} this ticket."""

    title_zh = "不是您的工单"
    detail_zh = "只有 {who} 可以对该工单执行 {move}。"


@dataclass(frozen=True)
class Actor:
    """Who may make a move.

    Attributes:
        name: for people, in English and Chinese.
        permission: what the move's route asks for.
        is_: whether somebody is it, for a ticket.
    """

    name: str
    permission: str
    is_: Callable[[Principal, "Ticket"], bool]


def _manages(caller: Principal, ticket: "Ticket") -> bool:
    return "tickets.assign" in caller.permissions and caller.covers(ticket.handler)


def _reported(caller: Principal, ticket: "Ticket") -> bool:
    # Whoever splits a ticket is its parts' reporter for as long as he is in charge of them.
    return caller.id == ticket.reporter and (ticket.parent is None or _manages(caller, ticket))


REPORTER: Final = Actor("the reporter (诉求人)", "tickets.close", _reported)
_TAKEN_DOWN: Final = {"hotline", "patrol"}


def _confirms(caller: Principal, ticket: "Ticket") -> bool:
    # Its reporter took it down at work; whoever asks those concerned (回访) may be another, but not who resolved it.
    if ticket.source in _TAKEN_DOWN:
        return caller.id != ticket.resolved_by and (_reported(caller, ticket) or _manages(caller, ticket))
    return _reported(caller, ticket)


CONFIRMER: Final = Actor(
    "the reporter (诉求人) or, by the hotline or a patrol, those who manage its unit and have not resolved it",
    "tickets.close",
    _confirms,
)
RATER: Final = Actor(REPORTER.name, "tickets.rate", REPORTER.is_)
MANAGER: Final = Actor("those who manage the unit that answers for it (承办单位负责人)", "tickets.assign", _manages)
WORKER: Final = Actor(
    "the assignee (受派人), or those who manage its unit",
    "tickets.resolve",
    lambda caller, ticket: caller.id == ticket.assignee or _manages(caller, ticket),
)
EITHER: Final = Actor(
    "the reporter (诉求人), or those who manage its unit",
    "tickets.close",
    lambda caller, ticket: _reported(caller, ticket) or _manages(caller, ticket),
)
ANYBODY: Final = Actor("whoever sees it", "tickets.read", lambda _, __: True)
NOBODY: Final = Actor("nobody: it follows (自动)", "", lambda _, __: False)


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    Attributes:
        before: states it starts from.
        after: the state it ends in; None when that stays.
        who: may make it.
        needs: what must be said with it.
        only: what must hold besides.
        at_work: whether it ends where work goes on: assigned if somebody is, otherwise open.
        waits: whether what waits for its reporter goes on waiting.
    """

    before: frozenset[State]
    after: State | None
    who: Actor
    needs: tuple[str, ...] = ()
    only: Callable[["Ticket"], bool] = lambda _: True
    at_work: bool = False
    waits: bool = False

    def legal(self, ticket: "Ticket") -> bool:
        """Tell whether a ticket, as it stands, may be moved so."""
        return ticket.state in self.before and self.only(ticket)


_AT_WORK: Final = frozenset({State.OPEN, State.ASSIGNED})
POOR: Final = 3
"""A rating under this takes the ticket up again (不满意重办)."""
TAKEN_UP: Final = 2
"""How often at the most."""
_UNSOLVED: Final = {Outcome.WITHDRAWN.value, Outcome.DUPLICATE.value}

MOVES: Final[dict[Move, Rule]] = {
    Move.ASSIGN: Rule(_AT_WORK | {State.WAITING}, State.ASSIGNED, MANAGER, ("assignee",), waits=True),
    Move.ASK: Rule(_AT_WORK, State.WAITING, WORKER, ("note",)),
    Move.ANSWER: Rule(frozenset({State.WAITING}), None, EITHER, ("note",), at_work=True),
    Move.ESCALATE: Rule(_AT_WORK, None, WORKER, ("note",), lambda ticket: ticket.next_level(Move.ESCALATE) is not None),
    Move.RETURN: Rule(_AT_WORK, None, MANAGER, ("note",), lambda ticket: ticket.next_level(Move.RETURN) is not None),
    Move.HAND_DOWN: Rule(
        _AT_WORK, None, MANAGER, ("unit",), lambda ticket: units.level(ticket.unit) is not units.Level.MICRO_GRID
    ),
    Move.RESOLVE: Rule(frozenset({State.ASSIGNED}), State.RESOLVED, WORKER),
    Move.CLOSE: Rule(frozenset({State.RESOLVED}), State.CLOSED, CONFIRMER),
    Move.REOPEN: Rule(frozenset({State.RESOLVED}), None, EITHER, ("note",), at_work=True),
    Move.RATE: Rule(
        frozenset({State.CLOSED}),
        State.CLOSED,
        RATER,
        ("rating",),
        lambda ticket: ticket.rating is None and ticket.parent is None and ticket.outcome not in _UNSOLVED,
    ),
    # Once by itself; the second time it also goes up a level; after that it is only kept. How often, the trail says.
    Move.POORLY_RATED: Rule(
        frozenset({State.CLOSED}),
        None,
        NOBODY,
        only=lambda ticket: ticket.rating is not None and ticket.rating < POOR,
        at_work=True,
    ),
    Move.WITHDRAW: Rule(_AT_WORK | {State.WAITING}, State.CLOSED, REPORTER),
    Move.FOLD: Rule(_AT_WORK | {State.WAITING}, State.CLOSED, MANAGER, ("into",), lambda ticket: ticket.parent is None),
    # What it was folded into was withdrawn, and is still the matter of who reported the same.
    Move.UNFOLD: Rule(
        frozenset({State.CLOSED}), None, NOBODY, only=lambda ticket: ticket.folded_into is not None, at_work=True
    ),
    Move.SPLIT: Rule(_AT_WORK, State.SPLIT, MANAGER, ("parts",), lambda ticket: ticket.parent is None),
    Move.PARTS_DONE: Rule(frozenset({State.SPLIT}), State.RESOLVED, NOBODY),
    Move.WHISTLE: Rule(_AT_WORK | {State.WAITING}, None, MANAGER, ("departments",)),
    Move.CASE: Rule(_AT_WORK | {State.WAITING, State.RESOLVED}, None, MANAGER, ("grade",)),
    Move.NOTE: Rule(frozenset(State), None, ANYBODY, ("note",)),
}
"""The whole life of a ticket, but for what time does: `CLOCKS`."""

CLOCKS: Final[dict[Clock, frozenset[State]]] = {
    Clock.ANSWER: frozenset({State.OPEN}),
    Clock.SOLVE: _AT_WORK,
    Clock.STREET: _AT_WORK,
    Clock.DISTRICT: _AT_WORK,
    Clock.CONFIRM: frozenset({State.RESOLVED}),
}
"""In which states what each clock is for is still to be done."""


class Names(list[str]):
    """Moves by name: a list in an answer's body, words in its text."""

    def __init__(self, moves: Collection[Move]) -> None:
        super().__init__(move.value for move in moves)

    def __str__(self) -> str:
        return ", ".join(self) or "nothing (无)"
