"""The clocks of a ticket (时限): each counts working minutes, and can stand still."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tickets.calendar import Calendar
from tickets.models.moves import Clock


def running(minutes: int, since: datetime) -> dict[str, Any]:
    """Write down a clock that runs: of how many working minutes, and since when."""
    return {"minutes": minutes, "since": since.isoformat()}


class Clocked:
    """A row with clocks; that they run is its `timer` rows' matter, how long and since when is its own.

    Attributes:
        clocks: those that run or stand still: of how many working minutes, and since when, None while it stands still.
    """

    answer_due_at: Mapped[datetime | None]
    solve_due_at: Mapped[datetime | None]
    level_due_at: Mapped[datetime | None]
    confirm_due_at: Mapped[datetime | None]
    clocks: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    def run(self, clock: Clock, minutes: int, since: datetime, calendar: Calendar) -> datetime:
        """Start a clock; gives when it runs out."""
        due = calendar.due_after(since, minutes)
        self.clocks = {**(self.clocks or {}), clock.value: running(minutes, since)}
        setattr(self, clock.column, due)
        return due

    def stop(self, clocks: Iterable[Clock]) -> None:
        """Forget clocks; when an answer and a solution were due stays on record."""
        stopped = set(clocks)
        self.clocks = {name: clock for name, clock in (self.clocks or {}).items() if Clock(name) not in stopped}
        for clock in stopped - {Clock.ANSWER, Clock.SOLVE}:
            setattr(self, clock.column, None)

    def pause(self, now: datetime, calendar: Calendar) -> list[Clock]:
        """Let all clocks that run stand still, and keep what is left of them; gives which."""
        paused = dict(self.clocks or {})
        for name, clock in paused.items():
            left = calendar.left(datetime.fromisoformat(clock["since"]), clock["minutes"], now)
            paused[name] = {"minutes": left, "since": None}
            setattr(self, Clock(name).column, None)
        self.clocks = paused
        return [Clock(name) for name in paused]

    def go_on(self, now: datetime, calendar: Calendar) -> dict[str, datetime]:
        """Let the clocks that stand still run again; gives when each runs out."""
        paused = self.clocks or {}
        return {name: self.run(Clock(name), clock["minutes"], now, calendar) for name, clock in paused.items()}
