"""What tickets does when a clock runs out."""

from sqlalchemy.ext.asyncio import AsyncSession

from linli.timers import Timer, Timers
from tickets.models.moves import Clock
from tickets.models.whistles import Whistle
from tickets.operations import tickets as operations
from tickets.operations import whistles, wishes

timers = Timers("tickets")


@timers.on(Clock.ANSWER)
async def answer_overdue(session: AsyncSession, timer: Timer) -> bool:
    """Nobody answers for a ticket in time (接单超时)."""
    return await operations.run_out(session, timer.aggregate, Clock.ANSWER, timer.due_at)


@timers.on(Clock.SOLVE)
async def solve_overdue(session: AsyncSession, timer: Timer) -> bool:
    """A ticket is not dealt with in time (办结超时)."""
    return await operations.run_out(session, timer.aggregate, Clock.SOLVE, timer.due_at)


@timers.on(wishes.CLAIM)
async def claim_ran_out(session: AsyncSession, timer: Timer) -> bool:
    """A wish was not fulfilled in time by whoever claimed it (认领超时)."""
    return await wishes.expire_claim(session, timer.aggregate)


@timers.on(Whistle.REPORT)
async def report_missed(session: AsyncSession, timer: Timer) -> bool:
    """A department that was called does not report in time (未按时应哨)."""
    return await whistles.miss(session, timer.aggregate, timer.due_at)
