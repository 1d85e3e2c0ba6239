"""Routes of the points service."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.security import Principal, require
from linli.service import OwnTransaction, PublicWithin, Router, Transaction
from linli.units import UnitCode
from points import operations
from points.models import DEFAULTS, EarningRule, RuleCode, Transfer
from points.schemas import AccountOut, DefaultRule, RuleIn, RuleOut, Rules, Statement, TransferOut

router = Router(prefix="/points/v1", tags=["points"])


@router.get("/me")
async def read_own_account(session: OwnTransaction, caller: Annotated[Principal, require("points.read")]) -> AccountOut:
    """Read the caller's own points (我的积分), whatever the role."""
    account = await operations.own_account(session, caller.district, caller.id)
    return AccountOut.model_validate(account) if account else AccountOut(holder=caller.id, balance=0)


@router.get("/me/transfers")
async def list_own_transfers(
    session: OwnTransaction,
    caller: Annotated[Principal, require("points.read")],
    page: Paging,
    request: Request,
    response: Response,
    cause: UUID | None = None,
) -> Statement:
    """List what the caller earned (我的流水), newest first."""
    account = await operations.own_account(session, caller.district, caller.id)
    rows, following = await page.of(
        session,
        operations.transfers_of(caller.district, caller.id, cause),
        key=(Transfer.id.desc(),),
        request=request,
        response=response,
    )
    balance = account.balance if account else 0
    return Statement(items=[TransferOut.model_validate(row) for row in rows], next=following, balance=balance)


@router.get("/accounts/{holder}")
async def read_account(
    holder: UUID, session: Transaction, caller: Annotated[Principal, require("points.read")]
) -> AccountOut:
    """Read the points of a person whose account belongs to a street the caller covers; whoever, his own at `/me`."""
    return AccountOut.model_validate(await operations.find_account(session, caller.district, holder))


@router.get("/accounts/{holder}/transfers")
async def list_transfers(
    holder: UUID,
    session: Transaction,
    caller: Annotated[Principal, require("points.read")],
    page: Paging,
    request: Request,
    response: Response,
    cause: UUID | None = None,
) -> Statement:
    """List the transfers (流水) of a person where the caller may see them, newest first."""
    account = await operations.find_account(session, caller.district, holder)
    rows, following = await page.of(
        session,
        operations.transfers_of(caller.district, holder, cause),
        key=(Transfer.id.desc(),),
        request=request,
        response=response,
    )
    items = [TransferOut.model_validate(row) for row in rows]
    return Statement(items=items, next=following, balance=account.balance)


@router.get("/rules", dependencies=[require("points.read")])
async def list_rules(
    session: Transaction,
    page: Paging,
    request: Request,
    response: Response,
    within: PublicWithin,
) -> Rules:
    """List the rules (积分规则) that streets have set, and what holds where none is set."""
    rows, following = await page.of(
        session,
        operations.rules_within(within),
        key=(EarningRule.unit, EarningRule.code),
        request=request,
        response=response,
    )
    defaults = [DefaultRule(code=code, **values) for code, values in DEFAULTS.items()]
    return Rules(items=[RuleOut.model_validate(row) for row in rows], next=following, defaults=defaults)


@router.get("/rules/{unit}/{code}")
async def read_rule(
    unit: UnitCode,
    code: RuleCode,
    session: Transaction,
    caller: Annotated[Principal, require("points.read")],
    response: Response,
) -> RuleOut:
    """Read the rule that holds in a street; one that has set none answers with the default and ETag `"0"`."""
    await operations.check_street(session, caller, unit)
    return _answer(await operations.find_rule(session, unit, code), response)


@router.put("/rules/{unit}/{code}")
async def set_rule(
    unit: UnitCode,
    code: RuleCode,
    body: RuleIn,
    match: IfMatch,
    session: Transaction,
    caller: Annotated[Principal, require("points.rules")],
    response: Response,
) -> RuleOut:
    """Set what a street gives points for from now on; `If-Match: "0"` replaces the default by its first own rule."""
    await operations.check_street(session, caller, unit)
    rule = await operations.find_rule(session, unit, code, to_change=True)
    match.check(rule)
    await operations.set_rule(session, rule, **body.model_dump())
    return _answer(rule, response)


def _answer(rule: EarningRule, response: Response) -> RuleOut:
    set_etag(response, rule)
    return RuleOut.model_validate(rule)
