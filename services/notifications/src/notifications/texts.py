"""The words of notifications, in English and Chinese (文案)."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from notifications.models import Kind

_CHINA: Final = timezone(timedelta(hours=8))
"""All of the country keeps one time."""


class Words(NamedTuple):
    """A notification in words."""

    title: str
    title_zh: str
    body: str
    body_zh: str


TEMPLATES: Final[Mapping[Kind, Words]] = {
    Kind.TICKET_OPENED: Words(
        "Your report was received",
        "诉求已受理",
        "We have your report and will find who answers it.",
        "您的诉求已收到，我们将尽快安排人员处理。",
    ),
    Kind.TICKET_ASSIGNED: Words(
        "Your report is being worked on",
        "诉求已派单",
        "Your report was given to somebody who answers for it.",
        "您的诉求已派给负责人员处理。",
    ),
    Kind.TICKET_ASSIGNED_TO_YOU: Words(
        "A ticket was assigned to you",
        "您有新的工单",
        "You answer for this ticket now. Please see to it and report the result.",
        "该工单已派给您，请及时处理并反馈结果。",
    ),
    Kind.TICKET_ANSWER_OVERDUE: Words(
        "A ticket is not assigned in time",
        "工单接单超时",
        "Nobody answers for this ticket yet. Somebody should have since {due_at:%Y-%m-%d %H:%M}.",
        "该工单应于 {due_at:%Y-%m-%d %H:%M} 前派单，目前仍无人接单，请尽快处理。",
    ),
    Kind.TICKET_SOLVE_OVERDUE: Words(
        "A ticket is not resolved in time",
        "工单办结超时",
        "This ticket should have been resolved by {due_at:%Y-%m-%d %H:%M}. Please see to it.",
        "该工单应于 {due_at:%Y-%m-%d %H:%M} 前办结，目前尚未办结，请尽快处理。",
    ),
    Kind.TICKET_RESOLVED: Words(
        "Your report was resolved",
        "诉求已办结",
        "We were told that the matter is dealt with. If it is, please close your report.",
        "您反映的问题已处理完毕。如属实，请确认结案。",
    ),
    Kind.TICKET_CLOSED: Words(
        "Your report was closed",
        "诉求已结案",
        "Your report is closed. Please say how well it was answered.",
        "您的诉求已结案，请对处理结果进行评价。",
    ),
    Kind.TICKET_RATED: Words(
        "Your work was rated",
        "您办理的工单收到评价",
        "A ticket you resolved was rated {rating} out of 5.",
        "您办理的工单收到评价：{rating} 分（满分 5 分）。",
    ),
    Kind.SEAT_BOOKED: Words(
        "Your seat is booked",
        "预约成功",
        "You have a seat. It starts at {starts_at:%Y-%m-%d %H:%M}.",
        "您已预约成功，开始时间：{starts_at:%Y-%m-%d %H:%M}。",
    ),
    Kind.BOOKING_CANCELLED: Words(
        "Your booking was cancelled",
        "预约已取消",
        "Your seat was given back.",
        "您的预约已取消，名额已释放。",
    ),
    Kind.POINTS_AWARDED: Words(
        "You earned points",
        "积分到账",
        "You earned {amount} points and have {balance} now.",
        "您获得 {amount} 积分，当前余额 {balance} 积分。",
    ),
}


def words_of(kind: Kind, params: Mapping[str, Any]) -> Words:
    """Put a notification into words; times are shown as on clocks in China."""
    times = {name: _clock(value) for name, value in params.items() if name.endswith("_at")}
    shown = {**params, **times}
    return Words(*(part.format(**shown) for part in TEMPLATES[kind]))


def _clock(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(_CHINA)
