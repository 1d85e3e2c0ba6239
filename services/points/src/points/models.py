"""Tables of the points service: accounts, the transfers between them, and the rules that cause transfers."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from linli import units
from linli.models import Base, Placed, Versioned


class Kind(StrEnum):
    """Whose an account is: a person's, or the street's that issues the points he earns."""

    ISSUER = "issuer"
    MEMBER = "member"


class RuleCode(StrEnum):
    """What points can be earned by."""

    TICKET_RATED = "ticket_rated"
    WISH_CONFIRMED = "wish_confirmed"


class Account(Placed, Versioned, Base):
    """A balance (账户): a person has one in his district, a street one that it issues from.

    An issuer's balance is never above zero and says how many of its points are out; a person's is never below. All
    balances of a district add up to zero. A person's account belongs to the street where he earned first, and stays
    his when he earns elsewhere in the district.
    """

    __tablename__ = "account"
    __table_args__ = (UniqueConstraint("district", "holder"),)

    kind: Mapped[str]
    holder: Mapped[UUID | None]
    balance: Mapped[int]
    opened_at: Mapped[datetime]

    def give(self, to: "Account", amount: int, **what: Any) -> "Transfer":  # noqa: ANN401 a transfer's other columns
        """Move points to another account: the only way a balance changes, so that none is made or lost."""
        self.balance -= amount
        to.balance += amount
        return Transfer(district=self.district, debit_account=self.id, credit_account=to.id, amount=amount, **what)


class Transfer(Placed, Base):
    """Points that went from one account to another (流水); never changed, never taken back but by another one."""

    __tablename__ = "transfer"
    __table_args__ = (
        ForeignKeyConstraint(["district", "debit_account"], ["account.district", "account.id"]),
        ForeignKeyConstraint(["district", "credit_account"], ["account.district", "account.id"]),
        UniqueConstraint("district", "rule", "cause"),
        Index("ix_transfer_holder", "district", "holder", "id"),
    )

    holder: Mapped[UUID]
    debit_account: Mapped[UUID]
    credit_account: Mapped[UUID]
    amount: Mapped[int]
    rule: Mapped[str]
    cause: Mapped[UUID]
    event_id: Mapped[UUID]
    trace_id: Mapped[str | None]
    at: Mapped[datetime]


class EarningRule(Placed, Versioned, Base):
    """What a street gives points for, and how many (积分规则)."""

    __tablename__ = "earning_rule"
    __table_args__ = (UniqueConstraint("district", "unit", "code"),)

    code: Mapped[str]
    min_rating: Mapped[int] = mapped_column(SmallInteger)
    points: Mapped[int]
    active: Mapped[bool]

    @classmethod
    def default(cls, unit: int, code: RuleCode) -> Self:
        """Give the rule of a street that has set none: version 0, in no table."""
        return cls(district=units.district(unit), unit=unit, code=code.value, version=0, **DEFAULTS[code])

    def points_for(self, rating: int) -> int:
        """Tell how many points a rating is worth; what nobody rates counts as rated best."""
        return self.points if self.active and rating >= self.min_rating else 0


DEFAULTS: Final[dict[RuleCode, dict[str, int]]] = {
    RuleCode.TICKET_RATED: {"min_rating": 4, "points": 10, "active": True},
    RuleCode.WISH_CONFIRMED: {"min_rating": 1, "points": 20, "active": True},
}
"""What holds in a street that has set no rule of its own."""
