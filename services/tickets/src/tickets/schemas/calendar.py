"""What goes over HTTP of a district's working days."""

from datetime import date

from linli.schemas import In, Line, Out


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
