"""Figures over HTTP."""

from datetime import date

from pydantic import Field

from linli.schemas import Out


class FigureOut(Out):
    """What came to pass in one day, week or month."""

    start: date = Field(description="Its first day (起始日)")
    key: str = Field(description="The unit, department or category (维度)")
    opened: int = Field(description="Tickets reported (受理)")
    repeated: int = Field(description="Of those: of the same matter within 30 days (重复诉求)")
    open: int = Field(description="Tickets not closed at its end (在办)")
    overdue: int = Field(description="Clocks that ran out (超时)")
    closed: int = Field(description="Times one was closed, however it ended (结案)")
    fixed: int = Field(description="Of those: as fixed (已解决)")
    reopened: int = Field(description="Times one was taken up again (重新办理)")
    answering_median: float | None = Field(description="Seconds until somebody was given it (接单用时中位数)")
    answering_90: float | None = Field(description="The same, of nine in ten (接单用时90分位)")
    solving_median: float | None = Field(description="Seconds until it was dealt with (办结用时中位数)")
    solving_90: float | None = Field(description="The same, of nine in ten (办结用时90分位)")


class RankedOut(Out):
    """How a department answered its calls, and its place (部门排名)."""

    place: int
    department: str
    called: int
    reported: int
    missed: int = Field(description="Not reported to in time (未按时应哨)")
    acted: int
    rated: int
    called_off: int = Field(
        description="The ticket ended before it had acted (撤哨): by itself neither late nor answered"
    )
    in_time: float | None = Field(description="Share reported to in time, by the categories' weights (按时应哨率)")
    reporting_median: float | None = Field(description="Working minutes until it reported (应哨用时中位数)")
    reporting_90: float | None
    solving_mean: float | None = Field(description="Working minutes until it had done its part, by weights (处置用时)")
    solving_median: float | None
    solving_90: float | None
    rating: float | None = Field(description="Mean, by weights (评分)")
