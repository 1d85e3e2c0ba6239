"""Departments (部门) that a district's communities may call, and who works in them."""

from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Placed, Versioned
from linli.problems import Conflict, NotFound, Unprocessable

REPORT_MINUTES: Final = 120
"""Working minutes in which a department reports, unless the district says otherwise."""


class CodeTaken(Conflict):
    """The district has a department {code} already."""

    title_zh = "部门代码已存在"
    detail_zh = "本区已有部门 {code}。"


class StillNamed(Conflict):
    """The department {department} is the one of categories in use, and so of new tickets: {categories}."""

    title_zh = "部门仍被类别引用"
    detail_zh = "部门 {department} 仍是在用类别的承办部门，新工单会继续派给它：{categories}。"


class UnknownDepartment(Unprocessable):
    """The district has no department {department}, or calls it no more."""

    title_zh = "部门不存在"
    detail_zh = "本区没有部门 {department}，或该部门已停用。"


class NobodyAnswers(Unprocessable):
    """Nobody in office answers for the department {department} in unit {unit}."""

    title_zh = "该部门无人在岗"
    detail_zh = "部门 {department} 没有覆盖单元 {unit} 的在岗人员。"


class NoSuchStaff(NotFound):
    """There is no {staff} in office as department staff in this district."""

    title_zh = "人员不在岗"
    detail_zh = "{staff} 在本区没有部门人员的在岗任职。"


class Department(Placed, Versioned, Base):
    """A department of a district, such as urban management (城管).

    Attributes:
        unit: where it sits; it may be called wherever in its district somebody in office answers for it.
        code: what events, routes of categories and figures call it.
        report_minutes: working minutes in which it reports when it is called (应哨时限).
    """

    __tablename__ = "department"
    __table_args__ = (UniqueConstraint("district", "code"),)

    code: Mapped[str]
    name: Mapped[str]
    name_en: Mapped[str | None]
    report_minutes: Mapped[int] = mapped_column(Integer)
    active: Mapped[bool]


class Member(Placed, Base):
    """Somebody who answers for a department: he sees the tickets it is called to."""

    __tablename__ = "department_member"
    __table_args__ = (
        UniqueConstraint("district", "staff", "department"),
        ForeignKeyConstraint(["district", "department"], ["department.district", "department.code"]),
        Index("ix_department_member_department", "district", "department", "id"),
    )

    department: Mapped[str]
    staff: Mapped[UUID]
