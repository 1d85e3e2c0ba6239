"""Use cases of figures: counted day by day in the night after, and read with what came since."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Select, TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from linli import timers, units
from linli.timers import Timer
from tickets.calendar import ZONE
from tickets.models.figures import DAYS, FINE, BeingCounted, By, Figure, Order, Period, Ranked, TimeTooLong
from tickets.operations import figures_sql

R = TypeVar("R", Figure, Ranked)

FIGURES: Final = "figures"
"""The clock that counts finished days; its aggregate is the last day that it counts."""
_FIRST_TIME: Final = UUID(int=0)
_AT_ONCE: Final = timedelta(days=3)
"""How many days are counted in one transaction, when there are many."""
_SETTLED: Final = timedelta(minutes=30)
"""How long after midnight nothing of the day before is still to be committed: no transaction lasts so long."""
_LIVE: Final = timedelta(days=31)
"""How many days are counted when somebody asks, at the most."""
_SLACK: Final = timedelta(minutes=5)
"""What an id's time and its row's may differ by."""
_SIZES: Final = {
    units.Level.DISTRICT: 10**9,
    units.Level.STREET: 10**6,
    units.Level.COMMUNITY: 10**3,
}
"""How many units lie in each of those below a unit."""

_UNTIL: Final = text("SELECT day FROM figures_until WHERE district = :district")
_FIRST: Final = text("SELECT at FROM ticket_entry WHERE district = :district ORDER BY id LIMIT 1")
_BEGIN: Final = text("INSERT INTO figures_until (district, unit, day) VALUES (:district, :unit, :day)")
_MOVE_ON: Final = text("UPDATE figures_until SET day = :day WHERE district = :district")


async def begin_figures(session: AsyncSession, unit: int) -> None:
    """Have the finished days of a unit's district counted from now on, if they are not."""
    if await session.scalar(_UNTIL, {"district": units.district(unit)}) is None:
        await timers.set(session, aggregate=_FIRST_TIME, unit=unit, due={FIGURES: datetime.now(UTC)})


async def count_days(session: AsyncSession, timer: Timer, now: datetime) -> None:
    """Count the days that have ended, up to that of a timer, and say when to go on."""
    district, today = timer.district, now.astimezone(ZONE).date()
    own = {"district": district, "unit": district * 10**12}
    kept = await session.scalar(text(f"{_UNTIL.text} FOR UPDATE"), own)
    if kept is None:
        first = await session.scalar(_FIRST, own)
        kept = (first.astimezone(ZONE).date() if first else today) - timedelta(days=1)
        await session.execute(_BEGIN, {**own, "day": kept})
    elif timer.aggregate != _FIRST_TIME:
        last = date.fromordinal(timer.aggregate.int)
        trail = _trail(units.span(own["unit"]), kept + timedelta(days=1), last + timedelta(days=1))
        await session.execute(figures_sql.KEEP, trail)
        await session.execute(_MOVE_ON, {**own, "day": last})
        kept = last
    else:
        return  # Somebody else has begun.
    following = kept + timedelta(days=1)
    last = max(min(kept + _AT_ONCE, today - timedelta(days=1)), following)
    # Each time another aggregate: a clock that is set anew while its handler works takes that work back.
    due = {FIGURES: _midnight(last + timedelta(days=1)) + _SETTLED}
    await timers.set(session, aggregate=UUID(int=last.toordinal()), unit=own["unit"], due=due)


async def figures(
    session: AsyncSession, within: int, by: By, period: Period, time_: tuple[date, date]
) -> tuple[Select[tuple[Figure]], type[Figure]]:
    """Select figures of a unit from one day to another, and what to order them by.

    Raises:
        TimeTooLong: 422.
        BeingCounted: 503, when days of long ago are still being counted for the first time.
    """
    first, last = time_
    _check(first, last, FINE if period is Period.DAY else DAYS)
    now = datetime.now(UTC)
    kept = await session.scalar(_UNTIL, {"district": units.district(within)})
    if kept is None or now.astimezone(ZONE).date() - kept > _LIVE:
        raise BeingCounted().noting(lambda other: begin_figures(other, within))
    # What was not kept yet is counted to its end, also after the time that is asked for: it says what is open.
    trail = _trail(units.span(within), kept + timedelta(days=1), now.date() + timedelta(days=2))
    where: dict[str, Any] = {"first": first, "last": last, "period": period.value}
    if by is By.UNIT:
        where["size"] = _SIZES.get(units.level(within), 1)
    return _selected(Figure, figures_sql.FIGURES[by], trail | where)


def ranking(within: int, order: Order, first: date, last: date) -> tuple[Select[tuple[Ranked]], type[Ranked]]:
    """Select how departments answered the calls of a time, the best first, and what to order them by.

    Raises:
        TimeTooLong: 422.
    """
    _check(first, last, DAYS)
    lo, hi = units.span(within)
    where = {"district": units.district(within), "lo": lo, "hi": hi}
    times = {"first_at": _midnight(first), "last_at": _midnight(last + timedelta(days=1))}
    return _selected(Ranked, figures_sql.RANKINGS[order], where | times)


def _check(first: date, last: date, most: int) -> None:
    days = (last - first).days + 1
    if not 0 < days <= most:
        raise TimeTooLong(most=most, days=days)


def _trail(span: tuple[int, int], first: date, before: date) -> dict[str, Any]:
    """Say which part of the trail is counted: of which units, from a day on, and before another."""
    lo, hi = span
    begins, ends = _midnight(first), _midnight(before)
    return {
        "district": units.district(lo),
        "lo": lo,
        "hi": hi,
        "first_at": begins,
        "last_at": ends,
        "first_id": _earliest(begins - _SLACK),
        "last_id": _earliest(ends + _SLACK),
    }


def _earliest(at: datetime) -> UUID:
    """Give the least id (UUID version 7) of a moment."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZONE)


def _selected(row: type[R], statement: TextClause, where: dict[str, Any]) -> tuple[Select[tuple[R]], type[R]]:
    columns = row.__table__.columns
    found = aliased(row, statement.bindparams(**where).columns(*columns).subquery(), adapt_on_names=True)
    return select(found), found
