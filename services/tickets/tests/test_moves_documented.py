"""docs/tickets.md says of every move and clock what the code does."""

import re
from pathlib import Path

from linli.events.tickets import FOLLOWERS
from tickets.calendar import DAY
from tickets.models.categories import DEPTH, MOST, kind
from tickets.models.moves import (
    ANYBODY,
    CLOCKS,
    CONFIRMER,
    EITHER,
    MANAGER,
    MOVES,
    NOBODY,
    RATER,
    REPORTER,
    WORKER,
    Clock,
    Rule,
    State,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "tickets.md"
WHO = {
    REPORTER: "reporter",
    RATER: "reporter",
    MANAGER: "manager",
    WORKER: "assignee, manager",
    CONFIRMER: "reporter; by hotline or patrol manager",
    EITHER: "reporter, manager",
    ANYBODY: "whoever sees it",
    NOBODY: "itself",
}


def rows(heading: str) -> list[list[str]]:
    section = DOCUMENT.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    found = [re.split(r" *\| *", line.strip("|").strip()) for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip("` ") for cell in row] for row in found]


def named(cell: str) -> set[str]:
    return set(re.findall(r"`?([a-z_]+)`?", cell))


def states(found: frozenset[State]) -> set[str]:
    return {"any"} if found == frozenset(State) else {state.value for state in found}


def after(rule: Rule) -> str:
    if rule.at_work:
        return "open or assigned"
    if rule.after is None:
        return "as it was"
    return f"{rule.after.value} or waiting" if rule.waits else rule.after.value


def test_every_move_is_documented_as_it_is() -> None:
    documented = {
        row[0].split("`")[0]: (named(row[1]), row[2], row[3], named(row[4]) if len(row) > 4 else set())
        for row in rows("Moves")
    }
    assert documented == {
        move.value: (
            states(rule.before),
            after(rule),
            WHO[rule.who],
            set(rule.needs),
        )
        for move, rule in MOVES.items()
    }


def test_every_state_is_documented() -> None:
    assert [row[0].split("`")[0] for row in rows("States")] == [state.value for state in State]


def test_every_clock_is_documented_with_its_time() -> None:
    minutes = kind("other", {}).minutes
    documented = {clock: row for row in rows("Clocks") for clock in named(row[0])}
    assert set(documented) == set(Clock)
    for clock in Clock:
        row = documented[clock]
        assert named(row[2]) == states(CLOCKS[clock])
        assert (row[3] == "as `answer") or minutes[clock] == int(row[3].split()[0]) * DAY
    assert minutes[Clock.STREET] == minutes[Clock.DISTRICT] == minutes[Clock.ANSWER]


def test_bounds_are_documented() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert f"At most {FOLLOWERS} follow" in text
    assert f"of {MOST} at most" in text
    assert DEPTH == 5
    assert "five levels deep" in text
