"""What points (积分) tell."""

from uuid import UUID

from linli.events import Code, Event


class PointsAwarded(Event, type="points.awarded.v1", aggregate="holder"):
    """A holder got points by a rule; `balance` is what he has since."""

    transfer: UUID
    holder: UUID
    ticket: UUID | None = None
    wish: UUID | None = None
    rule: Code
    amount: int
    balance: int
