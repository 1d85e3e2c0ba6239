import json
import re
from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console

from linli_cli.home import SERVICES, Home
from linli_cli.trace import latest, tree

Write = Callable[..., None]
TRACE = "a" * 32


@pytest.fixture
def write(home: Home) -> Write:
    def write(
        service: str, *spans: tuple[str, str | None, str, int, int], trace: str = TRACE, status: str = "OK"
    ) -> None:
        with (home.traces / f"{service}.jsonl").open("a") as file:
            for id_, parent, name, start, end in spans:
                attributes = {"db.system": "postgresql"} if name.isupper() else {}
                span = {"trace_id": trace, "span_id": id_, "parent_id": parent, "name": name, "service": service}
                file.write(
                    json.dumps(
                        {**span, "attributes": attributes, "start": start * 10**6, "end": end * 10**6, "status": status}
                    )
                )
                file.write("\n")

    return write


def drawn(home: Home, trace: str, *, sql: bool = False, colours: bool = False) -> list[str]:
    screen = StringIO()
    Console(width=200, file=screen, force_terminal=colours, color_system="standard" if colours else None).print(
        tree(home, trace, sql=sql)
    )
    return screen.getvalue().splitlines()


def test_spans_of_all_services_become_one_tree_with_offsets_and_durations(home: Home, write: Write) -> None:
    write("notifications", ("3", "2", "process opened", 1030, 1034))
    write("tickets", ("2", "1", "send opened", 1020, 1021), ("1", None, "POST /tickets", 1000, 1010))
    write("points", ("9", None, "GET /points", 1, 2), trace="b" * 32)
    lines = drawn(home, TRACE)
    assert lines[0] == f"{TRACE}  34.0 ms  2 services 服务  3 spans"
    assert [line.split() for line in lines[1:]] == [
        ["└──", "tickets", "POST", "/tickets", "+0.0", "ms", "10.0", "ms"],
        ["└──", "tickets", "send", "opened", "+20.0", "ms", "1.0", "ms"],
        ["└──", "notifications", "process", "opened", "+30.0", "ms", "4.0", "ms"],
    ]


def test_statements_are_counted_unless_each_is_wanted(home: Home, write: Write) -> None:
    write("tickets", ("1", None, "POST /tickets", 0, 9), ("2", "1", "SELECT", 1, 3), ("3", "1", "INSERT", 4, 5))
    assert drawn(home, TRACE)[1:] == ["└── tickets       POST /tickets  +0.0 ms  9.0 ms  2 SQL 3.0 ms"]
    assert len(drawn(home, TRACE, sql=True)) == 4


def test_only_what_failed_is_red(home: Home, write: Write) -> None:
    for service in SERVICES:
        write(service, (service, None, "process", 0, 1))
    write("tickets", ("failed", None, "process", 2, 3), status="ERROR")
    *well, failed = drawn(home, TRACE, colours=True)[1:]
    red = re.compile(r"\x1b\[[\d;]*[39]1m")
    assert not any(red.search(line) for line in well)
    assert red.search(failed)
    assert len({line.split("m")[0] for line in well}) == len(SERVICES)


def test_a_span_whose_parent_was_not_written_stands_at_the_top(home: Home, write: Write) -> None:
    write("tickets", ("1", "elsewhere", "POST /tickets", 0, 1))
    assert "POST /tickets" in drawn(home, TRACE)[1]


def test_a_line_that_was_cut_off_is_passed_over(home: Home, write: Write) -> None:
    write("tickets", ("1", None, "POST /tickets", 0, 1))
    with (home.traces / "tickets.jsonl").open("a") as file:
        file.write(f'{{"trace_id": "{TRACE}", "span')
    assert len(drawn(home, TRACE)) == 2


def test_the_latest_trace_is_the_newest_of_those_that_went_furthest(home: Home, write: Write) -> None:
    for number, trace in enumerate("abc"):
        write("tickets", ("1", None, "POST /tickets", number, number + 1), trace=trace * 32)
    write("points", ("2", "1", "process", 5, 6), trace="a" * 32)
    write("points", ("2", "1", "process", 3, 4), trace="b" * 32)
    assert latest(home) == "a" * 32
    assert latest(home, "no such name") == ""
    assert tree(home, "") is None
