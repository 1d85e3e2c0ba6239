"""Routes of the moves that people make with a ticket; what each needs, and who may make it, is the table `MOVES`."""

from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from linli.db import Scope, transaction
from linli.etags import IfMatch, Match, set_etag
from linli.paging import Paging
from linli.problems import OutsideScope, Unprocessable
from linli.schemas import Paged
from linli.security import Caller, Principal, require
from linli.service import KeyedTransaction, Router
from linli.units import UnitCode, short
from tickets.api.tickets import answer
from tickets.models.moves import POOR, Level, Outcome
from tickets.models.tickets import Source, Ticket, handler_of
from tickets.operations import endings, folding, levels, offices, questions, withdrawals
from tickets.operations import tickets as operations
from tickets.operations.rules import hold_rules
from tickets.schemas.tickets import (
    Assign,
    Category,
    Close,
    Code,
    Fold,
    HandDown,
    Latitude,
    Longitude,
    Note,
    Rate,
    Split,
    TicketAlike,
    TicketOut,
    Word,
)

router = Router(prefix="/tickets/v1/tickets", tags=["tickets"])


async def _public(request: Request, caller: Caller) -> AsyncIterator[AsyncSession]:
    async with transaction(request.app.state.sessions, Scope.of_district(caller.district)) as session:
        yield session


@router.get("/similar", dependencies=[require("tickets.open")])
async def list_similar(
    session: Annotated[AsyncSession, Depends(_public, scope="function")],
    caller: Caller,
    page: Paging,
    request: Request,
    response: Response,
    unit: UnitCode,
    category: Category | None = None,
    latitude: Annotated[Latitude | None, Query()] = None,
    longitude: Annotated[Longitude | None, Query()] = None,
    subject: Code | None = None,
) -> Paged[TicketAlike]:
    """List what may have been reported already (疑似重复), newest first: the same subject, within 200 m, or that unit.

    For whoever is about to open a ticket: residents find their own, and those of public categories in the community. Of
    what the caller does not see otherwise it says no more than Open311 does: the community, and a title and coordinates
    only of what came through Open311.
    """
    if not caller.scope.lo <= unit <= caller.scope.hi:
        raise OutsideScope(unit=short(unit))
    if (latitude is None) != (longitude is None):
        raise Unprocessable(errors=[_HALF_A_PLACE])
    rows, following = await page.of(
        session,
        folding.similar_to(
            caller, unit=unit, category=category, latitude=latitude, longitude=longitude, subject=subject
        ),
        key=(Ticket.id.desc(),),
        request=request,
        response=response,
    )
    whole = await folding.seen_of(session, caller, rows)
    return Paged(items=[_alike(row, whole=row.id in whole) for row in rows], next=following)


def _alike(ticket: Ticket, *, whole: bool) -> TicketAlike:
    found = TicketAlike.model_validate(ticket)
    if whole:
        return found
    withheld = () if ticket.source == Source.OPEN311 else ("title", "latitude", "longitude")
    return found.model_copy(update={"unit": handler_of(ticket.unit, Level.COMMUNITY), **dict.fromkeys(withheld)})


_HALF_A_PLACE: Final = {
    "in": "query",
    "parameter": "latitude",
    "detail": "latitude and longitude come together (经纬度须同时提供)",
    "detail_zh": "内容不符合要求",
}


@router.post("/{ticket_id}/assign")
async def assign_ticket(
    ticket_id: UUID,
    body: Assign,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.assign")],
    response: Response,
) -> TicketOut:
    """Give the ticket to somebody who answers for it (派单)."""
    await offices.hold_offices(session, caller.district, body.assignee)
    ticket = await _found(session, ticket_id, match)
    await offices.assign_ticket(session, caller, ticket, body.assignee, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/ask")
async def ask_reporter(
    ticket_id: UUID,
    body: Word,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.resolve")],
    response: Response,
) -> TicketOut:
    """Ask the reporter for something (等待诉求人): the clocks stand still until it is answered.

    A question about what came through Open311 is read there, by everybody.
    """
    ticket = await _held(session, caller, ticket_id, match)
    await questions.ask_reporter(session, caller, ticket, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/answer")
async def answer_for_reporter(
    ticket_id: UUID,
    body: Word,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.close")],
    response: Response,
) -> TicketOut:
    """Say what the reporter was asked for (补充答复): the clocks go on."""
    ticket = await _held(session, caller, ticket_id, match)
    await questions.answer_for_reporter(session, caller, ticket, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/note")
async def note_ticket(
    ticket_id: UUID,
    body: Word,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.read")],
    response: Response,
) -> TicketOut:
    """Add a word to the ticket (补充说明), whatever its state."""
    ticket = await _found(session, ticket_id, match)
    await operations.note_ticket(session, caller, ticket, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/escalate")
async def escalate_ticket(
    ticket_id: UUID,
    body: Word,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.resolve")],
    response: Response,
) -> TicketOut:
    """Raise the ticket to the level above (升级), which answers for it from now on."""
    ticket = await _held(session, caller, ticket_id, match)
    await levels.escalate_ticket(session, caller, ticket, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/return")
async def return_ticket(
    ticket_id: UUID,
    body: Word,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.assign")],
    response: Response,
) -> TicketOut:
    """Give the ticket back to the level below (退回)."""
    ticket = await _held(session, caller, ticket_id, match)
    await levels.return_ticket(session, caller, ticket, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/hand_down")
async def hand_down_ticket(
    ticket_id: UUID,
    body: HandDown,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.assign")],
    response: Response,
) -> TicketOut:
    """Hand the ticket down to a unit below its own (下派), whose people see it from now on."""
    ticket = await _held(session, caller, ticket_id, match)
    await levels.hand_down_ticket(session, caller, ticket, body.unit, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/resolve")
async def resolve_ticket(
    ticket_id: UUID,
    body: Note,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.resolve")],
    response: Response,
) -> TicketOut:
    """Say that the matter is dealt with (办结); its reporter confirms that, or does not."""
    ticket = await _held(session, caller, ticket_id, match)
    await endings.resolve_ticket(session, caller, ticket, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/close")
async def close_ticket(
    ticket_id: UUID,
    body: Close,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.close")],
    response: Response,
) -> TicketOut:
    """End the resolved ticket (确认结案): fixed or not, as its reporter says; without his word it closes in time."""
    ticket = await _found(session, ticket_id, match)
    await endings.close_ticket(session, caller, ticket, body.note, Outcome(body.outcome))
    return answer(ticket, response)


@router.post("/{ticket_id}/reopen")
async def reopen_ticket(
    ticket_id: UUID,
    body: Word,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.close")],
    response: Response,
) -> TicketOut:
    """Say why it is not dealt with after all (重新办理): the one who had it takes it up again."""
    ticket = await _held_with_assignees(session, caller, ticket_id, match)
    await endings.reopen_ticket(session, caller, ticket, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/withdraw")
async def withdraw_ticket(
    ticket_id: UUID,
    body: Note,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.close")],
    response: Response,
) -> TicketOut:
    """Take one's report back (撤回), before it is resolved."""
    ticket = await _held_with_assignees(session, caller, ticket_id, match)
    await withdrawals.withdraw_ticket(session, caller, ticket, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/rate")
async def rate_ticket(
    ticket_id: UUID,
    body: Rate,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.rate")],
    response: Response,
) -> TicketOut:
    """Say how well it was answered (评价), 1 to 5; under 3 it is taken up again."""
    held = _held_with_assignees if body.rating < POOR else _held
    ticket = await held(session, caller, ticket_id, match)
    await endings.rate_ticket(session, caller, ticket, body.rating, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/fold")
async def fold_ticket(
    ticket_id: UUID,
    body: Fold,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.assign")],
    response: Response,
) -> TicketOut:
    """End the ticket as a duplicate of another (并单); its reporter is told how that goes on."""
    ticket, into = await folding.find_two(session, ticket_id, body.into)
    match.check(ticket)
    await folding.fold_ticket(session, caller, ticket, into, body.note)
    return answer(ticket, response)


@router.post("/{ticket_id}/split")
async def split_ticket(
    ticket_id: UUID,
    body: Split,
    match: IfMatch,
    session: KeyedTransaction,
    caller: Annotated[Principal, require("tickets.assign")],
    response: Response,
) -> Paged[TicketOut]:
    """Split the ticket into parts (拆单), each a ticket of its own; it is resolved when all of them have ended."""
    ticket = await _held(session, caller, ticket_id, match)
    parts = await folding.split_ticket(session, caller, ticket, [dict(part) for part in body.parts], body.note)
    set_etag(response, ticket)
    return Paged(items=[TicketOut.model_validate(part) for part in parts], next=None)


async def _held(session: AsyncSession, caller: Principal, ticket_id: UUID, match: Match) -> Ticket:
    """Find a ticket for a move that follows the district's rules, which are held before it is locked.

    Whoever corrects them locks in this order, too: otherwise the two would wait for each other.
    """
    await hold_rules(session, caller.district)
    return await _found(session, ticket_id, match)


async def _held_with_assignees(session: AsyncSession, caller: Principal, ticket_id: UUID, match: Match) -> Ticket:
    """Find a ticket as `_held` does, for a move by which it may come back to who had it, or what was folded into it."""
    await hold_rules(session, caller.district)
    await offices.hold_assignees(session, ticket_id)
    return await _found(session, ticket_id, match)


async def _found(session: AsyncSession, ticket_id: UUID, match: Match) -> Ticket:
    ticket = await operations.find_ticket(session, ticket_id, to_change=True)
    match.check(ticket)
    return ticket
