"""What tickets does when a clock runs out."""

from sqlalchemy.ext.asyncio import AsyncSession

from linli.timers import Timer, Timers
from tickets.models.moves import Clock
from tickets.models.whistles import Whistle
from tickets.operations import case_parts, errands, figures, whistles, wishes
from tickets.operations.overdue import run_out

timers = Timers("tickets")


@timers.on(Clock.ANSWER)
@timers.on(Clock.SOLVE)
@timers.on(Clock.STREET)
@timers.on(Clock.DISTRICT)
@timers.on(Clock.CONFIRM)
async def ran_out(session: AsyncSession, timer: Timer) -> bool:
    """A ticket is not answered for, solved or taken up in time (超时), or its reporter is silent (逾期未反馈)."""
    return await run_out(session, timer, timers.now())


@timers.on(wishes.CLAIM)
async def claim_ran_out(session: AsyncSession, timer: Timer) -> bool:
    """A wish was not fulfilled in time by whoever claimed it (认领超时)."""
    return await wishes.expire_claim(session, timer.aggregate)


@timers.on(Whistle.REPORT)
async def report_missed(session: AsyncSession, timer: Timer) -> bool:
    """A department that was called does not report in time (未按时应哨)."""
    return await whistles.miss(session, timer.aggregate, timer.due_at)


@timers.on(case_parts.FOLLOW_UP)
async def follow_up_due(session: AsyncSession, timer: Timer) -> bool:
    """It is time to ask whether what was agreed is kept (回访到期)."""
    return await case_parts.follow_up_due(session, timer.aggregate, overdue=False)


@timers.on(case_parts.FOLLOW_UP_OVERDUE)
async def follow_up_overdue(session: AsyncSession, timer: Timer) -> bool:
    """Nobody has asked in time (回访超时)."""
    return await case_parts.follow_up_due(session, timer.aggregate, overdue=True)


@timers.on(figures.FIGURES)
async def days_ended(session: AsyncSession, timer: Timer) -> bool:
    """Days have ended whose figures are counted once and kept (每日统计)."""
    await figures.count_days(session, timer, timers.now())
    return False


@timers.on(errands.NEXT_STEP)
async def next_step_overdue(session: AsyncSession, timer: Timer) -> bool:
    """The next step of an errand was not taken in time (代办超时)."""
    return await errands.step_overdue(session, timer.aggregate, timer.due_at)
