"""Figures (统计): what is counted of tickets, and how departments compare.

They are counted from the trail, which is only added to, so what a past day came to never changes. Finished days are
kept as rollups (`ticket_daily`), counted once in the night after; the days since are counted when somebody asks, by the
same statement. No move of a ticket writes anything for them.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import MetaData
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base
from linli.problems import Unavailable, Unprocessable

DAYS: Final = 366
"""Days that may be asked for at once."""
FINE: Final = 92
"""The same, day by day."""


class By(StrEnum):
    """What figures are told apart by."""

    UNIT = "unit"
    DEPARTMENT = "department"
    CATEGORY = "category"


class Period(StrEnum):
    """How long each figure's time is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Order(StrEnum):
    """What departments are ranked by."""

    REPORTING = "reporting"
    SOLVING = "solving"
    RATING = "rating"


class TimeTooLong(Unprocessable):
    """Ask for {most} days at the most, the first not after the last; there are {days}."""

    title_zh = "时间范围有误"
    detail_zh = "起始日期不得晚于截止日期，且最多 {most} 天，当前为 {days} 天。"


class BeingCounted(Unavailable):
    """The figures of this district are being counted for the first time. Try again in a few seconds."""

    title_zh = "统计中"
    detail_zh = "本区数据正在首次统计，请稍后重试。"


class Computed(Base):
    """What is computed, and in no database."""

    __abstract__ = True
    metadata = MetaData()


class Figure(Computed):
    """What came to pass in one time, for one unit, department or category.

    Attributes:
        start: first day of the time, as text: `2026-01-31`.
        key: the unit, department or category.
        opened: tickets that were reported.
        repeated: those of them that repeat another of the 30 days before.
        open: tickets not closed when the time ended.
        overdue: clocks that ran out.
        closed: how often one was closed, whatever it came to.
        fixed: those of them that were closed as fixed.
        reopened: how often one was taken up again.
        answering_median: seconds from the report until somebody was given it.
        solving_median: seconds from the report until it was said to be dealt with.
    """

    __tablename__ = "figure"

    start: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    opened: Mapped[int]
    repeated: Mapped[int]
    open: Mapped[int]
    overdue: Mapped[int]
    closed: Mapped[int]
    fixed: Mapped[int]
    reopened: Mapped[int]
    answering_median: Mapped[float | None]
    answering_90: Mapped[float | None]
    solving_median: Mapped[float | None]
    solving_90: Mapped[float | None]


class Ranked(Computed):
    """How one department answered its calls, and its place among the others.

    Attributes:
        in_time: share of calls, by weight, that it reported to in time.
        reporting_median: working minutes from the call to the report.
        solving_mean: working minutes from the call until it had done its part, by weight.
        rating: mean, by weight.
    """

    __tablename__ = "ranked"

    place: Mapped[int] = mapped_column(primary_key=True)
    department: Mapped[str]
    called: Mapped[int]
    reported: Mapped[int]
    missed: Mapped[int]
    acted: Mapped[int]
    rated: Mapped[int]
    called_off: Mapped[int]
    in_time: Mapped[float | None]
    reporting_median: Mapped[float | None]
    reporting_90: Mapped[float | None]
    solving_mean: Mapped[float | None]
    solving_median: Mapped[float | None]
    solving_90: Mapped[float | None]
    rating: Mapped[float | None]
