"""What goes over HTTP."""

from datetime import datetime
from uuid import UUID

from pydantic import Field, StrictBool

from linli.schemas import In, Out, Paged
from linli.units import UnitCode
from points.models import RuleCode


class AccountOut(Out):
    """A person's points (积分账户); without `opened_at` none were earned yet."""

    holder: UUID
    balance: int
    unit: UnitCode | None = Field(default=None, description="Street where the first points were earned (开户街道)")
    opened_at: datetime | None = None


class TransferOut(Out):
    """Points that came or went; `cause` is what they are for, such as the rated ticket."""

    id: UUID
    unit: UnitCode
    debit_account: UUID
    credit_account: UUID
    amount: int
    rule: RuleCode
    cause: UUID
    trace_id: str | None
    at: datetime


class Statement(Paged[TransferOut]):
    """One page of a person's transfers (流水), with what he has now."""

    balance: int


class RuleIn(In):
    """What a street gives points for (积分规则)."""

    min_rating: int = Field(ge=1, le=5, description="Lowest rating that earns points (最低评分)")
    points: int = Field(ge=1, le=10_000)
    active: StrictBool = True


class RuleOut(Out):
    """A street's rule; version 0 is the default of a street that has set none."""

    unit: UnitCode
    code: RuleCode
    min_rating: int
    points: int
    active: bool
    version: int


class DefaultRule(Out):
    """What holds in a street that has set no rule (默认规则)."""

    code: RuleCode
    min_rating: int
    points: int
    active: bool


class Rules(Paged[RuleOut]):
    """The rules streets have set, and what holds in all others."""

    defaults: list[DefaultRule]
