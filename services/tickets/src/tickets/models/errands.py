"""Tables of errands (帮办代办): papers collected for somebody who can't come, filed with an office, and the result."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.orm.attributes import flag_modified

from linli.models import Base, Placed, Versioned
from linli.problems import Conflict


class ErrandState(StrEnum):
    """Where an errand stands."""

    COLLECTING = "collecting"
    FILED = "filed"
    DONE = "done"


class ErrandStep(StrEnum):
    """What is done for the person served, or happens when the clock of the next step runs out."""

    OPEN = "open"
    ASK = "ask"
    HAND = "hand"
    FILE = "file"
    TAKE_OVER = "take_over"
    FINISH = "finish"
    OVERDUE = "overdue"


STEPS: Final = {
    ErrandStep.ASK: ({ErrandState.COLLECTING, ErrandState.FILED}, ErrandState.COLLECTING),
    ErrandStep.HAND: ({ErrandState.COLLECTING}, ErrandState.COLLECTING),
    ErrandStep.FILE: ({ErrandState.COLLECTING}, ErrandState.FILED),
    ErrandStep.TAKE_OVER: ({ErrandState.COLLECTING, ErrandState.FILED}, None),
    ErrandStep.FINISH: ({ErrandState.COLLECTING, ErrandState.FILED}, ErrandState.DONE),
}
"""The whole life of an errand: which states a step starts from, and which it ends in, None where that stays."""


class Result(StrEnum):
    """What came of it: granted (办成), refused by the office (未批准), withdrawn (撤回)."""

    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class HandedBy(StrEnum):
    """Who brought a paper."""

    SERVED = "served"
    FAMILY = "family"
    NEIGHBOUR = "neighbour"
    OFFICE = "office"
    OTHER = "other"


class IllegalErrandStep(Conflict):
    """An errand that is {state} can't take the step {step}; possible now: {possible}."""

    title_zh = "代办事项当前状态不允许此操作"
    detail_zh = "代办事项当前状态为 {state}，不能执行 {step}；当前可执行：{possible}。"


class NotFiled(Conflict):
    """This errand is not with an office, which would decide on it: file it (again), or end it as withdrawn."""

    title_zh = "尚未递交"
    detail_zh = "该代办事项尚未递交（或补正后尚未重新递交），不能登记办理结果；请先递交，或登记为撤回。"


class PapersMissing(Conflict):
    """Papers are still missing: {missing}."""

    title_zh = "材料不齐"
    detail_zh = "尚缺材料：{missing}。"


class PaperAsked(Conflict):
    """This paper was asked for before: {paper}."""

    title_zh = "材料已要求"
    detail_zh = "该材料已要求过：{paper}。"


class PaperHanded(Conflict):
    """This paper was handed over before."""

    title_zh = "材料已收"
    detail_zh = "该材料已交。"


class Errand(Placed, Versioned, Base):
    """Papers that a worker files for somebody.

    Attributes:
        served: the person served, who sees how it stands.
        worker: who goes the errand.
        office: where the papers were filed, `reference` under which number.
        stepped_at: when the last step was taken.
        due_at: when the next step must be taken.
    """

    __tablename__ = "errand"

    served: Mapped[UUID]
    worker: Mapped[UUID]
    title: Mapped[str]
    state: Mapped[str] = mapped_column(default=ErrandState.COLLECTING.value)
    office: Mapped[str | None]
    reference: Mapped[str | None]
    result: Mapped[str | None]
    stepped_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    opened_at: Mapped[datetime]
    filed_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]

    def possible(self) -> list[str]:
        """List the steps that are legal now."""
        return [step.value for step, (before, _) in STEPS.items() if self.state in before]

    def take(self, step: ErrandStep, due_at: datetime | None) -> None:
        """Take a step; the next one is due then.

        Raises:
            IllegalErrandStep: 409.
        """
        before, after = STEPS[step]
        if self.state not in before:
            possible = ", ".join(self.possible()) or "nothing (无)"
            raise IllegalErrandStep(state=self.state, step=step.value, possible=possible)
        self.state = (after or ErrandState(self.state)).value
        self.stepped_at, self.due_at = datetime.now(UTC), due_at
        self.touch()

    def touch(self) -> None:
        """Count a step among the errand's changes that no column shows."""
        flag_modified(self, "state")

    def file(self, office: str, reference: str | None, due_at: datetime) -> None:
        """Hand the papers in (递交).

        Raises:
            IllegalErrandStep: 409.
        """
        self.take(ErrandStep.FILE, due_at)
        self.office, self.reference, self.filed_at = office, reference, datetime.now(UTC)

    def finish(self, result: Result) -> None:
        """Say what came of it (办结): what the office has decided, or that it was withdrawn.

        Raises:
            IllegalErrandStep: 409.
            NotFiled: 409.
        """
        with_office = self.state == ErrandState.FILED
        self.take(ErrandStep.FINISH, None)
        # What it waits for more papers for, it may still refuse.
        if not (with_office or result is Result.WITHDRAWN or (result is Result.REFUSED and self.filed_at)):
            raise NotFiled
        self.result, self.done_at = result.value, datetime.now(UTC)


class Paper(Placed, Base):
    """A paper that was asked for (材料), and who brought it when and who took it."""

    __tablename__ = "errand_paper"
    __table_args__ = (
        ForeignKeyConstraint(["district", "errand_id"], ["errand.district", "errand.id"]),
        UniqueConstraint("district", "errand_id", "name"),
    )

    errand_id: Mapped[UUID]
    served: Mapped[UUID]
    name: Mapped[str]
    asked_at: Mapped[datetime]
    handed_at: Mapped[datetime | None]
    handed_by: Mapped[str | None]
    received_by: Mapped[UUID | None]

    def hand_over(self, by: HandedBy, to: UUID) -> None:
        """Take it from somebody.

        Raises:
            PaperHanded: 409.
        """
        if self.handed_at is not None:
            raise PaperHanded
        self.handed_at, self.handed_by, self.received_by = datetime.now(UTC), by.value, to


class ErrandEntry(Placed, Base):
    """One step of an errand, kept for good (全程留痕)."""

    __tablename__ = "errand_entry"
    __table_args__ = (
        ForeignKeyConstraint(["district", "errand_id"], ["errand.district", "errand.id"]),
        UniqueConstraint("district", "errand_id", "sequence"),
    )

    errand_id: Mapped[UUID]
    served: Mapped[UUID]
    sequence: Mapped[int]
    step: Mapped[str]
    actor: Mapped[UUID]
    note: Mapped[str | None]
    trace_id: Mapped[str | None]
    at: Mapped[datetime]
