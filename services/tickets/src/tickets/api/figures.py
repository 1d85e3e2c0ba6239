"""Routes of figures (统计) and of the ranking of departments (部门排名)."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query, Request, Response

from linli import units
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from tickets.calendar import ZONE
from tickets.models.figures import By, Order, Period
from tickets.operations import figures as operations
from tickets.schemas.calendar import DayInReach
from tickets.schemas.figures import FigureOut, RankedOut

router = Router(prefix="/tickets/v1", tags=["figures"])
Reads = Annotated[Principal, require("figures.read")]


async def _time(
    since: Annotated[
        DayInReach | None, Query(alias="from", description="First day (起始日), 30 days ago if not said")
    ] = None,
    until: Annotated[DayInReach | None, Query(alias="to", description="Last day (截止日), today if not said")] = None,
) -> tuple[date, date]:
    last = until or datetime.now(UTC).astimezone(ZONE).date()
    return since or last - timedelta(days=29), last


Time = Annotated[tuple[date, date], Depends(_time)]


@router.get("/figures")
async def read_figures(
    session: Transaction,
    caller: Reads,
    page: Paging,
    request: Request,
    response: Response,
    within: Within,
    time: Time,
    by: By = By.UNIT,
    period: Period = Period.DAY,
) -> Paged[FigureOut]:
    """Count tickets by the units one level below, by department or category, in each day, week or month.

    Up to 366 days, day by day up to 92; what a past day came to never changes.
    """
    statement, figure = await operations.figures(session, within or caller.unit, by, period, time)
    rows, following = await page.of(
        session, statement, key=(figure.start, figure.key), request=request, response=response
    )
    items = [FigureOut.model_validate(row) for row in rows]
    if by is By.UNIT:
        items = [item.model_copy(update={"key": units.short(int(item.key))}) for item in items]
    return Paged(items=items, next=following)


@router.get("/departments/ranking")
async def rank_departments(
    session: Transaction,
    caller: Reads,
    page: Paging,
    request: Request,
    response: Response,
    within: Within,
    time: Time,
    by: Order = Order.RATING,
) -> Paged[RankedOut]:
    """Rank departments by how they answered the calls of a time: reporting, solving, or the rating they were given."""
    statement, ranked = operations.ranking(within or caller.unit, by, *time)
    rows, following = await page.of(session, statement, key=(ranked.place,), request=request, response=response)
    return Paged(items=[RankedOut.model_validate(row) for row in rows], next=following)
