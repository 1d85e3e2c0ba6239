"""What tickets does when a clock runs out."""

from sqlalchemy.ext.asyncio import AsyncSession

from linli.timers import Timer, Timers
from tickets.models.moves import Clock
from tickets.models.whistles import Whistle
from tickets.operations import case_parts, errands, figures, whistles, wishes
from tickets.operations.overdue import run_out

timers = Timers("tickets")


@timers.on(Clock.ANSWER)
async def answer_overdue(session: AsyncSession, timer: Timer) -> bool:
    """Nobody answers for a ticket in time (接单超时)."""
    return await run_out(session, timer.aggregate, Clock.ANSWER, timer.due_at, timers.now())


@timers.on(Clock.SOLVE)
async def solve_overdue(session: AsyncSession, timer: Timer) -> bool:
    """A ticket is not dealt with in time (办结超时)."""
    return await run_out(session, timer.aggregate, Clock.SOLVE, timer.due_at, timers.now())


@timers.on(Clock.STREET)
async def street_overdue(session: AsyncSession, timer: Timer) -> bool:
    """The street does not take up what was raised to it (街道处置超时)."""
    return await run_out(session, timer.aggregate, Clock.STREET, timer.due_at, timers.now())


@timers.on(Clock.DISTRICT)
async def district_overdue(session: AsyncSession, timer: Timer) -> bool:
    """The district does not take up what was raised to it (区级处置超时)."""
    return await run_out(session, timer.aggregate, Clock.DISTRICT, timer.due_at, timers.now())


@timers.on(Clock.CONFIRM)
async def confirm_ended(session: AsyncSession, timer: Timer) -> bool:
    """The reporter does not say whether it is fixed (逾期未反馈): that closes it."""
    return await run_out(session, timer.aggregate, Clock.CONFIRM, timer.due_at, timers.now())


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
