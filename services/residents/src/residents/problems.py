"""What can be wrong with a request to the residents service."""

from typing import ClassVar

from linli.problems import Conflict, TooManyRequests


class DuplicateIdNumber(Conflict):
    """Somebody with this ID number is registered in the district already. Look for them, and move them if needed.

    Who can't see them learns that there is somebody, which he must to go on; so it is noted, and bounded.
    """

    title_zh = "身份证号重复"
    detail_zh = "本区已登记有此身份证号的人，请先查找，必要时办理迁移。"


class TooManyUnseen(TooManyRequests):
    """Within an hour you have named {limit} people who are registered where you can't see them, which is the most.

    Whoever covers the street or the district can look them up.
    """

    title_zh = "辖区外登记过多"
    detail_zh = "一小时内最多提交 {limit} 个登记在您管辖范围以外的身份证号，请由街道或区级人员查询办理。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "600"}


class HouseholdExists(Conflict):
    """This door of this building has a household already."""

    title_zh = "户已存在"
    detail_zh = "该楼栋的此门牌已登记有户。"


class TooManySearches(TooManyRequests):
    """You have searched {limit} times within an hour, which is the most. Try again later."""

    title_zh = "查找次数过多"
    detail_zh = "一小时内最多查找 {limit} 次，请稍后再试。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "600"}


class TooManyReveals(TooManyRequests):
    """You have looked at {limit} people's data within an hour, which is the most. Try again later."""

    title_zh = "查看次数过多"
    detail_zh = "一小时内最多查看 {limit} 次完整信息，请稍后再试。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "600"}
