"""Routes of errands."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging, grids_of
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from tickets.models.errands import Errand, ErrandEntry, ErrandState, Paper
from tickets.operations import errands as operations
from tickets.operations.rules import hold_rules
from tickets.schemas.errands import (
    ErrandEntryOut,
    ErrandIn,
    ErrandNote,
    ErrandOut,
    FileIn,
    FinishIn,
    HandIn,
    PaperOut,
    PapersIn,
)

router = Router(prefix="/tickets/v1", tags=["errands"])

Worker = Annotated[Principal, require("errands.write")]


@router.post("/errands", status_code=201)
async def open_errand(body: ErrandIn, session: Transaction, caller: Worker, response: Response) -> ErrandOut:
    """Take on an errand for somebody (受理)."""
    errand = await operations.open_errand(session, caller, **dict(body))
    response.headers["Location"] = f"/tickets/v1/errands/{errand.id}"
    return _answer(errand, response)


@router.get("/errands")
async def list_errands(
    session: Transaction,
    caller: Annotated[Principal, require("errands.read")],
    page: Paging,
    request: Request,
    response: Response,
    within: Within,
    state: ErrandState | None = None,
    worker: UUID | None = None,
    *,
    overdue: Annotated[bool, Query(description="Only those whose next step is late (超时)")] = False,
) -> Paged[ErrandOut]:
    """List the errands the caller may see, newest first: of those served, their own."""
    rows, following = await page.of(
        session,
        operations.errands_within(caller.district, within, state, worker, overdue=overdue),
        key=(Errand.id.desc(),),
        ways=grids_of(session, Errand.unit_grid),
        request=request,
        response=response,
    )
    return Paged(items=[ErrandOut.model_validate(row) for row in rows], next=following)


@router.get("/errands/{errand_id}", dependencies=[require("errands.read")])
async def read_errand(errand_id: UUID, session: Transaction, response: Response) -> ErrandOut:
    """Read how an errand stands (办理进度)."""
    return _answer(await operations.find_errand(session, errand_id), response)


@router.get("/errands/{errand_id}/papers", dependencies=[require("errands.read")])
async def list_papers(
    errand_id: UUID, session: Transaction, page: Paging, request: Request, response: Response
) -> Paged[PaperOut]:
    """List the papers of an errand: which are needed, and which are there."""
    errand = await operations.find_errand(session, errand_id)
    rows, following = await page.of(
        session, operations.papers_of(errand), key=(Paper.id,), request=request, response=response
    )
    return Paged(items=[PaperOut.model_validate(row) for row in rows], next=following)


@router.get("/errands/{errand_id}/timeline", dependencies=[require("errands.read")])
async def list_errand_entries(
    errand_id: UUID, session: Transaction, page: Paging, request: Request, response: Response
) -> Paged[ErrandEntryOut]:
    """List every step of an errand (全程留痕), oldest first."""
    errand = await operations.find_errand(session, errand_id)
    rows, following = await page.of(
        session, operations.entries_of(errand), key=(ErrandEntry.sequence,), request=request, response=response
    )
    return Paged(items=[ErrandEntryOut.model_validate(row) for row in rows], next=following)


@router.post("/errands/{errand_id}/papers")
async def ask_papers(
    errand_id: UUID, body: PapersIn, match: IfMatch, session: Transaction, caller: Worker, response: Response
) -> ErrandOut:
    """Ask for more papers (补正材料); an errand that was filed is collected for again."""
    errand = await _found(session, caller, errand_id, match)
    await operations.ask_papers(session, caller, errand, body.papers, body.note)
    return _answer(errand, response)


@router.post("/errands/{errand_id}/papers/{paper_id}/hand")
async def hand_paper(
    errand_id: UUID,
    paper_id: UUID,
    body: HandIn,
    match: IfMatch,
    session: Transaction,
    caller: Worker,
    response: Response,
) -> PaperOut:
    """Take a paper (收件), with the ETag of the errand."""
    errand = await _found(session, caller, errand_id, match)
    paper = await operations.hand_paper(session, caller, errand, paper_id, body.handed_by)
    set_etag(response, errand)
    return PaperOut.model_validate(paper)


@router.post("/errands/{errand_id}/file")
async def file_errand(
    errand_id: UUID, body: FileIn, match: IfMatch, session: Transaction, caller: Worker, response: Response
) -> ErrandOut:
    """Hand the papers in with an office (递交), when all are there."""
    errand = await _found(session, caller, errand_id, match)
    await operations.file_errand(session, caller, errand, **dict(body))
    return _answer(errand, response)


@router.post("/errands/{errand_id}/take-over")
async def take_over(
    errand_id: UUID, body: ErrandNote, match: IfMatch, session: Transaction, caller: Worker, response: Response
) -> ErrandOut:
    """Go an errand from here on (接手)."""
    errand = await _found(session, caller, errand_id, match)
    await operations.take_over(session, caller, errand, body.note)
    return _answer(errand, response)


@router.post("/errands/{errand_id}/finish")
async def finish_errand(
    errand_id: UUID, body: FinishIn, match: IfMatch, session: Transaction, caller: Worker, response: Response
) -> ErrandOut:
    """Say what came of an errand (办结)."""
    errand = await _found(session, caller, errand_id, match)
    await operations.finish_errand(session, caller, errand, **dict(body))
    return _answer(errand, response)


async def _found(session: Transaction, caller: Principal, errand_id: UUID, match: IfMatch) -> Errand:
    await hold_rules(session, caller.district)  # before the errand, as in `api.moves`
    errand = await operations.find_errand(session, errand_id, to_change=True)
    match.check(errand)
    return errand


def _answer(errand: Errand, response: Response) -> ErrandOut:
    set_etag(response, errand)
    return ErrandOut.model_validate(errand)
