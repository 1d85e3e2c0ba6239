"""What came of it: on the terminal, as JSON, and as a chart."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chaos.checks import Verdict
from chaos.faults import Fault
from chaos.probe import GIVEN_UP_AFTER, Recovery

FOLDER = Path(__file__).parent
BAR = 10.0
"""Seconds within which everything is well again."""


@dataclass(frozen=True)
class Case:
    """One fault and what came of it."""

    fault: Fault
    recovery: Recovery

    @property
    def within(self) -> bool:
        """Whether it was well again in time."""
        return self.recovery.seconds is not None and self.recovery.seconds < BAR


def promises(verdict: Verdict) -> dict[str, bool]:
    """Say of each promise what was found, and whether it was kept."""
    found = f"{verdict.acknowledged:,} steps acknowledged, {verdict.events:,} events, {verdict.effects:,} effects"
    return {
        f"{found}; at least {verdict.least:,} events 事件数": verdict.events >= verdict.least,
        f"{len(verdict.lost)} lost 丢失": not verdict.lost,
        f"{len(verdict.doubled)} doubled 重复": not verdict.doubled,
        f"{len(verdict.broken)} wrongly refused 错误拒绝": not verdict.broken,
        f"{len(verdict.dead)} dead letters 死信": not verdict.dead,
        "the ledger adds up 账目平衡": verdict.ledger,
        "reconciliation finds nothing 对账一致": not verdict.unreconciled,
    }


def show(cases: Sequence[Case], verdict: Verdict, left_out: Sequence[str]) -> None:
    """Print a table, and the verdict."""
    screen = Console(width=110)
    table = Table("fault 故障", "part 部件", "answers 应答", "ticket 工单", "backlog 积压", "recovery 恢复", "")
    for case in cases:
        recovery = case.recovery
        times = (recovery.answers, recovery.ticket, recovery.backlog, recovery.seconds)
        mark = "[green]✓[/]" if case.within else "[red]✗[/]"
        table.add_row(case.fault.kind, case.fault.part, *map(_text, times), mark)
    screen.print(table)
    for reason in left_out:
        screen.print(f"[yellow]![/] left out 未测: {reason}")
    for words, well in promises(verdict).items():
        screen.print(f"{'[green]✓[/]' if well else '[red]✗[/]'} {words}")
    for some in (verdict.lost, verdict.doubled, verdict.broken, verdict.dead):
        for one in some[:10]:
            screen.print(f"  [red]{escape(one)}[/]")
    if verdict.unreconciled:
        screen.print(verdict.unreconciled, markup=False)


def write(cases: Sequence[Case], verdict: Verdict, left_out: Sequence[str]) -> None:
    """Write `results.json` and `results.svg`."""
    found = {
        "acknowledged": verdict.acknowledged,
        "events": verdict.events,
        "effects": verdict.effects,
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "broken": len(verdict.broken),
        "dead": len(verdict.dead),
        "ledger": verdict.ledger,
        "reconciled": not verdict.unreconciled,
        "load_average": round(os.getloadavg()[1], 1),
        "left_out": list(left_out),
        "faults": [
            {
                **asdict(case.fault),
                **{name: _rounded(value) for name, value in asdict(case.recovery).items()},
                "recovery": _rounded(case.recovery.seconds),
            }
            for case in cases
        ],
    }
    (FOLDER / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    _draw(cases)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _text(seconds: float | None) -> str:
    return f"> {GIVEN_UP_AFTER:.0f} s" if seconds is None else f"{seconds:.1f} s"


def _draw(cases: Sequence[Case]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 slow to load

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 after its backend

    seconds = [GIVEN_UP_AFTER if case.recovery.seconds is None else case.recovery.seconds for case in cases]
    figure, axes = plt.subplots(figsize=(8, 0.25 * len(cases) + 1.2))
    names = [f"{case.fault.part}: {case.fault.kind}" for case in cases]
    axes.barh(names, seconds, color=["#389e0d" if case.within else "#cf1322" for case in cases])
    axes.axvline(BAR, color="#595959", linestyle="--", linewidth=1)
    for at, value in enumerate(seconds):
        axes.text(value, at, f" {value:.1f}", va="center", fontsize=7)
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*seconds, BAR]) * 1.1)
    axes.set_xlabel("seconds from the end of the fault until all is well")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(FOLDER / "results.svg", metadata={"Date": None})
    plt.close(figure)
