from pathlib import Path

import pytest

from linli_cli.console import Trouble
from linli_cli.divisions import Row, check, read
from linli_cli.home import PROJECT

GOOD = "code,name,level,parent_code\n310104,徐汇区,district,\n310104003,天平路街道,street,310104\n"


def reasons(*rows: tuple[str, str, str, str]) -> list[tuple[int, str]]:
    return [(one.line, one.english) for one in check([Row(line, *row) for line, row in enumerate(rows, 2)])]


def test_the_published_file_has_no_wrong_row() -> None:
    rows = read(PROJECT / "data" / "divisions.csv")
    assert check(rows) == []
    assert [sum(row.level == level for row in rows) for level in ("district", "street", "community")] == [14, 186, 3492]
    assert sum(row.parent == "310104003" for row in rows) == 21


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_file_is_read_in_the_encodings_offices_use(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "units.csv"
    file.write_bytes(GOOD.replace("\n", "\r\n").encode(encoding))
    assert read(file) == [
        Row(2, "310104", "徐汇区", "district", ""),
        Row(3, "310104003", "天平路街道", "street", "310104"),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x81\xff\xff", "neither UTF-8 nor GB18030"),
        (b"", "no column code, name"),
        (b"code,name\n1,2\n", "no column level, parent_code"),
        (b'code,name,level,parent_code\n"' + b"x" * 200_000, "line"),
    ],
)
def test_what_is_no_such_table_is_refused_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "units.csv"
    file.write_bytes(content)
    with pytest.raises(Trouble, match=words):
        read(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match=r"nothing\.csv can't be read"):
        read(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("31010", "甲", "district", ""), "code must have 6, 9 or 12 digits"),
        (("３１０１０４", "甲", "district", ""), "code must have 6, 9 or 12 digits"),
        (("010104", "甲", "district", ""), "code must have 6, 9 or 12 digits"),
        (("", "", "", ""), "code must have 6, 9 or 12 digits"),
        (("310104000", "甲", "street", "310104"), "code leaves a level out: 000"),
        (("310104000001", "甲", "community", "310104000"), "code leaves a level out: 000"),
        (("310104003", "甲", "community", "310104"), "level must be street for 9 digits, not 'community'"),
        (("310104003", "", "street", "310104"), "name is empty"),
        (("310104003", "长" * 101, "street", "310104"), "name is longer than 100"),
        (("310104003", "甲", "street", "310105"), "parent_code must be 310104, not '310105'"),
        (("310104", "甲", "district", "0"), "parent_code must be empty, not '0'"),
    ],
)
def test_a_wrong_row_is_reported_by_line_and_reason(row: tuple[str, str, str, str], reason: str) -> None:
    assert reasons(("310105", "长宁区", "district", ""), row) == [(3, reason)]


def test_a_code_that_comes_twice_is_wrong_the_second_time() -> None:
    row = ("310104", "徐汇区", "district", "")
    assert reasons(row, row) == [(3, "code stands in line 2 already")]
