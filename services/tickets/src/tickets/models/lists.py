"""Tables of needs, resources and projects (三张清单)."""

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column, query_expression
from sqlalchemy.orm.attributes import flag_modified

from linli.models import Base, Placed, Versioned
from linli.problems import Conflict

_LISTED: Final = "listed"
_WITHDRAWN: Final = "withdrawn"


class NeedState(StrEnum):
    """Where a need stands."""

    LISTED = _LISTED
    MATCHED = "matched"
    MET = "met"
    WITHDRAWN = _WITHDRAWN


class ResourceState(StrEnum):
    """Whether a resource is still offered; it may serve many needs."""

    LISTED = _LISTED
    WITHDRAWN = _WITHDRAWN


class ListStep(StrEnum):
    """How a need or a resource comes onto its list and moves there."""

    LISTED = _LISTED
    MATCHED = "matched"
    MET = "met"
    RETURNED = "returned"
    """Its project has not met it."""
    WITHDRAWN = _WITHDRAWN


class ProjectState(StrEnum):
    """Whether a project goes on."""

    RUNNING = "running"
    ENDED = "ended"


class ProjectOutcome(StrEnum):
    """Whether the need was met (需求满足)."""

    MET = "met"
    UNMET = "unmet"


class NotListed(Conflict):
    """This {what} is {state}; only one that is on the list can be matched or withdrawn."""

    title_zh = "不在清单上"
    detail_zh = "该{what}当前状态为 {state}，只有清单上的才能匹配或撤回。"


class OtherKind(Conflict):
    """The need is of kind {need}, the resource of kind {resource}."""

    title_zh = "类别不符"
    detail_zh = "需求类别为 {need}，资源类别为 {resource}。"


class ProjectEnded(Conflict):
    """This project has ended."""

    title_zh = "项目已结束"
    detail_zh = "该项目已结束。"


class StepDone(Conflict):
    """This step was done before."""

    title_zh = "步骤已完成"
    detail_zh = "该步骤已完成。"


class Listed(Placed, Versioned):
    """What stands on a list until it is taken off: a need or a resource.

    Attributes:
        NAME: what people call it.
    """

    NAME: ClassVar[str]

    kind: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    state: Mapped[str] = mapped_column(default=_LISTED)
    listed_at: Mapped[datetime]

    def must_be_listed(self) -> None:
        """Refuse what is done with those on the list alone.

        Raises:
            NotListed: 409.
        """
        if self.state != _LISTED:
            raise NotListed(what=self.NAME, state=self.state)

    def withdraw(self) -> None:
        """Take it off the list (撤回).

        Raises:
            NotListed: 409.
        """
        self.must_be_listed()
        self.state = _WITHDRAWN


class Need(Listed, Base):
    """What a unit needs (需求清单)."""

    __tablename__ = "need"
    NAME = "need (需求)"

    listed_by: Mapped[UUID]

    def become(self, state: NeedState) -> None:
        """Move it on, as its project does."""
        self.state = state.value


class Resource(Listed, Base):
    """What a partner or organisation offers (资源清单), in its unit first, and beyond.

    Attributes:
        nearness: to the need that it is looked up for.
    """

    __tablename__ = "resource"
    NAME = "resource (资源)"

    provider: Mapped[UUID]
    nearness: Mapped[int | None] = query_expression()


class Project(Placed, Versioned, Base):
    """What a need and a resource become together (项目清单), in steps, with an end.

    Attributes:
        provider: whose resource it is; he sees the project.
        ends_on: when it is meant to end.
    """

    __tablename__ = "project"
    __table_args__ = (
        ForeignKeyConstraint(["district", "need_id"], ["need.district", "need.id"]),
        ForeignKeyConstraint(["district", "resource_id"], ["resource.district", "resource.id"]),
    )

    need_id: Mapped[UUID]
    resource_id: Mapped[UUID]
    provider: Mapped[UUID]
    state: Mapped[str] = mapped_column(default=ProjectState.RUNNING.value)
    outcome: Mapped[str | None]
    started_by: Mapped[UUID]
    started_at: Mapped[datetime]
    ends_on: Mapped[date | None]
    ended_at: Mapped[datetime | None]

    def must_run(self) -> None:
        """Refuse what is done in running projects alone.

        Raises:
            ProjectEnded: 409.
        """
        if self.state == ProjectState.ENDED:
            raise ProjectEnded

    def touch(self) -> None:
        """Count a change of its steps among its own."""
        self.must_run()
        flag_modified(self, "state")

    def end(self, outcome: ProjectOutcome) -> None:
        """End it (结项).

        Raises:
            ProjectEnded: 409.
        """
        self.must_run()
        self.state, self.outcome, self.ended_at = ProjectState.ENDED.value, outcome.value, datetime.now(UTC)


class ProjectStep(Placed, Base):
    """One step of a project (步骤)."""

    __tablename__ = "project_step"
    __table_args__ = (ForeignKeyConstraint(["district", "project_id"], ["project.district", "project.id"]),)

    project_id: Mapped[UUID]
    provider: Mapped[UUID]
    title: Mapped[str]
    due_on: Mapped[date | None]
    done_at: Mapped[datetime | None]
    done_by: Mapped[UUID | None]

    def finish(self, actor: UUID) -> None:
        """Say that it is done.

        Raises:
            StepDone: 409.
        """
        if self.done_at is not None:
            raise StepDone
        self.done_at, self.done_by = datetime.now(UTC), actor
