"""What the demo shows in the end: each ticket's timeline, and whether everything arrived exactly once."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from linli_cli.console import out
from linli_cli.demo_play import STEPS
from linli_cli.demo_story import Story

_SHOWN: Final = 20
"""Timelines on screen; all are in the JSON."""
_FEW: Final = 3
"""Timelines of a day that has more, or that is shown in brief."""
_WORDS: Final = {
    "open": "reported 上报",
    "assign": "assigned 派单",
    "resolve": "resolved 办结",
    "close": "closed 结案",
    "rate": "rated 评价",
    "poorly_rated": "reopened 重开",
    "booked": "seat booked 预约",
    "cancelled": "seat given back 取消预约",
    "ticket_opened": "told: report received 告知已受理",
    "ticket_assigned": "told: assigned 告知已派单",
    "ticket_assigned_to_you": "told: yours to answer 告知待办",
    "ticket_resolved": "told: resolved 告知已办结",
    "ticket_closed": "told: closed 告知已结案",
    "ticket_rated": "told: rated 告知评价",
    "ticket_reopened": "told: open again 告知已重开",
    "ticket_reopened_to_you": "told: yours again 告知重办",
    "points_awarded": "told: points 告知积分",
    "seat_booked": "told: seat booked 告知预约成功",
    "booking_cancelled": "told: cancelled 告知已取消",
}
_ROLES: Final = {"reporter": "reporter 诉求人", "assignee": "grid worker 网格员", "guest": "guest 预约人"}


class Outcome:
    """What the day came to.

    Args:
        seed: of the run.
        tickets: one story each.
        session: the centre's story.
    """

    def __init__(self, seed: int, tickets: Sequence[Story], session: Story) -> None:
        self._seed = seed
        self._tickets = tickets
        self._session = session
        self._stories = [*tickets, session]

    @property
    def complete(self) -> bool:
        """Whether everything arrived, once."""
        return all(story.complete for story in self._stories)

    def first_notifications(self) -> list[float]:
        """Give the milliseconds from opening to the first notification of each ticket for which they are known."""
        return [story.told_after for story in self._tickets if story.told_after is not None]

    def totals(self) -> dict[str, dict[str, int]]:
        """Count what was expected and found: steps, inbox entries, points, bookings."""
        return {
            "steps": self._count("tickets "),
            "inbox": self._count("notifications "),
            "points": {
                "expected": sum(_points(kind) * times for s in self._tickets for kind, times in s.expected.items()),
                "found": sum(_points(one.kind) for story in self._tickets for one in story.found),
            },
            "bookings": self._count("bookings "),
        }

    def _count(self, prefix: str) -> dict[str, int]:
        every = [kind for story in self._stories for kind in story.expected.elements() if kind.startswith(prefix)]
        found = [one for story in self._stories for one in story.found if one.kind.startswith(prefix)]
        return {"expected": len(every), "found": len(found)}

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.write_text(json.dumps(self.as_json(), ensure_ascii=False, indent=2))

    def as_json(self) -> dict[str, Any]:
        """Give all of it."""
        waits = self.first_notifications()
        return {
            "seed": self._seed,
            "complete": self.complete,
            "totals": self.totals(),
            "median_first_notification_ms": round(statistics.median(waits), 1) if waits else None,
            "tickets": [story.as_json() for story in self._tickets],
            "session": self._session.as_json(),
        }

    def show(self, *, brief: bool = False) -> None:
        """Print timelines and totals; in brief, a few timelines."""
        wrong = [story for story in self._stories if not story.complete]
        few = brief or len(self._tickets) > _SHOWN
        shown = [*self._tickets[:_FEW], self._session] if few else self._stories
        for story in [*shown, *(story for story in wrong[:_SHOWN] if story not in shown)]:
            out.print(_timeline(story))
        more = len(self._stories) - len(shown)
        if more:
            out.print(f"[dim]… and {more} more; linli demo --json FILE has all  其余 {more} 件见 --json[/]")
        out.print(self._check(len(wrong)))

    def _check(self, wrong: int) -> Text:
        reopened = sum(story.expected["tickets poorly_rated"] for story in self._tickets)
        again = f" + {reopened} reopened 重开" if reopened else ""
        names = {
            "steps": f"{len(self._tickets)} tickets 工单 × {len(STEPS)} steps 步{again}",
            "inbox": "inbox entries 站内信",
            "points": "points 积分",
            "bookings": "bookings 预约",
        }
        parts = [
            f"{names[name]}: {count['expected']} {'=' if count['expected'] == count['found'] else '≠'} {count['found']}"
            for name, count in self.totals().items()
        ]
        waits = self.first_notifications()
        if waits:
            parts.append(f"first notification 首条通知: median 中位数 {statistics.median(waits):.0f} ms")
        verdict = (
            ("✓ complete, nothing lost or doubled 全部到达，无遗漏、无重复", "bold green")
            if self.complete
            else (f"✗ {wrong} not as expected 项与预期不符", "bold red")
        )
        return Text.assemble("\n", *(f"  {part}\n" for part in parts), verdict)


def _points(kind: str) -> int:
    service, _, what = kind.partition(" ")
    return int(what) if service == "points" else 0


def _timeline(story: Story) -> Table:
    title = Text.assemble((story.title, "bold"), f"  {story.place}", (f"  trace {story.trace_id}", "dim"))
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2))
    for name in ("time 时间", "", "service 服务", "what 事项"):
        table.add_column(name, overflow="fold")
    for one in story.found:
        since = (one.at - story.found[0].at).total_seconds() * 1000
        stray = f"  trace {one.trace_id}" if one.trace_id not in {story.trace_id, None} else ""
        table.add_row(
            one.at.astimezone().strftime("%H:%M:%S.%f")[:-3], f"+{since:.0f} ms", one.service, _words(one.what) + stray
        )
    for words, wrong in (("missing 缺少", story.missing), ("doubled 重复", story.doubled)):
        for kind, times in wrong.items():
            table.add_row(words, f"× {times}", *kind.split(" ", 1), style="bold red")
    return table


def _words(what: str) -> str:
    kind, _, role = what.partition(" → ")
    words = _WORDS.get(kind, f"{kind} points 积分" if kind.startswith("+") else kind)
    return f"{words} → {_ROLES[role]}" if role else words
