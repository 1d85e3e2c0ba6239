"""Working time (工作时间): what every clock of a ticket counts in.

A day is worked from 09:00 to 17:00 in Shanghai. Which days are, say China's public holidays with their make-up workdays
(调休); a district corrects that day by day. Of a year whose holidays were not announced yet only those are known that
the law names, without make-up workdays, until the district says more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import holidays

ZONE: Final = ZoneInfo("Asia/Shanghai")
OPENS: Final = time(9)
CLOSES: Final = time(17)
DAY: Final = 8 * 60
"""Working minutes of a day."""
_FAR: Final = 3660
"""Days to look ahead at the most: a district that never works again lets no clock look for ever."""


@lru_cache(maxsize=32)
def _worked(year: int) -> frozenset[date]:
    """List the days of a year that are worked in all of China."""
    china = holidays.country_holidays("CN", years=year)
    days = (date(year, 1, 1) + timedelta(days=number) for number in range(366))
    return frozenset(day for day in days if day.year == year and china.is_working_day(day))


@dataclass(frozen=True)
class Calendar:
    """The days on which a district works (工作日历).

    Attributes:
        corrections: days of which the district has said whether they are worked.
    """

    corrections: Mapping[date, bool] = field(default_factory=dict)

    def works(self, day: date) -> bool:
        """Tell whether a day is worked."""
        corrected = self.corrections.get(day)
        return day in _worked(day.year) if corrected is None else corrected

    def due_after(self, start: datetime, minutes: int) -> datetime:
        """Tell when so many working minutes have passed since a moment: the first moment at which they have."""
        if minutes <= 0:
            return start
        left = timedelta(minutes=minutes)
        at = start.astimezone(ZONE)
        for _ in range(_FAR):
            opens, closes = _hours(at.date())
            begun = max(at, opens)
            if begun < closes and self.works(at.date()):
                if left <= closes - begun:
                    return (begun + left).astimezone(start.tzinfo)
                left -= closes - begun
            at = _midnight(at.date() + timedelta(days=1))
        return at.astimezone(start.tzinfo)

    def worked(self, start: datetime, end: datetime) -> timedelta:
        """Tell how much working time lies between two moments."""
        passed = timedelta()
        at, until = start.astimezone(ZONE), end.astimezone(ZONE)
        while at < until:
            opens, closes = _hours(at.date())
            if self.works(at.date()):
                passed += max(timedelta(), min(until, closes) - max(at, opens))
            at = _midnight(at.date() + timedelta(days=1))
        return passed

    def left(self, start: datetime, minutes: int, now: datetime) -> int:
        """Tell how many of some working minutes since a moment are left, the one that has begun included."""
        seconds = minutes * 60 - self.worked(start, now).total_seconds()
        return max(0, -int(-seconds // 60))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZONE)


def _hours(day: date) -> tuple[datetime, datetime]:
    return datetime.combine(day, OPENS, ZONE), datetime.combine(day, CLOSES, ZONE)
