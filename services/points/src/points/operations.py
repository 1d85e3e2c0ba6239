"""Use cases of points: one function each, inside the caller's transaction."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.db import require_unit
from linli.events.points import PointsAwarded
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound, PreconditionFailed, Unprocessable
from linli.security import Principal
from linli.telemetry import trace_id
from points.models import Account, EarningRule, Kind, RuleCode, Transfer

_STREET: Final = 10**9
_KNOWN: Final = [code.value for code in RuleCode]
BEST: Final = 5
"""The best rating."""
_CAUSES: Final = {RuleCode.TICKET_RATED: "ticket", RuleCode.WISH_CONFIRMED: "wish"}
"""What an award tells of."""


class NotAStreet(Unprocessable):
    """{unit} is not a street; rules are set by streets."""

    title_zh = "不是街道"
    detail_zh = "{unit} 不是街道；积分规则由街道设定。"


def street_of(unit: int) -> int:
    """Give the street a unit lies in, or the district itself for what belongs to no street."""
    return unit - unit % _STREET


async def award(  # noqa: PLR0913 an award is these facts
    session: AsyncSession,
    code: RuleCode,
    *,
    unit: int,
    cause: UUID,
    holder: UUID,
    event_id: UUID,
    rating: int = BEST,
) -> Transfer | None:
    """Give somebody the points that a rule has for a ticket or wish; once for each, however often it is told.

    The issuer's row is locked before the member's, here as everywhere, so that awards wait for each other and never
    in a circle; and as a cause has one issuer, that lock also makes the look for an earlier award a safe one.
    """
    rule = await find_rule(session, street_of(unit), code)
    amount = rule.points_for(rating)
    if not amount:
        return None
    issuer = await _account(session, Kind.ISSUER, street_of(unit), None)
    member = await _account(session, Kind.MEMBER, street_of(unit), holder)
    awarded = exists().where(Transfer.district == issuer.district, Transfer.rule == rule.code, Transfer.cause == cause)
    if await session.scalar(select(awarded)):
        return None
    transfer = issuer.give(
        member,
        amount,
        unit=unit,
        holder=holder,
        rule=rule.code,
        cause=cause,
        event_id=event_id,
        trace_id=trace_id(),
        at=datetime.now(UTC),
    )
    session.add(transfer)
    await session.flush()
    await publish(
        session,
        PointsAwarded(
            transfer=transfer.id,
            unit=unit,
            sequence=member.version,
            holder=holder,
            **{_CAUSES[code]: cause},
            rule=rule.code,
            amount=amount,
            balance=member.balance,
        ),
    )
    return transfer


async def _account(session: AsyncSession, kind: Kind, street: int, holder: UUID | None) -> Account:
    """Find an account and lock it until the transaction ends; it is opened when first needed."""
    whose: tuple[ColumnElement[bool], ...] = (
        (Account.kind == kind.value, Account.unit == street) if holder is None else (Account.holder == holder,)
    )
    find = select(Account).where(Account.district == units.district(street), *whose).with_for_update()
    account = await session.scalar(find)
    if account is None:
        opening = insert(Account).values(
            district=units.district(street),
            id=uuid7(),
            unit=street,
            kind=kind.value,
            holder=holder,
            balance=0,
            opened_at=datetime.now(UTC),
            version=1,
        )
        # Another transaction may be opening it this moment: then this waits for it and finds that one.
        await session.execute(opening.on_conflict_do_nothing())
        account = (await session.scalars(find)).one()
    return account


async def find_account(session: AsyncSession, district: int, holder: UUID) -> Account:
    """Read a person's account.

    Raises:
        NotFound: 404.
    """
    account = await own_account(session, district, holder)
    if account is None:
        raise NotFound(kind="account", id=str(holder))
    return account


async def own_account(session: AsyncSession, district: int, holder: UUID) -> Account | None:
    """Read a person's account if he has earned points before."""
    account: Account | None = await session.scalar(
        select(Account).where(Account.district == district, Account.holder == holder)
    )
    return account


def transfers_of(district: int, holder: UUID, cause: UUID | None) -> Select[tuple[Transfer]]:
    """Select what came to a person and went from him, all or for one cause.

    But for what came by a rule that only a newer version knows: one may write beside this one.
    """
    statement = select(Transfer).where(
        Transfer.district == district, Transfer.holder == holder, Transfer.rule.in_(_KNOWN)
    )
    return statement if cause is None else statement.where(Transfer.cause == cause)


def rules_within(unit: int | None) -> Select[tuple[EarningRule]]:
    """Select the rules that streets have set, but for those that only a newer version knows."""
    statement = select(EarningRule).where(EarningRule.code.in_(_KNOWN))
    return statement if unit is None else statement.where(EarningRule.unit.between(*units.span(unit)))


async def find_rule(session: AsyncSession, street: int, code: RuleCode, *, to_change: bool = False) -> EarningRule:
    """Read the rule that holds in a street, its own or the default; `to_change` locks it."""
    statement = select(EarningRule).where(
        EarningRule.district == units.district(street), EarningRule.unit == street, EarningRule.code == code.value
    )
    rule = await session.scalar(statement.with_for_update() if to_change else statement)
    return rule or EarningRule.default(street, code)


async def check_street(session: AsyncSession, caller: Principal, unit: int) -> None:
    """Refuse a unit that has no rules, or whose rules are not the caller's business.

    Raises:
        OutsideScope: 403.
        NotAStreet: 422.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    if units.level(unit) is not units.Level.STREET:
        raise NotAStreet(unit=units.short(unit))
    await require_unit(session, unit)


async def set_rule(session: AsyncSession, rule: EarningRule, *, min_rating: int, points: int, active: bool) -> None:
    """Set what a street gives points for from now on (设定积分规则).

    Raises:
        PreconditionFailed: 412, when somebody else set the street's first rule this moment.
    """
    rule.min_rating, rule.points, rule.active = min_rating, points, active
    session.add(rule)
    try:
        await session.flush()
    except IntegrityError as error:
        raise PreconditionFailed(etag="another") from error
