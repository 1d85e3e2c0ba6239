"""Timers (计时): what falls due is a row, set in the transaction it follows from, and has its effect once.

Every replica looks for rows that are due, and acts on them in a transaction that claims them first, holds the effects
and their events, and ends with the mark that they have fired: a replica that dies in between leaves them to the others.
The claim is an advisory lock: a row lock would be held while the handler waits for an aggregate whose user waits to
cancel the timer. So the row is changed last, and only if nobody has cancelled or moved it meanwhile.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    CursorResult,
    DateTime,
    Integer,
    Select,
    Text,
    TextClause,
    Uuid,
    column,
    select,
    table,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.db import Scope, Sessions, transaction
from linli.direct import later, write_out

_TIMER: Final = table(
    "timer",
    column("district", Integer),
    column("kind", Text),
    column("aggregate", Uuid),
    column("fired_at", DateTime(timezone=True)),
)
# For the driver: each step of a ticket sets or stops some.
_SET: Final = (
    "INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at)"
    " SELECT $1, kind, $2, $3, at, at FROM unnest($4::text[], $5::timestamptz[]) AS clock (kind, at)"
    " ON CONFLICT (district, kind, aggregate) DO UPDATE SET unit = excluded.unit, due_at = excluded.due_at,"
    " try_at = excluded.try_at, fired_at = NULL, attempts = 0, error = NULL"
)
_CANCEL: Final = "DELETE FROM timer WHERE district = $1 AND aggregate = $2 AND kind = ANY ($3::text[])"
_UNCHANGED: Final = (
    " unnest(CAST(:aggregates AS uuid[]), CAST(:due AS timestamptz[]), CAST(:attempts AS smallint[]))"
    " AS found (aggregate, due_at, attempts)"
    " WHERE timer.district = :district AND timer.kind = :kind AND timer.aggregate = found.aggregate"
    " AND timer.due_at = found.due_at AND timer.attempts = found.attempts AND timer.try_at <= :now"
)
# First what is due, then the claim: the planner may not claim what it only passes by.
_CLAIM: Final = text(
    "WITH due AS MATERIALIZED (SELECT district, kind, timer.aggregate FROM timer," + _UNCHANGED + ")"  # noqa: S608 constants
    " SELECT aggregate FROM due"
    " WHERE pg_try_advisory_xact_lock(hashtextextended(concat_ws(' ', district, kind, aggregate), 7105637))"
)
_FIRED: Final = text("UPDATE timer SET fired_at = :now, try_at = NULL, error = NULL FROM" + _UNCHANGED)  # noqa: S608
_GONE: Final = text("DELETE FROM timer USING" + _UNCHANGED)  # noqa: S608
_FAILED: Final = text(
    "UPDATE timer SET attempts = timer.attempts + 1, error = :error, try_at = :again_at FROM" + _UNCHANGED  # noqa: S608
)
# Less than PostgreSQL waits before it looks for a deadlock, of which the other might be the victim.
_WAIT_BRIEFLY: Final = text("SET LOCAL lock_timeout = '100ms'")


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
    rows = frozenset((aggregate, kind) for kind in due)
    await later(session, _SET, units.district(unit), aggregate, unit, [*due], [*due.values()], rows=rows)


async def cancel(session: AsyncSession, *, aggregate: UUID, unit: int, kinds: Iterable[str]) -> None:
    """Stop clocks of an aggregate, whether they run, have fired or were never set.

    Args:
        session: an open transaction that covers `unit`.
        aggregate: whose clocks; lock it first, as their handlers do.
        unit: where it belongs.
        kinds: which of its clocks.
    """
    rows = frozenset((aggregate, kind) for kind in kinds)
    await later(session, _CANCEL, units.district(unit), aggregate, [kind for _, kind in rows], rows=rows)


def overdue(*kinds: str) -> Select[tuple[int, UUID]]:
    """Select whose clocks have fired and were not cancelled since, for `tuple_(Model.district, Model.id).in_(...)`."""
    return select(_TIMER.c.district, _TIMER.c.aggregate).where(_TIMER.c.fired_at.is_not(None), _TIMER.c.kind.in_(kinds))


On = Callable[[AsyncSession, Timer], Awaitable[bool]]
Around = Callable[[Timer], AbstractContextManager[object]]


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

    async def fire(self, sessions: Sessions, timers: Sequence[Timer], around: Around = nullcontext) -> bool:
        """Act on timers of one kind and district that are due, in one transaction; tells whether there was one.

        Those on which another replica acts, or that are no longer due, are left alone. Several wait for nobody: they
        hold what they have locked while they do.

        Args:
            sessions: the service's.
            timers: all that can be claimed of them are fired, or none.
            around: gives a context for the handling of each.

        Raises:
            Overtaken: one of several was cancelled or moved while its handler worked.
        """
        now = self.now()
        stay: list[Timer] = []
        go: list[Timer] = []
        try:
            async with transaction(sessions, Scope.of_district(timers[0].district)) as session:
                if len(timers) > 1:
                    await session.execute(_WAIT_BRIEFLY)
                claimed = {*await session.scalars(_CLAIM, _these(timers, now))}
                for timer in sorted((one for one in timers if one.aggregate in claimed), key=lambda one: one.aggregate):
                    with around(timer):
                        stays = await self._handlers[timer.kind](session, timer)
                        await write_out(session)
                    # What one handler read is not what the next one finds: it may have been changed by a statement.
                    session.expunge_all()
                    (stay if stays else go).append(timer)
                await _end(session, _FIRED, stay, now)
                await _end(session, _GONE, go, now)
        except Overtaken:
            if len(timers) > 1:
                raise
            return False
        return bool(claimed)

    async def fail(self, sessions: Sessions, timer: Timer, error: str, again_at: datetime | None) -> None:
        """Note that a timer's handler failed, and when it is called again, if it is."""
        async with transaction(sessions, Scope.of_district(timer.district)) as session:
            await session.execute(_FAILED, {**_these([timer], self.now()), "error": error, "again_at": again_at})


class Overtaken(Exception):  # noqa: N818 it says what happened
    """A timer was cancelled or moved while its handler worked, and nothing of that work is kept."""


async def _end(session: AsyncSession, statement: TextClause, timers: Sequence[Timer], now: datetime) -> None:
    if timers:
        ended: CursorResult[Any] = await session.execute(statement, _these(timers, now))  # type: ignore[assignment]
        if ended.rowcount < len(timers):
            raise Overtaken


def _these(timers: Sequence[Timer], now: datetime) -> dict[str, object]:
    return {
        "district": timers[0].district,
        "kind": timers[0].kind,
        "aggregates": [timer.aggregate for timer in timers],
        "due": [timer.due_at for timer in timers],
        "attempts": [timer.attempts for timer in timers],
        "now": now,
    }
