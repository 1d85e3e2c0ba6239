"""What can be wrong with a request to the directory, and which rule of the database says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from sqlalchemy.exc import IntegrityError

from linli.problems import Conflict, Forbidden, NotFound, Problem, Unprocessable


class UnitExists(Conflict):
    """There is a unit {unit} already; change it with PATCH."""

    title_zh = "单元已存在"
    detail_zh = "单元 {unit} 已存在，请用 PATCH 修改。"


class ParentMissing(Unprocessable):
    """Unit {unit} hangs under {parent}, which does not exist or is not active. Create or activate that first."""

    title_zh = "上级单元不可用"
    detail_zh = "单元 {unit} 的上级 {parent} 不存在或未启用，请先创建或启用上级。"


class UnitInUse(Conflict):
    """Unit {unit} still has active units, staff, assignments or buildings. Move or end them first."""

    title_zh = "单元仍在使用"
    detail_zh = "单元 {unit} 下仍有启用的单元、人员、岗位或楼栋，请先迁移或结束。"


class WrongKind(Unprocessable):
    """Unit {unit} is a {kind}; what is asked for belongs to a {needed}."""

    title_zh = "单元类型不符"
    detail_zh = "单元 {unit} 的类型是 {kind}，此处需要 {needed}。"


class WrongRows(Unprocessable):
    """Some rows are wrong and none was taken over; each is listed under "errors" with a JSON pointer."""

    title_zh = "部分行有误"
    detail_zh = "部分行有误，全部未导入，详见 errors 中的 JSON 指针。"


class GroupExists(Conflict):
    """Grid {unit} has a residents' group of this name already."""

    title_zh = "居民小组已存在"
    detail_zh = "网格 {unit} 中已有同名居民小组。"


class BuildingExists(Conflict):
    """The community of {unit} has a building of this name, or with this id, already."""

    title_zh = "楼栋已存在"
    detail_zh = "{unit} 所在社区已有同名或同编号的楼栋。"


class GroupWouldBeSplit(Conflict):
    """A grid never splits a residents' group (三不破): {unit} is not in the grid of the building's group.

    Move the building within the group's grid, or take it out of the group in the same change.
    """

    title_zh = "网格不得拆分居民小组"
    detail_zh = "三不破：{unit} 不在该楼栋所属居民小组的网格内。请在原网格内调整，或同时变更其居民小组。"


class UnknownGroup(NotFound):
    """There is no residents' group {group} here."""

    title_zh = "居民小组不存在"
    detail_zh = "此处没有居民小组 {group}。"


class UnknownStaff(NotFound):
    """There is no member of staff {staff} here."""

    title_zh = "人员不存在"
    detail_zh = "此处没有人员 {staff}。"


class StaffExists(Conflict):
    """This person is on the staff of this district already; look under the other units, or ask the district."""

    title_zh = "人员已登记"
    detail_zh = "该人员已在本区登记，请在其他单元查找或联系区级管理员。"


class RoleTooHigh(Forbidden):
    """The role {role} is not below your own, so it isn't yours to give or to end."""

    title_zh = "角色级别过高"
    detail_zh = "角色 {role} 不低于您的角色，无权授予或结束。"


class AlreadyAssigned(Conflict):
    """This member of staff is {role} at {unit} already."""

    title_zh = "岗位已存在"
    detail_zh = "该人员已在 {unit} 担任 {role}。"


class AssignmentEnded(Conflict):
    """Assignment {assignment} has ended already."""

    title_zh = "岗位已结束"
    detail_zh = "岗位 {assignment} 已经结束。"


class ProviderClash(Conflict):
    """Another district uses this issuer with this audience; each district needs an audience of its own."""

    title_zh = "身份提供方重复"
    detail_zh = "该 issuer 与 audience 已被其他区使用，各区须使用各自的 audience。"


class UnusableKeys(Unprocessable):
    """The key set can't be used: {reason}."""

    title_zh = "密钥集不可用"
    detail_zh = "密钥集不可用：{reason}。"


class RotationUnderWay(Conflict):
    """A new signing key is published and becomes active at {active_from}; rotate again after that."""

    title_zh = "密钥轮换进行中"
    detail_zh = "新签名密钥已发布，将于 {active_from} 启用，请在此之后再轮换。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "60"}


@contextmanager
def naming(**constraints: Problem) -> Iterator[None]:
    """Say in a problem's words what a named constraint of the database refused.

    Raises:
        Problem: the one given for the constraint.
    """
    try:
        yield
    except IntegrityError as error:
        name = getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)
        if name in constraints:
            raise constraints[name] from error
        raise


def wrong(pointer: str, detail: str, detail_zh: str) -> dict[str, str]:
    """Make one entry of a problem's `errors`."""
    return {"pointer": pointer, "detail": detail, "detail_zh": detail_zh}
