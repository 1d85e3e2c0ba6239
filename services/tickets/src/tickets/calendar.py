"""Working time (工作时间): what every clock of a ticket counts in.

A day is worked from 09:00 to 17:00 in Shanghai. Which days are, say China's public holidays with their make-up workdays
(调休); a district corrects that day by day. Of a year whose holidays were not announced yet only those are known that
the law names, without make-up workdays, until the district says more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import islice
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
_ASKED: Final = 64
"""Days from which a calendar remembers when so many later ones have been worked."""
_WORKED: Final = timedelta(minutes=DAY)
_MOMENT: Final = timedelta.resolution


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
        opens, closes = _hours(at.date())
        begun = max(at, opens)
        if begun < closes and self.works(at.date()):
            if left <= closes - begun:
                return (begun + left).astimezone(start.tzinfo)
            left -= closes - begun
        # What ends when a day closes does not go on to the next.
        days, rest = divmod(left - _MOMENT, _WORKED)
        day = self._day_after(at.date(), days + 1)
        at = _midnight(at.date() + timedelta(days=_FAR)) if day is None else _hours(day)[0] + rest + _MOMENT
        return at.astimezone(start.tzinfo)

    @cached_property
    def _day_after(self) -> Callable[[date, int], date | None]:
        """Find the so-manieth day that is worked after a day: the same ones are asked for all day long."""

        def find(day: date, number: int) -> date | None:
            following = (day + timedelta(days=ahead) for ahead in range(1, _FAR))
            return next(islice(filter(self.works, following), number - 1, None), None)

        return lru_cache(maxsize=_ASKED)(find)

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
