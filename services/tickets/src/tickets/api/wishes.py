"""Routes of wishes."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import PublicWithin, Router, Transaction
from tickets.models.wishes import Wish, WishState
from tickets.operations import wishes as operations
from tickets.operations.rules import hold_rules
from tickets.schemas.tickets import Category
from tickets.schemas.wishes import WishIn, WishOut

router = Router(prefix="/tickets/v1", tags=["wishes"])

Reader = Annotated[Principal, require("wishes.read")]
Writer = Annotated[Principal, require("wishes.write")]
Claimer = Annotated[Principal, require("wishes.claim")]


@router.post("/wishes", status_code=201)
async def list_wish(body: WishIn, session: Transaction, caller: Writer, response: Response) -> WishOut:
    """Make a wish (许愿), or write down somebody's as the community's staff."""
    wish = await operations.list_wish(session, caller, **dict(body))
    response.headers["Location"] = f"/tickets/v1/wishes/{wish.id}"
    return await _answer(session, caller, wish, response)


@router.get("/wishes")
async def list_wishes(
    session: Transaction,
    caller: Reader,
    page: Paging,
    request: Request,
    response: Response,
    within: PublicWithin,
    state: WishState | None = None,
    kind: Category | None = None,
    wisher: UUID | None = None,
    *,
    mine: Annotated[bool, Query(description="Only those the caller has claimed (本人认领)")] = False,
) -> Paged[WishOut]:
    """List the wishes of the district, newest first; by wisher only where one may know."""
    found = {"state": state, "kind": kind, "claimer": caller.id if mine else None}
    rows, following = await page.of(
        session,
        operations.wishes_within(caller.district, within, wisher=wisher, **found),
        key=(Wish.id.desc(),),
        request=request,
        response=response,
    )
    wishers = await operations.wishers_of(session, rows)
    return Paged(items=[WishOut.of(row, caller.id, wishers.get(row.id)) for row in rows], next=following)


@router.get("/wishes/{wish_id}")
async def read_wish(wish_id: UUID, session: Transaction, caller: Reader, response: Response) -> WishOut:
    """Read one wish."""
    return await _answer(session, caller, await operations.find_wish(session, wish_id), response)


@router.post("/wishes/{wish_id}/claim")
async def claim_wish(
    wish_id: UUID, match: IfMatch, session: Transaction, caller: Claimer, response: Response
) -> WishOut:
    """Promise to fulfil a wish (认领). If that is not done in time, it returns to the list by itself."""
    await hold_rules(session, caller.district)  # before the wish, as in `api.moves`
    wish = await operations.find_wish(session, wish_id, to_change=True)
    wish.must_be_free()  # who comes too late is told so, and not that the wish has changed
    match.check(wish)
    await operations.claim_wish(session, caller, wish)
    return await _answer(session, caller, wish, response)


@router.post("/wishes/{wish_id}/give-back")
async def give_back(
    wish_id: UUID, match: IfMatch, session: Transaction, caller: Claimer, response: Response
) -> WishOut:
    """Give a claimed wish back to the list (退回)."""
    wish = await _found(session, wish_id, match)
    await operations.give_back(session, caller, wish)
    return await _answer(session, caller, wish, response)


@router.post("/wishes/{wish_id}/fulfil")
async def fulfil_wish(
    wish_id: UUID, match: IfMatch, session: Transaction, caller: Claimer, response: Response
) -> WishOut:
    """Say that a claimed wish has come true (完成)."""
    wish = await _found(session, wish_id, match)
    await operations.fulfil_wish(session, caller, wish)
    return await _answer(session, caller, wish, response)


@router.post("/wishes/{wish_id}/confirm")
async def confirm_wish(
    wish_id: UUID, match: IfMatch, session: Transaction, caller: Writer, response: Response
) -> WishOut:
    """Say, as the one who wished or in his name, that it has come true indeed (确认).

    In his name speak the staff of its place, if staff wrote the wish down for him; that is noted.
    """
    wish = await _found(session, wish_id, match)
    await operations.confirm_wish(session, caller, wish)
    return await _answer(session, caller, wish, response)


@router.post("/wishes/{wish_id}/deny")
async def deny_wish(wish_id: UUID, match: IfMatch, session: Transaction, caller: Writer, response: Response) -> WishOut:
    """Say, as the one who wished or in his name, that it has not come true (未实现): it returns to the list."""
    wish = await _found(session, wish_id, match)
    await operations.deny_wish(session, caller, wish)
    return await _answer(session, caller, wish, response)


@router.post("/wishes/{wish_id}/withdraw")
async def withdraw_wish(
    wish_id: UUID, match: IfMatch, session: Transaction, caller: Writer, response: Response
) -> WishOut:
    """Take a wish off the list (撤回)."""
    wish = await _found(session, wish_id, match)
    await operations.withdraw_wish(session, caller, wish)
    return await _answer(session, caller, wish, response)


async def _found(session: Transaction, wish_id: UUID, match: IfMatch) -> Wish:
    wish = await operations.find_wish(session, wish_id, to_change=True)
    match.check(wish)
    return wish


async def _answer(session: Transaction, caller: Principal, wish: Wish, response: Response) -> WishOut:
    wishers = await operations.wishers_of(session, [wish])
    set_etag(response, wish)
    return WishOut.of(wish, caller.id, wishers.get(wish.id))
