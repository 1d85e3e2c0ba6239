"""Departments over HTTP."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from linli.schemas import In, Line, Out
from linli.units import UnitCode
from tickets.models.departments import REPORT_MINUTES


def _no_address(code: str) -> str:
    if code == "ranking":
        raise ValueError("this is an address, take another code (该代码已被接口地址占用)")
    return code


DepartmentCode = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$"),
    AfterValidator(_no_address),
    Field(examples=["urban_management"]),
]


class DepartmentSet(In):
    """What a district says of a department (部门)."""

    unit: UnitCode = Field(description="Where it sits: the district or one of its streets (所在单元)")
    name: Line
    name_en: Line | None = None
    report_minutes: int = Field(
        default=REPORT_MINUTES, ge=1, le=100_000, description="Working minutes to report in (应哨时限，工作分钟)"
    )
    active: bool = True


class DepartmentNew(DepartmentSet):
    """A department that can be called from now on."""

    code: DepartmentCode


class DepartmentOut(Out):
    """A department as it stands."""

    code: str
    unit: UnitCode
    name: str
    name_en: str | None
    report_minutes: int
    active: bool
    version: int


class MemberNew(In):
    """Somebody who answers for it from now on."""

    staff: UUID


class MemberOut(Out):
    """Somebody who answers for it."""

    staff: UUID
