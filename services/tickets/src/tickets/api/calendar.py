"""Routes of a district's working days."""

from typing import Annotated

from fastapi import Path, Request, Response

from linli.etags import IfMatchIfAny, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction
from tickets.calendar import Calendar
from tickets.models.calendar import WorkDay
from tickets.operations import calendar as operations
from tickets.schemas.calendar import DayInReach, DayOut, DaySet

router = Router(prefix="/tickets/v1/calendar", tags=["calendar"])


WorkedDay = Annotated[DayInReach, Path(examples=["2026-10-10"])]


@router.get("")
async def list_corrected_days(
    session: Transaction,
    caller: Annotated[Principal, require("tickets.read")],
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[DayOut]:
    """List the days that the district has corrected (工作日历); all others are as China's holidays say."""
    rows, following = await page.of(
        session,
        operations.corrections_of(caller.district),
        key=(WorkDay.day,),
        request=request,
        response=response,
    )
    return Paged(items=[DayOut.model_validate(row) for row in rows], next=following)


@router.get("/{day}")
async def read_day(
    day: WorkedDay, session: Transaction, caller: Annotated[Principal, require("tickets.read")], response: Response
) -> DayOut:
    """Tell whether a day is worked."""
    corrected = await operations.find_day(session, caller.district, day)
    if corrected is None:
        return DayOut(day=day, working=Calendar().works(day), note=None, version=None)
    set_etag(response, corrected)
    return DayOut.model_validate(corrected)


@router.put("/{day}")
async def put_day(
    day: WorkedDay,
    body: DaySet,
    match: IfMatchIfAny,
    session: Transaction,
    caller: Annotated[Principal, require("calendar.write")],
    response: Response,
) -> DayOut:
    """Say whether a day is worked (调整工作日): open deadlines move at once. One corrected before needs If-Match."""
    corrected = await operations.put_day(session, caller, day, match, working=body.working, note=body.note)
    set_etag(response, corrected)
    return DayOut.model_validate(corrected)
