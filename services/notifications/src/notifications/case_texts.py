"""The words of notifications about cases, errands, wishes and projects (个案、代办、心愿、项目文案)."""

from collections.abc import Mapping
from typing import Final

from notifications.models import Kind
from notifications.words import Words

CASES: Final[Mapping[Kind, Words]] = {
    Kind.CASE_OPENED: Words(
        "A new case for your team",
        "您的团队有新个案",
        "A dispute was taken up, and your team takes care of it.",
        "有新的矛盾纠纷立案，由您所在的团队负责。",
    ),
    Kind.CASE_GRADED: Words(
        "A case came to your team",
        "个案等级调整",
        "A case was graded anew, and is your team's from now on.",
        "有个案调整了难度等级，现由您所在的团队负责。",
    ),
    Kind.CASE_STEPPED: Words(
        "There is news in a case of your team",
        "您团队的个案有新进展",
        "Somebody of your team has added something to a case. Open it to read more.",
        "您所在团队的成员在个案中添加了新内容，请查看。",
    ),
    Kind.CASE_FOLLOW_UP_DUE: Words(
        "A follow-up is due",
        "个案回访到期",
        "It is time to ask whether what was agreed is kept.",
        "到了回访时间，请了解协议履行情况。",
    ),
    Kind.CASE_FOLLOW_UP_OVERDUE: Words(
        "A follow-up is overdue",
        "个案回访超时",
        "Nobody has asked yet whether what was agreed is kept. Please do.",
        "回访已超时，请尽快了解协议履行情况。",
    ),
    Kind.CASE_CLOSED: Words(
        "A case of your team was closed",
        "个案已结案",
        "A case of your team was closed. It can still be followed up.",
        "您所在团队的一个个案已结案，仍可安排回访。",
    ),
    Kind.CASE_TEAM_EMPTIED: Words(
        "A case team has nobody left",
        "调解团队已无成员",
        "The last member of a case team left office. Please name others: until then nobody sees its cases.",
        "一个调解团队的最后一名成员已离岗，请重新设置成员；在此之前其个案无人可见。",
    ),
    Kind.ERRAND_OPENED: Words(
        "Somebody goes an errand for you",
        "您的事项已受理代办",
        "Your errand was taken on. You can see which papers are needed.",
        "您的代办事项已受理，可查看所需材料。",
    ),
    Kind.ERRAND_PAPERS_ASKED: Words(
        "More papers are needed",
        "代办事项需补正材料",
        "More papers are needed for your errand. Please have them ready.",
        "您的代办事项需要补充材料，请查看并准备。",
    ),
    Kind.ERRAND_PAPER_HANDED: Words(
        "A paper of your errand is there",
        "代办材料已收",
        "A paper that your errand needs was handed over.",
        "您的代办事项所需材料已收到一份。",
    ),
    Kind.ERRAND_TAKEN_OVER: Words(
        "Somebody else goes your errand",
        "代办人员已变更",
        "Another worker goes your errand from now on.",
        "您的代办事项已由其他工作人员接手办理。",
    ),
    Kind.ERRAND_FILED: Words(
        "Your papers were filed",
        "您的材料已递交",
        "The papers of your errand were handed in with the office.",
        "您的代办事项材料已递交办理部门。",
    ),
    Kind.ERRAND_OVERDUE: Words(
        "An errand waits for its next step",
        "代办事项超时",
        "The next step of an errand was due at {due_at:%Y-%m-%d %H:%M}. Please take it, or see that somebody does.",
        "代办事项应于 {due_at:%Y-%m-%d %H:%M} 前办理下一步，请尽快办理或督办。",
    ),
    Kind.ERRAND_DONE: Words(
        "Your errand is done",
        "您的代办事项已办结",
        "Your errand has come to its end. You can see the result.",
        "您的代办事项已办结，可查看结果。",
    ),
    Kind.WISH_CLAIMED: Words(
        "Your wish was claimed",
        "您的心愿已被认领",
        "Somebody wants to make your wish come true by {due_at:%Y-%m-%d %H:%M}.",
        "有人认领了您的心愿，将于 {due_at:%Y-%m-%d %H:%M} 前完成。",
    ),
    Kind.WISH_RETURNED: Words(
        "Your wish is on the list again",
        "您的心愿重新回到清单",
        "Your wish is on the list again, for somebody else to claim.",
        "您的心愿已重新回到清单，等待他人认领。",
    ),
    Kind.WISH_WITHDRAWN: Words(
        "Your wish was taken off the list",
        "您的心愿已撤回",
        "Your wish was taken off the list, by you or by the community's staff.",
        "您的心愿已由您本人或社区工作人员从清单撤回。",
    ),
    Kind.WISH_CLAIM_ENDED: Words(
        "A wish is no longer yours to fulfil",
        "您认领的心愿已退回",
        "A wish that you had claimed is on the list again.",
        "您认领的心愿已退回清单。",
    ),
    Kind.WISH_FULFILLED: Words(
        "Your wish has come true",
        "您的心愿已完成",
        "We were told that your wish has come true. If it has, please confirm it.",
        "您的心愿已完成。如属实，请确认。",
    ),
    Kind.WISH_TO_CONFIRM: Words(
        "A wish that staff wrote down has come true",
        "代为登记的心愿已完成",
        "We were told that a wish staff wrote down for somebody has come true. Please ask, and record whether it has.",
        "工作人员代为登记的心愿已完成，请询问许愿人并代为反馈是否属实。",
    ),
    Kind.WISH_CONFIRMED: Words(
        "The wish you fulfilled was confirmed",
        "您完成的心愿已确认",
        "Somebody's wish came true by you, and he says so. Thank you.",
        "许愿人已确认您完成的心愿，感谢您的付出。",
    ),
    Kind.NEED_MATCHED: Words(
        "A need that you listed was matched",
        "您登记的需求已对接",
        "Somebody's offer meets a need that you had listed, and a project began.",
        "您登记的需求已有资源对接，项目已启动。",
    ),
    Kind.NEED_MET: Words(
        "A need that you listed was met",
        "您登记的需求已满足",
        "The project for a need that you had listed has ended, and the need is met.",
        "您登记的需求对应的项目已结项，需求已满足。",
    ),
    Kind.NEED_RETURNED: Words(
        "A need that you listed is on the list again",
        "您登记的需求重新回到清单",
        "The project for a need that you had listed has ended without meeting it. It is on the list again.",
        "您登记的需求对应的项目已结项，但需求未满足，已重新回到清单。",
    ),
    Kind.LISTING_WITHDRAWN: Words(
        "What you listed was taken off the list",
        "您登记的条目已从清单撤回",
        "A need or an offer of yours was taken off its list by those who keep it.",
        "您登记的需求或资源已由清单管理人员撤回。",
    ),
    Kind.PROJECT_STEPPED: Words(
        "There is progress in a project with your resource",
        "您参与的项目有新进展",
        "A step was added to a project with what you offer, or is done.",
        "您提供资源的项目新增或完成了一个步骤。",
    ),
    Kind.PROJECT_STARTED: Words(
        "What you offer is needed",
        "您的资源已对接",
        "What you offer was matched with a need, and a project began.",
        "您提供的资源已与需求对接，项目已启动。",
    ),
    Kind.PROJECT_ENDED: Words(
        "A project with your resource ended",
        "您参与的项目已结项",
        "A project with what you offer has ended. Thank you.",
        "您提供资源的项目已结项，感谢您的支持。",
    ),
}
