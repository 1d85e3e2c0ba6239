"""Tables of cases (矛盾调解/个案): read and written by the case's team alone, whatever office others hold.

Each row of a case carries the team's members, which the database copies from the team: its policies ask whether the
caller is one of them. The platform is one of every team, as NOBODY: its clocks work on cases, too.
"""

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, ForeignKeyConstraint, LargeBinary, SmallInteger, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, declared_attr, mapped_column
from sqlalchemy.orm.attributes import flag_modified

from linli.crypto import Field
from linli.db import NOBODY
from linli.models import Base, Placed, Versioned
from linli.problems import Conflict

SUMMARY: Final = Field("case_file", "summary", str)
PARTY: Final = Field("case_party", "name", str)
MINUTES: Final = Field("case_conference", "minutes", str)
DUTIES: Final = Field("case_agreement", "duties", str)
FINDINGS: Final = Field("case_follow_up", "findings", str)
NOTE: Final = Field("case_entry", "note", str)


class CaseState(StrEnum):
    """Whether the team is still at it."""

    OPEN = "open"
    CLOSED = "closed"


class CaseOutcome(StrEnum):
    """How a case ended: settled (调解成功), failed (调解不成), withdrawn (撤回), referred elsewhere (转介)."""

    SETTLED = "settled"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    REFERRED = "referred"


class Effect(StrEnum):
    """Whether what was agreed is kept (履约) or broken (违约)."""

    KEPT = "kept"
    BROKEN = "broken"


class Side(StrEnum):
    """Where a party stands: who asked for help (申请人), whom it is about (被申请人), others concerned."""

    APPLICANT = "applicant"
    RESPONDENT = "respondent"
    OTHER = "other"


class CaseStep(StrEnum):
    """What a trail tells of (全程留痕)."""

    FROM_TICKET = "from_ticket"
    OPEN = "open"
    GRADE = "grade"
    PARTY = "party"
    CONFERENCE = "conference"
    AGREEMENT = "agreement"
    FOLLOW_UP = "follow_up"
    FOLLOW_UP_DUE = "follow_up_due"
    FOLLOW_UP_OVERDUE = "follow_up_overdue"
    FOLLOWED_UP = "followed_up"
    NOTE = "note"
    CLOSE = "close"


class CaseClosed(Conflict):
    """The case is closed; what can still be done is to follow it up."""

    title_zh = "个案已结案"
    detail_zh = "该个案已结案，只能进行回访。"


class SameGrade(Conflict):
    """The case has the grade {grade} already."""

    title_zh = "难度等级未变"
    detail_zh = "该个案已是 {grade} 级。"


class AlreadyFollowedUp(Conflict):
    """This follow-up was done before."""

    title_zh = "已回访"
    detail_zh = "该回访已完成。"


class CaseTeam(Placed, Versioned, Base):
    """Who takes the cases of a grade of difficulty, in a unit and below (调解团队).

    Attributes:
        members: who they are, after the platform itself.
    """

    __tablename__ = "case_team"
    __table_args__ = (UniqueConstraint("district", "unit", "grade"),)

    grade: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str]
    active: Mapped[bool]
    members: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))

    @property
    def people(self) -> list[UUID]:
        """The members but for the platform."""
        return self.members[1:]

    @people.setter
    def people(self, people: list[UUID]) -> None:
        self.members = [NOBODY, *dict.fromkeys(people)]


class Confidential(Placed):
    """A part of a case."""

    case_id: Mapped[UUID]
    members: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))

    @declared_attr.directive
    def __table_args__(cls) -> tuple[ForeignKeyConstraint, ...]:  # noqa: N805 declared_attr is called on the class
        return (
            ForeignKeyConstraint(
                ["district", "case_id", "members"],
                ["case_file.district", "case_file.id", "case_file.members"],
                onupdate="CASCADE",
            ),
        )


class Case(Placed, Versioned, Base):
    """A dispute, and the way to peace (个案)."""

    __tablename__ = "case_file"
    __table_args__ = (
        ForeignKeyConstraint(
            ["district", "team_id", "members"],
            ["case_team.district", "case_team.id", "case_team.members"],
            onupdate="CASCADE",
        ),
        ForeignKeyConstraint(["district", "ticket_id"], ["ticket.district", "ticket.id"]),
        UniqueConstraint("district", "ticket_id"),
        UniqueConstraint("district", "id", "members"),
    )

    team_id: Mapped[UUID]
    members: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    ticket_id: Mapped[UUID | None]
    grade: Mapped[int] = mapped_column(SmallInteger)
    summary_cipher: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(default=CaseState.OPEN.value)
    outcome: Mapped[str | None]
    effect: Mapped[str | None]
    opened_by: Mapped[UUID]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]

    @property
    def people(self) -> list[UUID]:
        """Who is on the team."""
        return self.members[1:]

    def touch(self) -> None:
        """Count a step among the case's changes that no column shows."""
        flag_modified(self, "state")

    def must_be_open(self) -> None:
        """Refuse what is no longer done in a closed case.

        Raises:
            CaseClosed: 409.
        """
        if self.state == CaseState.CLOSED:
            raise CaseClosed

    def regrade(self, team: CaseTeam) -> None:
        """Find it harder or easier than thought: it is the team's of that grade from now on.

        Raises:
            CaseClosed: 409.
            SameGrade: 409.
        """
        self.must_be_open()
        if team.grade == self.grade:
            raise SameGrade(grade=self.grade)
        self.grade, self.team_id, self.members = team.grade, team.id, team.members

    def close(self, outcome: CaseOutcome) -> None:
        """End it (结案).

        Raises:
            CaseClosed: 409.
        """
        self.must_be_open()
        self.state, self.outcome, self.closed_at = CaseState.CLOSED.value, outcome.value, datetime.now(UTC)


class Party(Confidential, Base):
    """Somebody whom the dispute is between (当事人): a registered resident, or a name, which is kept encrypted."""

    __tablename__ = "case_party"

    side: Mapped[str]
    resident: Mapped[UUID | None]
    name_cipher: Mapped[bytes | None] = mapped_column(LargeBinary)


class Conference(Confidential, Base):
    """A meeting about the case (调解会), with its minutes."""

    __tablename__ = "case_conference"

    held_at: Mapped[datetime]
    minutes_cipher: Mapped[bytes] = mapped_column(LargeBinary)


class Agreement(Confidential, Base):
    """What the parties agreed (调解协议): who does what by when."""

    __tablename__ = "case_agreement"

    signed_on: Mapped[date]
    duties_cipher: Mapped[bytes] = mapped_column(LargeBinary)


class FollowUp(Confidential, Versioned, Base):
    """A look at whether what was agreed is kept (回访)."""

    __tablename__ = "case_follow_up"

    due_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    done_by: Mapped[UUID | None]
    effect: Mapped[str | None]
    findings_cipher: Mapped[bytes | None] = mapped_column(LargeBinary)

    def finish(self, actor: UUID, effect: Effect | None, findings: bytes) -> None:
        """Say what was found.

        Raises:
            AlreadyFollowedUp: 409.
        """
        if self.done_at is not None:
            raise AlreadyFollowedUp
        self.done_at, self.done_by, self.findings_cipher = datetime.now(UTC), actor, findings
        self.effect = effect and effect.value


class CaseEntry(Confidential, Base):
    """One step of a case, kept for good (全程留痕).

    Attributes:
        about: what it concerns: a party, a conference, the ticket that it began as.
        grade: which it was given, by a step that grades.
    """

    __tablename__ = "case_entry"

    sequence: Mapped[int]
    step: Mapped[str]
    actor: Mapped[UUID]
    about: Mapped[UUID | None]
    grade: Mapped[int | None] = mapped_column(SmallInteger)
    note_cipher: Mapped[bytes | None] = mapped_column(LargeBinary)
    trace_id: Mapped[str | None]
    at: Mapped[datetime]
