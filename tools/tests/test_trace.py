import re
from io import StringIO

from rich.console import Console

from linli_cli.home import SERVICES
from linli_cli.trace import Span, tree

TRACE = "a" * 32


def span(  # noqa: PLR0917 a row of a table
    id_: str, parent: str | None, service: str, name: str, start: int, end: int, *, failed: bool = False
) -> Span:
    told = {"span_id": id_, "parent_id": parent, "name": name, "service": service, "error": failed}
    attributes = {"db.system.name": "postgresql"} if name.isupper() else {}
    return Span.of({**told, "offset": start, "duration": end - start, "attributes": attributes})


def drawn(*spans: Span, sql: bool = False, colours: bool = False) -> list[str]:
    screen = StringIO()
    Console(width=200, file=screen, force_terminal=colours, color_system="standard" if colours else None).print(
        tree(TRACE, spans, sql=sql)
    )
    return screen.getvalue().splitlines()


def test_spans_of_all_services_become_one_tree_with_offsets_and_durations() -> None:
    lines = drawn(
        span("3", "2", "notifications", "process opened", 30, 34),
        span("2", "1", "tickets", "send opened", 20, 21),
        span("1", None, "tickets", "POST /tickets", 0, 10),
    )
    assert lines[0] == f"{TRACE}  34.0 ms  2 services 服务  3 spans"
    assert [line.split() for line in lines[1:]] == [
        ["└──", "tickets", "POST", "/tickets", "+0.0", "ms", "10.0", "ms"],
        ["└──", "tickets", "send", "opened", "+20.0", "ms", "1.0", "ms"],
        ["└──", "notifications", "process", "opened", "+30.0", "ms", "4.0", "ms"],
    ]


def test_statements_are_counted_unless_each_is_wanted() -> None:
    spans = (
        span("1", None, "tickets", "POST /tickets", 0, 9),
        span("2", "1", "tickets", "SELECT", 1, 3),
        span("3", "1", "tickets", "INSERT", 4, 5),
    )
    assert drawn(*spans)[1:] == ["└── tickets       POST /tickets  +0.0 ms  9.0 ms  2 SQL 3.0 ms"]
    assert len(drawn(*spans, sql=True)) == 4


def test_only_what_failed_is_red() -> None:
    spans = [span(service, None, service, "process", 0, 1) for service in SERVICES]
    *well, failed = drawn(*spans, span("failed", None, "tickets", "process", 2, 3, failed=True), colours=True)[1:]
    red = re.compile(r"\x1b\[[\d;]*[39]1m")
    assert not any(red.search(line) for line in well)
    assert red.search(failed)
    assert len({line.split("m")[0] for line in well}) == len(SERVICES)


def test_a_span_whose_parent_is_not_known_stands_at_the_top() -> None:
    assert "POST /tickets" in drawn(span("1", "elsewhere", "tickets", "POST /tickets", 0, 1))[1]
