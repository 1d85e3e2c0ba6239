"""The words of notifications, in English and Chinese (文案)."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from notifications.case_texts import CASES
from notifications.models import Kind
from notifications.words import Words

_CHINA: Final = timezone(timedelta(hours=8))
"""All of the country keeps one time."""


TEMPLATES: Final[Mapping[Kind, Words]] = {
    **CASES,
    Kind.TICKET_OPENED: Words(
        "Your report was received",
        "诉求已受理",
        "We have your report and will find who answers it.",
        "您的诉求已收到，我们将尽快安排人员处理。",
    ),
    Kind.TICKET_FOR_YOUR_DEPARTMENT: Words(
        "A ticket came in for your department",
        "本部门有新的工单",
        "This ticket is for your department. Whoever manages the unit that answers for it will give it to one of you.",
        "该工单由贵部门承办，承办单位负责人将派给贵部门人员处理。",
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
    Kind.TICKET_ASSIGNEE_LEFT: Words(
        "Whoever had a ticket left office",
        "工单受派人已离岗",
        "This ticket is still with somebody who left office. Please give it to somebody else.",
        "该工单的受派人已离岗，请改派他人办理。",
    ),
    Kind.TICKET_TAKEN_FROM_YOU: Words(
        "A ticket was given to somebody else",
        "您的工单已改派",
        "Somebody else answers for this ticket now. Nothing remains to be done for you.",
        "该工单已改派给其他人员，您无需继续处理。",
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
    Kind.TICKET_STREET_OVERDUE: Words(
        "A ticket raised to the street is not resolved in time",
        "街道处置超时",
        "The street should have dealt with this ticket by {due_at:%Y-%m-%d %H:%M}. Please see to it.",
        "该工单应由街道于 {due_at:%Y-%m-%d %H:%M} 前处置，目前尚未办结，请尽快处理。",
    ),
    Kind.TICKET_DISTRICT_OVERDUE: Words(
        "A ticket raised to the district is not resolved in time",
        "区级处置超时",
        "The district should have dealt with this ticket by {due_at:%Y-%m-%d %H:%M}. Please see to it.",
        "该工单应由区级于 {due_at:%Y-%m-%d %H:%M} 前处置，目前尚未办结，请尽快处理。",
    ),
    Kind.TICKET_ASKED: Words(
        "There is a question about your report",
        "诉求需要您补充信息",
        "Your report can't go on without your answer. Please read the question and reply.",
        "您的诉求需要补充信息后才能继续办理，请查看提问并答复。",
    ),
    Kind.TICKET_ANSWERED: Words(
        "The reporter has answered",
        "诉求人已答复",
        "The question about this ticket was answered. Its clocks run again.",
        "该工单的提问已得到答复，办理时限恢复计时。",
    ),
    Kind.TICKET_ESCALATED: Words(
        "Your report was raised to the level above",
        "诉求已升级办理",
        "Your report is now answered for one level higher.",
        "您的诉求已升级至上一级单位办理。",
    ),
    Kind.TICKET_ESCALATED_TO_YOU: Words(
        "A ticket was raised to you",
        "有工单升级至您处",
        "Your unit answers for this ticket now. Please see to it.",
        "该工单已升级至您所在单位办理，请及时处理。",
    ),
    Kind.TICKET_RETURNED_TO_YOU: Words(
        "A ticket was given to your unit",
        "有工单交至您所在单位",
        "This ticket was given back or handed down to your unit. Please see to it.",
        "该工单已退回或下派至您所在单位办理，请及时处理。",
    ),
    Kind.TICKET_RESOLVED: Words(
        "Your report was resolved",
        "诉求已办结",
        "We were told that the matter is dealt with. If it is, please close your report; if not, open it again.",
        "您反映的问题已处理完毕。如属实，请确认结案；如未解决，可重新打开。",
    ),
    Kind.TICKET_CLOSED: Words(
        "Your report was closed",
        "诉求已结案",
        "Your report is closed. Please say how well it was answered.",
        "您的诉求已结案，请对处理结果进行评价。",
    ),
    Kind.TICKET_CLOSED_NOT_FIXED: Words(
        "Your report was closed: not fixed",
        "诉求已结案：未解决",
        "Your report is closed although the matter could not be fixed. Please say how well it was answered.",
        "您反映的问题未能解决，诉求已结案，请对处理结果进行评价。",
    ),
    Kind.TICKET_CLOSED_UNANSWERED: Words(
        "Your report closed by itself",
        "诉求逾期未反馈，已自动结案",
        "You did not say in time whether the matter is fixed, so your report was closed. You may still rate it.",
        "您未在期限内反馈是否解决，诉求已自动结案，您仍可进行评价。",
    ),
    Kind.TICKET_REOPENED: Words(
        "Your report was taken up again",
        "诉求已重新办理",
        "The matter was not settled, and work on your report goes on.",
        "您反映的问题尚未解决，诉求已重新进入办理。",
    ),
    Kind.TICKET_REOPENED_TO_YOU: Words(
        "A ticket was reopened",
        "工单已重新打开",
        "This ticket was not settled and is open again, for the {times}. time. Please see to it.",
        "该工单反映的问题未解决，已第 {times} 次重新打开，请及时处理。",
    ),
    Kind.TICKET_WITHDRAWN: Words(
        "A report was withdrawn",
        "诉求已撤回",
        "The reporter has taken this report back. Nothing remains to be done for it.",
        "诉求人已撤回该诉求，无需继续办理。",
    ),
    Kind.TICKET_FOLDED: Words(
        "Your report was joined with another of the same",
        "诉求已并入同类工单",
        "Somebody reported the same before. You are told how that report goes on.",
        "已有相同诉求，您的诉求已并入该工单，办理进展将一并告知您。",
    ),
    Kind.TICKET_FOLDED_FROM_YOU: Words(
        "A ticket was joined with another of the same",
        "您的工单已并入同类工单",
        "This ticket was joined with another of the same. Nothing remains to be done for it.",
        "该工单已并入同类工单，您无需继续处理。",
    ),
    Kind.TICKET_UNFOLDED: Words(
        "Your own report goes on",
        "您的诉求已恢复办理",
        "The report that yours was joined with was taken back by its reporter. Work goes on with yours.",
        "您的诉求所并入的工单已由其诉求人撤回，您的诉求已恢复办理。",
    ),
    Kind.TICKET_UNFOLDED_TO_YOU: Words(
        "A report of a withdrawn matter goes on",
        "撤回工单的同类诉求继续办理",
        "A report was withdrawn, but others reported the same: this ticket of one of them goes on. Please see to it.",
        "一件诉求已被撤回，但另有居民反映同一问题，其工单恢复办理，请及时处理。",
    ),
    Kind.TICKET_FOLLOWED_RESOLVED: Words(
        "A report like yours was resolved",
        "同类诉求已办结",
        "The report that yours was joined with is said to be dealt with.",
        "您的诉求所并入的工单已办结。",
    ),
    Kind.TICKET_FOLLOWED_ENDED: Words(
        "A report like yours was closed",
        "同类诉求已结案",
        "The report that yours was joined with is closed. If the matter goes on, please report it anew.",
        "您的诉求所并入的工单已结案；如问题仍存在，请重新上报。",
    ),
    Kind.TICKET_FOLLOWED_REOPENED: Words(
        "A report like yours was taken up again",
        "同类诉求已重新办理",
        "The report that yours was joined with was not settled, and work on it goes on.",
        "您的诉求所并入的工单尚未解决，已重新进入办理。",
    ),
    Kind.TICKET_FOLLOWED_REPLACED: Words(
        "Your report goes on with another of the same",
        "诉求已转入另一同类工单",
        "The report that yours was joined with was taken back. You are told how another of the same goes on.",
        "您的诉求所并入的工单已由其诉求人撤回，您的诉求已转入另一相同诉求的工单，办理进展将继续告知您。",
    ),
    Kind.TICKET_SPLIT: Words(
        "Your report is worked on in parts",
        "诉求已拆分办理",
        "Your report was split into {parts} parts that go to those who answer for each.",
        "您的诉求已拆分为 {parts} 个子工单，由相关单位分别办理。",
    ),
    Kind.TICKET_SPLIT_FROM_YOU: Words(
        "A ticket was split into parts",
        "您的工单已拆分",
        "This ticket was split into {parts} parts. Nothing remains to be done for the whole.",
        "该工单已拆分为 {parts} 个子工单，您无需继续处理原工单。",
    ),
    Kind.TICKET_NOTED: Words(
        "There is news on a ticket",
        "工单有新进展",
        "Something was added to this ticket. Open it to read more.",
        "该工单有新的记录，请查看详情。",
    ),
    Kind.TICKET_RATED: Words(
        "Your work was rated",
        "您办理的工单收到评价",
        "A ticket you resolved was rated {rating} out of 5.",
        "您办理的工单收到评价：{rating} 分（满分 5 分）。",
    ),
    Kind.TICKET_RATED_POORLY: Words(
        "A ticket was rated poorly",
        "工单评价不满意",
        "A ticket that you answer for was rated {rating} out of 5, and is not taken up again. Please see to it.",
        "您负责的工单收到不满意评价：{rating} 分（满分 5 分），不再自动重办，请予督办。",
    ),
    Kind.WHISTLE_BLOWN: Words(
        "Your department was called to a ticket",
        "吹哨：请贵部门报到",
        "Your department was called to a ticket. Please report by {due_at:%Y-%m-%d %H:%M}.",
        "贵部门已被召集处理工单，请于 {due_at:%Y-%m-%d %H:%M} 前应哨报到。",
    ),
    Kind.WHISTLE_REPORTED: Words(
        "A department has reported",
        "部门已应哨报到",
        "A department that you called to a ticket is there.",
        "您召集的部门已应哨报到。",
    ),
    Kind.WHISTLE_ACTED: Words(
        "A department has done its part",
        "部门已完成处置",
        "A department that you called to a ticket has done its part. Please rate it.",
        "您召集的部门已完成处置，请进行评价。",
    ),
    Kind.WHISTLE_RATED: Words(
        "Your department was rated",
        "贵部门收到评价",
        "What your department did for a ticket was rated {rating} out of 5.",
        "贵部门的处置收到评价：{rating} 分（满分 5 分）。",
    ),
    Kind.WHISTLE_MISSED: Words(
        "A department has not reported in time",
        "部门未按时应哨",
        "A department that was called to a ticket should have reported by {due_at:%Y-%m-%d %H:%M}, and has not.",
        "被召集的部门应于 {due_at:%Y-%m-%d %H:%M} 前应哨报到，目前尚未报到。",
    ),
    Kind.WHISTLE_CALLED_OFF: Words(
        "Your department was called off",
        "撤哨：工单已结束",
        "The ticket that your department was called to has ended. Nothing remains to be done for it.",
        "贵部门被召集处理的工单已结束，哨单已撤销，无需继续处置。",
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

_CONFIRM_BY: Final = Words(
    "Your report was resolved: is it?",
    "诉求已办结，请确认",
    "We were told that the matter is dealt with. Please say by {confirm_by_at:%Y-%m-%d %H:%M} whether it is;"
    " after that your report closes by itself.",
    "您反映的问题已处理完毕，请于 {confirm_by_at:%Y-%m-%d %H:%M} 前确认是否解决，逾期将自动结案。",
)
"""Of a resolved ticket whose reporter is given a time to answer: a kind of its own would be lost on older versions."""


def words_of(kind: Kind, params: Mapping[str, Any]) -> Words:
    """Put a notification into words; times are shown as on clocks in China."""
    times = {name: _clock(value) for name, value in params.items() if name.endswith("_at")}
    shown = {**params, **times}
    words = _CONFIRM_BY if kind is Kind.TICKET_RESOLVED and "confirm_by_at" in params else TEMPLATES[kind]
    return Words(*(part.format(**shown) for part in words))


def _clock(time: str) -> datetime:
    moment = datetime.fromisoformat(time)
    try:
        return moment.astimezone(_CHINA)
    except OverflowError:  # the calendar's last hours, meant as "some day", which China's clocks have behind them
        return datetime.max.replace(tzinfo=_CHINA)
