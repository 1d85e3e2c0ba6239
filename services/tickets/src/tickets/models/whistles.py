"""Whistles (吹哨): a department is called to a ticket, reports, acts, and is rated for it (报到), or called off."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Placed, Versioned
from linli.problems import Conflict, Forbidden


class Stage(StrEnum):
    """How far a department has answered its call."""

    CALLED = "called"
    REPORTED = "reported"
    ACTED = "acted"
    RATED = "rated"
    CALLED_OFF = "called_off"
    """Its ticket has ended before the department had acted (撤哨)."""

    @property
    def following(self) -> "Stage | None":
        """The one stage that people can bring it to."""
        return {Stage.CALLED: Stage.REPORTED, Stage.REPORTED: Stage.ACTED, Stage.ACTED: Stage.RATED}.get(self)


OPEN: Final = (Stage.CALLED, Stage.REPORTED)
"""While the department has something to do."""
ENDED: Final = (Stage.RATED, Stage.CALLED_OFF)
"""It may be called to the same ticket again."""


class WhistleElsewhere(Conflict):
    """A whistle that is {state} can't become {wished}; next it becomes {possible}."""

    title_zh = "当前哨单状态不允许此操作"
    detail_zh = "哨单当前状态为 {state}，不能变为 {wished}；下一步为：{possible}。"


class AlreadyCalled(Conflict):
    """{department} was called to this ticket, and what it does is not rated yet."""

    title_zh = "已吹哨"
    detail_zh = "{department} 已被召集处理该工单，且尚未评价。"


class NotYourWhistle(Forbidden):
    """Only {who} may do this with the whistle."""

    title_zh = "不是您的哨单"
    detail_zh = "只有 {who} 可以对该哨单执行此操作。"


class Whistle(Placed, Versioned, Base):
    """One department's call to one ticket (哨单).

    Attributes:
        weight: of the ticket's category when the whistle was blown: how much it counts in the ranking.
        caller_unit: the unit that blew it, and rates what became of it.
        report_minutes: working minutes the department has to report.
        report_due_at: when the department must have reported.
        missed_at: when that clock ran out; the department may still report.
        report_took: working minutes from the call to the report.
        act_took: working minutes from the call to the act.
        called_off_at: when its ticket ended before; what it had done or missed by then stays on record.
    """

    __tablename__ = "whistle"
    __table_args__ = (
        ForeignKeyConstraint(["district", "ticket_id"], ["ticket.district", "ticket.id"]),
        ForeignKeyConstraint(["district", "department"], ["department.district", "department.code"]),
        Index(
            "uq_whistle_once",
            "district",
            "ticket_id",
            "department",
            unique=True,
            postgresql_where=text("state NOT IN ('rated', 'called_off')"),
        ),
        Index("ix_whistle_ticket", "district", "ticket_id"),
        Index("ix_whistle_department", "district", "department", "id"),
        Index("ix_whistle_department_ticket", "district", "department", "ticket_id", postgresql_include=["unit"]),
        Index("ix_whistle_called_at", "district", "called_at"),
        Index("ix_whistle_unit", "unit", "id"),
    )
    REPORT: ClassVar = "report"
    """Its one clock: until the department reports."""

    ticket_id: Mapped[UUID]
    department: Mapped[str]
    weight: Mapped[int] = mapped_column(Integer)
    caller_unit: Mapped[int]
    called_by: Mapped[UUID]
    note: Mapped[str | None]
    state: Mapped[str] = mapped_column(default=Stage.CALLED.value)
    called_at: Mapped[datetime]
    report_minutes: Mapped[int] = mapped_column(Integer)
    report_due_at: Mapped[datetime]
    missed_at: Mapped[datetime | None]
    reported_at: Mapped[datetime | None]
    reported_by: Mapped[UUID | None]
    report_took: Mapped[int | None] = mapped_column(Integer)
    acted_at: Mapped[datetime | None]
    acted_by: Mapped[UUID | None]
    act_took: Mapped[int | None] = mapped_column(Integer)
    rated_at: Mapped[datetime | None]
    rated_by: Mapped[UUID | None]
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    called_off_at: Mapped[datetime | None]

    def _become(self, wished: Stage) -> None:
        following = Stage(self.state).following
        if wished is not following:
            raise WhistleElsewhere(state=self.state, wished=wished.value, possible=following or "-")
        self.state = wished.value

    def report(self, by: UUID, at: datetime, took: int) -> None:
        """Say that the department is there (应哨), late or not.

        Raises:
            WhistleElsewhere: 409.
        """
        self._become(Stage.REPORTED)
        self.reported_at, self.reported_by, self.report_took = at, by, took

    def act(self, by: UUID, at: datetime, took: int) -> None:
        """Say that the department has done its part.

        Raises:
            WhistleElsewhere: 409, before it has reported.
        """
        self._become(Stage.ACTED)
        self.acted_at, self.acted_by, self.act_took = at, by, took

    def rate(self, by: UUID, at: datetime, rating: int) -> None:
        """Say how well the department did its part, 1 to 5, once.

        Raises:
            WhistleElsewhere: 409, before it has acted, or again.
        """
        self._become(Stage.RATED)
        self.rated_at, self.rated_by, self.rating = at, by, rating

    def call_off(self, at: datetime) -> None:
        """End an open call, as its ticket has ended (撤哨)."""
        self.state, self.called_off_at = Stage.CALLED_OFF.value, at

    def miss(self, at: datetime) -> bool:
        """Note that the department did not report in time; tells whether it still had not."""
        if self.state != Stage.CALLED:
            return False
        self.missed_at = at
        return True
