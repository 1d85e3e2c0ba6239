"""What goes over HTTP of a district's working days."""

from datetime import date
from typing import Annotated, Final

from pydantic import AfterValidator

from linli.schemas import Day, In, Line, Out

_FIRST: Final = date(2020, 1, 1)
_LAST: Final = date(2099, 12, 31)


def _in_reach(day: date) -> date:
    if not _FIRST <= day <= _LAST:
        raise ValueError(f"a day from {_FIRST} to {_LAST} (日期须在 {_FIRST} 至 {_LAST} 之间)")
    return day


DayInReach = Annotated[Day, AfterValidator(_in_reach)]
"""A day that something may be worked on or counted: at the ends of the calendar times overflow, or last for ever."""


class DaySet(In):
    """Whether a day is worked, and why."""

    working: bool
    note: Line


class DayOut(Out):
    """A day; `note` and `version` are of days that the district has corrected."""

    day: date
    working: bool
    note: str | None
    version: int | None
