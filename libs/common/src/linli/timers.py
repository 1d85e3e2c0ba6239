"""Timers (计时): what falls due is a row, set in the transaction it follows from, and has its effect once.

Every replica looks for rows that are due, and acts on each in a transaction that claims it first, holds the effect
and its events, and ends with the mark that it has fired: a replica that dies in between leaves it to the others.
The claim is an advisory lock: a row lock would be held while the handler waits for an aggregate whose user waits to
cancel the timer. So the row is changed last, and only if nobody has cancelled or moved it meanwhile.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    column,
    delete,
    func,
    literal,
    select,
    table,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.db import Scope, Sessions, transaction
from linli.direct import fetch

_TIMER: Final = table(
    "timer",
    column("district", Integer),
    column("kind", Text),
    column("aggregate", Uuid),
    column("unit", BigInteger),
    column("due_at", DateTime(timezone=True)),
    column("try_at", DateTime(timezone=True)),
    column("fired_at", DateTime(timezone=True)),
    column("attempts", SmallInteger),
    column("error", Text),
)
_KEY: Final = ("district", "kind", "aggregate")
# For the driver: each step of a ticket sets or stops some.
_SET: Final = (
    "INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at)"
    " SELECT $1, kind, $2, $3, at, at FROM unnest($4::text[], $5::timestamptz[]) AS clock (kind, at)"
    " ON CONFLICT (district, kind, aggregate) DO UPDATE SET unit = excluded.unit, due_at = excluded.due_at,"
    " try_at = excluded.try_at, fired_at = NULL, attempts = 0, error = NULL"
)
_CANCEL: Final = "DELETE FROM timer WHERE district = $1 AND aggregate = $2 AND kind = ANY ($3::text[])"
_CLAIM_SEED: Final = 7105637


@dataclass(frozen=True, slots=True)
class Timer:
    """One clock of one aggregate.

    Attributes:
        district: the tenant.
        kind: which of its clocks.
        aggregate: whose clock it is.
        unit: where that belongs.
        due_at: when it runs out.
        attempts: how often its handler has failed.
    """

    district: int
    kind: str
    aggregate: UUID
    unit: int
    due_at: datetime
    attempts: int


async def set(  # noqa: A001 called as `timers.set`
    session: AsyncSession, *, aggregate: UUID, unit: int, due: Mapping[str, datetime]
) -> None:
    """Set an aggregate's clocks, if and when this transaction commits; those that run or have fired are set anew.

    Args:
        session: an open transaction that covers `unit`.
        aggregate: whose clocks; lock it first, as their handlers do.
        unit: where it belongs.
        due: when each kind of clock runs out.
    """
    await fetch(session, _SET, units.district(unit), aggregate, unit, [*due], [*due.values()])


async def cancel(session: AsyncSession, *, aggregate: UUID, unit: int, kinds: Iterable[str]) -> None:
    """Stop clocks of an aggregate, whether they run, have fired or were never set.

    Args:
        session: an open transaction that covers `unit`.
        aggregate: whose clocks; lock it first, as their handlers do.
        unit: where it belongs.
        kinds: which of its clocks.
    """
    await fetch(session, _CANCEL, units.district(unit), aggregate, [*kinds])


def overdue(*kinds: str) -> Select[tuple[int, UUID]]:
    """Select whose clocks have fired and were not cancelled since, for `tuple_(Model.district, Model.id).in_(...)`."""
    return select(_TIMER.c.district, _TIMER.c.aggregate).where(_TIMER.c.fired_at.is_not(None), _TIMER.c.kind.in_(kinds))


On = Callable[[AsyncSession, Timer], Awaitable[bool]]


def _now() -> datetime:
    return datetime.now(UTC)


class Timers:
    """What one service does when its clocks run out.

    Args:
        service: its name.

    Attributes:
        now: the clock that decides what is due; tests put one of their own here.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.now: Callable[[], datetime] = _now
        self._handlers: dict[str, On] = {}

    def on(self, kind: str) -> Callable[[On], On]:
        """Register what to do when a clock of this kind runs out: `async def handler(session, timer) -> bool`.

        The transaction sees the district. What the handler gives says whether the matter is overdue from now on: if
        so, the timer stays until it is cancelled or set anew, and is counted; otherwise it is gone.
        """

        def register(handler: On) -> On:
            if kind in self._handlers:
                raise ValueError(f"{self.service} handles {kind} already")
            self._handlers[kind] = handler
            return handler

        return register

    def also(self, kind: str, handler: On) -> "Timers":
        """Give these with one more, whose handler needs something that belongs to one app."""
        found = Timers(self.service)
        found.now = lambda: self.now()  # noqa: PLW0108 whichever it is by then
        found._handlers |= self._handlers
        found.on(kind)(handler)
        return found

    @property
    def kinds(self) -> tuple[str, ...]:
        """The clocks it knows; others, of a newer version beside it, are left alone."""
        return tuple(self._handlers)

    async def fire(self, sessions: Sessions, timer: Timer) -> bool:
        """Act on a timer that is due, unless another replica does or it is no longer due; tells whether it did."""
        now = self.now()
        try:
            async with transaction(sessions, Scope.of_district(timer.district)) as session:
                if not await session.scalar(select(literal(1)).where(_unchanged(timer, now), _claimed(timer))):
                    return False
                stays = await self._handlers[timer.kind](session, timer)
                await _end(session, timer, now, stays=stays)
        except _Overtaken:
            return False
        return True

    async def fail(self, sessions: Sessions, timer: Timer, error: str, again_at: datetime | None) -> None:
        """Note that a timer's handler failed, and when it is called again, if it is."""
        noted = update(_TIMER).values(attempts=timer.attempts + 1, error=error, try_at=again_at)
        async with transaction(sessions, Scope.of_district(timer.district)) as session:
            await session.execute(noted.where(_unchanged(timer, self.now())))


class _Overtaken(Exception):  # noqa: N818 it says what happened
    """The timer was cancelled or moved while its handler worked, and nothing of that work is kept."""


async def _end(session: AsyncSession, timer: Timer, now: datetime, *, stays: bool) -> None:
    await session.flush()
    fired = update(_TIMER).values(fired_at=now, try_at=None, error=None)
    ended = (fired if stays else delete(_TIMER)).where(_unchanged(timer, now)).returning(literal(1))
    if not await session.scalar(ended):
        raise _Overtaken


def _unchanged(timer: Timer, now: datetime) -> ColumnElement[bool]:
    return and_(
        *(_TIMER.c[name] == getattr(timer, name) for name in _KEY),
        _TIMER.c.due_at == timer.due_at,
        _TIMER.c.attempts == timer.attempts,
        _TIMER.c.try_at <= now,
    )


def _claimed(timer: Timer) -> ColumnElement[bool]:
    key = f"{timer.district} {timer.kind} {timer.aggregate}"
    return func.pg_try_advisory_xact_lock(func.hashtextextended(key, _CLAIM_SEED))
