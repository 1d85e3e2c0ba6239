"""What was measured, each beside its baseline: as JSON, as a table, as a chart, and as a line in the history."""

import csv
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Result:
    """A figure beside its baseline.

    Attributes:
        name: of the figure.
        value: ours.
        unit: of both.
        baseline: the same without the platform, in the same run; None for a figure that has none.
        ratio: how good ours is, by the rule of its bar.
        bar: what the ratio (or the value, without baseline) should reach; None without one.
        least: whether the bar is a least, not a most.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    bar: float | None = None
    least: bool = True

    @property
    def reached(self) -> bool | None:
        """Whether the bar was reached."""
        if self.bar is None:
            return None
        measure = self.value if self.ratio is None else self.ratio
        return measure >= self.bar if self.least else measure <= self.bar


def write(results: Sequence[Result]) -> None:
    """Write `results.json`, `results.svg` and a line for each figure in `history.csv`."""
    rows = [{key: _rounded(value) for key, value in asdict(one).items() if key != "least"} for one in results]
    (FOLDER / "results.json").write_text(json.dumps({"results": rows}, indent=2) + "\n")
    history = FOLDER / "history.csv"
    new = not history.exists()
    with history.open("a", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        if new:
            lines.writerow(["at", "commit", "name", "value", "unit", "baseline", "ratio"])
        at, commit = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", _commit()
        lines.writerows(
            [at, commit, row["name"], row["value"], row["unit"], row["baseline"], row["ratio"]] for row in rows
        )
    _draw(results)


def show(results: Sequence[Result]) -> None:
    """Print a table."""
    table = Table("figure 指标", "value 数值", "baseline 基准", "ratio 比值", "bar 要求", "")
    for one in results:
        sign = "≥" if one.least else "≤"
        table.add_row(
            one.name,
            f"{one.value:,.4g} {one.unit}",
            "" if one.baseline is None else f"{one.baseline:,.4g}",
            "" if one.ratio is None else f"{one.ratio:.2f}",
            "" if one.bar is None else f"{sign} {one.bar:g}",
            {None: "", True: "[green]✓[/]", False: "[red]✗[/]"}[one.reached],
        )
    Console(width=110).print(table)


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 whichever git there is
        capture_output=True,
        text=True,
        check=False,
        cwd=FOLDER,
        timeout=10,
    )
    return done.stdout.strip() or "unknown"


def _draw(results: Sequence[Result]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 slow to load

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 after its backend

    shown = [one for one in results if one.ratio is not None and one.bar is not None]
    # How far above its bar each is: 1 is just reached, whether a least or a most is asked for.
    margins = [one.ratio / one.bar if one.least else one.bar / one.ratio for one in shown]  # type: ignore[operator]
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(shown) + 1.2))
    axes.barh([one.name for one in shown], margins, color=["#389e0d" if one.reached else "#cf1322" for one in shown])
    axes.axvline(1, color="#595959", linestyle="--", linewidth=1)
    for at, one in enumerate(shown):
        axes.text(margins[at], at, f" {one.ratio:.2f} (bar {one.bar:g})", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*margins, 1]) * 1.25)
    axes.set_xlabel("times its bar; right of the line is reached")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(FOLDER / "results.svg", metadata={"Date": None})
    plt.close(figure)
